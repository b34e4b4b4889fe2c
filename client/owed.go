package client

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/meterd/meterd/client/spool"
)

// tail is the last batch that a lane owes, while it takes more events.
type tail struct {
	kept *spool.Batch
	size size
}

// errNotKept is why an event failed that the policy let pass: after a restart nobody would know of it.
var errNotKept = errors.New("the spool is full or cannot be written")

// unasked returns what counting needs of e.
func unasked(e *Event) Event {
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	return Event{Type: e.Type, Product: e.Product, Device: e.Device, Size: e.bytes(), ID: e.ID, Time: at}
}

// refuse resolves list, which nobody else will, as the policy says, because of err. What passes is owed first: behind
// everything else, or before it when it was in the batch sent. What may have been counted is never reported with
// another sequence, unless repeating it counts nothing. owing is held.
func (l *lane) refuse(list []*Pending, err *UnavailableError, sent *batch) {
	var passing []*Pending
	var events []Event
	l.mu.Lock()
	for _, p := range list {
		again := !err.Ambiguous || repeatable(p.event.Type)
		if !again {
			l.client.stats.ambiguous.Add(1)
		}
		switch v, isDecided := l.policy(&p.event); {
		case !isDecided:
			p.resolve(Verdict{}, err)
		case again && v.Accepted:
			passing, events = append(passing, p), append(events, unasked(&p.event))
		default:
			p.resolve(v, nil)
		}
	}
	l.mu.Unlock()
	kept := make([]bool, len(events))
	if sent != nil {
		l.oweFirst(sent.place, events, kept)
	} else {
		l.owe(events, kept)
	}
	for i, p := range passing {
		if kept[i] || !l.client.spool.IsOnDisk() {
			p.resolve(accepted(true), nil)
		} else {
			p.resolve(Verdict{}, &UnavailableError{Err: errNotKept})
		}
	}
}

// owe keeps events, in order, behind what is owed already, and says in kept which of them. owing is held.
func (l *lane) owe(events []Event, kept []bool) {
	if len(events) == 0 {
		return
	}
	o := l.client.opts
	var fault error
	for len(events) > 0 {
		if l.tail.kept == nil || !l.tail.size.fits(o, &events[0]) {
			l.closeTail()
			l.tail.kept = l.client.spool.Batch(l.client.spool.Place())
		}
		n := 0
		for ; n < len(events) && l.tail.size.fits(o, &events[n]); n++ {
			l.tail.size.add(&events[n])
		}
		isNew := l.tail.kept.Events() == 0
		fault = cmp.Or(fault, l.keep(l.tail.kept, events[:n], kept[:n]))
		switch {
		case l.tail.kept.Events() == 0:
			l.closeTail()
		case isNew:
			l.owed = append(l.owed, l.tail.kept)
		}
		events, kept = events[n:], kept[n:]
	}
	l.client.spoolState(fault)
}

// oweFirst keeps events of one batch before everything else that is owed. owing is held.
func (l *lane) oweFirst(place uint64, events []Event, kept []bool) {
	if len(events) == 0 {
		return
	}
	b := l.client.spool.Batch(place)
	l.client.spoolState(l.keep(b, events, kept))
	b.Rest()
	if b.Events() > 0 {
		l.owed = slices.Insert(l.owed, 0, b)
	}
}

// keep puts events into b, as many as there is room for, and says in kept which. It returns why the first one was not.
func (l *lane) keep(b *spool.Batch, events []Event, kept []bool) error {
	c := l.client
	err := b.Append(appendBatch(nil, events), len(events))
	if errors.Is(err, spool.ErrFull) && len(events) > 1 {
		half := len(events) / 2
		first := l.keep(b, events[:half], kept[:half])
		return cmp.Or(first, l.keep(b, events[half:], kept[half:]))
	}
	for i := range kept {
		kept[i] = err == nil
	}
	if err != nil && !c.spool.IsOnDisk() {
		c.stats.unaskedLost.Add(uint64(len(events)))
	}
	return err
}

// closeTail makes the next events go into a batch of their own. owing is held.
func (l *lane) closeTail() {
	if l.tail.kept != nil {
		l.tail.kept.Rest()
	}
	l.tail = tail{}
}

