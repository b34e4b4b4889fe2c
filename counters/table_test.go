package counters

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// newTable returns an empty table that is closed when the test ends.
func newTable(tb testing.TB) *Table {
	tb.Helper()
	t, err := New(Options{Seed: 0x5eed})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	return t
}

// put inserts a device for which there is room or can be made.
func put(tb testing.TB, t *Table, product uint32, name string) *Slot {
	tb.Helper()
	if !t.Reserve(1) {
		if err := t.Grow(1, 0); err != nil {
			tb.Fatal(err)
		}
		if !t.Reserve(1) {
			tb.Fatal("no room after Grow")
		}
	}
	s, _, err := t.Insert(t.KeyOf(product, []byte(name)), []byte(name))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestOptionsAreValidated(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a seed of 0 was taken")
	}
}

func TestInsertAndFind(t *testing.T) {
	tab := newTable(t)
	s := put(t, tab, 1, "d1")
	if again := put(t, tab, 1, "d1"); again != s || tab.Len() != 1 {
		t.Error("the same device twice")
	}
	if other := put(t, tab, 2, "d1"); other == s || other.Product() != 2 || tab.Len() != 2 {
		t.Error("another product's device is another device")
	}
	if tab.Find(tab.KeyOf(1, []byte("d2"))) != nil || tab.Find(tab.KeyOf(3, []byte("d1"))) != nil {
		t.Error("found what was not inserted")
	}
	if product, name := tab.Name(s.Ordinal()); product != 1 || string(name) != "d1" || tab.SlotOf(s.Ordinal()) != s {
		t.Errorf("ordinal %d is %d %q", s.Ordinal(), product, name)
	}
	for _, name := range []string{"", strings.Repeat("x", NameBytesMax+1), "a\x00b"} {
		if _, _, err := tab.Insert(tab.KeyOf(1, []byte(name)), []byte(name)); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if _, _, err := tab.Insert(tab.KeyOf(0, []byte("d")), []byte("d")); !errors.Is(err, ErrName) {
		t.Error("product 0 was taken")
	}
	mustPanic(t, func() { _, _, _ = tab.Insert(tab.KeyOf(1, []byte("x")), []byte("y")) })
}

// Names whose hashes differ in the tag alone, or not even there, are told apart by the whole key.
func TestKeysWithEqualTags(t *testing.T) {
	h, err := newTable(t).newSlots(2 * groupSlots)
	if err != nil {
		t.Fatal(err)
	}
	var keys []Key
	for i := range uint64(2*groupSlots - 1) { // all in the last group: the search wraps
		k := Key{Hi: 1<<56 - 1 - i, Lo: 0xab<<56 | i<<24 | 1}
		if h.find(k) != nil {
			t.Fatalf("key %d is there already", i)
		}
		h.add(k, NewSeenWord(0, uint32(i)))
		keys = append(keys, k)
	}
	for i, k := range keys {
		if s := h.find(k); s == nil || s.Seen().Arena() != uint32(i) {
			t.Errorf("key %d: %v", i, s)
		}
		if h.find(Key{k.Hi, k.Lo ^ 1<<30}) != nil || h.find(Key{k.Hi - 100, k.Lo}) != nil {
			t.Errorf("key %d: found under half of its key", i)
		}
	}
}

func TestMatches(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0x80, 0x81, 0x82, 0xff}), 8, 8).Draw(t, "tags")
		tag := rapid.SampledFrom([]byte{0x80, 0x81, 0xff}).Draw(t, "tag")
		var tags uint64
		for i, c := range b {
			tags |= uint64(c) << (8 * i)
		}
		m := matches(tags, uint64(tag))
		first := bytes.IndexByte(b, tag)
		for i, c := range b {
			if c == tag && m>>(8*i+7)&1 == 0 {
				t.Fatalf("%x: %d was missed", b, i)
			}
			if c == 0 && m>>(8*i+7)&1 != 0 {
				t.Fatalf("%x: empty slot %d was hit", b, i)
			}
		}
		if first < 0 && m != 0 || first >= 0 && m&(1<<(8*first+7)-1) != 0 {
			t.Fatalf("%x: %x, the lowest bit set is not the first match", b, m)
		}
	})
}

