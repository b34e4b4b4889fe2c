package persist

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Every version of a list is a slice of its own, whatever is done to later ones.
func TestListVersions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l List[int]
		var model []int
		var versions []List[int]
		var models [][]int
		for made := range uint64(rapid.IntRange(1, 10).Draw(t, "versions")) {
			for range rapid.IntRange(0, 400).Draw(t, "writes") {
				i, v := len(model), rapid.Int().Draw(t, "value")
				if i > 0 && rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
					i = rapid.IntRange(0, i-1).Draw(t, "place")
					model[i] = v
				} else {
					model = append(model, v)
				}
				l.Set(made, uint32(i), v)
			}
			versions, models = append(versions, l), append(models, slices.Clone(model))
		}
		for n := range versions {
			v, want := versions[n], models[n]
			got := make([]int, v.Len())
			for i := range got {
				got[i] = v.Get(uint32(i))
			}
			if !slices.Equal(got, want) {
				t.Fatalf("version %d is %v, want %v", n, got, want)
			}
			if v.Get(1<<32-1) != 0 || v.Get(uint32(len(want)+chunkLen)) != 0 {
				t.Fatal("there is something beyond the end")
			}
		}
	})
}

func TestListHasNoGaps(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an element was set beyond the end")
		}
	}()
	var l List[int]
	l.Set(0, 1, 7)
}
