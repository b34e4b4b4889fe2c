package shard

import (
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// BenchmarkQuotaTold is what it costs a message that somebody is told about the quotas of its device: nobody is, one is
// of another account, or of all. No mark is passed. An operation is an event.
func BenchmarkQuotaTold(b *testing.B) {
	const product = "p"
	f := newFleetOn(b, &noLog{})
	devices := scaled(100_000)
	f.stock(product, `{"messages_per_day":null}`, devices)
	f.fill("connect", product, 0, devices)
	f.product("other", `{}`, 0)
	for _, who := range []string{"nobody", "another", "all"} {
		b.Run("told="+who, func(b *testing.B) {
			switch who {
			case "another":
				f.hook("acc-other")
			case "all":
				f.hook("")
			}
			f.benchSubmit(b, product, devices, 1000, 4, event.Accepted)
		})
		f.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			hooks, _ := c.Hooks()
			if len(hooks) == 0 {
				return nil, nil, nil
			}
			return c.DeleteHook(by, hooks[0].Name)
		})
	}
}

// BenchmarkDenied is BenchmarkSubmit when every device has used up its day.
func BenchmarkDenied(b *testing.B) {
	withAndWithoutDisk(b, `{"messages_per_day":1}`, func(b *testing.B, f *fleet, devices int) {
		f.fill("up", "p", 0, devices)
		f.benchSubmit(b, "p", devices, 1000, 4, event.MessageQuotaExceeded)
	})
}