func TestGrants(t *testing.T) {
	tab := newTable(t)
	s := put(t, tab, ProductMax, "d")
	o := s.Ordinal()
	if g := tab.Grant(o); g != (Grant{}) {
		t.Errorf("before: %+v", g)
	}
	g := Grant{ActivatedAt: SecondMax, Serial: SerialMax, Pool: PoolMax}
	tab.SetGrant(o, g)
	if product, name := tab.Name(o); tab.Grant(o) != g || product != ProductMax || string(name) != "d" {
		t.Errorf("after: %+v, %d %q", tab.Grant(o), product, name)
	}
	mustPanic(t, func() { tab.SetGrant(o, Grant{Serial: SerialMax + 1}) })
	mustPanic(t, func() { tab.SetGrant(o, Grant{Pool: PoolMax + 1}) })
	mustPanic(t, func() { tab.SetGrant(o, Grant{ActivatedAt: SecondMax + 1}) })
	mustPanic(t, func() { tab.SetGrant(o+100, g) })
	if tab.Grant(OrdinalMax) != (Grant{}) {
		t.Error("a grant of nobody")
	}
}

// Records of two licences in either order leave the newer one, its grant included.
func TestJoinLicense(t *testing.T) {
	older, newer := NewLicenseWord(1, LicenseActive, 4, 900), NewLicenseWord(2, LicenseActive, 0, 100)
	for _, order := range [][]LicenseWord{{older, newer}, {newer, older}, {newer, older, newer}} {
		tab := newTable(t)
		s := put(t, tab, 1, "d")
		for _, w := range order {
			tab.JoinLicense(s, w, Grant{Serial: uint64(w.Generation()), Pool: 9, ActivatedAt: 7})
		}
		if g := tab.Grant(s.Ordinal()); s.License() != newer || g != (Grant{Serial: 2, Pool: 9, ActivatedAt: 7}) {
			t.Errorf("%x: %x, %+v", order, s.License(), g)
		}
	}
}

// STYLE: no allocation on the hot path.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	tab := newTable(t)
	name := []byte("dev-10000000")
	s := put(t, tab, 1, string(name))
	keys, found := make([]Key, 100), make([]*Slot, 100)
	for i := range keys {
		keys[i] = tab.KeyOf(1, name)
	}
	day := uint32(0)
	for what, f := range map[string]func(){
		"KeyOf":        func() { keys[0] = tab.KeyOf(1, name) },
		"Find":         func() { found[0] = tab.Find(keys[0]) },
		"FindBatch":    func() { tab.FindBatch(keys, found) },
		"CountMessage": func() { day++; s.CountMessage(day, true, 1, 1500) },
		"CountDenied":  func() { s.CountDenied(day, 1) },
		"Touch":        func() { s.Touch(uint64(day)) },
		"session":      func() { s.SetOnline(1); s.SetOffline(1, false); s.SetSuspended(true); s.SetSuspended(false) },
		"ota":          func() { s.StoreOTA(s.OTA().Take(day%MonthMax, 1, 1, 0).After) },
		"Name":         func() { _, name = tab.Name(s.Ordinal()) },
		"SlotOf":       func() { found[0] = tab.SlotOf(s.Ordinal()) },
		"Insert again": func() { _, _, _ = tab.Insert(keys[1], name) },
		"Reserve":      func() { tab.Reserve(1) },
		"Grant":        func() { tab.SetGrant(s.Ordinal(), tab.Grant(s.Ordinal())) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

func TestSlotsMeetsEveryDevice(t *testing.T) {
	tab := newTable(t)
	want := map[*Slot]bool{}
	for i := range 3000 {
		want[put(t, tab, 1, fmt.Sprintf("d%d", i))] = true
	}
	clear(want) // growth moved them
	tab.Walk(0, func(o Ordinal, _ uint32, _ []byte) bool {
		want[tab.SlotOf(o)] = true
		return true
	})
	for shard := range Shards {
		for s := range tab.Slots(shard) {
			if !want[s] || s.Key().Shard() != shard {
				t.Fatalf("shard %d: device %d is not of it, or met twice", shard, s.Ordinal())
			}
			delete(want, s)
		}
	}
	if len(want) != 0 {
		t.Errorf("%d devices were not met", len(want))
	}
}
