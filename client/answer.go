package client

import (
	"fmt"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// parseAnswer reads the answer to a batch of n events, a meterd.v1.Answer, strictly: every event has exactly one
// verdict, or the answer is none.
func parseAnswer(answer []byte, n int) ([]Verdict, error) {
	var a wire.Answer
	if err := a.Decode(answer); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if uint64(a.Accepted)+uint64(len(a.Denied)) != uint64(n) {
		return nil, fmt.Errorf("answer: accepted and denied are not together the %d events sent", n)
	}
	verdicts := make([]Verdict, n)
	for i := range verdicts {
		verdicts[i] = accepted(false)
	}
	for i := range a.Denied {
		d := &a.Denied[i]
		if uint64(d.Index) >= uint64(n) || !verdicts[d.Index].Accepted {
			return nil, fmt.Errorf("answer: denial %d names no event of the batch, or one twice", i)
		}
		if d.Code == "" || d.Code == event.Accepted.String() {
			return nil, fmt.Errorf("answer: denial %d has no code", i)
		}
		v := verdictOf(d)
		v.Code = d.Code
		verdicts[d.Index] = v
	}
	for i := range a.WouldDeny {
		d := &a.WouldDeny[i]
		if uint64(d.Index) >= uint64(n) || !verdicts[d.Index].Accepted || verdicts[d.Index].WouldDeny != "" || d.Code == "" {
			return nil, fmt.Errorf("answer: would-be denial %d names no accepted event of the batch, one twice, or no code", i)
		}
		v := verdictOf(d)
		v.Accepted, v.Code, v.WouldDeny = true, event.Accepted.String(), d.Code
		verdicts[d.Index] = v
	}
	return verdicts, nil
}

// verdictOf returns what a denial says beside its code.
func verdictOf(d *wire.Denial) Verdict {
	v := Verdict{
		Limit: d.Limit, Used: d.Used, Requested: d.Requested, TopupAvailable: d.TopupAvailable,
		Scope: d.Scope, Field: d.Field, Detail: d.Detail,
	}
	if d.ResetsAtMs != 0 {
		v.ResetsAt = time.UnixMilli(d.ResetsAtMs).UTC()
	}
	return v
}
