package shard

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/recovery"
)

// The law: state is the join of the log's records. Whole groups shuffled, doubled, cut into their chunks and regrouped
// give the same state, provided that bindings come before what they bind. And the totals of products are the sums of
// their devices' words.
func TestStateIsTheJoinOfRecords(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		defer m.kill()
		seed := rapid.Uint64().Draw(rt, "seed")
		m.randomHistory(rand.New(rand.NewPCG(seed, 1)))
		want := m.state()
		m.checkTotals(rt, seed)
		groups := m.log.snapshot()
		m.kill()

		for _, shuffle := range []func(*rand.Rand, []commitlog.Group) []commitlog.Group{inOrder, shuffled, regrouped} {
			j := newLawJoiner(t, m.options())
			r := rand.New(rand.NewPCG(seed, 2))
			again := shuffle(r, groups)
			j.bind(again)
			for i := range again {
				if err := j.Join(&again[i]); err != nil {
					rt.Fatal(err)
				}
			}
			if got := j.state(); got != want {
				rt.Fatalf("state differs (seed %d):\n%s", seed, diff(want, got))
			}
		}
	})
}

func inOrder(_ *rand.Rand, groups []commitlog.Group) []commitlog.Group { return groups }

// shuffled doubles some groups and mixes all.
func shuffled(r *rand.Rand, groups []commitlog.Group) []commitlog.Group {
	out := slices.Clone(groups)
	for _, g := range groups {
		if r.IntN(3) == 0 {
			out = append(out, g)
		}
	}
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// regrouped cuts groups into their chunks, doubles some, and deals all of them into new groups beside heads that are
// not theirs.
func regrouped(r *rand.Rand, groups []commitlog.Group) []commitlog.Group {
	out := make([]commitlog.Group, len(groups))
	for i, at := range r.Perm(len(groups)) {
		out[at] = commitlog.Group{Seq: groups[i].Seq, Head: groups[i].Head}
	}
	for i := range groups {
		for _, chunk := range groups[i].Chunks {
			for range 1 + r.IntN(2) {
				to := &out[r.IntN(len(out))]
				to.Chunks = append(to.Chunks, chunk)
			}
		}
	}
	return out
}

// lawJoiner is a joiner on an engine that never ran.
type lawJoiner struct {
	*recovery.Joiner
	e *Engine
	t testing.TB
}

func newLawJoiner(t testing.TB, o Options) *lawJoiner {
	t.Helper()
	o.fill()
	e, err := newEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.table.Close() })
	j := recovery.NewJoiner(e.state, e.recoveryOptions(0))
	return &lawJoiner{Joiner: j, e: e, t: t}
}

