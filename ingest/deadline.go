package ingest

import (
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// deadline is the read or the write deadline of a connection. fasthttp sets both with every request, and setting one
// re-arms a timer of the runtime, which costs 4 % of a single event. So a later deadline is only stored. When the armed
// timer fires before the stored deadline, Read or Write arms it again and continues: once a minute instead of three
// times a request. An earlier deadline is armed at once, so none is missed.
type deadline struct {
	wanted atomic.Int64 // Unix nanoseconds, 0 for none
	armed  atomic.Int64
}

// set stores t, and calls arm if the armed timer would fire later than t.
func (d *deadline) set(t time.Time, arm func(time.Time) error) error {
	wanted := int64(0)
	if !t.IsZero() {
		wanted = t.UnixNano()
	}
	d.wanted.Store(wanted)
	armed := d.armed.Load()
	isSoonEnough := armed != 0 && armed <= wanted
	if isSoonEnough || wanted == 0 { // Without a deadline the armed timer fires once, without effect.
		return nil
	}
	d.armed.Store(wanted)
	return arm(t)
}

// early reports whether err only means that the timer fired before the stored deadline. It then arms the deadline.
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
