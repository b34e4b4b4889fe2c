package client

import "time"

// entry is one line of a batch: an event that somebody waits for, or a record that is owed.
type entry struct {
	pending *Pending
	owed    *owedDevice
	record  record
}

// batch is one request. Once cut, body is never changed: it is sent again as it is, with the sequence that it was
// given.
type batch struct {
	body    []byte
	entries []entry   // in the order of the body's lines
	ticket  ticket    // its sequence, from the first try on
	takenAt time.Time // when it was given that
	inDoubt bool      // a try went out that was not answered: it may have been counted
}

// full reports whether a line of lineBytes must go into another batch. An empty batch takes any line, so that none is
// stuck for ever.
func (b *batch) full(o *Options, lineBytes int) bool {
	return len(b.entries) > 0 && (len(b.entries) >= o.BatchEventsMax || len(b.body)+lineBytes > o.BatchBytesMax)
}

// outcome is how a batch ended: verdicts, one an entry, or the reason why there are none.
type outcome struct {
	verdicts []Verdict
	err      *UnavailableError
	final    bool // sending it again would get no other answer
}
