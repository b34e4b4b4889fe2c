package api

import (
	"context"
	"strings"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
)

type producerAnswer struct {
	Producer         string  `json:"producer"`
	Account          string  `json:"account,omitempty"` // without: the tokens that see all share the name
	LastSequence     *uint64 `json:"last_sequence"`     // null: it has sent none
	OldestRemembered *uint64 `json:"oldest_remembered"`
	LastSeenAt       instant `json:"last_seen_at"`
	Devices          *int64  `json:"devices,omitempty"` // that it holds online; only if they were asked for
}

// listProducers answers GET /v1/producers: the gateways in the order of their names, and of their accounts' among equal
// ones. A token that is bound to an account sees those of its account. A cursor is the last one shown.
func (c *call) listProducers() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	counts, err := c.choice("devices", "true", "false")
	if err != nil {
		return err
	}
	after, err := c.cursorProducer()
	if err != nil {
		return err
	}
	found := c.engine.Producers(c.token.AccountID, after, limit+1)
	var next *string
	if len(found) > limit {
		found = found[:limit]
		text := strings.TrimSuffix(found[limit-1].Name+" "+found[limit-1].Account, " ")
		next = &text
	}
	list, ordinals := make([]producerAnswer, len(found)), make([]uint32, len(found))
	for i, p := range found {
		list[i] = producerAnswer{Producer: p.Name, Account: p.Account, LastSeenAt: instant(p.SeenMs)}
		if p.Any {
			list[i].LastSequence, list[i].OldestRemembered = &found[i].Last, &found[i].Oldest
		}
		ordinals[i] = p.Ordinal
	}
	if counts == "true" {
		if err := c.countHeld(list, ordinals); err != nil {
			return err
		}
	}
	return c.answerPage("producers", list, next)
}

// cursorProducer reads the place that a page of gateways begins behind: a name, and an account if it has one.
func (c *call) cursorProducer() (k shard.ProducerKey, err error) {
	text := c.query("cursor")
	name, account, has := strings.Cut(text, " ")
	if text != "" && (!event.ValidName([]byte(name)) || has && !event.ValidName([]byte(account))) {
		return k, badCursor()
	}
	return shard.ProducerKey{Name: name, Account: account}, nil
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
