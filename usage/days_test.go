package usage

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// threeProducts are devices that take turns: ordinal n belongs to product n % 3 + 1.
type threeProducts struct{}

func (threeProducts) Name(o counters.Ordinal) (uint32, []byte) {
	return uint32(o)%3 + 1, fmt.Append(nil, "d", o)
}

// dayGroups are groups as an engine makes them on three days: words that are closed as devices return, in any order and
// some of them twice, and those of a scan, with a day end behind them. want is what they say.
func dayGroups(r *rand.Rand) (groups []*views.Group, want map[dayOfProduct]map[uint64]views.DeviceDay) {
	want = map[dayOfProduct]map[uint64]views.DeviceDay{}
	var b record.Builder
	seal := func() {
		c, err := record.Open(b.Finish(nil))
		if err != nil {
			panic(err)
		}
		seq := uint64(len(groups) + 1)
		groups = append(groups, &views.Group{
			Position: views.Position{Seq: seq, Chain: [16]byte{byte(seq)}}, Effects: [][]byte{slices.Clone(c.EffectsColumn())},
		})
	}
	closeWords := func(day uint32, ordinal uint64) {
		at := dayOfProduct{uint32(ordinal)%3 + 1, day}
		d := views.DeviceDay{Ordinal: ordinal, Up: 1 + uint32(ordinal%7), Down: day % 5, Denied: ordinal % 2}
		b.Closed(record.WordMessages, ordinal, uint64(counters.NewMessageWord(day, d.Up, d.Down)))
		if r.IntN(4) == 0 {
			seal()
		}
		if d.Denied > 0 {
			b.Closed(record.WordDenied, ordinal, uint64(counters.NewDeniedWord(day, d.Denied)))
		}
		if want[at] == nil {
			want[at] = map[uint64]views.DeviceDay{}
		}
		want[at][ordinal] = d
	}
	for day := uint32(2500); day < 2503; day++ {
		for range 10 {
			closeWords(day, uint64(r.IntN(100)))
		}
		for ordinal := uint64(r.IntN(3)); ordinal < 100; ordinal += 1 + uint64(r.IntN(4)) {
			closeWords(day, ordinal)
		}
		for product := range uint32(3) {
			b.DayEnd(record.DayEnd{Product: product + 1, Day: day})
		}
		seal()
		at := dayOfProduct{1 + uint32(r.IntN(3)), day}
		for ordinal := range want[at] { // Devices that return: their words were there, or the day would not have ended.
			closeWords(day, ordinal)
			break
		}
	}
	seal()
	return groups, want
}

// Wherever writing stops, also between the transactions of a merge or within one that is too large, applying on gives
// every device-day once and no other, in blocks of level 1 alone.
func TestMergeIsCutAnywhere(t *testing.T) {
	for seed := range uint64(6) {
		groups, want := dayGroups(rand.New(rand.NewPCG(seed, 7)))
		last := uint64(len(groups))
		for parts, isWhole := 0, false; !isWhole; parts++ {
			store := newMapStore()
			store.parts, store.cut = parts, parts%3
			l := New(Options{Store: store})
			l.mergeRows = 16
			err := applyAll(l, groups)
			if isWhole = err == nil; !isWhole && !errors.Is(err, errFailed) {
				t.Fatal(err)
			}
			store.parts = -2
			if parts%2 == 0 { // Else the same ledger goes on.
				l = New(Options{Store: store})
				l.mergeRows = 16
			}
			all := append(slices.Clone(groups), &views.Group{Position: views.Position{Seq: last + 1}}) // It finds what is left.
			if err := applyAll(l, all); err != nil {
				t.Fatal(err)
			}
			checkMerged(t, l, want)
		}
	}
}

// applyAll applies groups, of which the first has number 1, as a runner does.
func applyAll(l *Ledger, groups []*views.Group) error {
	for l.Position().Seq < uint64(len(groups)) {
		if err := l.Apply(groups[l.Position().Seq:], threeProducts{}); err != nil {
			return err
		}
	}
	return nil
}

