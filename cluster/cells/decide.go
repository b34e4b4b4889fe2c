package cells

import (
	"slices"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// add takes one part of a call. Its batch is decoded later: claims move while others are added.
func (c *decideCall) add(p *part, token *access.Token, producer []byte) {
	i := len(c.claims)
	if i == len(c.requests) {
		c.requests = append(c.requests, &shard.Request{Batch: &event.Batch{}})
	}
	q := c.requests[i]
	q.Token, q.Account, q.Producer, q.Single = token, 0, producer, p.isSingle
	q.Batch.Data = p.batch
	c.claims = append(c.claims, p.claim)
	c.isCheck = append(c.isCheck, p.isCheck)
	q.Claim = nil
	if p.hasClaim {
		q.Claim = &claims.Claim{} // It is replaced by decode.
	}
}

// decode decodes the batches.
func (c *decideCall) decode() bool {
	for i, q := range c.requests[:len(c.claims)] {
		if q.Claim != nil {
			q.Claim = &c.claims[i]
			if len(q.Producer) == 0 || c.isCheck[i] {
				return false
			}
		}
		r := reader{b: q.Batch.Data}
		if r.batch(q.Batch); r.end() != nil || q.Single && len(q.Batch.Events) != 1 {
			return false
		}
	}
	return true
}

// decideAll decides all parts, then settles them: they are stored together. An error means that what became of them may
// not be told.
func (d *Door) decideAll(c *decideCall) error {
	n := len(c.claims)
	c.outcomes = slices.Grow(c.outcomes[:0], n)[:n]
	clear(c.outcomes)
	for i, q := range c.requests[:n] {
		decide := d.o.Cell.Decide
		if c.isCheck[i] {
			decide = d.o.Cell.Check
		}
		if err := c.outcomes[i].refused(decide(q)); err != nil {
			return err
		}
	}
	for i, q := range c.requests[:n] {
		o := &c.outcomes[i]
		if o.problem == nil && !c.isCheck[i] {
			if err := o.refused(d.o.Cell.Settle(q)); err != nil {
				return err
			}
		}
		o.isReplayed, o.isSingle, o.decidedMs, o.result = q.Replayed, q.Single, q.DecidedMs, q.Result
	}
	return nil
}

// refused notes what a caller may be told of an error of the engine, and returns one that nobody may be told.
func (o *outcome) refused(err error) error {
	if err == nil {
		return nil
	}
	o.problem = shard.ProblemOf(err)
	if o.problem == nil {
		return err
	}
	return nil
}

// release gives the call back, without the memory of the body.
func (d *Door) release(c *decideCall) {
	for _, q := range c.requests {
		q.Batch.Data, q.Producer, q.Token, q.Claim = nil, nil, nil, nil
	}
	if len(c.requests) > requestsKept {
		clear(c.requests[requestsKept:])
		c.requests = c.requests[:requestsKept]
	}
	c.claims, c.isCheck = c.claims[:0], c.isCheck[:0]
	clear(c.outcomes)
	d.calls.Put(c)
}
