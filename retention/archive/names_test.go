package archive

import (
	"fmt"
	"slices"
	"testing"
)

// TestNameInTwoProducts: two products may have devices of the same name. While these are not known their rows have the
// same hash, and stand beside each other in memory. Each product's come by their times all the same, though the chunks
// of a group were decided beside each other: gathered, packed and in a run, in both directions.
func TestNameInTwoProducts(t *testing.T) {
	type said struct {
		product uint32
		ms      int64
	}
	for _, chunks := range [][]said{
		{{1, 3}, {2, 2}, {1, 1}},
		{{2, 3}, {1, 2}, {2, 1}},
		{{1, 5}, {2, 5}, {1, 5}, {2, 1}, {1, 5}, {1, 2}, {2, 3}, {1, 1}, {2, 1}},
	} {
		h := newHistory(1, 1)
		g := historyGroup{seq: 1, firstMs: beginMs, lastMs: beginMs + 5}
		for i, e := range chunks {
			name := []byte("same")
			g.rows = append(g.rows, Row{
				Device: Unknown(e.product, name), DecidedMs: beginMs + e.ms, Type: typeUp, Code: 4, Name: name,
				Topic: fmt.Append(nil, i),
			})
		}
		h.take(g)
		s := testStore(t, Options{})
		g.feed(t, s)
		compare := func(where string) {
			t.Helper()
			for product := uint32(1); product <= 2; product++ {
				want := h.wantProduct(s, product, 1, beginMs)
				for _, oldest := range []bool{true, false} {
					if !oldest {
						slices.Reverse(want)
					}
					what := fmt.Sprintf("%v %s, product %d, oldest first %v", chunks, where, product, oldest)
					q := Query{
						Devices: []Device{Unknown(product, []byte("same"))}, Name: []byte("same"), ToMs: 1 << 50, Oldest: oldest,
					}
					same(t, what, read(t, s, q, beginMs), want)
					all := productQuery(s, product, beginMs)
					all.Oldest = oldest
					same(t, what+", the product's", readProduct(t, s, all), want)
				}
			}
		}
		compare("gathered")
		changes := historyGroup{seq: 2, firstMs: g.lastMs, lastMs: g.lastMs, days: map[uint32]uint32{3: 1}}
		changes.feed(t, s)
		compare("packed")
		if err := s.WriteRun(); err != nil {
			t.Fatal(err)
		}
		compare("in a run")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
