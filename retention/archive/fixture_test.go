package archive

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const day = 24 * time.Hour

// beginMs is when the first event of tests is decided: far ahead, so that no entry expires by the wall clock.
var beginMs = time.Date(2100, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// productOf is whose the ordinals of tests are.
func productOf(ordinal uint64) uint32 { return uint32(ordinal%3) + 1 }

// nameOf is the name of a device of tests: every product has one of each name.
func nameOf(ordinal uint64) string { return fmt.Sprintf("device-%d", ordinal/3) }

// history makes groups of random rows, and remembers all of them.
type history struct {
	dice    *rand.Rand
	devices int
	unknown int // one row of so many is of a device that is not known
	nowMs   int64
	seq     uint64
	counts  map[uint64]*Row
	days    map[uint32]uint32
	rows    []Row // in the order of the log, with place and product
	groups  []historyGroup
	ties    Ties
}

type historyGroup struct {
	seq             uint64
	firstMs, lastMs int64
	rows            []Row
	days            map[uint32]uint32 // changed behind it
}

func newHistory(seed uint64, devices int) *history {
	return &history{
		dice: rand.New(rand.NewPCG(seed, 1)), devices: devices, unknown: 20, nowMs: beginMs,
		counts: map[uint64]*Row{}, days: map[uint32]uint32{},
	}
}

func chainOf(seq uint64) (c [16]byte) {
	c[0], c[1] = byte(seq), byte(seq>>8)
	return c
}

// next makes a group of about n rows that lasts for some time.
func (h *history) next(n int, lasts time.Duration) historyGroup {
	h.seq++
	g := historyGroup{seq: h.seq, firstMs: h.nowMs}
	for range n {
		g.rows = append(g.rows, h.row())
		if step := lasts.Milliseconds() / int64(n); step > 0 {
			h.nowMs += h.dice.Int64N(2*step + 1)
		} else if h.dice.IntN(n) == 0 {
			h.nowMs++
		}
	}
	g.lastMs = g.rows[len(g.rows)-1].DecidedMs
	if h.dice.IntN(40) == 0 {
		g.days = map[uint32]uint32{uint32(h.dice.IntN(4)): uint32(h.dice.IntN(8))}
	}
	// Two lanes decide beside each other: the second one's rows come first, though the first one began before.
	var lanes [2][]Row
	for i, r := range g.rows {
		lanes[i%2] = append(lanes[i%2], r)
	}
	g.rows = append(lanes[1], lanes[0]...)
	h.take(g)
	return g
}

func (h *history) row() Row {
	r := Row{DecidedMs: h.nowMs, Size: int64(h.dice.IntN(1000))}
	ordinal := uint64(h.dice.IntN(h.devices))
	if h.dice.IntN(h.unknown) == 0 {
		r.Name = []byte(nameOf(ordinal))
		r.Type, r.Code = typeUp, 4
		r.Device = Unknown(productOf(ordinal), r.Name)
	} else {
		last := h.counts[ordinal]
		if last == nil {
			last = &Row{}
			h.counts[ordinal] = last
		}
		r.Device = Known(0, ordinal)
		r.Type = uint8(1 + h.dice.IntN(typeMax))
		if h.dice.IntN(4) > 0 {
			r.Type = typeUp + uint8(h.dice.IntN(2))
		}
		if h.dice.IntN(10) == 0 {
			r.Code = uint8(1 + h.dice.IntN(12))
		}
		if d := uint32((h.nowMs - beginMs) / day.Milliseconds()); d != last.Day {
			*last = Row{Day: d, Denied: last.Denied}
		}
		switch {
		case r.isMessage():
			if r.Type == typeUp {
				last.Up += 1 + uint32(h.dice.IntN(2))
			} else {
				last.Down++
			}
			r.Day, r.Up, r.Down = last.Day, last.Up, last.Down
		case r.Code == 1 && (r.Type == typeUp || r.Type == typeDown):
			last.Denied++
			r.Counted, r.Day, r.Denied = true, last.Day, last.Denied
		}
		r.Used = last.Up + last.Down
		switch r.Code {
		case 1:
			r.Quota = Quota{
				Limit:      uint32(1500 + ordinal%2),
				Used:       r.Used,
				ResetsAtMs: beginMs + int64(last.Day+1)*day.Milliseconds(),
			}
		case 2:
			r.Quota = Quota{
				Limit:      uint32(h.dice.IntN(3)),
				Used:       uint32(h.dice.IntN(3)),
				ResetsAtMs: beginMs + 30*day.Milliseconds(),
			}
			r.Requested, r.TopupAvailable = uint32(1+h.dice.IntN(300)), uint64(h.dice.IntN(3))<<40
		}
		if r.Code == 0 && r.Type >= typeUp && (last.Up+last.Down)%6 == 5 {
			r.WouldDeny = 1 + r.Type/5
			r.Quota = Quota{Limit: last.Up % 3, Used: r.Used, ResetsAtMs: beginMs + 30*day.Milliseconds()}
		}
		if r.Type == 5 {
			r.Size = h.dice.Int64N(1 << 40)
			r.ID = fmt.Appendf(nil, "ota-%d", h.dice.IntN(100))
		}
	}
	if h.dice.IntN(3) == 0 {
		r.Topic = fmt.Appendf(nil, "topic/%d", h.dice.IntN(3))
	}
	if h.dice.IntN(5) == 0 {
		r.TimeMs = r.DecidedMs - h.dice.Int64N(100000)
	}
	if h.dice.IntN(8) == 0 {
		r.Payload = bytes.Repeat([]byte{byte(h.dice.IntN(256))}, 1+h.dice.IntN(3000))
	}
	r.IsCut = h.dice.IntN(6) == 0
	return r
}

// take remembers a group as the archive must show it.
func (h *history) take(g historyGroup) {
	first, others := h.ties.Next(g.seq, g.firstMs, g.lastMs)
	from := len(h.rows)
	order := map[[3]uint64]uint32{}
	for _, r := range g.rows {
		if r.Device.IsKnown() {
			r.Device = Known(productOf(r.Device.Ordinal()), r.Device.Ordinal())
		}
		r.Tie = others
		if r.DecidedMs == g.firstMs {
			r.Tie = first
		}
		r.LogDays = h.days[r.Device.Product()]
		h.rows = append(h.rows, r)
	}
	slices.SortStableFunc(h.rows[from:], func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.DecidedMs, b.DecidedMs), cmp.Compare(a.Used, b.Used))
	})
	for i := from; i < len(h.rows); i++ {
		r := &h.rows[i]
		key := [3]uint64{uint64(r.Device), uint64(r.DecidedMs), uint64(r.Tie)}
		r.Order = order[key]
		order[key]++
	}
	for p, d := range g.days {
		h.days[p] = d
	}
	h.groups = append(h.groups, g)
}

