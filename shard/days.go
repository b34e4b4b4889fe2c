package shard

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard/record"
)

// What a device counts on a day lies in its words until it counts something on a later day: the compare-and-swap that
// replaces the word has it logged as closed. So of a device that does not return nothing would be logged. Soon after a
// product's midnight a scan of the table logs the words of all devices whose day is over, and says at its end that the
// day is closed. One scan serves all products whose midnight has passed.

// dayCloser lets one scan run at a time.
type dayCloser struct{ running sync.Mutex }

// runDays closes the days of all products soon after their midnights.
func (e *Engine) runDays() {
	for {
		rest := e.daysRest(e.closeDays())
		select {
		case <-time.After(rest):
		case <-e.stop:
			return
		case <-e.failed:
			return
		}
	}
}

// daysRest returns how long to rest after a scan that ended with err, and logs an error that nobody else tells of.
func (e *Engine) daysRest(err error) time.Duration {
	switch {
	case err == nil,
		errors.Is(err, ErrClockLeap),
		errors.Is(err, ErrDiskFull),
		errors.Is(err, ErrUnsafe),
		errors.Is(err, ErrStopped):
		return daysTick
	}
	e.logger.Error("days that are over cannot be closed: what their devices used is not complete in the ledger",
		"error", err, "retry_seconds", daysRetryAfter.Seconds())
	return daysRetryAfter
}

// daySpan is the days of a product that are over and not closed: those behind after and before running.
type daySpan struct{ after, running uint32 }

// holds reports whether a day is one of them; no day is one of the zero daySpan.
func (s daySpan) holds(day uint32) bool { return day > s.after && day < s.running }

// daysOver returns the days to close, by product; nil if there are none. Of a product that counted nothing since its
// days were closed last there are none.
func (e *Engine) daysOver(nowMs int64) []daySpan {
	cat := e.catalogue.Load()
	var over []daySpan
	for id := range cat.ProductIDMax() {
		p := cat.ProductByID(id + 1)
		running := p.Window(nowMs).Day
		if !p.State.Days.Before(running) {
			continue
		}
		if over == nil {
			over = make([]daySpan, cat.ProductIDMax()+1)
		}
		over[p.ID] = daySpan{p.State.Days.Through(), running}
	}
	return over
}

// closeDays logs the words of all days that are over, and that these are all. While ingest is stopped it does nothing.
func (e *Engine) closeDays() error {
	if err := e.refuse(); err != nil {
		return err
	}
	e.days.running.Lock()
	defer e.days.running.Unlock()
	if e.daysOver(e.clock.view()) == nil {
		return nil
	}
	nowMs, ok := e.clock.now()
	if !ok {
		return ErrClockLeap
	}
	over := e.daysOver(nowMs)
	if over == nil {
		return nil
	}
	// A turn inside the gate may have read the clock before midnight. Behind the cut every time is nowMs or later, so
	// that nothing counts for these days any more.
	if err := e.cut(0, nil); err != nil {
		return err
	}
	return e.scanDays(over)
}

// scanDays logs the words of the days in over, which do not change any more but may be replaced, and that these days
// are closed. One scan runs at a time, so nobody else closes a day meanwhile.
//
// A word of these days that is replaced after the scan has read its slot, or never, is logged by the scan; the turn
// that replaces it may log it once more. A word that is replaced before is logged by the turn that replaces it, if that
// turn finds the day still open; and it entered the gate before the scan had ended. So the days are closed behind a
// cut, which waits until every turn that was inside during the scan has left. Turns that enter behind the cut replace
// only words that the scan has read.
func (e *Engine) scanDays(over []daySpan) error {
	began, words, ahead := time.Now(), 0, 0
	for shard := range shards {
		n, last, err := e.closeShard(shard, over)
		if err != nil {
			return err
		}
		words += n
		if ahead += n; ahead >= closeWordsAhead { // A scan has no more than so many on their way to the disk.
			if err := e.awaitNewest(last); err != nil {
				return err
			}
			ahead = 0
		}
	}
	if err := e.cut(0, nil); err != nil {
		return err
	}
	if err := e.endDays(over); err != nil {
		return err
	}
	e.logger.Info("days closed", "words", words, "seconds", time.Since(began).Seconds())
	return nil
}

// openWords are the words of a device whose day is over; those of no such day are 0.
type openWords struct {
	ordinal  counters.Ordinal
	messages counters.MessageWord
	denied   counters.DeniedWord
}

// closeShard logs the words of one shard whose day is over, in the order of ordinals, and returns how many, and the
// group of the last one.
func (e *Engine) closeShard(shard int, over []daySpan) (words int, last *group, err error) {
	found := e.wordsOver(shard, over)
	for some := range slices.Chunk(found, closeDevicesATurn) {
		g, err := e.withTurn(room{bytes: closedBytes * len(some)}, func(t *turn) error {
			t.begin(0)
			for _, w := range some {
				if w.messages != 0 {
					t.l.records.Closed(wordMessages, uint64(w.ordinal), uint64(w.messages))
					words++
				}
				if w.denied != 0 {
					t.l.records.Closed(wordDenied, uint64(w.ordinal), uint64(w.denied))
					words++
				}
			}
			return nil
		})
		if err != nil {
			return words, last, err
		}
		last = g
	}
	return words, last, nil
}

// wordsOver returns the words of one shard whose day is over, in the order of ordinals.
func (e *Engine) wordsOver(shard int, over []daySpan) (found []openWords) {
	e.gate.mu.RLock()
	for slot := range e.table.Slots(shard) {
		product := slot.Product()
		if product >= uint32(len(over)) || over[product].running == 0 {
			continue
		}
		w := openWords{messages: slot.Message(), denied: slot.Denied()}
		if w.messages.Used() == 0 || !over[product].holds(w.messages.Day()) {
			w.messages = 0
		}
		if w.denied.Denied() == 0 || !over[product].holds(w.denied.Day()) {
			w.denied = 0
		}
		if w.messages != 0 || w.denied != 0 {
			w.ordinal = slot.Ordinal()
			found = append(found, w)
		}
	}
	e.gate.mu.RUnlock()
	slices.SortFunc(found, func(a, b openWords) int { return cmp.Compare(a.ordinal, b.ordinal) })
	return found
}

// endDays logs that the days are closed. All their closed words are in this group or an earlier one (scanDays).
func (e *Engine) endDays(over []daySpan) error {
	g, err := e.withTurn(room{bytes: closedBytes * len(over)}, func(t *turn) error {
		t.begin(0)
		for id, s := range over {
			if s.running == 0 {
				continue
			}
			t.l.records.DayEnd(record.DayEnd{Product: uint32(id), Day: s.running - 1})
			t.cat.ProductByID(uint32(id)).State.Days.Close(s.running - 1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return e.awaitNewest(g)
}

// closed logs a word that the message in hand has replaced. If its day is closed, the scan has logged it (scanDays).
func (t *turn) closed(index int, word uint64, day uint32) {
	if t.e.replaced != nil {
		t.e.replaced()
	}
	if day > t.product.State.Days.Through() {
		t.l.records.Closed(index, uint64(t.slot.Ordinal()), word)
	}
}
