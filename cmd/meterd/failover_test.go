package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fault is what befalls a node in a cycle.
type fault struct {
	name string
	// do does it, returns when others have gone on, and undoes it.
	do func(f *failover, n *trioNode, l *load)
	// ofStandby: it befalls a node that owns nothing, and nobody should notice.
	ofStandby, needsNetwork bool
}

// gapMax is how long nobody may be answered, at p99.
const gapMax = 15 * time.Second

// failover is one run of faults.
type failover struct {
	*trio
	dice  *rand.Rand
	pause time.Duration // how long a node is paused or cut off
	gaps  map[string][]time.Duration
	sums  loadSums
}

func faults() []fault {
	return []fault{
		{name: "killed", do: (*failover).kills},
		{name: "paused", do: func(f *failover, n *trioNode, l *load) {
			f.signal(n, syscall.SIGSTOP)
			f.aside(n, l, func() { f.signal(n, syscall.SIGCONT) })
		}},
		{name: "killed", do: (*failover).kills},
		{name: "cut off", needsNetwork: true, do: func(f *failover, n *trioNode, l *load) {
			f.cut(n)
			f.aside(n, l, func() { f.join(n) })
		}},
		{name: "killed", do: (*failover).kills},
		{name: "separated", needsNetwork: true, do: func(f *failover, n *trioNode, l *load) {
			f.separate(n)
			f.aside(n, l, func() { f.reunite(n) })
		}},
		{name: "standby killed", ofStandby: true, do: (*failover).kills},
	}
}

// kills is kill -9, and a new start some time after others have gone on.
func (f *failover) kills(n *trioNode, l *load) {
	f.trio.kill(n)
	l.answered(100)
	timer := time.NewTimer(time.Duration(f.dice.Int64N(int64(2 * time.Second))))
	defer timer.Stop()
	<-timer.C
	f.start(n)
}

// aside waits while a node is away, ends that, and asks the node at once what it believes.
func (f *failover) aside(n *trioNode, l *load, end func()) {
	timer := time.NewTimer(f.pause)
	defer timer.Stop()
	<-timer.C
	var asking sync.WaitGroup
	asked := func() {
		for range 4 {
			reads, asks := newDice(f.dice.Uint64(), 1), newDice(f.dice.Uint64(), 2)
			asking.Go(func() {
				for range 5 {
					l.read(n, reads)
				}
			})
			asking.Go(func() { l.ask(n, asks) })
		}
	}
	asked() // They wait in its sockets.
	end()
	asked()
	asking.Wait()
	l.answered(100)
}

// TestFailover: whatever befalls the owner of a cell, gateways that ask all nodes lose and double nothing, a node that
// is owner no more answers nothing, and each device's counter is one counter. METERD_TEST_FAILOVERS is for how many
// cycles, METERD_TEST_FAULT which of them alone, METERD_TEST_CELLS how many cells there are, each with an account;
// METERD_TEST_SEED draws.
func TestFailover(t *testing.T) {
	if testing.Short() {
		t.Skip("three processes, and a take-over takes seconds")
	}
	cycles, pause := 1, 8*time.Second
	if n, err := strconv.Atoi(os.Getenv("METERD_TEST_FAILOVERS")); err == nil {
		cycles, pause = n, 30*time.Second
	}
	cells := 1
	if n, err := strconv.Atoi(os.Getenv("METERD_TEST_CELLS")); err == nil {
		cells = n
	}
	n := seed(t)
	f := &failover{
		trio: newTrio(t, "--cells", strconv.Itoa(cells)), dice: newDice(n, 0), pause: pause,
		gaps: map[string][]time.Duration{},
	}
	const limit = 200
	products := f.products(cells, limit)
	gateways := f.gateways()
	list := faults()
	if f.bridge == "" {
		list = slices.DeleteFunc(list, func(x fault) bool { return x.needsNetwork })
	}
	if name := os.Getenv("METERD_TEST_FAULT"); name != "" {
		list = slices.DeleteFunc(list, func(x fault) bool { return x.name != name })
	}
	for cycle := range cycles {
		x := list[cycle%len(list)]
		l := newLoad(f.trio, gateways, products, limit, cycle)
		part := uint64(0)
		l.begin(gateways, func() *rand.Rand { part++; return newDice(n, uint64(cycle+1)<<8|part) })
		l.answered(100)
		node := f.target(x)
		at := time.Since(l.began)
		x.do(f, node, l)
		await(t, "all nodes follow again", f.isSettled)
		l.answered(50)
		l.end()
		if l.gap(at, "") > gapMax {
			f.tell(l.began.Add(at))
		}
		f.gaps[x.name] = append(f.gaps[x.name], l.gap(at, ""))
		s := l.check(t)
		late, mean := l.late(at, products)
		t.Logf(
			"cycle %d: %s %s, nobody answered for %v; %d of %d products late, all on average for %v; %+v",
			cycle,
			node.name,
			x.name,
			l.gap(at, "").Round(time.Millisecond),
			late,
			len(products),
			mean.Round(time.Millisecond),
			s,
		)
		f.add(s)
		if t.Failed() {
			break
		}
	}
	f.report()
	f.whole(cells)
}

