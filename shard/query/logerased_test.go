package query

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestErasedIsHiddenAsItIsGiven: what is erased while somebody reads or follows a product's log, or a device's, is
// hidden from the next entry on, and no topic finds it; the neighbour's is shown.
func TestErasedIsHiddenAsItIsGiven(t *testing.T) {
	said := `{"type":"up","product":"p","device":%q,"topic":"t","payload":"x"}` + "\n"
	product := ProductLogQuery{LogFilter: LogFilter{FromMs: 1, Oldest: true}}
	byTopic := product
	byTopic.Topic = []byte("t")
	stream := func(d *daemon, q ProductLogQuery, fn func(*LogEntry) bool) error {
		leave, err := d.AdmitProductLog()
		d.must(err)
		defer leave()
		q.Product = d.productOf("p")
		return d.ProductLog(t.Context(), q, fn)
	}
	follow := func(d *daemon, q ProductLogQuery, fn func(*LogEntry) bool) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		q.Product = d.productOf("p")
		left := 6
		if len(q.Topic) > 0 {
			left = 3
		}
		return d.FollowProduct(ctx, q, nil, func(e *LogEntry) bool {
			left--
			return fn(e) && left > 0
		})
	}
	for name, c := range map[string]struct {
		q    ProductLogQuery
		read func(*daemon, ProductLogQuery, func(*LogEntry) bool) error
		want []string
	}{
		"read":             {product, stream, []string{"a ", "b ", "a t", "b t", "a ", "b t"}},
		"read by topic":    {byTopic, stream, []string{"a t", "b t", "b t"}},
		"follow":           {product, follow, []string{"a ", "b ", "a t", "b t", "a ", "b t"}},
		"follow by topic":  {byTopic, follow, []string{"a t", "b t", "b t"}},
		"follow one of it": {product, followA, []string{"a ", "a t", "a "}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.product("p", `{}`, 2)
			d.submit(line("connect", "p", "a"))
			d.clock.pass(time.Second)
			d.submit(line("connect", "p", "b"))
			for range 2 {
				d.clock.pass(time.Second)
				d.submit(fmt.Sprintf(said, "a"))
				d.clock.pass(time.Second)
				d.submit(fmt.Sprintf(said, "b"))
			}
			var got []string
			d.must(c.read(d, c.q, func(e *LogEntry) bool {
				got = append(got, string(e.Device)+" "+string(e.Row.Topic))
				if len(e.Row.Topic) != len(e.Row.Payload) || e.Row.IsCut != (len(e.Row.Topic) == 0 && e.Row.Size > 0) {
					t.Errorf("half of it is hidden: %+v", e.Row)
				}
				if got[len(got)-1] == "a t" {
					_, err := d.engine.EraseLog("admin", nil, "p", []byte("a"))
					d.must(err)
				}
				return true
			}))
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// followA follows device a.
func followA(d *daemon, q ProductLogQuery, fn func(*LogEntry) bool) error {
	left := 3
	one := LogQuery{LogFilter: q.LogFilter, Product: d.productOf("p"), Device: []byte("a")}
	return d.FollowDevice(d.t.Context(), one, nil, func(e *LogEntry) bool {
		left--
		e.Device = one.Device
		return fn(e) && left > 0
	})
}
