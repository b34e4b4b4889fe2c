package claims

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A ring is a sorted list, whatever comes in whatever order and wherever it begins.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[uint64]
		var model []uint64
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			sequence := rapid.Uint64Range(0, 60).Draw(t, "sequence")
			want, known := slices.BinarySearch(model, sequence)
			i, found := r.search(sequence)
			if i != want || found != known {
				t.Fatalf("%d of %v: at %d, %v", sequence, model, i, found)
			}
			switch {
			case !found:
				r.insert(i, sequence, sequence*3)
				model = slices.Insert(model, i, sequence)
			case rapid.Bool().Draw(t, "first"):
				r.remove(0)
				model = model[1:]
			default:
				r.remove(i)
				model = slices.Delete(slices.Clone(model), i, i+1)
			}
			for i, sequence := range model {
				if r.n != len(model) || r.sequence(i) != sequence || *r.value(i) != sequence*3 {
					t.Fatalf("%d of %d is %d, not %d of %d", i, r.n, r.sequence(i), sequence, len(model))
				}
			}
		}
	})
}
