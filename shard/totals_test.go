package shard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/usage"
)

// checkTotals demands that what products have used in all, by the day and by the month, is what the words of their
// devices say, and that the ledger has the same totals as memory.
func (m *machine) checkTotals(rt *rapid.T, seed uint64) {
	if err := m.DurableInLedger(); err != nil {
		rt.Fatal(err)
	}
	words := m.recount()
	rows := usage.NewRows(m.store)
	for _, name := range []string{"p", "q"} {
		p := m.Catalogue().Product([]byte(name))
		all := m.totals.Of(p.ID)
		newest, err := rows.Totals(p.ID)
		if err != nil || newest.Bucket != all.Bucket || !newest.Equal(&all.Totals) {
			rt.Fatalf("seed %d: the ledger has %+v, %v; memory %+v", seed, newest, err, all)
		}
		denied := all.Denied
		if !slices.Equal(denied, words.denied[p.ID]) || all.Licenses != words.licenses[p.ID] {
			rt.Fatalf("seed %d: %s denied %+v, %d licences; rows say %+v, %d", seed, name, denied, all.Licenses,
				words.denied[p.ID], words.licenses[p.ID])
		}
		before := func(day uint32) record.Totals {
			sum, from, err := rows.TotalsBeforeDay(p.ID, day)
			if err != nil || from != 0 {
				rt.Fatalf("seed %d: day %d is not known before %d, %v", seed, day, from, err)
			}
			start := uint32(calendar.DayStartMs(day, p.Zone) / record.QuarterMs)
			if again, from, err := rows.TotalsBefore(p.ID, start); err != nil || from != start || !again.Equal(&sum) {
				rt.Fatalf("seed %d: before day %d %+v, before its first quarter %+v from %d, %v", seed, day, sum, again, from, err)
			}
			return sum
		}
		first := calendar.WindowAt(testStart.UnixMilli(), p.Zone)
		last := calendar.WindowAt(m.clock.wall.UnixMilli(), p.Zone)
		for day := first.Day; day <= last.Day; day++ {
			used, start := before(day+1), before(day)
			used.Subtract(&start)
			want := words.days[productDay{p.ID, day}]
			if got := (dayUnits{used.MessagesUp, used.MessagesDown, used.MessagesDenied()}); got != want {
				rt.Fatalf("seed %d: %s, day %d: %+v, words say %+v", seed, name, day, got, want)
			}
		}
		for month := first.Month; month <= last.Month; month++ {
			used, start := before(calendar.FirstDay(month+1)), before(calendar.FirstDay(month))
			used.Subtract(&start)
			want := words.months[productDay{p.ID, month}]
			if got := otaOf(&used); got != want {
				rt.Fatalf("seed %d: %s, month %d: %+v, words say %+v", seed, name, month, got, want)
			}
		}
	}
}

type (
	productDay struct{ product, day uint32 }
	dayUnits   struct{ up, down, denied uint64 }
	otaUnits   struct{ allowance, packs, denied int64 }
)

func otaOf(t *record.Totals) otaUnits {
	return otaUnits{
		int64(t.OTAAllowance - t.VoidAllowance), int64(t.OTAPacks - t.VoidPacks), int64(t.OTADenied()),
	}
}

// recounted is what the log says: days from words 2 and 3, months from words 4 and from voids that came later.
type recounted struct {
	m        *machine
	product  map[uint64]uint32
	words    map[[3]uint64]uint64 // the largest, by place, ordinal, and day or month
	days     map[productDay]dayUnits
	months   map[productDay]otaUnits
	denied   map[uint32][]record.Denied
	licenses map[uint32]uint64
}

