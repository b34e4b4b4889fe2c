package main_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// twins are a cluster and a daemon alone that are told the same.
type twins struct {
	*cluster
	alone *daemon
	dice  *rand.Rand
}

// both asks any node, and the daemon.
func (w *twins) both(method, path, body string, header ...string) (cluster, alone answer) {
	w.t.Helper()
	cluster = w.anybody(w.dice.IntN(len(w.nodes)), method, path, body, header...)
	return cluster, w.alone.ask(method, path, body, header...)
}

// same compares the two answers.
func (w *twins) same(path, body string, header ...string) {
	w.t.Helper()
	got, want := w.both("POST", path, body, header...)
	names := []string{"Content-Type", "RateLimit-Policy"}
	for _, name := range names {
		if g, a := got.header.Get(name), want.header.Get(name); g != a {
			w.t.Errorf("%s %s: the cluster's %s is %q, one node's %q", path, body, name, g, a)
		}
	}
	if got.status != want.status || string(got.body) != string(want.body) {
		w.t.Errorf("%s %s %v\nthe cluster answers %d %s\none node %d %s",
			path, body, header, got.status, got.body, want.status, want.body)
	}
}

func (w *twins) product(name string) {
	w.t.Helper()
	for _, call := range [][2]string{
		{"/v1/accounts", fmt.Sprintf(`{"account":"of-%s","kind":"enterprise"}`, name)},
		{"/v1/products", fmt.Sprintf(`{"product":%q,"account":"of-%s","time_zone":%q,"plan":{"messages_per_day":4}}`,
			name, name, noon())},
	} {
		w.make(w.dice.IntN(len(w.nodes)), call[0], call[1])
		w.alone.must("POST", call[0], call[1], nil)
	}
}

// A gateway of all accounts gets from any node of a cluster of several cells what one node alone would answer, whatever
// is killed in between; it hears the commands of all cells, and goes on with them at another node.
func TestClusterAnswersAsOneNode(t *testing.T) {
	if testing.Short() {
		t.Skip("an owner is waited for")
	}
	t.Parallel()
	w := &twins{cluster: newCluster(t, "--cells", "3"), alone: newDaemon(t), dice: rand.New(rand.NewPCG(1, 2))}
	for _, d := range w.nodes {
		d.http.Timeout = 20 * time.Second // Nobody is paused, and what is asked again may be answered otherwise.
	}
	var products []string
	for i := range 4 {
		products = append(products, fmt.Sprint("p", i))
		w.product(products[i])
	}
	ear := w.hear(w.nodes[0], "")
	w.credits(products, "A")
	last := ear.hears(products)
	names := append([]string{"late", "nobody"}, products...)
	type sent struct {
		body   string
		header []string
	}
	var all []sent
	for i := range 60 {
		switch i {
		case 20:
			w.product("late")
		case 30:
			owner, _ := w.owner()
			owner.kill()
			defer owner.start()
			w.nodes = slices.DeleteFunc(slices.Clone(w.nodes), func(d *daemon) bool { return d == owner })
		}
		if i%4 == 3 {
			s := all[w.dice.IntN(len(all))]
			w.same("/v1/events", s.body, s.header...)
			continue
		}
		var lines []string
		for range 1 + w.dice.IntN(5) {
			kind := []string{"connect", "up", "up", "up", "down", "disconnect"}[w.dice.IntN(6)]
			lines = append(lines, line(kind, names[w.dice.IntN(len(names))], fmt.Sprint("d", w.dice.IntN(3))))
		}
		s := sent{strings.Join(lines, "\n"), []string{
			"Content-Type", asNDJSON, "Meterd-Producer", fmt.Sprint("gw-", i%2), "Meterd-Sequence", fmt.Sprint(i + 1),
		}}
		w.same("/v1/events", s.body, s.header...)
		w.same("/v1/check", s.body, "Content-Type", asNDJSON)
		all = append(all, s)
	}
	for i := range 2 {
		w.same(fmt.Sprintf("/v1/producers/gw-%d/offline", i), "")
	}
	w.credits(products, "B")
	w.hear(w.nodes[0], last).hears(products)
}

// hear opens the command stream of a node, when that lets gateways in.
func (c *cluster) hear(d *daemon, after string) *ear {
	c.t.Helper()
	await(c.t, "the node lets gateways in", func() bool {
		a, err := d.try("POST", "/v1/check", []byte(line("up", "nobody", "d")), "Content-Type", asNDJSON)
		return err == nil && a.status == http.StatusOK
	})
	return d.listen("", after)
}

// credits has every product's gateways told something.
func (w *twins) credits(products []string, order string) {
	for _, p := range products {
		w.both("POST", "/v1/products/"+p+"/lots", fmt.Sprintf(`{"order":%q,"quantity":100}`, order))
	}
}

// hears waits for a refresh of each product, and returns the id of the last one.
func (e *ear) hears(products []string) (last string) {
	e.t.Helper()
	left := map[string]bool{}
	for _, p := range products {
		left[p] = true
	}
	for len(left) > 0 {
		c := e.next()
		last = c.ID
		delete(left, c.Product)
	}
	return last
}
