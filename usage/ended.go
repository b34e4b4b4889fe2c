package usage

import (
	"sync"

	"github.com/meterd/meterd/shard/record"
)

// ended remembers what products had used before instants that had to be searched for. They lie before a product's last
// bucket, so these totals do not change any more. It is safe for concurrent use.
type ended struct {
	mu   sync.Mutex
	sums map[boundary]record.Totals
}

type boundary struct{ product, quarter uint32 }

// find sets those of some boundaries that are remembered, and returns the others.
func (e *ended) find(b *boundaries, which []int) (others []int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, i := range which {
		if sum, found := e.sums[boundary{b.product, b.at[i].Quarter}]; found {
			b.set(i, sum)
		} else {
			others = append(others, i)
		}
	}
	return others
}

// add remembers some boundaries. When there are too many others are forgotten for them, whichever.
func (e *ended) add(b *boundaries, which []int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sums == nil {
		e.sums = map[boundary]record.Totals{}
	}
	for _, i := range which {
		if b.at[i].Quarter < b.from {
			continue // It is not known.
		}
		for other := range e.sums {
			if len(e.sums) < endedMax {
				break
			}
			delete(e.sums, other)
		}
		e.sums[boundary{b.product, b.at[i].Quarter}] = b.sums[i]
	}
}