func (m *machine) recount() *recounted {
	m.t.Helper()
	c := &recounted{
		m: m, product: map[uint64]uint32{}, words: map[[3]uint64]uint64{}, days: map[productDay]dayUnits{},
		months: map[productDay]otaUnits{}, denied: map[uint32][]record.Denied{}, licenses: map[uint32]uint64{},
	}
	check := func(err error) {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	for _, g := range m.log.snapshot() {
		for _, stored := range g.Chunks {
			raw, err := m.compress.Decompress(nil, stored)
			check(err)
			chunk, err := record.Open(raw)
			check(err)
			check(chunk.Bindings(c))
		}
		for _, stored := range g.Chunks {
			raw, err := m.compress.Decompress(nil, stored)
			check(err)
			chunk, err := record.Open(raw)
			check(err)
			s := chunk.Scan()
			for s.Next() {
				c.row(&s.Row)
			}
			check(s.Err())
			check(chunk.Effects(c))
		}
	}
	for at, word := range c.words {
		key := productDay{c.product[at[1]], uint32(at[2])}
		switch day, month := c.days[key], c.months[key]; at[0] {
		case record.WordMessages:
			day.up += uint64(counters.MessageWord(word).Up())
			day.down += uint64(counters.MessageWord(word).Down())
			c.days[key] = day
		case record.WordDenied:
			day.denied += counters.DeniedWord(word).Denied()
			c.days[key] = day
		case record.WordOTA:
			w := counters.OTAWord(word)
			month.allowance += int64(w.Allowance())
			month.packs += int64(w.Packs())
			month.denied += int64(w.Denied())
			c.months[key] = month
		}
	}
	return c
}

func (c *recounted) raise(place int, ordinal uint64, period uint32, word uint64) {
	at := [3]uint64{uint64(place), ordinal, uint64(period)}
	c.words[at] = max(c.words[at], word)
}

func (c *recounted) row(r *record.Row) {
	product := c.product[r.Ordinal]
	if r.Named {
		product = r.Product
	}
	switch {
	case r.IsMessage():
		c.raise(record.WordMessages, r.Ordinal, r.Day, uint64(counters.NewMessageWord(r.Day, r.Up, r.Down)))
	case r.Counted:
		c.raise(record.WordDenied, r.Ordinal, r.Day, uint64(counters.NewDeniedWord(r.Day, r.Denied)))
	}
	if r.Code == event.Accepted {
		return
	}
	n := uint64(1)
	if r.Type == event.Up || r.Type == event.Down {
		n = uint64(c.m.Catalogue().ProductByID(product).Plan.MessageUnits(r.Size))
	}
	var sum record.Totals
	sum.Denied = c.denied[product]
	sum.Deny(r.Type, r.Code, n)
	c.denied[product] = sum.Denied
}

func (c *recounted) Device(d record.Device) error {
	c.product[d.Ordinal] = d.Product
	return nil
}

func (c *recounted) Producer(record.Producer) error { return nil }
func (c *recounted) Forgotten(uint32) error         { return nil }

func (c *recounted) OTA(o record.OTA) error {
	c.raise(record.WordOTA, o.Ordinal, counters.OTAWord(o.Word).Month(), o.Word)
	return nil
}

func (c *recounted) Grant(g record.Grant) error {
	c.licenses[c.product[g.Ordinal]]++
	return nil
}

func (c *recounted) Upgrade(u record.Upgrade) error {
	if month := calendar.MonthOf(u.VoidDay); u.Voided && u.Month < month {
		key := productDay{c.product[u.Ordinal], month}
		month := c.months[key]
		month.allowance -= int64(u.Allowance)
		month.packs -= int64(packUnits(&u))
		c.months[key] = month
	}
	return nil
}

func (c *recounted) Word(int, uint64, uint64) error   { return nil }
func (c *recounted) Closed(int, uint64, uint64) error { return nil }
func (c *recounted) DayEnd(record.DayEnd) error       { return nil }
func (c *recounted) Quota(record.Quota) error         { return nil }
func (c *recounted) Decided(record.Decided) error     { return nil }
func (c *recounted) Pool(record.Pool) error           { return nil }
func (c *recounted) End(record.End) error             { return nil }
func (c *recounted) Command(record.Command) error     { return nil }
func (c *recounted) Claim(record.Claim) error         { return nil }
func (c *recounted) Run(record.Run) error             { return nil }

// A device's word may be of a later day than the clock: another lane has begun it. What is counted in it counts on that
// day, from its beginning on, in a zone whose midnight lies within a quarter of an hour too.
func TestTotalsOfALaterDay(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":2,"ota_per_month":1}`, 1)
	m.submit(line("connect", "p", "d"))
	p := m.Catalogue().Product([]byte("p"))
	w := p.Window(m.NowMs())
	if got, want := m.totals.Of(p.ID).Bucket, (record.Bucket{
		Product: p.ID, Quarter: uint32(testStart.UnixMilli() / record.QuarterMs), Day: w.Day,
	}); got != want {
		t.Fatalf("the connect is in %+v, want %+v", got, want)
	}
	slot := m.table.Find(m.table.KeyOf(p.ID, []byte("d")))
	slot.Join(record.WordMessages, uint64(counters.NewMessageWord(w.Day+1, 1, 0)))
	m.submit(line("up", "p", "d"))
	tomorrow := record.Bucket{Product: p.ID, Quarter: uint32(w.DayEndMs / record.QuarterMs), Day: w.Day + 1}
	if got := m.totals.Of(p.ID); got.Bucket != tomorrow || got.MessagesUp != 1 {
		t.Errorf("the message is in %+v, want %+v", got, tomorrow)
	}
	slot.Join(record.WordDenied, uint64(counters.NewDeniedWord(w.Day+2, counters.DeniedMax-1)))
	m.submit(line("up", "p", "d") + line("down", "p", "d"))
	after := record.Bucket{Product: p.ID, Quarter: tomorrow.Quarter + 96, Day: w.Day + 2}
	if got := m.totals.Of(p.ID); got.Bucket != after || got.MessagesDenied() != 1 {
		t.Errorf("two denials, of which the word takes one, are in %+v, want %+v", got, after)
	}
	slot.Join(record.WordOTA, uint64(counters.NewOTAWord(w.Month+1, 0, 0, 0, counters.OTADeniedMax-1)))
	m.submit(otaLine("p", "d", 1) + otaLine("p", "d", 1) + otaLine("p", "d", 1))
	month := record.Bucket{
		Product: p.ID, Quarter: uint32(w.MonthEndMs / record.QuarterMs), Day: calendar.FirstDay(w.Month + 1),
	}
	if got := m.totals.Of(p.ID); got.Bucket != month || got.OTAAllowance != 1 || got.OTADenied() != 1 {
		t.Errorf("an upgrade and two denials, of which the word takes one, are in %+v, want %+v", got, month)
	}
	want := m.totals.All()
	for _, checkpoint := range []bool{false, true} {
		if checkpoint {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		m.crash()
		if got := m.totals.All(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after a crash %+v, before it %+v", got, want)
		}
	}
}

func otaLine(product, device string, size int) string {
	return fmt.Sprintf("{\"type\":\"ota\",\"product\":%q,\"device\":%q,\"size\":%d}\n", product, device, size)
}

// An OTA of last month is voided: that month's word stays as it is, also if the device has had no other since, and the
// units are taken off this month (R17).
func TestLateVoidCountsInItsMonth(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"ota_per_month":1}`, 1)
	m.credit("p", "PACK", 5, true)
	m.submit(line("connect", "p", "d"))
	size := 3 * 5 << 20
	ota := fmt.Sprintf("{\"type\":\"ota\",\"product\":\"p\",\"device\":\"d\",\"size\":%d,\"id\":\"x\"}\n", size)
	m.submit(ota)
	p := m.Catalogue().Product([]byte("p"))
	slot := m.table.Find(m.table.KeyOf(p.ID, []byte("d")))
	before, first := slot.OTA(), p.Window(m.NowMs())
	m.clock.pass(20 * 24 * time.Hour)
	codes := m.submit(
		strings.Replace(strings.Replace(ota, "ota", "ota_void", 1), fmt.Sprintf("\"size\":%d,", size), "", 1),
	)
	if !slices.Equal(codes, []string{"accepted"}) {
		t.Fatal(codes)
	}
	if slot.OTA() != before || p.PackUnits() != 5 {
		t.Errorf("the word was %x and is %x; %d units are in the pack", before, slot.OTA(), p.PackUnits())
	}
	if err := m.DurableInLedger(); err != nil {
		t.Fatal(err)
	}
	rows := usage.NewRows(m.store)
	got := map[uint32]otaUnits{}
	for month := first.Month; month < first.Month+2; month++ {
		end, _, err := rows.TotalsBeforeDay(p.ID, calendar.FirstDay(month+1))
		start, _, err2 := rows.TotalsBeforeDay(p.ID, calendar.FirstDay(month))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		end.Subtract(&start)
		got[month-first.Month] = otaOf(&end)
	}
	if want := map[uint32]otaUnits{0: {1, 2, 0}, 1: {-1, -2, 0}}; !maps.Equal(got, want) {
		t.Errorf("by month %+v, want %+v", got, want)
	}
}
