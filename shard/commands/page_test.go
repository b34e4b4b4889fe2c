package commands

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/meterd/meterd/counters"
)

// A page has so many items and no more, and the pages together are everything, in order, for whoever listens.
func TestPagesAreBounded(t *testing.T) {
	const n = 3*pageMax + 7
	e := newEngine(n)
	c := e.started()
	for o := range uint64(n) {
		e.putOffline(c, o+1)
	}
	c.Publish(c.Last())
	for _, tt := range []struct {
		who   Listener
		pages []int
	}{
		{Listener{}, []int{500, 500, 500, 7}},
		{Listener{Account: 1}, []int{500, 2}},
		{Listener{Account: 9}, []int{0}},
		{Listener{HasHolder: true}, []int{500, 3}},
		{Listener{HasHolder: true, Holder: 1}, []int{500, 500, 6}},
	} {
		var pages []int
		var heard []string
		for after := (Place{}); ; {
			said, p := page(t, c, after, tt.who)
			pages, heard, after = append(pages, len(said)), append(heard, said...), p.Next
			if !closed(p.More) {
				break
			}
		}
		var want []string
		for o := range uint64(n) {
			if tt.who.Account != 0 && accountOf(o+1) != tt.who.Account {
				continue
			}
			if h := holderOf(o + 1); !tt.who.HasHolder || h == 0 || h == tt.who.Holder {
				want = append(want, fmt.Sprintf("device %d license_exhausted", o+1))
			}
		}
		if !slices.Equal(pages, tt.pages) || !slices.Equal(heard, want) {
			t.Errorf("%+v: pages of %v, %d items; want %v, %d", tt.who, pages, len(heard), tt.pages, len(want))
		}
	}
}

// gateCount counts how often and for how many sessions at once the gate was held.
type gateCount struct {
	sync.Locker
	held, looks, most int
}

func (g *gateCount) Lock() {
	g.Locker.Lock()
	g.held, g.looks = g.held+1, 0
}

func (g *gateCount) Unlock() {
	g.most = max(g.most, g.looks)
	g.Locker.Unlock()
}

// However much is kept that a listener does not hear, the gate and the lock are let go again and again on the way.
func TestHoldsAreBounded(t *testing.T) {
	const n = 10_000
	e := newEngine(n)
	c := e.started()
	gate := &gateCount{Locker: c.o.Gate}
	change := c.o.Change
	c.o.Gate = gate
	for o := range uint64(n) {
		e.putOffline(c, o+1)
	}
	c.o.Change = func(o counters.Ordinal) (uint64, bool) {
		gate.looks++
		return change(o)
	}
	c.Publish(c.Last())
	for o := range uint64(n) {
		e.sessions[o+1].Add(1)
	}
	if got, _ := page(t, c, Place{}, Listener{}); len(got) != 0 {
		t.Fatalf("heard %v", got)
	}
	if gate.held < n/holdSteps || gate.most > holdSteps {
		t.Errorf("%d entries were looked at in %d holds of at most %d", n, gate.held, gate.most)
	}
	gate.most = 0
	if c.Tidy(); gate.most != holdSteps {
		t.Errorf("tidying looks at %d entries in a hold", gate.most)
	}
}

// A listener who waits is woken by what it may hear, and by every change of administration: its token may be gone.
func TestWaking(t *testing.T) {
	e := newEngine(9)
	c := e.started()
	ears := map[string]Listener{"all": {}, "own": {Account: accountOf(1)}, "other": {Account: accountOf(2)}}
	waits := map[string]<-chan struct{}{}
	for name, who := range ears {
		_, p := page(t, c, c.Now(), who)
		waits[name] = p.More
	}
	woken := func(want ...string) {
		t.Helper()
		for name, w := range waits {
			if got := closed(w); got != slices.Contains(want, name) {
				t.Errorf("%s is woken: %v", name, got)
			}
		}
	}
	e.putOffline(c, 1)
	woken()
	c.Publish(c.Last())
	woken("all", "own")
	c.Publish(c.Last())
	woken("all", "own")
	c.Changed(Refresh{Seq: 1})
	woken("all", "own", "other")
}