// bind applies all bindings first, as recovery does within a group, and administration, whose changes have an order.
func (j *lawJoiner) bind(groups []commitlog.Group) {
	var chunks []record.Chunk
	for _, g := range groups {
		for _, stored := range g.Chunks {
			raw, err := j.e.compress.Decompress(nil, stored)
			if err != nil {
				j.t.Fatal(err)
			}
			c, err := record.Open(raw)
			if err != nil {
				j.t.Fatal(err)
			}
			chunks = append(chunks, c)
		}
	}
	if err := j.Bindings(chunks); err != nil {
		j.t.Fatal(err)
	}
	heads := slices.Clone(groups)
	slices.SortFunc(heads, func(a, b commitlog.Group) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, g := range heads {
		head, err := record.DecodeHead(g.Head)
		if err != nil {
			j.t.Fatal(err)
		}
		for _, change := range head.Changes {
			if err := j.Change(change); err != nil {
				j.t.Fatal(err)
			}
		}
	}
	cat, err := j.Catalogue()
	if err != nil {
		j.t.Fatal(err)
	}
	j.e.catalogue.Store(cat)
}

func (j *lawJoiner) state() string {
	j.e.clock = newDecidedClock(j.e.o.Clock, j.LastMs())
	j.e.commands.Start(j.e.catalogue.Load().Seq)
	return stateOf(j.e)
}

func (m *machine) state() string {
	m.ends()
	if err := m.DurableInLedger(); err != nil {
		m.t.Fatal(err)
	}
	return stateOf(m.Engine)
}

// stateOf writes everything that must survive as text: words, grants, pools, gifts, totals, producers, commands and the
// last serial.
func stateOf(e *Engine) string {
	var lines []string
	e.table.Walk(0, func(o counters.Ordinal, product uint32, name []byte) bool {
		s := e.table.SlotOf(o)
		// Ends are computed anew when somebody looks (R9); now somebody does.
		currentEnd(e.table, s, e.catalogue.Load().ProductByID(product))
		lines = append(lines, fmt.Sprintf("device %d %d/%s %x %x %x %x %x %x %+v", o, product, name,
			s.Message(), s.Denied(), s.OTA(), s.License(), s.Session(), s.Seen(), e.table.Grant(o)))
		return true
	})
	err := e.catalogue.Load().Records(func(key, value []byte) error {
		lines = append(lines, fmt.Sprintf("record %q %s", key, value))
		return nil
	})
	if err != nil {
		lines = append(lines, err.Error())
	}
	e.catalogue.Load().EachPool(func(p *license.Pool) {
		lines = append(lines, fmt.Sprintf("pool %+v", *p))
	}, func(product uint32, drawn uint64) {
		lines = append(lines, fmt.Sprintf("gifts %d %d", product, drawn))
	})
	for _, sum := range e.totals.All() {
		lines = append(lines, fmt.Sprintf("total %+v", sum))
	}
	_ = e.producers.Each(func(p *claims.Producer) error {
		lines = append(lines, fmt.Sprintf("producer %d %d %s", p.Ordinal, p.Account, p.Name))
		return nil
	})
	page, err := e.commands.Page(e.commands.Now(), commands.Listener{}) // There are fewer devices than a page has items.
	for _, it := range page.Items {
		lines = append(lines, fmt.Sprintf("command %d to disconnect %d: %s", it.Place.Command, it.Device, it.Reason))
	}
	if err != nil {
		lines = append(lines, err.Error())
	}
	for id := range e.catalogue.Load().ProductIDMax() {
		p := e.catalogue.Load().ProductByID(id + 1)
		lines = append(lines, fmt.Sprintf("product %d closed through %d", p.ID, p.State.Days.Through()))
	}
	lines = append(lines, fmt.Sprintf("serial %d, command %d", e.serial.Load(), e.commands.Last()))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func diff(want, got string) string {
	var b bytes.Buffer
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for _, l := range w {
		if !slices.Contains(g, l) {
			fmt.Fprintln(&b, "-", l)
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			fmt.Fprintln(&b, "+", l)
		}
	}
	return b.String()
}

// randomHistory lets concurrent gateways send everything there is to a few devices of two products, over days and
// months.
func (m *machine) randomHistory(r *rand.Rand) {
	m.product("p", `{"messages_per_day":5,"validity":"P2D","ota_per_month":2,"message_unit_bytes":64}`, 4)
	m.product("q", `{"messages_per_day":null}`, 2)
	m.credit("p", "PACK", 5, true)
	kinds := []string{"connect", "up", "up", "up", "down", "ota", "disconnect", "connect"}
	named := []string{"ota", "ota_void"} // with an id
	for range 12 {
		done := make(chan error, 3)
		for range 3 {
			var b strings.Builder
			for range 1 + r.IntN(12) {
				if r.IntN(6) == 0 {
					fmt.Fprintf(&b, "{\"type\":%q,\"product\":\"p\",\"device\":\"d%d\",\"size\":%d,\"id\":\"%d\"}\n",
						named[r.IntN(2)], r.IntN(8), 5<<20+r.IntN(2), r.IntN(40))
					continue
				}
				fmt.Fprintf(&b, "{\"type\":%q,\"product\":%q,\"device\":\"d%d\",\"size\":%d,\"topic\":\"t\"}\n",
					kinds[r.IntN(len(kinds))], []string{"p", "q"}[r.IntN(2)], r.IntN(8), r.IntN(200))
			}
			req := request(m.t, b.String())
			req.Producer = []byte(fmt.Sprint("gw", r.IntN(3)))
			e := m.Engine
			go func() { done <- e.Submit(req) }()
		}
		for range 3 {
			if err := <-done; err != nil {
				m.t.Fatal(err, m.Err())
			}
		}
		m.randomChange(r)
		switch r.IntN(6) {
		case 0:
			m.clock.pass(25 * 3600e9)
		case 1:
			m.clock.pass(20 * 24 * 3600e9)
		case 2:
			m.credit("p", fmt.Sprint("LOT-", r.Uint32()), 2, false)
		case 3:
			if err := m.Checkpoint(); err != nil {
				m.t.Fatal(err)
			}
		case 4:
			m.crash()
		}
	}
}

// randomChange lets an administrator do something to product p, or nothing; what is refused changes nothing.
func (m *machine) randomChange(r *rand.Rand) {
	m.t.Helper()
	var refused *event.Problem
	on := r.IntN(2) == 0
	err := m.Administer("test", nil, func(c *license.Catalogue, by license.Actor) (
		next *license.Catalogue, ch *license.Change, err error,
	) {
		switch r.IntN(8) {
		case 0:
			var patch license.PlanPatch
			if err := patch.UnmarshalJSON(fmt.Appendf(nil, `{"validity":"P%dD","messages_per_day":%d}`,
				2+r.IntN(20), 5+r.IntN(5))); err != nil {
				return nil, nil, err
			}
			next, ch, _, err = c.SetPlan(by, "p", patch)
		case 1:
			next, ch, _, err = c.SuspendAccount(by, "acc-p", on)
		case 2:
			next, ch, _, err = c.SuspendProduct(by, "p", on)
		case 3:
			next, ch, err = c.SuspendDevice(by, "p", fmt.Sprint("d", r.IntN(8)), on)
		case 4:
			next, ch, _, err = c.TakeBack(
				by,
				"p",
				"LOT-1",
				false,
				license.Void{Order: fmt.Sprint("RV-", r.IntN(3)), Quantity: 1},
			)
		case 5:
			next, ch, _, err = c.SetRenewal(by, "p", on, []string{"d1"})
		case 6:
			next, ch, _, err = c.SetEnforcement(by, "p", []string{license.ModeEnforce, license.ModeObserve}[r.IntN(2)])
		}
		return next, ch, err
	})
	if err != nil && !errors.As(err, &refused) {
		m.t.Fatal(err)
	}
}