// products makes some, each of an account of its own, so that each cell has one.
func (c *trio) products(n, limit int) (products []string) {
	c.t.Helper()
	for i := range n {
		product := fmt.Sprint("meter-", i)
		products = append(products, product)
		c.must("POST", "/v1/accounts", fmt.Sprintf(`{"account":%q,"kind":"enterprise"}`, product), nil)
		c.must("POST", "/v1/products", fmt.Sprintf(
			`{"product":%q,"account":%q,"time_zone":%q,"plan":{"messages_per_day":%d}}`, product, product, noon(), limit), nil)
		c.must("POST", "/v1/products/"+product+"/lots", `{"order":"PO-1","quantity":100000}`, nil)
	}
	return products
}

// tell shows what the nodes said since an instant.
func (f *failover) tell(since time.Time) {
	for _, n := range f.nodes {
		f.t.Logf("%s said:\n%s", n.name, n.said(since))
	}
}

// target returns the node that a fault befalls.
func (f *failover) target(x fault) (n *trioNode) {
	await(f.t, "the cell has an owner", func() bool { n = f.owner(); return n != nil })
	if x.ofStandby {
		others := slices.DeleteFunc(slices.Clone(f.nodes), func(o *trioNode) bool { return o == n })
		n = others[f.dice.IntN(len(others))]
	}
	return n
}

func (f *failover) add(s loadSums) {
	f.sums.accepted += s.accepted
	f.sums.denied += s.denied
	f.sums.unknown += s.unknown
	f.sums.counted += s.counted
	f.sums.refused += s.refused
	f.sums.reads += s.reads
}

func (f *failover) report() {
	var all []time.Duration
	for name, gaps := range f.gaps {
		f.t.Logf("%-15s %s", name, spread(gaps))
		if !strings.HasPrefix(name, "standby") {
			all = append(all, gaps...)
		}
	}
	f.t.Logf("%-15s %s; %+v", "all of owners", spread(all), f.sums)
	for _, n := range f.nodes {
		n.mu.Lock()
		f.t.Logf("%s ended by itself %d times", n.name, len(n.ended))
		for _, said := range n.ended {
			f.t.Logf("  %s", said)
		}
		n.mu.Unlock()
	}
}

// spread says how long gaps were.
func spread(gaps []time.Duration) string {
	if len(gaps) == 0 {
		return "none"
	}
	slices.Sort(gaps)
	at := func(part float64) time.Duration {
		return gaps[min(len(gaps)-1, int(part*float64(len(gaps))))].Round(10 * time.Millisecond)
	}
	return fmt.Sprintf(
		"%d gaps: p50 %v, p99 %v, longest %v",
		len(gaps),
		at(0.5),
		at(0.99),
		gaps[len(gaps)-1].Round(10*time.Millisecond),
	)
}
