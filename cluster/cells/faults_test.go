package cells

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var errCut = errors.New("the connection was cut")

// unlucky has calls fail as owners die: before a call is sent, before it is done, or after.
func (g *rig) unlucky(seed uint64, percent int) {
	r := rand.New(rand.NewPCG(seed, 0))
	var mu sync.Mutex
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = func(_ int, _ string, isDone bool) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.IntN(100) >= percent:
			return nil
		case !isDone && r.IntN(2) == 0:
			return fmt.Errorf("%w: %w", ErrNotSent, errCut)
		}
		return errCut
	}
}

func (g *rig) lucky() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = nil
}

// patience is how long an answer is waited for that a working cluster gives at once.
const patience = 2 * time.Minute

// persist sends a request until it is answered with more than "send it again", as a gateway does: with pauses, in which
// a cell that was killed comes back.
func (g *rig) persist(r *request) answered {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		if a := g.send(g.at, r); !a.closed && a.status != 503 {
			return a
		}
		pause := time.NewTimer(time.Millisecond)
		select {
		case <-pause.C:
		case <-over.C:
			g.Errorf("no answer in %v", patience)
			return answered{}
		}
	}
}

// content is an answer without what only says that it was given before.
func (a answered) content() string {
	return fmt.Sprint(a.status, strings.ReplaceAll(a.header, "Meterd-Replayed: true\n", ""), a.body)
}

// Owners die before, while and after they decide parts, cell 0 changes hands, and a product comes into being between
// tries. Each sequence has one answer, whoever asks and when, and what was answered is counted once.
func TestOwnersDieBetweenParts(t *testing.T) {
	g := newRig(t)
	products := []string{"p0", "p1", "p2"}
	for cell, name := range products {
		g.product(name, cell, `{}`, 100_000)
	}
	history := 0
	rapid.Check(t, func(rt *rapid.T) {
		history++
		g.lucky()
		late := fmt.Sprintf("late-%d", history)
		device := fmt.Sprintf("d%d", history)
		for _, p := range products {
			g.persist(batch("", 0, ndjson, line2("connect", p, device)))
		}
		g.unlucky(rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(10, 30).Draw(rt, "percent"))
		want := map[string]uint32{}
		answers := map[int]string{}
		var sent []*request
		isThere := false
		for i := range rapid.IntRange(2, 10).Draw(rt, "batches") {
			if !isThere && rapid.IntRange(0, 3).Draw(rt, "create") == 0 {
				if i > 0 { // The try that is answered may be the first after it.
					g.send(g.at, sent[i-1])
				}
				isThere = true
				g.product(late, history%rigCells, `{}`, 10)
			}
			if rapid.IntRange(0, 9).Draw(rt, "take over") == 0 {
				g.own(0, false)
			}
			var body strings.Builder
			var names []string
			for range rapid.IntRange(1, 4).Draw(rt, "events") {
				name := rapid.SampledFrom(append(products, late)).Draw(rt, "product")
				names = append(names, name)
				body.WriteString(line2("up", name, device))
			}
			r := batch(fmt.Sprintf("gw-%d", history), uint64(i+1), ndjson, body.String())
			sent = append(sent, r)
			a := g.persist(r)
			answers[i] = a.content()
			count(rt, a, names, want)
			again := rapid.IntRange(0, i).Draw(rt, "again")
			if b := g.persist(sent[again]).content(); b != answers[again] {
				rt.Fatalf("sequence %d, at first\n%s\nand again\n%s", again+1, answers[again], b)
			}
		}
		g.lucky()
		for cell, p := range products {
			if up, _ := g.used(g.cells[cell], p, device); up != want[p] {
				rt.Fatalf("%d messages of %s are counted, %d were answered", up, p, want[p])
			}
		}
	})
	if g.engine.stats.closed.Load() == 0 || g.engine.stats.noted.Load() == 0 {
		t.Fatal("nothing was cut")
	}
}

// count adds what an answer says was accepted.
func count(rt *rapid.T, a answered, names []string, to map[string]uint32) {
	var said struct {
		Accepted int
		Denied   []struct {
			Index int
			Code  string
		}
	}
	if err := json.Unmarshal([]byte(a.body), &said); err != nil || a.status != 200 {
		rt.Fatal(a)
	}
	denied := map[int]bool{}
	for _, d := range said.Denied {
		denied[d.Index] = true
	}
	if said.Accepted+len(denied) != len(names) {
		rt.Fatalf("%d events were answered with %s", len(names), a.body)
	}
	for i, name := range names {
		if !denied[i] {
			to[name]++
		}
	}
}

// Doubles of a request that are sent at once, through nodes that know different things, get one answer.
func TestDoubles(t *testing.T) {
	g := newRig(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 1000)
	}
	for round := range 20 {
		late := fmt.Sprint("late-", round)
		device := fmt.Sprint("d", round)
		r := batch("gw", uint64(round+1), ndjson,
			line2("connect", "p0", device)+line2("connect", late, device)+line2("connect", "p2", device))
		alone := batch("gw-2", uint64(round+1), ndjson, line2("connect", late, device))
		var all sync.WaitGroup
		var got [12]answered
		for i := range got {
			all.Go(func() {
				if i == 3 {
					g.product(late, 1, `{}`, 10)
				}
				if i%2 == 0 {
					got[i] = g.persist(r)
				} else {
					got[i] = g.persist(alone)
				}
			})
		}
		all.Wait()
		for i := range got {
			if got[i].content() != got[i%2].content() {
				t.Fatalf("round %d\n%+v\n%+v", round, got[i%2], got[i])
			}
		}
	}
}