// hold keeps b, which may have been counted, as it is: its events pass unasked, and are asked about with the same
// sequence before anything else of this lane. What the policy does not let pass fails with err, or has its last denial;
// it may be counted when the batch is sent again, so it is Ambiguous. False, and nothing is resolved, when none passes.
// owing is held.
func (l *lane) hold(b *batch, err *UnavailableError) bool {
	verdicts := make([]*Verdict, len(b.pending)) // nil for none
	var refused []int
	l.mu.Lock()
	for i, p := range b.pending {
		v, isDecided := l.policy(&p.event)
		if isDecided {
			verdicts[i] = &v
		}
		if !isDecided || !v.Accepted {
			refused = append(refused, i)
		}
	}
	l.mu.Unlock()
	if len(refused) == len(b.pending) {
		return false
	}
	b.refused, b.kept = refused, l.client.spool.Batch(b.place)
	fault := b.seal()
	l.client.spoolState(fault)
	for i, p := range b.pending {
		v := verdicts[i]
		if (fault != nil || v == nil || !v.Accepted) && !repeatable(p.event.Type) {
			l.client.stats.ambiguous.Add(1)
		}
		if fault != nil || v == nil {
			p.resolve(Verdict{}, err)
		} else {
			p.resolve(*v, nil)
		}
	}
	if fault != nil {
		b.kept.Remove() // Of what was written, if anything.
		l.client.sequences.settle(b.ticket)
		return true
	}
	b.pending = nil
	l.owed = slices.Insert(l.owed, 0, b.kept)
	l.front = b
	return true
}

// oldest returns the batch that is owed longest, as it is to be sent; nil when nothing is owed.
func (l *lane) oldest() *batch {
	for l.front == nil {
		kept := l.closeOldest()
		if kept == nil {
			return nil
		}
		b, err := load(kept)
		switch {
		case err != nil:
			l.client.stats.unaskedLost.Add(uint64(kept.Events()))
			kept.SetAside(err)
			l.forgetOldest()
		case b.size.events == 0:
			kept.Remove()
			l.forgetOldest()
		default:
			b.isRecovered = l.recovered > 0
			l.front = b
		}
	}
	return l.front
}

// closeOldest returns where the batch lies that is owed longest, which takes no more events.
func (l *lane) closeOldest() *spool.Batch {
	l.owing.Lock()
	defer l.owing.Unlock()
	if len(l.owed) == 0 {
		return nil
	}
	if l.owed[0] == l.tail.kept {
		l.closeTail()
	}
	return l.owed[0]
}

// forgetOldest takes the batch that is owed longest off the list.
func (l *lane) forgetOldest() {
	l.owing.Lock()
	defer l.owing.Unlock()
	l.owed = slices.Delete(l.owed, 0, 1)
	l.front = nil
	if l.recovered > 0 {
		if l.recovered--; l.recovered == 0 {
			close(l.client.recovered)
		}
	}
}

// settleOwed does with b, the oldest that is owed, what its outcome asks for.
func (l *lane) settleOwed(b *batch, o outcome) {
	switch {
	case o.err == nil:
		b.eachPassed(func(i int, e *Event) {
			l.client.lane(e).learn(e, o.verdicts[i]) // An earlier process had other lanes.
			if l.client.opts.Reported != nil {
				l.client.opts.Reported(*e, o.verdicts[i])
			}
		})
	case !b.isSpent || l.askAnew(b, o.err.Ambiguous):
		return // It is sent again.
	}
	l.client.sequences.settle(b.ticket)
	b.kept.Remove()
	l.forgetOldest()
}

// askAnew makes b, whose sequence is spent, ready for another one, without what may have been counted and would be
// counted twice. False when nothing of it is left.
func (l *lane) askAnew(b *batch, isAmbiguous bool) bool {
	var again []Event
	lost := uint64(0)
	b.eachPassed(func(_ int, e *Event) {
		if !isAmbiguous || repeatable(e.Type) {
			again = append(again, *e)
		} else {
			lost++
		}
	})
	if len(again) > 0 {
		err := b.kept.Restart(appendBatch(nil, again), len(again))
		l.client.spoolState(err)
		if err != nil {
			return true // With the same sequence, and so to here again.
		}
		b.kept.Rest()
		l.front = nil
		l.client.sequences.settle(b.ticket)
	}
	l.client.stats.ambiguous.Add(lost)
	return len(again) > 0
}

// spoolState tells the gateway when the spool begins to fail. err is why something of one call was not kept, nil when
// all was. A spool that is nearly full takes small events and no large ones: each by itself would say something else.
func (c *Client) spoolState(err error) {
	isFailing := err != nil && c.spool.IsOnDisk()
	if c.spoolFails.Swap(isFailing) != isFailing && isFailing {
		c.spoolFault(err)
	}
}

func (c *Client) spoolFault(err error) {
	c.stats.spoolFaults.Add(1)
	if c.opts.SpoolFault != nil {
		c.opts.SpoolFault(err)
	}
}
