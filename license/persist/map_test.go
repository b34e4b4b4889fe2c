package persist

import (
	"fmt"
	"hash/maphash"
	"maps"
	"testing"

	"pgregory.net/rapid"
)

func contents[V any](m *Map[V]) map[string]V { return maps.Collect(m.All()) }

// Every version of a map is a plain map of its own, whatever is done to later ones.
func TestMapVersions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMap[int](maphash.MakeSeed())
		model := map[string]int{}
		var versions []Map[int]
		var models []map[string]int
		names := rapid.IntRange(1, 2000).Draw(t, "names")
		for made := range uint64(rapid.IntRange(1, 20).Draw(t, "versions")) {
			for range rapid.IntRange(0, 200).Draw(t, "writes") {
				name := fmt.Sprint(rapid.IntRange(0, names).Draw(t, "name"))
				if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
					m.Delete(made, name)
					delete(model, name)
				} else {
					v := rapid.Int().Draw(t, "value")
					m.Set(made, name, v)
					model[name] = v
				}
			}
			versions, models = append(versions, m), append(models, maps.Clone(model))
		}
		for i := range versions {
			if got := contents(&versions[i]); !maps.Equal(got, models[i]) || versions[i].Len() != len(models[i]) {
				t.Fatalf("version %d has %d names, said to be %d, want %d", i, len(got), versions[i].Len(), len(models[i]))
			}
			for n := range names + 1 {
				got, found := versions[i].Get([]byte(fmt.Sprint(n)))
				if want, there := models[i][fmt.Sprint(n)]; found != there || got != want {
					t.Fatalf("version %d: %d is %d, %t; want %d, %t", i, n, got, found, want, there)
				}
			}
		}
	})
}

// Two changes of one version, of which one was given up, know nothing of each other.
func TestMapBranches(t *testing.T) {
	m := NewMap[int](maphash.MakeSeed())
	for i := range 1000 {
		m.Set(0, fmt.Sprint(i), i)
	}
	a, b := m, m
	a.Set(1, "5", -1)
	b.Set(1, "5", -2)
	b.Delete(1, "6")
	for name, want := range map[*Map[int]]int{&m: 5, &a: -1, &b: -2} {
		if got, _ := name.Get([]byte("5")); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if _, found := a.Get([]byte("6")); !found || a.Len() != 1000 || b.Len() != 999 {
		t.Errorf("%t, %d, %d", found, a.Len(), b.Len())
	}
}

func TestMapDoesNotAllocateToRead(t *testing.T) {
	m := NewMap[*int](maphash.MakeSeed())
	name := []byte("name")
	get := func() { _, _ = m.Get(name) }
	empty := testing.AllocsPerRun(100, get)
	m.Set(0, "name", new(int))
	if n := testing.AllocsPerRun(100, get); n != 0 || empty != 0 {
		t.Errorf("%v and %v allocations", empty, n)
	}
}

// What a loader fills under one number is filled in place.
func TestMapIsFilledInPlace(t *testing.T) {
	m := NewMap[int](maphash.MakeSeed())
	m.Set(0, "first", 0)
	was := m.directory[0]
	m.Set(0, "first", 1)
	if m.directory[0] != was {
		t.Error("a table of this version was copied")
	}
}

func BenchmarkMapSet(b *testing.B) {
	m := NewMap[*int](maphash.MakeSeed())
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprintf("product-%06d", i)
		m.Set(0, names[i], nil)
	}
	b.Run("names=100000", func(b *testing.B) {
		b.ReportAllocs()
		made := uint64(0)
		for b.Loop() {
			made++
			m.Set(made, names[made%uint64(len(names))], nil)
		}
	})
}