// While a cell has no owner, batches that concern it are refused as overload, nothing of them is counted or noted, and
// all others go on. Without cell 0 nobody learns that a product is unknown.
func TestCellsWithoutOwner(t *testing.T) {
	g := newRig(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 1000)
	}
	both := batch("gw", 1, ndjson, line2("connect", "p1", "d")+line2("connect", "p2", "d"))
	g.lose(2, true)
	refused := func(r *request) {
		t.Helper()
		if a := g.send(g.at, r); a.status != 503 || !strings.Contains(a.body, `"overloaded"`) {
			t.Fatalf("%+v", a)
		}
	}
	refused(both)
	refused(batch("gw", 2, ndjson, line2("connect", "p2", "d")))
	refused(&request{method: "GET", path: "/v1/producers/gw"})
	refused(&request{method: "POST", path: "/v1/producers/gw/offline"})
	g.same(batch("gw", 3, ndjson, line2("connect", "p1", "e")))
	g.lose(2, false)
	g.same(both)
	g.lose(0, true)
	refused(batch("gw", 4, ndjson, line2("connect", "nobody", "d")))
	if a := g.persistIn(2, batch("gw", 5, ndjson, line2("up", "p1", "e"))); a.status != 200 {
		t.Fatalf("a young product without cell 0: %+v", a)
	}
	g.lose(0, false)
	g.same(batch("gw", 4, ndjson, line2("connect", "nobody", "d")))
	g.revoke("gw")
	if a := g.send(g.at, both); a.status != 401 {
		t.Fatalf("with a token that was deleted: %+v", a)
	}
}

// persistIn sends a request whose producer may have any home, under names until one has the home that is asked for.
func (g *rig) persistIn(home int, r *request) answered {
	for i := range 100 {
		name := fmt.Sprint("gw-", i)
		if g.engine.home([]byte(name)) == home {
			r.header["Meterd-Producer"] = name
			return g.send(g.at, r)
		}
	}
	g.Fatal("no producer has this home")
	return answered{}
}

// Equal batches over several cells at one instant, of which one decides one part first and one another: all but one
// were sent again, and say so.
func TestEqualBatchesAtOnce(t *testing.T) {
	g := newRig(t)
	body := ""
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 10)
		g.persist(batch("", 0, ndjson, line2("connect", name, "d")))
		body += line2("up", name, "d")
	}
	for round := range 20 {
		list := make([]answered, 8)
		var all sync.WaitGroup
		for i := range list {
			all.Go(func() { list[i] = g.send(g.at, batch("gateway", uint64(round+1), ndjson, body)) })
		}
		all.Wait()
		first := 0
		for _, a := range list {
			if a.status != 200 || a.content() != list[0].content() {
				t.Fatalf("one is answered %+v, another %+v", a, list[0])
			}
			if !strings.Contains(a.header, "Meterd-Replayed: true") {
				first++
			}
		}
		if first != 1 {
			t.Errorf("round %d: %d answers were the first", round, first)
		}
	}
}

// failing has the first tries of each call to each cell fail.
func (g *rig) failing(tries int, err error) {
	failed := map[string]int{}
	var mu sync.Mutex
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = func(cell int, call string, isDone bool) error {
		mu.Lock()
		defer mu.Unlock()
		key := fmt.Sprint(call, cell)
		if isDone || failed[key] == tries {
			return nil
		}
		failed[key]++
		return err
	}
}

// An owner that hands its cell over does not get a call any more: its gateway does not notice, for the next owner is
// asked. So it is about what changes nothing, whatever became of the call.
func TestNextOwnerIsAsked(t *testing.T) {
	g := newRig(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 10)
	}
	lines := line2("connect", "p0", "d") + line2("connect", "p1", "d") + line2("connect", "nobody", "d")
	check := batch("", 0, ndjson, lines)
	check.path = "/v1/check"
	show := &request{method: "GET", path: "/v1/producers/gw"}
	want := func(status int, r *request) {
		t.Helper()
		if a := g.send(g.at, r); a.closed || a.status != status {
			t.Fatalf("%s %s: %+v", r.method, r.path, a)
		}
	}
	for _, r := range []*request{
		batch("gw", 1, ndjson, lines), batch("", 0, ndjson, lines), check, show,
		{method: "POST", path: "/v1/producers/gw/offline"},
	} {
		g.failing(1, fmt.Errorf("%w: %w", ErrNotSent, errCut))
		want(200, r)
	}
	for _, r := range []*request{check, show} {
		g.failing(1, errCut)
		want(200, r)
		g.failing(askTries, errCut)
		want(503, r)
	}
}
