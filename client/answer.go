package client

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/meterd/meterd/event"
)

// parseAnswer reads the answer to a batch of n events, strictly: every event has exactly one verdict, or the answer is
// none.
func parseAnswer(answer []byte, n int) ([]Verdict, error) {
	var a struct {
		Accepted *int `json:"accepted"`
		Denied   []struct {
			Index          *int      `json:"index"`
			Code           string    `json:"code"`
			Limit          uint64    `json:"limit"`
			Used           uint64    `json:"used"`
			Requested      uint64    `json:"requested"`
			TopupAvailable uint64    `json:"topup_available"`
			ResetsAt       time.Time `json:"resets_at"`
			Scope          string    `json:"scope"`
			Field          string    `json:"field"`
			Detail         string    `json:"detail"`
		} `json:"denied"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if a.Accepted == nil || *a.Accepted < 0 || *a.Accepted+len(a.Denied) != n {
		return nil, fmt.Errorf("answer: accepted and denied are not together the %d events sent", n)
	}
	verdicts := make([]Verdict, n)
	for i := range verdicts {
		verdicts[i] = accepted(false)
	}
	for i := range a.Denied {
		d := &a.Denied[i]
		if d.Index == nil || *d.Index < 0 || *d.Index >= n || !verdicts[*d.Index].Accepted {
			return nil, fmt.Errorf("answer: denial %d names no event of the batch, or one twice", i)
		}
		if d.Code == "" || d.Code == event.Accepted.String() {
			return nil, fmt.Errorf("answer: denial %d has no code", i)
		}
		verdicts[*d.Index] = Verdict{
			Code: d.Code, Limit: d.Limit, Used: d.Used, Requested: d.Requested, TopupAvailable: d.TopupAvailable,
			ResetsAt: d.ResetsAt, Scope: d.Scope, Field: d.Field, Detail: d.Detail,
		}
	}
	return verdicts, nil
}
