package client

import (
	"bytes"
	"context"
	"time"
)

// Decide asks about one event and waits for its verdict. Concurrent calls share requests. It fails with ErrInvalid,
// ErrOverloaded, ErrClosed or an *UnavailableError. When ctx ends first the event is given up: not sent at all if it
// was still waiting for its turn, and Ambiguous otherwise; either way it is not kept as unasked.
func (c *Client) Decide(ctx context.Context, e Event) (Verdict, error) {
	p, err := c.Begin(ctx, e)
	if err != nil {
		return Verdict{}, err
	}
	return p.Wait(ctx)
}

// Result is what became of one event of a Submit: as Decide returns it.
type Result struct {
	Verdict Verdict
	Err     error
}

// Submit asks about several events, which need not be of one device, and waits for all: result n is event n's, and
// events that fail fail alone. Those of one device are decided in their order, and behind what was handed in before.
func (c *Client) Submit(ctx context.Context, events []Event) []Result {
	results := make([]Result, len(events))
	asked := make([]*Pending, len(events))
	waiting := map[*lane][]*Pending{} // what has room and is not in its queue yet
	enqueue := func() {
		for l, list := range waiting {
			_ = c.enqueue(l, list...) // Each of them says so itself.
		}
		clear(waiting)
	}
	for i := range events {
		p, err := newPending(events[i])
		switch {
		case err != nil:
		case c.queue.admit(p):
			l := c.lane(&p.event)
			waiting[l] = append(waiting[l], p)
		default:
			enqueue() // They make room, and are not overtaken by what passes unasked.
			err = c.enterFull(ctx, p)
		}
		if err != nil {
			results[i].Err = err
			continue
		}
		asked[i] = p
	}
	enqueue()
	for i, p := range asked {
		if p != nil {
			results[i].Verdict, results[i].Err = p.Wait(ctx)
		}
	}
	return results
}

// Begin hands e in and returns before its verdict is there: for callers that fix the order of events under a lock of
// theirs. It fails as Decide does, and waits for nothing but room in the queue, with QueueWaits.
func (c *Client) Begin(ctx context.Context, e Event) (*Pending, error) {
	p, err := newPending(e)
	switch {
	case err != nil:
	case c.queue.admit(p):
		err = c.enqueue(c.lane(&p.event), p)
	default:
		err = c.enterFull(ctx, p)
	}
	return p, err
}

// newPending returns e, with a payload of its own; ErrInvalid for what can only be denied.
func newPending(e Event) (*Pending, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	e.Size, e.Payload = e.bytes(), bytes.Clone(e.Payload)
	return &Pending{event: e, bytes: e.encodedMax(), enteredAt: time.Now(), done: make(chan struct{})}, nil
}

// enterFull hands p in while the queue is full.
func (c *Client) enterFull(ctx context.Context, p *Pending) error {
	l := c.lane(&p.event)
	if c.opts.QueueWaits {
		if err := c.queue.await(ctx, p, c.closing); err != nil {
			return err
		}
		return c.enqueue(l, p)
	}
	return l.overflow(p)
}

// enqueue puts list, which has room, into l's queue. After Close all fail with ErrClosed.
func (c *Client) enqueue(l *lane, list ...*Pending) error {
	if l.enqueue(list) {
		return nil
	}
	for _, p := range list {
		c.queue.release(p)
		if p.claim() {
			p.resolve(Verdict{}, ErrClosed)
		}
	}
	return ErrClosed
}
