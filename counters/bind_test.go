package counters

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

type binding struct {
	o       Ordinal
	product uint32
	name    string
}

// bindings returns what the log of a table with so many devices says of them.
func bindings(tb testing.TB, devices int) []binding {
	tab := newTable(tb)
	for i := range devices {
		put(tb, tab, uint32(1+i%5), fmt.Sprintf("%0*d", 6+i%40, i))
	}
	var all []binding
	tab.Walk(0, func(o Ordinal, product uint32, name []byte) bool {
		all = append(all, binding{o, product, string(name)})
		return true
	})
	if len(all) != devices {
		tb.Fatalf("%d bindings of %d", len(all), devices)
	}
	return all
}

// Bindings in any order, with repetitions and some lost, give their devices their ordinals; what was lost is a hole,
// and what is inserted afterwards comes behind.
func TestBindInAnyOrder(t *testing.T) {
	all := bindings(t, 20_000)
	kept := all[:0:0]
	for i, b := range all {
		if i%7 != 0 {
			kept = append(kept, b)
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	shuffled := append(append([]binding(nil), kept...), kept[:1000]...)
	rnd.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })

	tab := newTable(t)
	for _, b := range shuffled {
		s, err := tab.BindAt(b.o, b.product, []byte(b.name))
		if err != nil || s.Ordinal() != b.o {
			t.Fatalf("%+v: %v", b, err)
		}
	}
	if tab.Len() != len(kept) || tab.Reserve(1) {
		t.Fatalf("%d devices, want %d", tab.Len(), len(kept))
	}
	at := 0
	tab.Walk(0, func(o Ordinal, product uint32, name []byte) bool {
		if got := (binding{o, product, string(name)}); got != kept[at] {
			t.Fatalf("walked %+v, want %+v", got, kept[at])
		}
		at++
		return true
	})
	if at != len(kept) {
		t.Fatalf("walked %d of %d", at, len(kept))
	}
	for i, b := range all {
		if s := tab.SlotOf(b.o); (s != nil) != (i%7 != 0) {
			t.Fatalf("%+v: %v", b, s)
		}
	}
	s := put(t, tab, 1, "new")
	for _, b := range kept {
		if b.o.Shard() == s.Ordinal().Shard() && b.o >= s.Ordinal() {
			t.Fatalf("a new device at %d, before %+v", s.Ordinal(), b)
		}
	}
	checkCopy(t, tab, allImages(tab), len(kept)+1) // with holes
}

func allImages(tab *Table) [][]byte {
	images := make([][]byte, Shards)
	for i := range images {
		images[i] = tab.AppendShard(nil, i)
	}
	return images
}

func TestBindRefusesContradictions(t *testing.T) {
	all := bindings(t, 5000)
	tab := newTable(t)
	b := all[10]
	s, err := tab.BindAt(b.o, b.product, []byte(b.name))
	if err != nil {
		t.Fatal(err)
	}
	s.CountMessage(1, true, 1, 1)
	other := all[11] // of the same shard, as ordinals go
	for name, c := range map[string]binding{
		"another place":       {b.o + 100, b.product, b.name},
		"another shard":       {b.o ^ 1<<arenaBits, b.product, b.name},
		"beyond all ordinals": {OrdinalMax + 1 + b.o, b.product, b.name},
		"place of another":    {b.o, other.product, other.name},
		"inside another":      {b.o + 1, other.product, other.name},
		"into another":        {b.o - 1, other.product, other.name},
		"across chunks":       {Ordinal(b.o.Shard())<<arenaBits | (chunkWords - 1), other.product, other.name},
		"no product":          {b.o, 0, b.name},
		"no name":             {b.o, 1, ""},
	} {
		if got, err := tab.BindAt(c.o, c.product, []byte(c.name)); err == nil {
			t.Errorf("%s: bound to %v", name, got.Ordinal())
		}
	}
	if tab.Len() != 1 || tab.SlotOf(b.o).Message() != NewMessageWord(1, 1, 0) {
		t.Error("a refused binding changed something")
	}
	if again, err := tab.BindAt(b.o, b.product, []byte(b.name)); err != nil || again != tab.SlotOf(b.o) {
		t.Errorf("the same binding again: %v", err)
	}
}

// Any ordinal can be asked for: what names nothing gives nothing, nowhere a byte is read that is not the arena's.
func TestStrayOrdinals(t *testing.T) {
	tab := newTable(t)
	for i := range 3000 {
		put(t, tab, 1, fmt.Sprintf("d%d", i))
	}
	rnd := rand.New(rand.NewPCG(7, 8))
	names := 0
	for i := range 200_000 {
		o := Ordinal(rnd.Uint64()) >> rnd.IntN(40)
		if i%2 == 0 { // near what is there
			o = newOrdinal(rnd.IntN(Shards), uint32(rnd.IntN(60)))
		}
		tab.Grant(o)
		if _, name := tab.Name(o); len(name) > NameBytesMax {
			t.Fatalf("%d: %q", o, name)
		}
		if s := tab.SlotOf(o); s != nil {
			names++
			if s.Ordinal() != o {
				t.Fatalf("%d is %d", o, s.Ordinal())
			}
		}
	}
	if names == 0 {
		t.Error("no ordinal met a device")
	}
	tab.Walk(OrdinalMax+1, func(Ordinal, uint32, []byte) bool { t.Error("walked beyond all"); return true })
}
