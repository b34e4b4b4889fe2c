package archive

import (
	"slices"
	"testing"
)

// One device may have many rows in a group, from chunks whose times cross. They are put in order in a moment, not in
// the hour that steps by the square of their number would take.
func TestSettleManyRowsOfADevice(t *testing.T) {
	const n = 1 << 20
	rows := make([]memoryRow, 0, n)
	for chunk := range uint32(2) {
		for i := range uint32(n / 2) {
			rows = append(rows, memoryRow{ms: i / 8, tie: chunk, text: i})
		}
	}
	settle(rows)
	if len(rows) != n || !slices.IsSortedFunc(rows, func(x, y memoryRow) int {
		if y.before(&x) || !x.before(&y) && x.text > y.text { // Equal rows stay as they came.
			return 1
		}
		return -1
	}) {
		t.Error("the rows are not in order")
	}
}
