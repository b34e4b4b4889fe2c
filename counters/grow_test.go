package counters

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// From a few megabytes to many devices, messages between inserts, in the engine's way: batches, reservations, small
// budgets.
func TestGrowthToMany(t *testing.T) {
	devices := 1_000_000
	if testing.Short() || raceEnabled {
		devices = 60_000
	}
	tab := newTable(t)
	if s := tab.ReadStats(); s.SlotBytes > 6<<20 || s.NameBytes != 0 {
		t.Errorf("a new table takes %d bytes", s.SlotBytes+s.NameBytes)
	}
	const batch = 1000
	rnd := rand.New(rand.NewPCG(3, 4))
	want := make([]uint32, 0, devices)
	var name [16]byte
	for len(want) < devices {
		if !tab.Reserve(batch) {
			if err := tab.Grow(batch, 1<<20); err != nil {
				t.Fatal(err)
			}
			if !tab.Reserve(batch) {
				t.Fatal("no room after Grow")
			}
		}
		for range batch {
			dev := deviceName(name[:0], len(want))
			if _, fresh, err := tab.Insert(tab.KeyOf(7, dev), dev); err != nil || !fresh {
				t.Fatalf("insert %q: new %v, %v", dev, fresh, err)
			}
			want = append(want, 0)
			i := rnd.IntN(len(want))
			if !tab.Find(tab.KeyOf(7, deviceName(name[:0], i))).CountMessage(1, true, 1, 1500).OK {
				t.Fatalf("device %d was denied", i)
			}
			want[i]++
		}
	}
	for i, n := range want {
		if s := tab.Find(tab.KeyOf(7, deviceName(name[:0], i))); s == nil || s.Message().Up() != n {
			t.Fatalf("device %d: %v, want %d messages", i, s, n)
		}
	}
	s := tab.ReadStats()
	if s.Devices != devices || s.LoadMax > loadPromisedPercent/100.0 {
		t.Errorf("%+v", s)
	}
	if perDevice := (s.SlotBytes + s.NameBytes) / devices; devices == 1_000_000 && perDevice > 128 {
		t.Errorf("%d bytes a device", perDevice)
	}
}

func TestReservations(t *testing.T) {
	tab := newTable(t)
	n := tab.ReadStats().Promised
	if n < 1000 {
		t.Fatalf("an empty table promises %d", n)
	}
	if !tab.Reserve(n) || tab.Reserve(1) || !tab.Reserve(0) {
		t.Error("more or less was handed out than promised")
	}
	if err := tab.Grow(0, 0); err != nil || tab.ReadStats().Promised != n {
		t.Error("what was reserved and not used did not come back")
	}
	for _, need := range []int{n + 1, 65536, 1_000_000} {
		if err := tab.Grow(need, 0); err != nil || !tab.Reserve(need) {
			t.Errorf("no room for %d: %v", need, err)
		}
	}
}

// What is promised fits, to the last device, in every shard.
func TestPromiseHolds(t *testing.T) {
	tab := newTable(t)
	var name [16]byte
	for i := 0; i < 100_000; {
		n := tab.ReadStats().Promised
		if n == 0 {
			if n = 1; tab.Grow(n, 0) != nil {
				t.Fatal("no memory")
			}
		}
		if !tab.Reserve(n) {
			t.Fatal("what was promised was not given")
		}
		for range n {
			dev := deviceName(name[:0], i)
			if _, _, err := tab.Insert(tab.KeyOf(1, dev), dev); err != nil {
				t.Fatal(err)
			}
			i++
		}
		if s := tab.ReadStats(); s.LoadMax > loadPromisedPercent/100.0 {
			t.Fatalf("a shard is at %.3f", s.LoadMax)
		}
		if err := tab.Grow(0, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInsertsForInvertsRoomFor(t *testing.T) {
	for room := -40; room < 20_000; room++ {
		if n := insertsFor(room); roomFor(n) > max(room, 0) || roomFor(n+1) <= room {
			t.Fatalf("room %d: %d inserts need %d, one more %d", room, n, roomFor(n), roomFor(n+1))
		}
	}
}

func TestInsertWithoutRoomIsABug(t *testing.T) {
	tab := newTable(t)
	mustPanic(t, func() {
		var name [16]byte
		for i := range 200_000 {
			dev := deviceName(name[:0], i)
			if _, _, err := tab.Insert(tab.KeyOf(1, dev), dev); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Growth spreads: a small budget grows a few shards a call, and all of them in the end.
func TestGrowKeepsToItsBudget(t *testing.T) {
	tab := newTable(t)
	const devices = 115_000 // 0.88 of two blocks a shard
	if err := tab.Grow(0, 1<<30); err != nil {
		t.Fatal(err)
	}
	var name [16]byte
	for i := range devices {
		put(t, tab, 1, string(deviceName(name[:0], i)))
	}
	if err := tab.Grow(0, 0); err != nil {
		t.Fatal(err)
	}
	before := tab.ReadStats()
	calls := 0
	for {
		slots := tab.ReadStats().Slots
		if err := tab.Grow(0, 1); err != nil {
			t.Fatal(err)
		}
		if tab.ReadStats().Slots == slots {
			break
		}
		calls++
	}
	if after := tab.ReadStats(); calls < 10 || after.LoadMax > loadMaxPercent/100.0 || after.Slots == before.Slots {
		t.Errorf("%d calls, from %+v to %+v", calls, before, after)
	}
}

func TestNamesForInvertsChunksFor(t *testing.T) {
	for chunks := range 3 * Shards {
		n := namesFor(chunks)
		if n > 0 && chunksFor(n) > chunks || n == 0 && chunksFor(1) <= chunks || chunksFor(n+1) <= chunks {
			t.Fatalf("%d chunks: %d names need %d, one more %d", chunks, n, chunksFor(n), chunksFor(n+1))
		}
	}
}

// starve lets the table map so many more slabs, and no more.
func starve(tab *Table, slabs int) {
	more := func(n int) (*slab, error) {
		if slabs == 0 {
			return nil, fmt.Errorf("%w: map %d bytes", ErrNoMemory, n)
		}
		slabs--
		return newSlab(n)
	}
	tab.slotMem.more, tab.nameMem.more = more, more
}

// Without memory Grow says so, what was promised still fits, with the longest names too, and with memory it goes on.
func TestGrowWithoutMemory(t *testing.T) {
	tab := newTable(t)
	starve(tab, 0)
	inserted := 0
	insert := func(n int) {
		if !tab.Reserve(n) {
			t.Fatalf("%d were promised and not given", n)
		}
		for range n {
			name := fmt.Appendf(nil, "%0*d", NameBytesMax, inserted)
			if _, isNew, err := tab.Insert(tab.KeyOf(1, name), name); err != nil || !isNew {
				t.Fatalf("device %d: %v", inserted, err)
			}
			inserted++
		}
	}
	var err error
	for err == nil {
		insert(tab.ReadStats().Promised)
		err = tab.Grow(1, 0)
	}
	if !errors.Is(err, ErrNoMemory) {
		t.Fatal(err)
	}
	insert(tab.ReadStats().Promised)
	if tab.Reserve(1) {
		t.Error("room was promised that there is no memory for")
	}
	starve(tab, -1)
	if err := tab.Grow(1000, 0); err != nil {
		t.Fatal(err)
	}
	insert(1000)
}
