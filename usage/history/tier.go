package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

// tier is a store with what was written to it. The writer's goroutine owns it, but for the atomics and the store.
type tier struct {
	store
	name string
	// keeps is how far back the store keeps samples, answers how far back it is asked for them.
	keeps, answers time.Duration
	// run says which run of the child this is: what was written to the one before may have been lost.
	run func() uint64

	knownRun uint64
	// all has every series written at the next instant, not only those that changed.
	all bool
	// last holds the points that were written last, by product.
	last map[uint32][]point
	// filled is the quarter up to which the store is filled for certain; known is false until the store was asked.
	filled uint32
	known  bool
	// products are those of the last look.
	products   []Product
	complained map[string]time.Time
	// pending are quarters that were written a short time ago.
	pending []pendingQuarter

	writtenMs atomic.Int64 // the last instant that was written whole
	filledTo  atomic.Uint32
	samples   atomic.Uint64
	body      []byte
}

type pendingQuarter struct {
	number uint32
	since  time.Time
}

// resume takes notice of another run of the store: everything is written again, and the store is asked how far it is
// filled.
func (t *tier) resume(ctx context.Context, nowMs int64) error {
	if run := t.run(); run != t.knownRun || t.last == nil {
		t.lost()
		t.knownRun = run
		if t.last == nil {
			t.last = map[uint32][]point{}
		}
	}
	if t.known {
		return nil
	}
	filled, err := t.askFilled(ctx, nowMs)
	if err != nil {
		return err
	}
	t.known, t.filled = true, filled
	t.filledTo.Store(filled)
	return nil
}

// reached is the quarter up to which the store was filled, if nothing is lost of it.
func (t *tier) reached() uint32 {
	if n := len(t.pending); n > 0 {
		return t.pending[n-1].number
	}
	return t.filled
}

// lost has everything written again, and the store asked again how far it is filled.
func (t *tier) lost() { t.all, t.known, t.pending, t.body = true, false, nil, t.body[:0] }

// askFilled asks the store up to which quarter it is filled, 0 if it is empty.
func (t *tier) askFilled(ctx context.Context, nowMs int64) (uint32, error) {
	values := url.Values{
		"query":   {"max(last_over_time(" + filledName + "[" + strconv.FormatInt(int64(t.keeps/time.Hour), 10) + "h]))"},
		"time":    {seconds(nowMs)},
		"nocache": {"1"},
	}
	answer, err := t.get(ctx, "query", values.Encode())
	if err != nil {
		return 0, err
	}
	if answer.Status != 200 {
		return 0, fmt.Errorf("ask store %s how far it is filled: status %d: %.200s", t.name, answer.Status, answer.Body)
	}
	return parseFilled(answer.Body)
}

