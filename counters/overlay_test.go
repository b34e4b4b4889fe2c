package counters

import (
	"bytes"
	"fmt"
	"testing"
)

// TestOverlay: an overlay shows the devices of its table and those that were inserted, each with what was done to it,
// and the table stays as it is, byte for byte.
func TestOverlay(t *testing.T) {
	table, err := New(Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	const devices = overlaySlots + 10
	names, keys := make([][]byte, 2*devices), make([]Key, 2*devices)
	for i := range names {
		names[i] = fmt.Appendf(nil, "d%d", i)
		keys[i] = table.KeyOf(7, names[i])
	}
	if !table.Reserve(devices) {
		t.Fatal("no room")
	}
	for i := range devices {
		s, _, err := table.Insert(keys[i], names[i])
		if err != nil {
			t.Fatal(err)
		}
		s.CountMessage(5, true, uint32(i), 1500)
		table.SetGrant(s.Ordinal(), Grant{ActivatedAt: uint64(i), Serial: uint64(i), Pool: 1})
	}
	image := func() (b []byte) {
		for s := range Shards {
			b = table.AppendShard(b, s)
		}
		return b
	}
	before, v := image(), NewOverlay(table, devices)
	found := make([]*Slot, 2*devices)
	v.FindBatch(keys[5:], found[5:])
	ordinals := map[Ordinal]bool{}
	for i, k := range keys {
		s := v.Find(k)
		if i >= devices {
			if s != nil || found[i] != nil {
				t.Fatalf("device %d is there already", i)
			}
			var isNew bool
			if s, isNew, err = v.Insert(k, names[i]); err != nil || !isNew || s.License() != 0 || s.Message() != 0 {
				t.Fatalf("device %d: %v", i, err)
			}
		} else if i >= 5 && found[i] != s || s.Message().Up() != uint32(i) || v.Grant(s.Ordinal()).Serial != uint64(i) {
			t.Fatalf("device %d has %d up", i, s.Message().Up())
		}
		if out := s.CountMessage(6, false, 3, 1500); !out.OK || v.Find(k).Message().Down() != 3 {
			t.Fatalf("device %d counts %+v", i, out)
		}
		s.StoreOTA(NewOTAWord(9, 0, 1, 0, 0))
		s.SetOnline(3)
		v.SetGrant(s.Ordinal(), Grant{Serial: 5})
		if again, isNew, err := v.Insert(k, names[i]); again != s || isNew || err != nil {
			t.Fatalf("device %d is inserted twice: %v", i, err)
		}
		product, name := v.Name(s.Ordinal())
		if product != 7 || !bytes.Equal(name, names[i]) || v.Grant(s.Ordinal()).Serial != 5 || ordinals[s.Ordinal()] {
			t.Fatalf("ordinal %d of device %d names %d/%s", s.Ordinal(), i, product, name)
		}
		ordinals[s.Ordinal()] = true
	}
	if !bytes.Equal(image(), before) || table.Len() != devices {
		t.Error("the table has changed")
	}
	if _, _, err := v.Insert(table.KeyOf(7, nil), nil); err == nil {
		t.Error("a device without a name is inserted")
	}
}
