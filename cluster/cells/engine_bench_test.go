package cells

import (
	"fmt"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/shard"
)

// BenchmarkSubmit compares a batch of a thousand messages that an engine decides with one that goes to its cell whole,
// and with one that goes to three in parts; nothing is sent over a network.
func BenchmarkSubmit(b *testing.B) {
	g := newRig(b)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 10_000)
	}
	const events = 1000
	bodies := map[string]string{}
	for i := range events {
		device := fmt.Sprint("d", i)
		bodies["one"] += line2("up", "p1", device)
		bodies["three"] += line2("up", fmt.Sprint("p", i%3), device)
		if i%100 == 0 {
			for _, p := range []string{"p0", "p1", "p2"} {
				g.send(g.at, batch("", 0, ndjson, line2("connect", p, device)))
			}
		}
	}
	token := g.cells[0].Catalogue().Token("gw")
	for _, c := range []struct {
		name, body string
		engine     ingest.Engine
	}{
		{"engine", "one", g.cells[1]}, {"whole", "one", g.engine}, {"parts", "three", g.engine},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := shard.Request{Batch: &event.Batch{}, Token: token}
			if p := wire.DecodeNDJSON(r.Batch, []byte(bodies[c.body])); p != nil {
				b.Fatal(p)
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := c.engine.Submit(&r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/events, "ns/event")
		})
	}
}
