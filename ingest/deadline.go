package ingest

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// deadline is one of a connection's two. fasthttp moves each with every request, and moving one re-arms a timer of the
// runtime: 4 % of what a single event costs. So a deadline that moves back is only noted. When the armed one fires too
// early, reading or writing arms the noted one and goes on: once a minute instead of three times a request. No deadline
// is missed: what moves forward is armed at once.
type deadline struct {
	wanted atomic.Int64 // Unix nanoseconds, 0 for none
	armed  atomic.Int64
}

// set notes t; arm is called if what is armed would fire later than that.
func (d *deadline) set(t time.Time, arm func(time.Time) error) error {
	wanted := int64(0)
	if !t.IsZero() {
		wanted = t.UnixNano()
	}
	d.wanted.Store(wanted)
	armed := d.armed.Load()
	isSoonEnough := armed != 0 && armed <= wanted
	if isSoonEnough || wanted == 0 { // Without a deadline the armed one fires once, to no effect.
		return nil
	}
	d.armed.Store(wanted)
	return arm(t)
}

// early reports whether err says only that the armed deadline came before the wanted one, which is armed then.
func (d *deadline) early(err error, arm func(time.Time) error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	wanted := d.wanted.Load()
	if wanted != 0 && time.Now().UnixNano() >= wanted {
		return false
	}
	d.armed.Store(wanted)
	if wanted == 0 {
		return arm(time.Time{}) == nil
	}
	return arm(time.Unix(0, wanted)) == nil
}
