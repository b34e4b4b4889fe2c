package cells

import (
	"testing"

	"github.com/meterd/meterd/event"
)

// An answer names events that were sent; that to a whole batch may be of more events than are sent again.
func TestIsSound(t *testing.T) {
	var s share
	s.outcome.result.Denials = []event.Denial{{Index: 2}}
	if !s.isSound() {
		t.Error("an answer that was remembered is refused")
	}
	for n, want := range map[int]bool{1: false, 2: false, 3: true} {
		if s.indexes = make([]int32, n); s.isSound() != want {
			t.Errorf("of %d events: %t", n, !want)
		}
	}
}
