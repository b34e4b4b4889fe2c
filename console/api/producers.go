package api

import (
	"context"
	"math"
)

type producerAnswer struct {
	Producer         string  `json:"producer"`
	Account          string  `json:"account,omitempty"` // without: the tokens that see all share the name
	LastSequence     *uint64 `json:"last_sequence"`     // null: it has sent none
	OldestRemembered *uint64 `json:"oldest_remembered"`
	LastSeenAt       instant `json:"last_seen_at"`
	Devices          *int64  `json:"devices,omitempty"` // that it holds online; only if they were asked for
}

// listProducers answers GET /v1/producers: the gateways, in the order of their ordinals, which new ones hardly change.
// A token that is bound to an account sees those of its account. A cursor is the ordinal of the last one shown.
func (c *call) listProducers() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	counts, err := c.choice("devices", "true", "false")
	if err != nil {
		return err
	}
	var after uint64
	if _, err := c.cursorNumbers(&after); err != nil {
		return err
	}
	list, ordinals, isFull := []producerAnswer{}, []uint32{}, false
	for p := range c.engine.Producers(c.token.AccountID, uint32(min(after, math.MaxUint32-1))) {
		if isFull = len(list) == limit; isFull {
			break
		}
		a := producerAnswer{Producer: p.Name, LastSeenAt: instant(p.SeenMs)}
		if account := c.catalogue.AccountByID(p.Account); account != nil {
			a.Account = account.Name
		}
		if p.Any {
			a.LastSequence, a.OldestRemembered = &p.Last, &p.Oldest
		}
		list, ordinals = append(list, a), append(ordinals, p.Ordinal)
	}
	if counts == "true" {
		if err := c.countHeld(list, ordinals); err != nil {
			return err
		}
	}
	if isFull {
		return c.answerPage("producers", list, cursorOf(uint64(ordinals[limit-1])))
	}
	return c.answerPage("producers", list, nil)
}

// countHeld adds how many devices each producer holds.
func (c *call) countHeld(list []producerAnswer, ordinals []uint32) error {
	held := make(map[uint32]int64, len(ordinals))
	for _, o := range ordinals {
		held[o] = 0
	}
	err := c.lookThrough(func(ctx context.Context) error { return c.queries.Held(ctx, held) })
	if err != nil {
		return err
	}
	for i, o := range ordinals {
		n := held[o]
		list[i].Devices = &n
	}
	return nil
}
