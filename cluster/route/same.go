package route

import (
	"encoding/json"
	"time"
)

// What several cells have under one key is one entry of a list.

// firstOf is for what is the same in each.
func firstOf(same []item) item { return same[0] }

// producer is a gateway as a cell lists it.
type producer struct {
	Producer         json.RawMessage `json:"producer"`
	LastSequence     *uint64         `json:"last_sequence"`
	OldestRemembered *uint64         `json:"oldest_remembered"`
	LastSeenAt       *time.Time      `json:"last_seen_at"`
	Devices          *int64          `json:"devices,omitempty"`
}

// oneProducer puts together what several cells know of a gateway whose token is bound to no account: each has seen some
// of its sequences, and each device that it holds is in one cell.
func oneProducer(same []item) item {
	var sum producer
	for i := range same {
		var p producer
		if json.Unmarshal(same[i].raw, &p) != nil {
			return same[0]
		}
		if i == 0 {
			sum = p
			continue
		}
		if sum.LastSequence == nil || p.LastSequence != nil && *p.LastSequence > *sum.LastSequence {
			sum.LastSequence = p.LastSequence
		}
		if sum.OldestRemembered == nil || p.OldestRemembered != nil && *p.OldestRemembered < *sum.OldestRemembered {
			sum.OldestRemembered = p.OldestRemembered
		}
		sum.LastSeenAt = later(sum.LastSeenAt, p.LastSeenAt)
		if sum.Devices != nil && p.Devices != nil {
			*sum.Devices += *p.Devices
		}
	}
	return written(same[0], &sum)
}

// written returns an entry with other members.
func written(it item, sum any) item {
	raw, err := json.Marshal(sum)
	if err == nil {
		it.raw = raw
	}
	return it
}

// hook is how the deliveries of a webhook stand in a cell, with what it is.
type hook struct {
	Name               json.RawMessage `json:"name"`
	URL                json.RawMessage `json:"url"`
	Events             json.RawMessage `json:"events"`
	Account            json.RawMessage `json:"account"`
	LicensesLowPercent json.RawMessage `json:"licenses_low_percent"`
	PacksLowPercent    json.RawMessage `json:"packs_low_percent"`
	CreatedAt          json.RawMessage `json:"created_at"`
	ChangedAt          json.RawMessage `json:"changed_at"`
	State              string          `json:"state"`
	Queued             uint64          `json:"queued"`
	OldestQueuedAt     *time.Time      `json:"oldest_queued_at"`
	DeadLetters        uint64          `json:"dead_letters"`
	Delivered          uint64          `json:"delivered"`
	FailedTries        uint64          `json:"failed_tries"`
	Dropped            uint64          `json:"dropped"`
	LastDeliveredAt    *time.Time      `json:"last_delivered_at"`
	LastTriedAt        *time.Time      `json:"last_tried_at"`
	LastError          *string         `json:"last_error"`
	NextTryAt          *time.Time      `json:"next_try_at"`
}

// oneHook puts together how the deliveries of one webhook stand in several cells. The state is the worst.
func oneHook(same []item) item {
	var sum hook
	for i := range same {
		var h hook
		if json.Unmarshal(same[i].raw, &h) != nil {
			return same[0]
		}
		if i == 0 {
			sum = h
			continue
		}
		if badness(h.State) > badness(sum.State) {
			sum.State = h.State
		}
		sum.Queued += h.Queued
		sum.DeadLetters += h.DeadLetters
		sum.Delivered += h.Delivered
		sum.FailedTries += h.FailedTries
		sum.Dropped += h.Dropped
		sum.OldestQueuedAt = earlier(sum.OldestQueuedAt, h.OldestQueuedAt)
		sum.NextTryAt = earlier(sum.NextTryAt, h.NextTryAt)
		sum.LastDeliveredAt = later(sum.LastDeliveredAt, h.LastDeliveredAt)
		if sum.LastError == nil || h.LastError != nil && later(sum.LastTriedAt, h.LastTriedAt) == h.LastTriedAt {
			sum.LastError = h.LastError
		}
		sum.LastTriedAt = later(sum.LastTriedAt, h.LastTriedAt)
	}
	return written(same[0], &sum)
}

// badness orders the states of webhooks: its receiver is gone, fails, or takes what is sent.
func badness(state string) int {
	switch state {
	case "gone":
		return 2
	case "failing":
		return 1
	}
	return 0
}

func earlier(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}

func later(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
