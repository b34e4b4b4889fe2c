package cells

import (
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/metric/metrictest"
)

// What one node answers is what a cluster answers: to batches of one cell, of several, with unknown products and events
// that are none, first and repeated.
func TestOneNodesAnswers(t *testing.T) {
	g := newRig(t)
	for i, name := range []string{"p0", "p1", "p2", "q0"} {
		g.product(name, i%rigCells, `{"messages_per_day":2}`, 100)
	}
	long := `{"type":"up","product":"p1","device":"d","payload":"` + strings.Repeat("x", 257<<10) + "\"}\n"
	for i, body := range []string{
		line2("connect", "p0", "d") + line2("up", "p0", "d") + line2("up", "q0", "d"),
		line2("connect", "p0", "e") + line2("connect", "p1", "e") + line2("up", "p2", "e"),
		line2("up", "p0", "d") + line2("up", "p0", "d") + line2("connect", "p1", "d") + line2("up", "p1", "d"),
		line2("up", "p1", "d") + line2("up", "nobody", "d") + line2("up", "p0", "d") + `{"type":"up"}` + "\n" + `7` + "\n",
		line2("up", "nobody", "d"), `{"type":"none"}` + "\n", long + line2("up", "p0", "d"),
		strings.ReplaceAll(long, "p1", "nobody"), "{", "", line2("up", "p1", "d") + "[",
	} {
		for range 2 {
			g.same(batch("gw-1", uint64(i+1), ndjson, body))
			g.same(batch("gw-1", 0, ndjson, body))
			g.same(batch("", 0, ndjson, body))
			single, _, _ := strings.Cut(body, "\n")
			g.same(batch("gw-2", uint64(i+1), "application/json", single))
			check := batch("gw-1", 0, ndjson, body)
			check.path = "/v1/check"
			g.same(check)
		}
	}
	g.same(batch("gw-1", 1, ndjson, line2("up", "p0", "other")))                            // 422
	g.same(batch("gw-1", 2, ndjson, line2("up", "p0", "other")+line2("up", "p1", "other"))) // 422
	g.same(batch("", 3, ndjson, line2("up", "p0", "d")))
	g.same(batch("gw", 3, "text/plain", line2("up", "p0", "d")))
	for _, path := range []string{"/v1/producers/gw-1", "/v1/producers/none", "/v1/producers/no%20name"} {
		g.same(&request{method: "GET", path: path})
	}
	g.same(&request{method: "POST", path: "/v1/producers/gw-1/offline"})
	g.same(&request{method: "DELETE", path: "/v1/producers/gw-1"})
	g.same(&request{method: "DELETE", path: "/v1/producers/gw-1"})
	g.same(batch("gw-1", 1, ndjson, line2("up", "p0", "other")+line2("up", "p1", "other")))
	g.same(&request{method: "GET", path: "/v1/producers/gw-1"})
}

// Events that no cell is asked for are counted here, once.
func TestEventsOfNoCellAreCounted(t *testing.T) {
	g := newRig(t)
	g.product("p0", 0, `{}`, 1)
	r := batch("gw", 1, ndjson, line2("connect", "p0", "d")+line2("up", "nobody", "d")+`{"type":"up"}`+"\n"+"7\n")
	check := batch("", 0, ndjson, r.body)
	check.path = "/v1/check"
	for range 3 {
		g.same(r)
		g.same(check)
	}
	set := metric.NewSet()
	g.engine.RegisterMetrics(set)
	text := string(set.Text())
	for _, want := range []string{
		`meterd_events_total{type="up",verdict="unknown_product"} 1`,
		`meterd_events_total{type="up",verdict="invalid_event"} 1`,
		`meterd_events_total{type="unknown",verdict="invalid_event"} 1`,
		`meterd_cluster_batches_noted_total 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not there", want)
		}
	}
	metrictest.Lint(t, set.Text())
}

// A batch whose product was unknown when it was sent first is answered so again when the product is there, in whatever
// cell, whoever owns cell 0, and however old this node's copies are. Another batch is decided.
func TestProductsComeBetweenTries(t *testing.T) {
	g := newRig(t)
	g.product("p0", 0, `{}`, 100)
	first := []*request{
		batch("gw", 1, ndjson, line2("connect", "late", "d")),
		batch("gw", 2, ndjson, line2("connect", "late", "d")+line2("connect", "p0", "d")),
		batch("gw", 3, "application/json", line2("connect", "late", "d")),
	}
	for _, r := range first {
		g.same(r)
	}
	again := func() {
		t.Helper()
		for _, r := range first {
			g.same(r)
		}
	}
	again()
	copied := g.cells[1].Catalogue()
	g.product("late", 1, `{}`, 100)
	g.product("never", 2, `{}`, 100)
	again()
	g.copy(1, copied) // This node has not heard of it yet.
	again()
	g.same(batch("gw", 10, ndjson, line2("connect", "late", "e")))
	g.copy(1, nil)
	again()
	before := g.engine.stats.noted.Load()
	g.same(batch("gw", 11, ndjson, line2("connect", "never", "d")))
	if n := g.engine.stats.noted.Load(); n != before {
		t.Fatal("a product that nobody was told to be unknown went by a home")
	}
	g.own(0, false)
	again()
	g.engine.settled = settled{}
	g.same(batch("gw", 12, ndjson, line2("connect", "never", "e")))
	if n := g.engine.stats.noted.Load(); n != before+4 {
		t.Fatal("a new owner of cell 0 knows what its predecessor told:", n-before)
	}
	for range 4 { // A day later nothing of it is remembered, and nothing has to be.
		g.clock.pass(7 * time.Hour)
	}
	before = g.engine.stats.noted.Load()
	g.same(batch("gw", 13, ndjson, line2("connect", "late", "f")))
	if n := g.engine.stats.noted.Load(); n != before {
		t.Fatal("an old product went by a home")
	}
}
