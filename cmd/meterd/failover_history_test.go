package main_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// What an operation on a device came to.
const (
	opAccepted = "accepted"
	opDenied   = "message_quota_exceeded"
	opUnknown  = "" // it was counted, or denied, or never arrived
	opRead     = "read"
)

// operation is a message of a device, or a reading of its view, as whoever asked for it saw it.
type operation struct {
	device     place
	topic      string // of a message: its name in the log
	outcome    string
	used       uint64 // of a reading
	begin, end time.Duration
}

// quota is R10 for one device, as a register that porcupine knows: a message is accepted while less than the limit is
// used, and denied from then on; a reading shows what is used at one instant between its question and its answer.
func quota(limit uint64) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{uint64(0)} },
		Step: func(state, _, output any) []any {
			used, op := state.(uint64), output.(*operation)
			switch {
			case op.outcome == opRead && op.used == used, op.outcome == opDenied && used == limit:
				return []any{used}
			case op.outcome == opAccepted && used < limit:
				return []any{used + 1}
			case op.outcome == opUnknown && used < limit:
				return []any{used, used + 1}
			case op.outcome == opUnknown:
				return []any{used}
			}
			return nil
		},
		DescribeOperation: func(_, output any) string {
			op := output.(*operation)
			return fmt.Sprintf("%s %s %d", op.topic, op.outcome, op.used)
		},
	}
	return m.ToModel()
}

// linearizable checks the history of each device. What was never answered may have taken effect at any time.
func linearizable(t testing.TB, limit uint64, history []operation) {
	t.Helper()
	devices := map[place][]porcupine.Operation{}
	for i := range history {
		op := &history[i]
		end := op.end
		if op.outcome == opUnknown {
			end = 1 << 62
		}
		list := devices[op.device]
		devices[op.device] = append(list, porcupine.Operation{
			ClientId: len(list), Call: int64(op.begin), Output: op, Return: int64(end),
		})
	}
	for device := range devices {
		switch porcupine.CheckOperationsTimeout(quota(limit), devices[device], patience) {
		case porcupine.Illegal:
			t.Errorf("the history of %s (%d operations) is that of no counter:", device, len(devices[device]))
			for _, op := range devices[device] {
				t.Logf("  %v to %v: %+v", time.Duration(op.Call), time.Duration(op.Return), *op.Output.(*operation))
			}
		case porcupine.Unknown:
			t.Logf("the history of %s (%d operations) was too long to be checked", device, len(devices[device]))
		}
	}
}

// TestQuotaModel: the model takes what a counter does and nothing else.
func TestQuotaModel(t *testing.T) {
	at := func(outcome string, used uint64, begin, end int) operation {
		return operation{outcome: outcome, used: used, begin: time.Duration(begin), end: time.Duration(end)}
	}
	for why, c := range map[string]struct {
		history []operation
		isOne   bool
	}{
		"in order": {
			[]operation{at(opAccepted, 0, 0, 1), at(opAccepted, 0, 2, 3), at(opDenied, 0, 4, 5), at(opRead, 2, 6, 7)},
			true,
		},
		"one too many": {
			[]operation{at(opAccepted, 0, 0, 9), at(opAccepted, 0, 0, 9), at(opAccepted, 0, 0, 9)},
			false,
		},
		"one too few":          {[]operation{at(opAccepted, 0, 0, 1), at(opDenied, 0, 2, 3)}, false},
		"unknown was counted":  {[]operation{at(opAccepted, 0, 0, 1), at(opUnknown, 0, 0, 0), at(opDenied, 0, 2, 3)}, true},
		"unknown was not":      {[]operation{at(opUnknown, 0, 0, 0), at(opAccepted, 0, 1, 2), at(opAccepted, 0, 3, 4)}, true},
		"unknown was and then": {[]operation{at(opUnknown, 0, 2, 3), at(opRead, 1, 4, 5), at(opRead, 0, 6, 7)}, false},
		"a reading of before":  {[]operation{at(opAccepted, 0, 0, 1), at(opRead, 0, 2, 3)}, false},
		"while it is counted":  {[]operation{at(opAccepted, 0, 0, 9), at(opRead, 0, 2, 3), at(opRead, 1, 4, 5)}, true},
	} {
		var list []porcupine.Operation
		for i := range c.history {
			op := &c.history[i]
			end := int64(op.end)
			if op.outcome == opUnknown {
				end = 1 << 62
			}
			list = append(list, porcupine.Operation{ClientId: i, Call: int64(op.begin), Output: op, Return: end})
		}
		if got := porcupine.CheckOperations(quota(2), list); got != c.isOne {
			t.Errorf("%s: %t", why, got)
		}
	}
}
