package claims

import (
	"bytes"
	"errors"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// batch returns events of a type.
func batch(n int, t event.Type) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i].Type = t
	}
	return events
}

// begun returns a ticket whose sequence is its to decide.
func begun(t *testing.T, p *Producer, seq uint64) *Ticket {
	t.Helper()
	ticket := &Ticket{}
	if mine, err := ticket.Begin(p, Claim{Sequence: seq}, 1); !mine || err != nil {
		t.Fatal(mine, err)
	}
	return ticket
}

// enter is Enter without the ordinal.
func enter(t *Ticket, events []event.Event) error {
	_, err := t.Enter(events)
	return err
}

// denied is a batch of which so many messages were denied, and no denial is like the one before.
func denied(n int) *event.Result {
	r := &event.Result{}
	for i := range n {
		r.Denials = append(r.Denials, event.Denial{Index: i, Verdict: event.Verdict{
			Code: event.MessageQuotaExceeded, Limit: 1500, Used: 1500 - uint64(i%2), WindowStartMs: 1, ResetsAtMs: 2,
		}})
	}
	return r
}

// When the ledger is behind with all the long answers that there is memory for, requests whose answer could be long are
// refused, and no others; as soon as the ledger has passed them there is room again.
func TestLongAnswersAreBounded(t *testing.T) {
	ps := New(Options{})
	p := bind(t, ps, "gw")
	group, kept, answer := uint64(0), 0, denied(event.EventsMax)
	for {
		group++
		ticket := begun(t, p, group)
		if err := enter(ticket, batch(event.EventsMax, event.Up)); err != nil {
			if !errors.Is(err, ErrNoRoom) {
				t.Fatal(err)
			}
			ticket.GiveUp()
			break
		}
		d := Decision{Group: doneGroup{}, GroupSeq: group, AtMs: 1, Result: answer}
		ticket.Decide(&record.Builder{}, d)
		ticket.Settle()
		if kept += len(ticket.answer); int64(kept) > longBytesMax {
			t.Fatalf("%d answers of %d bytes are kept", group, len(ticket.answer))
		}
	}
	most := 1 + event.CompactBytesMax(event.EventsMax)
	if held := ps.LongBytes(); held < int64(kept) || held < longBytesMax-int64(most)-longOverheadBytes {
		t.Fatalf("%d bytes are said to be held of %d, at most %d", held, kept, longBytesMax)
	}
	for _, few := range []event.Type{event.Connect, event.Disconnect, event.Up, event.Down} {
		ticket := begun(t, p, 1000)
		if err := enter(ticket, batch(1, few)); err != nil {
			t.Errorf("a single %v is refused: %v", few, err)
		}
		ticket.GiveUp()
	}
	ps.Passed(group)
	if n := ps.LongBytes(); n != 0 || len(p.pending) != 0 {
		t.Errorf("the ledger has all, and %d bytes in %d answers are held", n, len(p.pending))
	}
	if err := enter(begun(t, p, 1000), batch(event.EventsMax, event.Up)); err != nil {
		t.Error(err)
	}
}

// What is reserved and not needed is given back, whether the answer is short or the request refused.
func TestReserved(t *testing.T) {
	ps := New(Options{})
	p := bind(t, ps, "gw")
	for seq := range uint64(10) {
		ticket := begun(t, p, seq)
		if err := enter(ticket, batch(100, event.Up)); err != nil {
			t.Fatal(err)
		}
		if ps.LongBytes() == 0 {
			t.Fatal("nothing is reserved")
		}
		if seq%2 == 0 {
			ticket.GiveUp()
			continue
		}
		d := Decision{Group: doneGroup{}, GroupSeq: 1, Result: &event.Result{Accepted: 100}}
		ticket.Decide(&record.Builder{}, d)
	}
	if n := ps.LongBytes(); n != 0 {
		t.Errorf("%d bytes stay reserved", n)
	}
}

// The answer to a single message is kept with its sequence, whatever its numbers.
func TestSingleMessageIsNotLong(t *testing.T) {
	v := event.Verdict{
		Code: event.MessageQuotaExceeded, Limit: event.MessagesPerDayMax, Used: event.MessagesPerDayMax,
		WindowStartMs: 70_000_000_000_000, ResetsAtMs: 70_000_000_000_000 + 25*3_600_000,
	}
	r := event.Result{Last: v, Denials: []event.Denial{{Verdict: v}}}
	if n := 1 + len(r.Append(nil)); n > AnswerBytesKept {
		t.Errorf("%d bytes, at most %d", n, AnswerBytesKept)
	}
}

// A long answer is found in memory until the ledger has passed its group, then in the ledger alone. One that the ledger
// ought to have and has not cannot be given now; one that it dropped after a day never.
func TestLongAnswerIsInOnePlace(t *testing.T) {
	ps := New(Options{})
	p := bind(t, ps, "gw")
	ticket := begun(t, p, 1)
	if err := enter(ticket, batch(9, event.Up)); err != nil {
		t.Fatal(err)
	}
	d := Decision{Group: doneGroup{}, GroupSeq: 5, AtMs: 1, Result: denied(9)}
	ticket.Decide(&record.Builder{}, d)
	stored := bytes.Clone(ticket.answer)
	ticket.Settle()
	for _, passed := range []uint64{0, 4, 5, 6} {
		ps.Passed(passed)
		again := &Ticket{}
		if mine, err := again.Begin(p, Claim{Sequence: 1}, 2); mine || err != nil {
			t.Fatal(mine, err)
		}
		if replayed, inLedger := again.Replayed(); !replayed || inLedger != (passed >= 5) {
			t.Fatalf("passed %d: replayed %t, in the ledger %t", passed, replayed, inLedger)
		}
		if passed >= 5 {
			if err := again.Found(nil, 2); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			if err := again.Found(nil, 1+KeptFor.Milliseconds()); !errors.Is(err, ErrTooOld) {
				t.Fatal(err)
			}
			if err := again.Found(stored, 2); err != nil {
				t.Fatal(err)
			}
		}
		var r event.Result
		if atMs, single, err := again.Answer(&r); atMs != 1 || single || err != nil || len(r.Denials) != 9 {
			t.Fatalf("at %d, single %t, %v: %+v", atMs, single, err, r)
		}
	}
	// Recovery reads the claim again: of a group that the ledger has, no bytes are kept.
	back := New(Options{})
	back.Passed(5)
	if err := back.Restore(record.Producer{Ordinal: 1, Account: 1, Name: []byte("gw")}); err != nil {
		t.Fatal(err)
	}
	for seq, group := range []uint64{5, 6} {
		r := record.Claim{Producer: 1, Sequence: uint64(seq), Answer: stored}
		if err := back.RestoreClaim(r, group); err != nil {
			t.Fatal(err)
		}
	}
	if pending := back.ByOrdinal(1).pending; len(pending) != 1 || pending[1].group != 6 {
		t.Errorf("%+v is kept", pending)
	}
}
