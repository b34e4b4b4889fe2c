package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/meterd/meterd/client/spool"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// batch is one request: of events that somebody waits for, or of events that are owed. Once cut, body is never changed:
// it is sent again as it is, with the sequence that it was given.
type batch struct {
	events  []Event // until body is made of them
	size    size
	body    []byte
	pending []*Pending // one an event; nil when it is owed
	place   uint64     // in the spool, should it have to be kept there

	kept        *spool.Batch // where it lies, when it is owed
	refused     []int        // when it is owed: indexes, rising, of what the policy did not let pass
	isRecovered bool         // an earlier process owes it
	isSealed    bool         // sequence and body are kept, too

	ticket   ticket    // its sequence, from the first try on
	takenAt  time.Time // when it was given that
	isSent   bool      // a try went out, maybe by an earlier process
	inDoubt  bool      // one of them was not answered: it may have been counted
	refusals int       // tries on a stream whose node could not decide it then
	isSpent  bool      // meterd does not take its sequence any more
}

// size is how much a batch holds.
type size struct{ events, bytes int }

// fits reports whether e may be added. An empty batch takes any event, so that none is stuck for ever.
func (s *size) fits(o *Options, e *Event) bool {
	return s.events == 0 || s.events < o.BatchEventsMax && s.bytes+e.encodedMax() <= o.BatchBytesMax
}

// add counts e.
func (s *size) add(e *Event) {
	s.events++
	s.bytes += e.encodedMax()
}

// add appends e.
func (b *batch) add(e *Event) {
	b.size.add(e)
	b.events = append(b.events, *e)
}

// encode makes the body, once and for all.
func (b *batch) encode() {
	if len(b.events) > 0 {
		b.body = appendBatch(make([]byte, 0, b.size.bytes), b.events)
		b.events = nil // With the payloads.
	}
}

// seal makes sure that what is owed can be sent with the same sequence and bytes by whoever finds it later.
func (b *batch) seal() error {
	if b.kept == nil || b.isSealed {
		return nil
	}
	err := b.kept.Seal(spool.Seal{
		Sequence: b.ticket.sequence, At: b.takenAt, Count: b.size.events, Refused: b.refused, Body: b.body,
	})
	if err != nil {
		return fmt.Errorf("keep a batch: %w", err)
	}
	b.kept.Rest()
	b.isSealed = true
	return nil
}

// load returns what is owed as it is to be sent.
func load(kept *spool.Batch) (*batch, error) {
	content, err := kept.Read()
	if err != nil {
		return nil, fmt.Errorf("read a batch: %w", err)
	}
	b := &batch{kept: kept}
	if s := content.Seal; s != nil {
		events, err := decodeBatch(s.Body)
		if err == nil && len(events) != s.Count {
			err = fmt.Errorf("a batch of %d events has %d", s.Count, len(events))
		}
		b.body, b.size.events, b.refused = s.Body, s.Count, s.Refused
		b.ticket, b.takenAt = ticket{sequence: s.Sequence}, s.At
		b.isSealed, b.isSent, b.inDoubt = true, true, true // As far as anybody knows.
		return b, err
	}
	for _, body := range content.Events {
		events, err := decodeBatch(body)
		if err != nil {
			return nil, err
		}
		for i := range events {
			if events[i].Type != 0 { // The others would be denied.
				b.add(&events[i])
			}
		}
	}
	b.encode()
	return b, nil
}

// eachPassed calls do with the events of b, which is owed, that passed unasked. Those that can only be denied are left
// out.
func (b *batch) eachPassed(do func(i int, e *Event)) {
	events, err := decodeBatch(b.body)
	if err != nil {
		panic(fmt.Sprintf("BUG: a batch that was sent cannot be read: %v", err))
	}
	for i := range events {
		if _, isRefused := slices.BinarySearch(b.refused, i); !isRefused && events[i].Type != 0 {
			do(i, &events[i])
		}
	}
}

// decodeBatch reads a meterd.v1.Batch as the daemon does: what counting needs of its events, without topic and payload.
// An event that would be denied as invalid is empty.
func decodeBatch(body []byte) ([]Event, error) {
	var b event.Batch
	if p := wire.DecodeProtobuf(&b, body); p != nil {
		return nil, fmt.Errorf("this is no batch of events: %s", p.Detail)
	}
	events := make([]Event, len(b.Events))
	for i := range b.Events {
		e := &b.Events[i]
		if e.Fault != event.FaultNone {
			continue
		}
		events[i] = Event{
			Type: e.Type, Product: string(b.Bytes(e.Product)), Device: string(b.Bytes(e.Device)),
			Size: e.Size, ID: string(b.Bytes(e.ID)),
		}
		if e.TimeMs != 0 {
			events[i].Time = time.UnixMilli(e.TimeMs).UTC()
		}
	}
	return events, nil
}

// outcome is how a batch ended: verdicts, one an event, or the reason why there are none.
type outcome struct {
	verdicts []Verdict
	err      *UnavailableError
	final    bool // sending it again would get no other answer
}
