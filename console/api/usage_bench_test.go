package api

import (
	stdflag "flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

var quartersADay = stdflag.Int(
	"quarters-a-day",
	2,
	"quarters of an hour of a day that BenchmarkUsage's products are used in; 96 is the most",
)

// processorTime returns what the process has used of all processors.
func processorTime(b *testing.B) time.Duration {
	var r unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkUsage asks what an account with a thousand products used in a month, day by day, of a daemon on a disk.
func BenchmarkUsage(b *testing.B) {
	const products = 1000
	d := newDaemon(b, nil)
	d.clock.pass(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Sub(d.clock.wall), false)
	change := func(fn shard.ChangeFunc) { must(b, d.engine.Administer("setup", nil, fn)) }
	change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateAccount(by, "acme", license.Enterprise, "")
		return next, ch, err
	})
	var connects, events strings.Builder
	for i := range products {
		name := fmt.Sprintf("product-%03d", i)
		change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.CreateProduct(
				by, license.ProductSpec{Name: name, Account: "acme", Zone: "Asia/Shanghai"},
			)
			return next, ch, err
		})
		change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.ApplyCredit(by, name, license.Credit{Order: "LOT", Quantity: 1})
			return next, ch, err
		})
		fmt.Fprintf(&connects, "{\"type\":\"connect\",\"product\":%q,\"device\":\"d\"}\n", name)
		fmt.Fprintf(&events, "{\"type\":\"up\",\"product\":%q,\"device\":\"d\",\"size\":1}\n", name)
		fmt.Fprintf(&events, "{\"type\":\"ota\",\"product\":%q,\"device\":\"d\",\"size\":1}\n", name)
	}
	d.submit("", connects.String())
	for range 31 * *quartersADay {
		d.clock.pass(24*time.Hour/time.Duration(*quartersADay), false)
		d.submit("", events.String())
		must(b, d.queries.Audit(0, func(license.AuditEntry) bool { return false })) // The ledger has caught up now.
	}
	for name, query := range map[string]string{
		"zone=UTC":           "",
		"zone=the product's": "&time_zone=Asia/Shanghai",
		"zone=another":       "&time_zone=Asia/Kolkata",
		"window=month":       "&window=month",
	} {
		b.Run(fmt.Sprintf("products=%d/days=31/quarters=%d/%s", products, *quartersADay, name), func(b *testing.B) {
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				ctx, _ := d.ask(request{
					token: "admin", method: "GET",
					uri: "/v1/usage?account=acme&from=2027-01-01T00:00:00Z&to=2027-02-01T00:00:00Z" + query,
				})
				b.SetBytes(int64(len(ctx.Response.Body())))
				if ctx.Response.StatusCode() != 200 {
					b.Fatal(ctx.Response.StatusCode())
				}
			}
			b.ReportMetric(float64((processorTime(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}
