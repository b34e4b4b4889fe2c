package history

import (
	"context"
	"fmt"
	"time"

	"github.com/meterd/meterd/event"
)

// Past is how products stood at an aligned instant that has passed, and at which no sample was taken.
type Past struct {
	AtMs     int64 // Unix milliseconds
	Products []Product
}

// AddPast writes what stood at instants of the past, in their order, into every store, and returns when they have it,
// or when ctx ends. Of counters it writes messages alone, and none at a quarter of an hour: the others, and those, are
// filled in from the ledger, which they must fit between. What a store does not take is tried again.
func (h *History) AddPast(ctx context.Context, list []Past) error {
	for _, t := range h.tiers {
		every := sampleEvery
		if t.answers > fineFor && len(h.tiers) > 1 {
			every = refreshEvery
		}
		if err := t.addPast(ctx, list, every); err != nil {
			return fmt.Errorf("add the past to store %s: %w", t.name, err)
		}
	}
	return nil
}

// addPast writes what is so far apart. It touches nothing of the tier but its store.
func (t *tier) addPast(ctx context.Context, list []Past, every time.Duration) error {
	var body []byte
	last := map[uint32][]point{}
	for i := range list {
		at := list[i].AtMs
		if at%every.Milliseconds() != 0 {
			continue
		}
		for j := range list[i].Products {
			p := &list[i].Products[j]
			now := p.gauges(messagesOf(p.Usage.counters(nil)))
			for _, pt := range now {
				before, was := find(last[p.ID], pt.id)
				isFilled := !pt.id.isGauge() && at%quarter.Milliseconds() == 0
				if !isFilled && (!was || before != pt.value || at%refreshEvery.Milliseconds() == 0) {
					body = appendSample(body, p, pt.id, pt.value, at)
				}
			}
			last[p.ID] = now
		}
		if len(body) < bodyBytesMax && i < len(list)-1 {
			continue
		}
		if err := t.writeUntil(ctx, body); err != nil {
			return err
		}
		body = body[:0]
	}
	return t.writeUntil(ctx, body)
}

// writeUntil writes until the store has taken it, or ctx ends.
func (t *tier) writeUntil(ctx context.Context, body []byte) error {
	for len(body) > 0 {
		within, cancel := context.WithTimeout(ctx, lookFor)
		err := t.write(within, body, true)
		cancel()
		if err == nil {
			return nil
		}
		if !sleep(ctx, pastRetryAfter) {
			return err
		}
	}
	return nil
}

// messagesOf returns the points of messages among counters.
func messagesOf(points []point) (kept []point) {
	for _, pt := range points {
		kind, of := pt.id&kindMask, event.Type(pt.id>>8&0xff)
		if kind == kindUp || kind == kindDown || kind == kindDenied && (of == event.Up || of == event.Down) {
			kept = append(kept, pt)
		}
	}
	return kept
}
