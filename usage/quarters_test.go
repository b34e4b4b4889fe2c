package usage

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/shard/record"
)

// Quarters gives what a product had used at the end of each of its quarters, as TotalsBefore does for the next one.
func TestQuarters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, time.FixedZone("", 5*3600+17*60), true)
		l := New(Options{Store: newMapStore(), Retention: 9480 * time.Hour})
		if err := l.Apply(h.groups, nil); err != nil {
			t.Fatal(err)
		}
		last := map[uint32]record.Totals{}
		from := h.after[1][0].Quarter + rapid.Uint32Range(0, 1000).Draw(t, "from")
		before := uint32(0)
		err := l.Quarters(1, from, func(quarter uint32, sum *record.Totals) bool {
			if quarter < from || quarter < before {
				t.Fatalf("quarter %d comes behind %d, from %d", quarter, before, from)
			}
			before, last[quarter] = quarter, *sum
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range h.after[1] {
			sum, got := last[a.Quarter]
			if got != (a.Quarter >= from) {
				t.Fatalf("quarter %d, from %d: %v", a.Quarter, from, got)
			}
			if want := h.before(record.Bucket{Product: 1, Quarter: a.Quarter + 1}); got && !sum.Equal(&want) {
				t.Fatalf("quarter %d: %v, want %v", a.Quarter, sum, want)
			}
		}
	})
}
