package bench

import (
	"errors"
	"testing"

	"github.com/meterd/meterd/event"
	eventwire "github.com/meterd/meterd/event/wire"
)

// answerText is what the daemon writes for a result.
func answerText(format string, r *event.Result) []byte {
	if format == FormatProtobuf {
		return eventwire.AppendResultProtobuf(nil, r)
	}
	return eventwire.AppendResult(nil, r)
}

// denyAll is the result of a batch that was denied whole.
func denyAll(events int, code event.Code) *event.Result {
	r := &event.Result{}
	for i := range events {
		r.Denials = append(
			r.Denials,
			event.Denial{Index: i, Verdict: event.Verdict{Code: code, Limit: 1, Used: 1, ResetsAtMs: 1_795_000_000_000}},
		)
	}
	return r
}

func TestAnswersAreJudged(t *testing.T) {
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			accepts := answer{format: format}
			denies := answer{format: format, code: "message_quota_exceeded"}
			for _, events := range []int{1000, 1, 1000, 3} {
				accepted := answerText(format, &event.Result{Accepted: events})
				denied := answerText(format, denyAll(events, event.MessageQuotaExceeded))
				if err := accepts.judge(accepted, events); err != nil {
					t.Errorf("%d accepted: %v", events, err)
				}
				if err := denies.judge(denied, events); err != nil {
					t.Errorf("%d denied: %v", events, err)
				}
				if accepts.judge(denied, events) == nil || denies.judge(accepted, events) == nil {
					t.Errorf("%d: the one is taken for the other", events)
				}
			}
			one := denyAll(10, event.MessageQuotaExceeded)
			one.Denials = one.Denials[:9]
			one.Accepted = 1
			other := denyAll(10, event.MessageQuotaExceeded)
			other.Denials[4].Verdict = event.Verdict{Code: event.NotActivated}
			for name, r := range map[string]*event.Result{"one accepted": one, "another code": other} {
				if err := denies.judge(answerText(format, r), 10); !errors.Is(err, errNotAll) {
					t.Errorf("%s: %v", name, err)
				}
			}
			if denies.judge([]byte("<html>"), 10) == nil {
				t.Error("anything is taken for an answer")
			}
		})
	}
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add(eventwire.AppendResultProtobuf(nil, denyAll(2, event.NotActivated)))
	f.Add(eventwire.AppendResultProtobuf(nil, &event.Result{Accepted: 300}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _ = decodeAnswer(b) // It must not panic, nor read beyond.
	})
}