// Refreshes that memory no longer has come from the audit log, in pages, one of each product on a page; nobody reads
// the whole of a long log at once.
func TestOldRefreshes(t *testing.T) {
	e := newEngine(0)
	c := e.started()
	const n = refreshesMax*2 + 10
	for i := range n {
		r := Refresh{Seq: uint64(i + 1), Product: uint32(i%700) + 1, Account: uint32(i%2) + 1}
		e.audit = append(e.audit, r)
		c.Changed(r)
	}
	if len(c.refreshes.list) > refreshesMax || c.refreshes.floor == 0 {
		t.Fatalf("%d in memory, from %d on", len(c.refreshes.list), c.refreshes.floor)
	}
	products, next := map[string]bool{}, Place{}
	for range 2 * n / pageMax {
		said, p := page(t, c, next, Listener{Account: 1})
		if p.Next.Refresh <= c.refreshes.floor && len(unique(said)) != len(said) {
			t.Fatalf("behind %+v: %v", next, said)
		}
		for _, s := range said {
			products[s] = true
		}
		if next = p.Next; !closed(p.More) {
			break
		}
	}
	if len(products) != 350 || next.Refresh != n {
		t.Errorf("%d products up to %d", len(products), next.Refresh)
	}
	again := e.commands() // After a restart all are in the audit log.
	again.Start(n)
	said, p := page(t, again, Place{Refresh: n - 2}, Listener{})
	if fmt.Sprint(said) != fmt.Sprintf("[refresh %d refresh %d]", e.audit[n-2].Product, e.audit[n-1].Product) ||
		p.Next.Refresh != n {
		t.Errorf("the last two: %v up to %+v", said, p.Next)
	}
	if said, _ := page(t, again, again.Now(), Listener{}); len(said) != 0 {
		t.Errorf("without an id: %v", said)
	}
	e.audit = make([]Refresh, auditStepsMax+1)
	for i := range e.audit {
		e.audit[i].Seq = n + uint64(i) + 1
	}
	again = e.commands()
	again.Start(n + auditStepsMax + 1)
	said, p = page(t, again, Place{Refresh: n}, Listener{})
	if len(said) != 0 || !closed(p.More) || p.Next.Refresh != n+auditStepsMax {
		t.Errorf("of a long log: %v up to %+v", said, p.Next)
	}
}

// Sections are cut into pieces, and what comes while they are written is left out: it is in the log behind them.
func TestSectionsAreBounded(t *testing.T) {
	const n = 4 * sectionBytes / entryBytes
	e := newEngine(n + 100)
	c := e.started()
	for o := range uint64(n) {
		e.putOffline(c, o+1)
	}
	last, bytes, pieces := c.Last(), 0, 0
	again := e.commands()
	err := c.WriteKept(func(piece []byte) error {
		if pieces++; len(piece) > sectionBytes+blockEntries*entryBytes {
			t.Errorf("a piece of %d bytes", len(piece))
		}
		bytes += len(piece)
		e.putOffline(c, uint64(n+pieces))
		return again.ReadKept(piece)
	})
	if err != nil || bytes != n*entryBytes || pieces < 3 || again.Last() != last {
		t.Errorf("%d bytes in %d pieces up to %d, %v", bytes, pieces, again.Last(), err)
	}
}

// Turns, suspensions, the committer, streams, tidying and checkpoints at once: every device that stays offline is heard
// by every listener that should, and nothing is heard of a device after its connect.
func TestAtOnce(t *testing.T) {
	const devices, rounds = 300, 40
	e := newEngine(devices)
	c := e.started()
	var wg, ears sync.WaitGroup
	done := make(chan struct{})
	for turn := range 3 {
		wg.Go(func() {
			for round := range rounds {
				for o := uint64(turn + 1); o <= devices; o += 3 {
					e.gate.RLock()
					c.Run()
					e.putOffline(c, o)
					if round < rounds-1 || o%2 == 0 {
						e.sessions[o].Add(1)
					}
					e.gate.RUnlock()
				}
				e.gate.Lock() // A seal: nobody is inside.
				last := c.Last()
				e.gate.Unlock()
				c.Publish(last)
			}
		})
	}
	for _, who := range []Listener{{}, {Account: 2}, {HasHolder: true, Holder: 1}} {
		ears.Go(func() {
			heard, next := map[string]int{}, c.Now()
			for ended, rest := false, true; !ended || rest; {
				ended = closed(done)
				p, err := c.Page(next, who)
				if err != nil {
					t.Error(err)
					return
				}
				last := next.Command
				for _, it := range p.Items {
					if it.Place.Command <= last {
						t.Errorf("command %d behind %d", it.Place.Command, last)
					}
					last = it.Place.Command
					heard[text(it)]++
				}
				next, rest = p.Next, closed(p.More)
				select {
				case <-p.More:
				case <-done:
				}
			}
			for o := uint64(1); o <= devices; o += 2 {
				mine := (who.Account == 0 || accountOf(o) == who.Account) &&
					(!who.HasHolder || holderOf(o) == 0 || holderOf(o) == who.Holder)
				if n := heard[fmt.Sprintf("device %d license_exhausted", o)]; mine != (n > 0) {
					t.Errorf("%+v heard of device %d: %d", who, o, n)
				}
			}
		})
	}
	ears.Go(func() {
		for o := uint64(1); !closed(done); o = o%devices + 1 {
			e.gate.RLock()
			e.renew(c, o) // A device that is suspended, or let go.
			e.gate.RUnlock()
			c.Tidy()
			if err := c.WriteKept(func([]byte) error { return nil }); err != nil {
				t.Error(err)
			}
			c.Changed(Refresh{Seq: 1})
		}
	})
	wg.Wait()
	close(done)
	ears.Wait()
}

func BenchmarkPage(b *testing.B) {
	const n = 1 << 20
	e := newEngine(n)
	c := e.started()
	for o := range uint64(n) {
		e.putOffline(c, o+1)
	}
	c.Publish(c.Last())
	b.ReportAllocs()
	next := Place{}
	for b.Loop() {
		p, err := c.Page(next, Listener{})
		if err != nil {
			b.Fatal(err)
		}
		if next = p.Next; !closed(p.More) {
			next = Place{}
		}
	}
}
