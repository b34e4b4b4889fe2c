package counters

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// An Index agrees with SlotOf while devices are bound and shards grow under it.
func TestIndex(t *testing.T) {
	table, err := New(Options{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	source, err := New(Options{Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	r := rand.New(rand.NewPCG(1, 2))
	x := table.NewIndex()
	defer func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}()
	var ordinals []Ordinal
	for i := range 60_000 {
		name := fmt.Appendf(nil, "device-%d", i)
		if !source.Reserve(1) {
			if err := source.Grow(1, 1<<30); err != nil || !source.Reserve(1) {
				t.Fatal("no room", err)
			}
		}
		s, _, err := source.Insert(source.KeyOf(1, name), name)
		if err != nil {
			t.Fatal(err)
		}
		o := s.Ordinal()
		if _, err := table.BindAt(o, 1, name); err != nil {
			t.Fatal(err)
		}
		ordinals = append(ordinals, o)
		if i%977 != 0 {
			continue
		}
		ask := []Ordinal{o, OrdinalMax, o + 1}
		for range 200 {
			ask = append(ask, ordinals[r.IntN(len(ordinals))])
		}
		found := make([]*Slot, len(ask))
		x.Find(ask, found)
		for k, o := range ask {
			if want := table.SlotOf(o); found[k] != want {
				t.Fatalf("after %d devices: ordinal %d found %p, want %p", i+1, o, found[k], want)
			}
		}
	}
}
