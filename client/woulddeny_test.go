package client

import (
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// TestWouldDeny: an event that a quota would have denied is accepted, and its verdict says so; an answer that says it
// of another event is none.
func TestWouldDeny(t *testing.T) {
	quota := event.Verdict{Code: event.MessageQuotaExceeded, Limit: 1500, Used: 1501, ResetsAtMs: 1_795_478_400_000}
	answer := func(denied, would []int) []byte {
		r := event.Result{Accepted: 3 - len(denied)}
		for _, i := range denied {
			r.Denials = append(r.Denials, event.Denial{Index: i, Verdict: event.Verdict{Code: event.NotActivated}})
		}
		for _, i := range would {
			r.WouldDeny = append(r.WouldDeny, event.Denial{Index: i, Verdict: quota})
		}
		return wire.AppendResultProtobuf(nil, &r)
	}
	got, err := parseAnswer(answer([]int{0}, []int{2}), 3)
	want := Verdict{
		Accepted: true, Code: "accepted", WouldDeny: "message_quota_exceeded", Limit: 1500, Used: 1501,
		ResetsAt: time.UnixMilli(quota.ResetsAtMs).UTC(),
	}
	if err != nil || got[0].Accepted || got[1] != accepted(false) || got[2] != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, would := range [][]int{{0}, {3}, {1, 1}} {
		if v, err := parseAnswer(answer([]int{0}, would), 3); err == nil {
			t.Errorf("would deny %v was taken for %+v", would, v)
		}
	}
}
