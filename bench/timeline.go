package bench

import (
	"math/bits"
	"time"
)

// timeline has a bit for each millisecond of a load: whether an answer arrived in it. The zero value is ready to use.
// It is not safe for concurrent use.
type timeline struct{ words []uint64 }

// mark records an answer. It allocates once a minute, not once a batch.
func (t *timeline) mark(at time.Duration) {
	ms := max(0, int(at/time.Millisecond))
	for ms/64 >= len(t.words) {
		t.words = append(t.words, make([]uint64, 1000)...)
	}
	t.words[ms/64] |= 1 << (ms % 64)
}

// stall returns the longest time between from and to in which no answer arrived, to the millisecond.
func (t *timeline) stall(from, to time.Duration) time.Duration {
	last, longest := from, time.Duration(0)
	for i, word := range t.words {
		for ; word != 0; word &= word - 1 {
			at := time.Duration(64*i+bits.TrailingZeros64(word)) * time.Millisecond
			if at < from || at > to {
				continue
			}
			longest = max(longest, at-last)
			last = at
		}
	}
	return max(longest, to-last, 0).Truncate(time.Millisecond)
}
