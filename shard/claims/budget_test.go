package claims

import (
	"errors"
	"fmt"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// takes adds up what all producers' rings take.
func takes(ps *Producers) (bytes int64) {
	_ = ps.Each(func(p *Producer) error {
		bytes += int64(len(p.known.values))*knownBytes + int64(len(p.medium.values))*mediumBytes +
			int64(cap(p.unsettled))*unsettledBytes
		return nil
	})
	return bytes
}

// decideOne decides one sequence with an answer to a single denied event.
func decideOne(p *Producer, seq uint64, nowMs int64) error {
	ticket := &Ticket{}
	mine, err := ticket.Begin(p, Claim{Sequence: seq}, nowMs)
	if err != nil || !mine {
		return err
	}
	if _, err := ticket.Enter(batch(1, event.Up)); err != nil {
		return err
	}
	v := event.Verdict{Code: event.MessageQuotaExceeded, Limit: 1500, Used: 1500, WindowStartMs: 1, ResetsAtMs: 2}
	result := &event.Result{Last: v, Denials: []event.Denial{{Verdict: v}}}
	ticket.Decide(&record.Builder{}, Decision{Group: doneGroup{}, GroupSeq: 1, AtMs: nowMs, Single: true, Result: result})
	ticket.Settle()
	return nil
}

// What is remembered of all producers of all accounts is bounded. When it is nearly full, new producers are refused and
// those that are there go on; when it is full, those are refused that need more; who was idle for a day makes room, and
// its sequences are never decided again.
func TestMemoryIsBounded(t *testing.T) {
	const most = 1 << 20
	ps := New(Options{MemoryBytes: most, AccountMax: 10})
	var all []*Producer
	nowMs := int64(1)
	for n := 0; ; n++ {
		if err := ps.Admit(nowMs); isTooMany(err) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p, err := ps.Bind(&record.Builder{}, uint32(n/10), []byte(fmt.Sprint("gw-", n)), nowMs)
		if err != nil {
			t.Fatal(err)
		}
		for seq := range uint64(100) {
			if err := decideOne(p, seq, nowMs); err != nil {
				t.Fatal(n, seq, err)
			}
		}
		all = append(all, p)
	}
	if held := ps.MemoryBytes(); held < most/8*7 || held > most || held != takes(ps) {
		t.Fatalf("%d producers take %d bytes, of %d", len(all), held, most)
	}
	last := all[len(all)-1]
	for seq := uint64(100); seq < 3*keptMax; seq++ {
		if err := decideOne(last, seq, nowMs); err != nil {
			t.Fatal("one that is there:", seq, err)
		}
	}
	nameOnly, err := ps.Bind(&record.Builder{}, 0, []byte("gw-0"), nowMs)
	if err != nil || nameOnly != all[0] {
		t.Fatal(err)
	}
	refused := 0
	for _, p := range all {
		for seq := uint64(100); seq < 3*keptMax; seq++ {
			if err := decideOne(p, seq, nowMs); errors.Is(err, ErrNoRoom) {
				refused++
				break
			} else if err != nil && !errors.Is(err, ErrTooOld) {
				t.Fatal(err)
			}
		}
	}
	if held := ps.MemoryBytes(); refused == 0 || held > most+int64(len(all))*64*mediumBytes || held != takes(ps) {
		t.Fatalf("%d of %d are refused, and take %d bytes of %d", refused, len(all), held, most)
	}
	nowMs += KeptFor.Milliseconds() - 1
	if err := ps.Admit(nowMs); !isTooMany(err) {
		t.Fatal(err)
	}
	if err := decideOne(last, 5000, nowMs); err != nil {
		t.Fatal(err)
	}
	nowMs += reclaimEvery.Milliseconds()
	if err := ps.Admit(nowMs); err != nil {
		t.Fatal("all but one are idle for a day:", err)
	}
	if got := all[0].Sequences(); got.Any || !last.Sequences().Any {
		t.Fatalf("%+v is remembered of who was idle, %+v of who was not", got, last.Sequences())
	}
	if held := ps.MemoryBytes(); held != takes(ps) || held > 2*keptMax*(knownBytes+mediumBytes) {
		t.Fatalf("%d bytes are taken, %d are said to be", takes(ps), held)
	}
	if err := decideOne(all[0], 50, nowMs); !errors.Is(err, ErrTooOld) {
		t.Fatal(err)
	}
	ps.Forget(&record.Builder{}, last.Account, []byte(last.Name))
	if held := ps.MemoryBytes(); held != 0 {
		t.Fatalf("nobody is there, and %d bytes are taken", held)
	}
}