// parseFilled reads the answer to askFilled.
func parseFilled(body []byte) (uint32, error) {
	var answer struct {
		Data struct {
			Result []struct {
				Value [2]json.RawMessage `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return 0, fmt.Errorf("read how far a store is filled: %w", err)
	}
	if len(answer.Data.Result) == 0 {
		return 0, nil
	}
	var text string
	if err := json.Unmarshal(answer.Data.Result[0].Value[1], &text); err != nil {
		return 0, fmt.Errorf("read how far a store is filled: %w", err)
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 0 || n > math.MaxUint32 {
		return 0, fmt.Errorf("read how far a store is filled: %.40q is no quarter", text)
	}
	return uint32(n), nil
}

// sample writes products as they stood at an aligned instant: what has changed, everything if refresh.
// Counters are left out at a quarter of an hour: the filler writes them.
func (t *tier) sample(ctx context.Context, products []Product, atMs int64, refresh bool) error {
	refresh = refresh || t.all
	atQuarter := atMs%quarter.Milliseconds() == 0
	t.all = true // Until everything is written.
	var points []point
	for i := range products {
		p := &products[i]
		last, isKnown := t.last[p.ID]
		// What this process has not seen before may have begun long ago, unless it looked at all products before.
		begins := isKnown || t.writtenMs.Load() != 0
		points = points[:0]
		if atQuarter {
			points = appendCounters(points, last)
		} else {
			points = p.Usage.counters(points)
			for _, pt := range points {
				before, was := find(last, pt.id)
				if !was && begins && pt.value > 0 {
					t.line(p, pt.id, 0, atMs-sampleEvery.Milliseconds())
				}
				if !was || before != pt.value || refresh {
					t.line(p, pt.id, pt.value, atMs)
				}
			}
		}
		gauges := len(points)
		points = p.gauges(points)
		for _, pt := range points[gauges:] {
			if before, was := find(last, pt.id); !was || before != pt.value || refresh {
				t.line(p, pt.id, pt.value, atMs)
			}
		}
		t.last[p.ID] = append(last[:0], points...)
		if err := t.flush(ctx, bodyBytesMax, false); err != nil {
			return err
		}
	}
	if err := t.flush(ctx, 0, true); err != nil {
		return err
	}
	t.all = false
	t.writtenMs.Store(atMs)
	return nil
}

func (t *tier) line(p *Product, id seriesID, value uint64, atMs int64) {
	t.body = appendSample(t.body, p, id, value, atMs)
	t.samples.Add(1)
}

// flush sends what was gathered if it is more than so many bytes.
func (t *tier) flush(ctx context.Context, bytes int, shown bool) error {
	if len(t.body) <= bytes {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookFor)
	defer cancel()
	err := t.write(ctx, t.body, shown)
	t.body = t.body[:0]
	return err
}

// fill writes the counters of all products at the ends of the quarters behind t.filled, one step at most, and reports
// whether there is more. now is the running quarter: everything before it has been settled.
func (t *tier) fill(ctx context.Context, source Source, now uint32) (more bool, err error) {
	oldest := now - uint32(t.keeps/quarter)
	from := t.reached()
	if from < oldest {
		if from, err = t.firstUse(source, oldest, now); err != nil {
			return false, err
		}
	}
	to := min(now, from+uint32(max(1, stepRows/max(1, len(t.products)))))
	if to == from {
		return false, nil
	}
	for i := range t.products {
		if err := t.fillProduct(ctx, source, &t.products[i], from, to); err != nil {
			return false, err
		}
	}
	if err := t.flush(ctx, 0, true); err != nil {
		return false, err
	}
	t.pending = append(t.pending, pendingQuarter{to, time.Now()})
	return to < now, nil
}

// firstUse returns the first quarter behind from at which a product had used anything, now if none has.
func (t *tier) firstUse(source Source, from, now uint32) (first uint32, err error) {
	first = now
	for i := range t.products {
		before, err := source.Before(t.products[i].ID, from)
		if err != nil || used(before.counters(nil)) {
			return from, err
		}
		err = source.Quarters(t.products[i].ID, from, func(number uint32, u *Usage) bool {
			if !used(u.counters(nil)) {
				return true
			}
			first = min(first, number)
			return false
		})
		if err != nil {
			return 0, err
		}
	}
	return max(from, first-1), nil // What begins was zero a quarter before.
}

// fillProduct writes one product at the beginnings of the quarters behind from, up to to.
func (t *tier) fillProduct(ctx context.Context, source Source, p *Product, from, to uint32) error {
	before, err := source.Before(p.ID, from)
	if err != nil {
		return err
	}
	last := before.counters(nil)
	started := used(last)
	at := from // last holds at the beginnings of the quarters up to this one, which is written
	var now []point
	// until writes the last points at the beginnings of the quarters behind at, up to number.
	until := func(number uint32) error {
		for started && at < number {
			at++
			for _, pt := range last {
				t.line(p, pt.id, pt.value, quarterMs(at))
			}
			if err := t.flush(ctx, bodyBytesMax, false); err != nil {
				return err
			}
		}
		at = max(at, number)
		return nil
	}
	var failed error
	err = source.Quarters(p.ID, from, func(number uint32, u *Usage) bool {
		if number >= to {
			return false
		}
		if failed = until(number); failed != nil {
			return false
		}
		now = u.counters(now[:0])
		if !started && !used(now) {
			return true
		}
		for _, pt := range now {
			if _, found := find(last, pt.id); pt.value > 0 && (!found || !started) {
				t.line(p, pt.id, 0, quarterMs(number)) // It begins: it was zero before.
			}
		}
		last, now, started = now, last, true
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	return until(to)
}

// used reports whether anything was counted.
func used(points []point) bool {
	return slices.ContainsFunc(points, func(pt point) bool { return pt.value > 0 })
}

// settle notes the quarters that the store has on its disk by now, in the store. nowMs is an aligned instant.
func (t *tier) settle(ctx context.Context, nowMs int64) error {
	n := 0
	for n < len(t.pending) && time.Since(t.pending[n].since) >= settledAfter {
		n++
	}
	if n == 0 {
		return nil
	}
	number := t.pending[n-1].number
	t.body = appendFilled(t.body, number, nowMs)
	if err := t.flush(ctx, 0, false); err != nil {
		return err
	}
	t.pending = append(t.pending[:0], t.pending[n:]...)
	t.filled = number
	t.filledTo.Store(number)
	return nil
}

func quarterMs(number uint32) int64 { return int64(number) * quarter.Milliseconds() }

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64) }