// However many device-days a group ends, one call of Apply merges a bounded number of them. The position moves with the
// last.
func TestApplyMergesSoMany(t *testing.T) {
	const devices, rows = 3000, 100
	store := newMapStore()
	l := New(Options{Store: store})
	l.mergeRows = rows
	var b record.Builder
	group := func(seq uint64) *views.Group {
		c, err := record.Open(b.Finish(nil))
		if err != nil {
			t.Fatal(err)
		}
		return &views.Group{
			Position: views.Position{Seq: seq, Chain: [16]byte{byte(seq)}}, Effects: [][]byte{slices.Clone(c.EffectsColumn())},
		}
	}
	for o := range uint64(devices) {
		b.Closed(record.WordMessages, o, uint64(counters.NewMessageWord(2500, 1, uint32(o%9))))
	}
	groups := []*views.Group{group(1)}
	for product := range uint32(3) {
		b.DayEnd(record.DayEnd{Product: product + 1, Day: 2500})
	}
	groups = append(groups, group(2), &views.Group{Position: views.Position{Seq: 3}})
	merged := func() (n int) {
		err := store.Scan([]byte{keyDevices[0], levelMerged}, nil, false, func(key, value []byte) (bool, error) {
			_, _, first, err := decodeDayKey(key)
			if err != nil {
				return false, err
			}
			block, err := openDayBlock(first, value)
			n += block.rows
			return true, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	calls := 0
	for before := 0; l.Position().Seq < 3; calls++ {
		if err := l.Apply(groups[l.Position().Seq:], threeProducts{}); err != nil {
			t.Fatal(err)
		}
		n := merged()
		if n-before >= 2*rows {
			t.Fatalf("call %d has merged %d rows", calls, n-before)
		}
		if at := l.Position().Seq; n < devices && at != 0 || n == devices && l.merging.group == 0 && at != 3 {
			t.Fatalf("with %d rows merged the position is %d", n, at)
		}
		before = n
	}
	if n := merged(); n != devices || calls < devices/(2*rows) {
		t.Errorf("%d rows are merged in %d calls", n, calls)
	}
}

func checkMerged(t *testing.T, l *Ledger, want map[dayOfProduct]map[uint64]views.DeviceDay) {
	t.Helper()
	for at, rows := range want {
		got, last := map[uint64]views.DeviceDay{}, int64(-1)
		err := l.EachDeviceDay(at.product, at.day, 0, 1<<40, func(d *views.DeviceDay) error {
			if int64(d.Ordinal) <= last {
				return fmt.Errorf("device %d comes behind %d", d.Ordinal, last)
			}
			got[d.Ordinal], last = *d, int64(d.Ordinal)
			return nil
		})
		if err != nil || !maps.Equal(got, rows) {
			t.Fatalf("product %d, day %d: %v\n%v, want\n%v", at.product, at.day, err, got, rows)
		}
		if through, err := mergedThrough(l.store, at.product); err != nil || through != 2502 {
			t.Fatalf("product %d is merged through %d, %v", at.product, through, err)
		}
	}
	err := l.store.Scan([]byte{keyDevices[0], levelOpen}, nil, false, func(k, _ []byte) (bool, error) {
		return false, fmt.Errorf("block %x was merged and is still there", k)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// However blocks overlap, and however few rows are gathered at a time, every device-day comes once, joined, in order.
func TestGatherAFewAtATime(t *testing.T) {
	c := newDayCodec()
	rapid.Check(t, func(t *rapid.T) {
		store, want := newMapStore(), map[uint64]views.DeviceDay{}
		for group := range rapid.Uint64Range(0, 12).Draw(t, "blocks") {
			ordinals := rapid.SliceOfNDistinct(rapid.Uint64Range(0, 60), 1, 12, rapid.ID[uint64]).Draw(t, "ordinals")
			slices.Sort(ordinals)
			var rows []views.DeviceDay
			for _, o := range ordinals {
				d := views.DeviceDay{Ordinal: o, Up: rapid.Uint32Range(0, 9).Draw(t, "up"), Denied: group}
				rows = append(rows, d)
				have := want[o]
				have.Ordinal = o
				joinDay(&have, &d)
				want[o] = have
			}
			for day := range uint32(2) { // Rows of the day behind it are not read.
				store.put(dayKey(levelOpen, 1, 2500+day, rows[0].Ordinal, group), c.append(nil, rows))
			}
		}
		from := rapid.Uint64Range(0, 30).Draw(t, "from")
		to := from + rapid.Uint64Range(0, 40).Draw(t, "span")
		most := rapid.IntRange(1, 9).Draw(t, "most")
		maps.DeleteFunc(want, func(o uint64, _ views.DeviceDay) bool { return o < from || o >= to })
		got := map[uint64]views.DeviceDay{}
		for at := from; at < to; {
			rows, next, err := gatherOpen(store, c, dayOfProduct{1, 2500}, at, to, most)
			if err != nil || len(rows) > most || next <= at {
				t.Fatalf("%d rows from %d, next %d: %v", len(rows), at, next, err)
			}
			for _, d := range rows {
				if _, twice := got[d.Ordinal]; twice || d.Ordinal < at || d.Ordinal >= next {
					t.Fatalf("device %d of [%d, %d), twice: %v", d.Ordinal, at, next, twice)
				}
				got[d.Ordinal] = d
			}
			at = next
		}
		if !maps.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// A device is found in whatever block of level 1 it lies, and a part of a day is that part.
func TestPartOfAMergedDay(t *testing.T) {
	store := newMapStore()
	l := NewRows(store)
	store.put(mergedKey(1), []byte{0x09, 0xc4})
	var rows []views.DeviceDay
	for o := uint64(5); o < 5+3*3*dayBlockRows; o += 3 {
		rows = append(rows, views.DeviceDay{Ordinal: o, Up: uint32(o % 1000), Down: 1})
	}
	for block := range slices.Chunk(rows, dayBlockRows) {
		store.put(dayKey(levelMerged, 1, 2500, block[0].Ordinal, 0), l.codec.append(nil, block))
	}
	last := rows[len(rows)-1].Ordinal
	for _, part := range [][2]uint64{
		{0, 5},
		{0, 6},
		{5, 6},
		{6, 8},
		{8, 9},
		{rows[dayBlockRows].Ordinal - 1, rows[dayBlockRows].Ordinal + 1},
		{rows[dayBlockRows-1].Ordinal, rows[dayBlockRows].Ordinal},
		{last, last + 1},
		{last + 1, 1 << 41},
		{0, 1 << 41},
		{100, 9000},
	} {
		var got, want []views.DeviceDay
		for _, d := range rows {
			if d.Ordinal >= part[0] && d.Ordinal < part[1] {
				want = append(want, d)
			}
		}
		err := l.EachDeviceDay(
			1,
			2500,
			part[0],
			part[1],
			func(d *views.DeviceDay) error { got = append(got, *d); return nil },
		)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("[%d, %d): %d rows, want %d, %v", part[0], part[1], len(got), len(want), err)
		}
	}
}

// Rows of a month are kept until the retention after its end has passed, in every time zone.
func TestHowLongDaysAreKept(t *testing.T) {
	for _, zone := range []string{"-12:00", "UTC", "+14:00"} {
		at, err := calendar.ParseZone(zone)
		if err != nil {
			t.Fatal(err)
		}
		day := calendar.FirstDay(82)
		_, endMs := calendar.MonthBounds(82, at)
		until := monthUntilMs(calendar.MonthOf(day), 1000*time.Hour)
		if late := time.Duration(until-endMs)*time.Millisecond - 1000*time.Hour; late < 0 || late > 72*time.Hour {
			t.Errorf("%s: a row is kept %s longer than its month and 1000 h", zone, late)
		}
	}
	if got := monthUntilMs(82, 0); got != 0 {
		t.Errorf("without a retention a row is kept until %d", got)
	}
}
