package counters

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

// imageOf returns a table with devices of all name lengths and words at their edges, and the image of each shard.
func imageOf(tb testing.TB, devices int) (*Table, [][]byte) {
	tb.Helper()
	tab := newTable(tb)
	for i := range devices {
		s := put(tb, tab, uint32(1+i%3), fmt.Sprintf("%0*d", 6+i%(NameBytesMax-5), i))
		s.CountMessage(uint32(i%DayMax), true, uint32(i+1), MessagesPerDayMax)
		s.CountDenied(DayMax, uint32(i))
		s.StoreOTA(NewOTAWord(MonthMax, VoidsPerMonthMax, AllowancePerMonthMax, PackUnitsPerMonthMax, OTADeniedMax))
		s.StoreLicense(NewLicenseWord(GenerationMax, LicenseEnded, ValidityVersionMax, SecondMax))
		s.SetOnline(uint32(i))
		s.Touch(uint64(i))
		tab.SetGrant(s.Ordinal(), Grant{ActivatedAt: uint64(i), Serial: uint64(i) << 8, Pool: uint32(i)})
	}
	images := make([][]byte, Shards)
	for i := range images {
		images[i] = tab.AppendShard(nil, i)
	}
	return tab, images
}

func TestImageRoundTrip(t *testing.T) {
	for _, devices := range []int{0, 1, 20_000} {
		tab, images := imageOf(t, devices)
		checkCopy(t, tab, images, devices)
	}
}

// A loaded table goes on where the other stopped: it promises nothing until Grow ran, then takes inserts.
func TestLoadedTableGoesOn(t *testing.T) {
	_, images := imageOf(t, 5000)
	tab := newTable(t)
	for i := range images {
		if err := tab.LoadShard(i, images[i]); err != nil {
			t.Fatal(err)
		}
	}
	if tab.Reserve(1) {
		t.Error("room was promised before Grow")
	}
	for i := range 5000 {
		put(t, tab, 9, fmt.Sprintf("more-%d", i))
	}
	if tab.Len() != 10_000 {
		t.Errorf("%d devices", tab.Len())
	}
	if err := tab.LoadShard(0, images[0]); err == nil {
		t.Error("a shard was loaded over another")
	}
}

func TestLoadShardRefusesOtherSeed(t *testing.T) {
	_, images := imageOf(t, 1000)
	tab, err := New(Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := tab.LoadShard(3, images[3]); !errors.Is(err, ErrImage) || tab.Len() != 0 {
		t.Errorf("%v, %d devices", err, tab.Len())
	}
	if err := tab.Close(); err != nil {
		t.Error(err)
	}
}

func TestLoadShardRefusesDamage(t *testing.T) {
	_, images := imageOf(t, 3000)
	good := images[5]
	used := int(binary.LittleEndian.Uint64(good[8:]))
	names := imageHeadBytes + used*imageSlotBytes
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":          func([]byte) []byte { return nil },
		"cut head":       func(b []byte) []byte { return b[:imageHeadBytes-1] },
		"cut":            func(b []byte) []byte { return b[:len(b)-8] },
		"longer":         func(b []byte) []byte { return append(b, 0, 0, 0, 0, 0, 0, 0, 0) },
		"version":        func(b []byte) []byte { b[0]++; return b },
		"shard":          func(b []byte) []byte { b[4]++; return b },
		"slots":          func(b []byte) []byte { b[8]--; return b },
		"slots overflow": func(b []byte) []byte { b[15] = 0xff; return b },
		"name bytes":     func(b []byte) []byte { b[23] = 0xff; return b },
		"place":          func(b []byte) []byte { b[imageHeadBytes+40]++; return b },
		"place far away": func(b []byte) []byte { b[imageHeadBytes+43] ^= 0x40; return b },
		"place twice": func(b []byte) []byte {
			copy(b[imageHeadBytes+88:], b[imageHeadBytes+40:imageHeadBytes+48])
			return b
		},
		"session":          func(b []byte) []byte { b[imageHeadBytes+32] |= 1; return b },
		"name length":      func(b []byte) []byte { b[names+entryHeadBytes] = NameBytesMax + 1; return b },
		"name length 0":    func(b []byte) []byte { b[names+entryHeadBytes] = 0; return b },
		"no product":       func(b []byte) []byte { clear(b[names : names+3]); return b },
		"zero in the name": func(b []byte) []byte { b[names+entryNameAt] = 0; return b },
		"another name":     func(b []byte) []byte { b[names+entryNameAt] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			tab := newTable(t)
			before := tab.ReadStats()
			err := tab.LoadShard(5, damage(append([]byte(nil), good...)))
			if !errors.Is(err, ErrImage) {
				t.Errorf("%v", err)
			}
			if after := tab.ReadStats(); after.Devices != 0 || after.SlotBytes != before.SlotBytes || after.NameBytes != 0 {
				t.Errorf("left behind: %+v", after)
			}
			if err := tab.LoadShard(5, good); err != nil || tab.Len() != used {
				t.Errorf("the good image afterwards: %v", err)
			}
		})
	}
	if err := newTable(t).LoadShard(Shards, good); !errors.Is(err, ErrImage) {
		t.Errorf("a shard that is none: %v", err)
	}
}

// FuzzLoadShard: no panic on any bytes; what is taken can be walked, found, and copied again to an image of the same
// devices.
func FuzzLoadShard(f *testing.F) {
	_, images := imageOf(f, 700)
	f.Add([]byte{})
	f.Add(images[5])
	f.Add(newTable(f).AppendShard(nil, 5))
	f.Fuzz(func(t *testing.T, data []byte) {
		tab, err := New(Options{Seed: 0x5eed})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := tab.Close(); err != nil {
				t.Error(err)
			}
		}()
		if tab.LoadShard(5, data) != nil {
			if tab.Len() != 0 {
				t.Fatal("refused, and yet there")
			}
			return
		}
		walked := 0
		tab.Walk(0, func(o Ordinal, _ uint32, _ []byte) bool {
			walked++
			if s := tab.SlotOf(o); s == nil || o.Shard() != 5 {
				t.Fatalf("ordinal %d has no slot", o)
			}
			return true
		})
		if walked != tab.Len() {
			t.Fatalf("%d walked of %d", walked, tab.Len())
		}
		checkCopyOfShard(t, tab, tab.AppendShard(nil, 5), len(data))
	})
}

func checkCopyOfShard(t *testing.T, tab *Table, data []byte, size int) {
	t.Helper()
	if len(data) != size {
		t.Fatalf("%d bytes, loaded from %d", len(data), size)
	}
	again := newTable(t)
	if err := again.LoadShard(5, data); err != nil {
		t.Fatal(err)
	}
	tab.Walk(0, func(o Ordinal, _ uint32, _ []byte) bool {
		if a, b := tab.SlotOf(o), again.SlotOf(o); b == nil || *a.plain() != *b.plain() || tab.Grant(o) != again.Grant(o) {
			t.Fatalf("ordinal %d differs", o)
		}
		return true
	})
}