// feed gives a group to the archive.
func (g *historyGroup) feed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Group(g.seq, g.firstMs, g.lastMs); err != nil {
		t.Fatal(err)
	}
	for _, r := range g.rows {
		s.Add(&r)
	}
	for p, d := range g.days {
		s.SetLogDays(p, d)
	}
	s.End(Position{Seq: g.seq, Chain: chainOf(g.seq)}, g.lastMs)
}

func testStore(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Path == "" {
		o.Path = t.TempDir() + "/archive"
	}
	if o.Retention == 0 {
		o.Retention = 7 * day
	}
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.SetProducts(productOf)
	return s
}

// want returns the rows of a device that are not over, newest first.
func (h *history) want(s *Store, ordinal uint64, upTo uint64, nowMs int64) (rows []Row) {
	p := productOf(ordinal)
	unknown := Unknown(p, []byte(nameOf(ordinal)))
	n := 0
	for _, g := range h.groups {
		if g.seq > upTo {
			break
		}
		n += len(g.rows)
	}
	for _, r := range h.rows[:n] {
		if (r.Device == Known(p, ordinal) || r.Device == unknown) && !s.IsOver(&r, nowMs) {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return b.Place().Compare(a.Place()) })
	return rows
}

// query asks for all rows of a device.
func query(ordinal uint64) Query {
	name := []byte(nameOf(ordinal))
	p := productOf(ordinal)
	return Query{
		Devices: []Device{Known(p, ordinal), Unknown(p, name)}, Name: name, FromMs: 0, ToMs: 1 << 50,
	}
}

// read returns the rows that a query gives, copied.
func read(t testing.TB, s *Store, q Query, nowMs int64) (rows []Row) {
	t.Helper()
	q.Wants = func(r *Row) bool { return !s.IsOver(r, nowMs) }
	_, err := s.Snapshot().Each(t.Context(), &q, func(r *Row) bool {
		c := *r
		c.Name, c.ID, c.Topic, c.Payload = clone(r.Name), clone(r.ID), clone(r.Topic), clone(r.Payload)
		rows = append(rows, c)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}

// same compares what was read with what must be there.
func same(t testing.TB, what string, have, want []Row) {
	t.Helper()
	if len(have) != len(want) {
		t.Fatalf("%s: %d rows, want %d", what, len(have), len(want))
	}
	for i := range want {
		if h, w := fmt.Sprintf("%+v", have[i]), fmt.Sprintf("%+v", want[i]); h != w {
			t.Fatalf("%s, row %d:\n have %s\n want %s", what, i, h, w)
		}
	}
}

// compare compares all devices in both directions.
func (h *history) compare(t testing.TB, s *Store, nowMs int64) {
	t.Helper()
	for o := range uint64(h.devices) {
		want := h.want(s, o, s.Gathered().Seq, nowMs)
		same(t, fmt.Sprintf("device %d, newest first", o), read(t, s, query(o), nowMs), want)
		q := query(o)
		q.Oldest = true
		slices.Reverse(want)
		same(t, fmt.Sprintf("device %d, oldest first", o), read(t, s, q, nowMs), want)
	}
}
