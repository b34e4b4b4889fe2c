package license

import (
	"sync"
	"sync/atomic"
)

// OpenDays says which days of a product are over and not closed. A day is closed when all that its devices counted on
// it is in the log. The zero OpenDays is that of a product that was never used. It is safe for concurrent use.
type OpenDays struct {
	last    atomic.Uint32 // that anything was counted on
	through atomic.Uint32 // the days up to this one are closed; it only grows
	mu      sync.Mutex
	first   uint32 // the first day that something was counted on since through, 0 without
}

// Use notes that a device has counted something on a day. Once a day it takes a lock.
func (d *OpenDays) Use(day uint32) {
	if d.last.Load() != day {
		d.use(day)
	}
}

func (d *OpenDays) use(day uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last.Store(max(d.last.Load(), day))
	if day > d.through.Load() && (d.first == 0 || day < d.first) {
		d.first = day
	}
}

// Recover notes that a word of a device is of a day. Words of days before it may have been replaced, and logged as
// closed, without a day end behind them: so every day since the last end counts as open.
func (d *OpenDays) Recover(day uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last.Store(max(d.last.Load(), day))
	if through := d.through.Load(); day > through {
		d.first = through + 1
	}
}

// Close notes that all days up to one are closed; an earlier one than before changes nothing.
func (d *OpenDays) Close(day uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if day <= d.through.Load() {
		return
	}
	d.through.Store(day)
	switch {
	case d.last.Load() <= day:
		d.first = 0
	case d.first <= day:
		d.first = day + 1 // Or later; it will show.
	}
}

// Through returns the last day that is closed, 0 if none is.
func (d *OpenDays) Through() uint32 { return d.through.Load() }

// Before reports whether anything may have been counted on a day before running that is not closed.
func (d *OpenDays) Before(running uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.first != 0 && d.first < running
}
