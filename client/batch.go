package client

import "time"

// entry is one event of a batch: an event that somebody waits for, or a record that is owed.
type entry struct {
	pending *Pending
	owed    *owedDevice
	record  record
}

// batch is one request. Once cut, body is never changed: it is sent again as it is, with the sequence that it was
// given.
type batch struct {
	events  []Event // in the order of entries, until body is made of them
	bytes   int     // body has less
	body    []byte
	entries []entry
	ticket  ticket    // its sequence, from the first try on
	takenAt time.Time // when it was given that
	inDoubt bool      // a try went out that was not answered: it may have been counted
}

// full reports whether an event of so many bytes must go into another batch. An empty batch takes any, so that none is
// stuck for ever.
func (b *batch) full(o *Options, bytes int) bool {
	return len(b.entries) > 0 && (len(b.entries) >= o.BatchEventsMax || b.bytes+bytes > o.BatchBytesMax)
}

// add appends e.
func (b *batch) add(e *Event, en entry) {
	b.bytes += e.encodedMax()
	b.events = append(b.events, *e)
	b.entries = append(b.entries, en)
}

// encode makes the body, once and for all.
func (b *batch) encode() {
	if len(b.events) == 0 {
		return
	}
	b.body = appendBatch(make([]byte, 0, b.bytes), b.events)
	b.events = nil // With the payloads.
}

// outcome is how a batch ended: verdicts, one an entry, or the reason why there are none.
type outcome struct {
	verdicts []Verdict
	err      *UnavailableError
	final    bool // sending it again would get no other answer
}
