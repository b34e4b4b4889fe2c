package recovery

import (
	"testing"

	"github.com/meterd/meterd/shard/record"
)

// Memory lets go of a quarter of an hour when it has ended and the ledger has its last change, and not before: what a
// group adds to it later would begin at zero.
func TestTotalsLetGo(t *testing.T) {
	var s Totals
	s.init()
	one := record.Totals{Activations: 1}
	for number := range uint32(4) {
		for product := range uint32(3) {
			s.Join(record.Quarter{Product: product, Number: number}, &one, uint64(10*number+product))
		}
	}
	held := func(want int) {
		t.Helper()
		if len(s.quarters) != want || len(s.order) != want {
			t.Fatalf("%d quarters, %d in order; want %d", len(s.quarters), len(s.order), want)
		}
		n := 0
		for _, section := range s.sections() {
			if err := eachEntry(section, func([]byte) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if n != want {
			t.Fatalf("a checkpoint gets %d quarters of %d", n, want)
		}
	}
	held(12)
	s.LetGo(0, 100) // They have not ended.
	held(12)
	s.LetGo(3, 11) // The ledger has quarter 0, and 1 but for its last change.
	held(7)
	s.Lock()
	s.Add(record.Quarter{Product: 2, Number: 1}, &one, 40) // It was decided before quarter 1 ended.
	got := s.Of(record.Quarter{Product: 2, Number: 1}).Activations
	s.Unlock()
	if got != 2 {
		t.Fatalf("%d activations, 2 were counted", got)
	}
	s.LetGo(3, 39)
	held(7)
	s.LetGo(3, 40)
	held(3)
}
