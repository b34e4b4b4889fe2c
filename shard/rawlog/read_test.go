package rawlog

import (
	"slices"
	"testing"

	"github.com/meterd/meterd/retention/archive"
)

// TestTailOrdersByPlace: a device may become known within a millisecond, by a row whose chunk comes first in its group.
// The log's end shows such rows in the order of their places, as the archive does: cursors go by places.
func TestTailOrdersByPlace(t *testing.T) {
	name := []byte("d")
	known := Row{Device: archive.Known(1, 7), DecidedMs: 1000}
	unknown := Row{Device: archive.Unknown(1, name), DecidedMs: 1000, Name: name}
	later := Row{Device: archive.Unknown(1, name), DecidedMs: 1001, Name: name}
	used := Row{Device: archive.Known(1, 7), DecidedMs: 1000, Used: 1}
	rows := []*Row{&later, &used, &known, &unknown}
	slices.SortStableFunc(rows, (&deviceAsked{}).compare)
	if want := []*Row{&unknown, &known, &used, &later}; !slices.Equal(rows, want) {
		t.Errorf("%+v, want %+v", rows, want)
	}
	if !slices.IsSortedFunc(rows, func(a, b *Row) int { return a.Place().Compare(b.Place()) }) {
		t.Error("the rows are not in the order of their places")
	}
}
