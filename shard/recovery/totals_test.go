package recovery

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

func drawBucketTotals(t *rapid.T) record.BucketTotals {
	b := record.BucketTotals{Bucket: record.Bucket{
		Product: rapid.Uint32Range(1, 3).Draw(t, "product"), Quarter: rapid.Uint32Range(1, 3).Draw(t, "quarter"),
		Day: rapid.Uint32Range(1, 2).Draw(t, "day"),
	}}
	b.MessagesUp, b.VoidPacks = rapid.Uint64Range(0, 9).Draw(t, "up"), rapid.Uint64Range(0, 9).Draw(t, "packs")
	b.Deny(event.Up, event.NotActivated, rapid.Uint64Range(0, 3).Draw(t, "denied"))
	return b
}

// What lanes gathered, group by group, is the same however it was dealt to lanes; each group says the totals after each
// of its buckets, in order; and joining what the groups say, in any order and twice, gives the same state.
func TestTotalsSeal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sealed, joined Totals
		sealed.init()
		joined.init()
		var heads []record.BucketTotals
		sums := map[uint32]*record.Totals{}
		from := uint32(0)
		for range rapid.IntRange(0, 5).Draw(t, "groups") {
			gathered := rapid.SliceOfN(rapid.Custom(drawBucketTotals), 0, 12).Draw(t, "gathered")
			for i := range gathered {
				gathered[i].Quarter += from // Decided times never go back.
				sum := sums[gathered[i].Product]
				if sum == nil {
					sum = &record.Totals{}
					sums[gathered[i].Product] = sum
				}
				sum.Add(&gathered[i].Totals)
			}
			from += 3
			head := sealed.Seal(nil, gathered)
			if !slices.IsSortedFunc(head, func(a, b record.BucketTotals) int { return a.Compare(b.Bucket) }) {
				t.Fatalf("%+v is not in order", head)
			}
			heads = append(heads, head...)
		}
		for product, sum := range sums {
			if got := sealed.Of(product); !got.Equal(sum) {
				t.Fatalf("product %d: %+v, want %+v", product, got, sum)
			}
		}
		heads = rapid.Permutation(append(heads, heads...)).Draw(t, "order")
		for i := range heads {
			joined.Join(&heads[i])
		}
		if !reflect.DeepEqual(joined.All(), sealed.All()) {
			t.Fatalf("joined %+v, sealed %+v", joined.All(), sealed.All())
		}
		// So does a checkpoint.
		again := Joiner{s: &State{}}
		again.s.Totals.init()
		for _, section := range sealed.sections() {
			if err := again.totals(section); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(again.s.Totals.All(), sealed.All()) {
			t.Fatalf("a checkpoint holds %+v of %+v", again.s.Totals.All(), sealed.All())
		}
	})
}

// What was handed out is not changed by what comes later.
func TestTotalsAreCopied(t *testing.T) {
	var s Totals
	s.init()
	one := []record.BucketTotals{{Bucket: record.Bucket{Product: 1, Quarter: 1, Day: 1}}}
	one[0].Deny(event.Up, event.Suspended, 1)
	head := s.Seal(nil, one)
	of, all := s.Of(1), s.All()
	s.Seal(nil, one)
	for _, got := range []record.BucketTotals{head[0], of, all[0]} {
		if n := got.DeniedWith(event.Up, event.Suspended); n != 1 {
			t.Errorf("%d denials, there was one", n)
		}
	}
	if got := s.Of(1); got.DeniedWith(event.Up, event.Suspended) != 2 {
		t.Errorf("%+v after two groups of one denial", got)
	}
}
