package shard

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/shard/claims"
)

// A request that is refused inside the gate, after its sequence was claimed, leaves it free for another body; so do its
// doubles.
func TestSequenceRefusedInsideTheGate(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	if _, err := m.claimed("gw", 1, line("connect", "p", "d")); err != nil {
		t.Fatal(err)
	}
	const doubles = 3
	results := make(chan error, doubles)
	m.gate.mu.Lock()
	for range doubles {
		r := request(t, line("up", "p", "d"))
		r.Producer, r.Claim = []byte(
			"gw",
		), &claims.Claim{
			Sequence: 2,
			Hash:     xxh3.Hash128([]byte(line("up", "p", "d"))).Bytes(),
		}
		go func() { results <- m.Submit(r) }()
	}
	p := m.producers.Find(0, []byte("gw"))
	for p.InFlight() == 0 {
		runtime.Gosched()
	}
	m.clock.set(testStart.Add(2 * time.Hour)) // R12.
	m.gate.mu.Unlock()
	for range doubles {
		if err := <-results; !errors.Is(err, ErrClockLeap) {
			t.Fatal(err)
		}
	}
	m.clock.set(testStart)
	if r, err := m.claimed("gw", 2, line("down", "p", "d")); err != nil || r.Replayed || r.Result.Accepted != 1 {
		t.Fatal("another body after a refusal:", err, r.Replayed)
	}
	if d, _ := m.device("p", "d"); d.Up != 0 || d.Down != 1 || p.InFlight() != 0 {
		t.Fatalf("%+v, %d in flight", d, p.InFlight())
	}
}

// A batch is no single event, and a single event no batch, however they are asked for again.
func TestFormIsRemembered(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	body := line("up", "p", "d")
	for range 2 {
		for seq, isSingle := range []bool{false, true} {
			for _, asked := range []bool{isSingle, !isSingle} {
				r := request(t, body)
				r.Single, r.Producer = asked, []byte("gw")
				r.Claim = &claims.Claim{Sequence: uint64(seq), Hash: xxh3.Hash128([]byte(body)).Bytes()}
				if err := m.Submit(r); err != nil || r.Single != isSingle || len(r.Result.Denials) != 1 {
					t.Fatalf("sequence %d asked for with Single %v: Single %v, %+v, %v", seq, asked, r.Single, r.Result, err)
				}
			}
		}
		m.crash()
	}
}

// A long answer that the ledger has but cannot give refuses the request that asks for it, and nothing else.
func TestLongAnswerCannotBeRead(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	body := strings.Repeat(line("up", "p", "d")+line("ota", "p", "d"), 20)
	first, err := m.claimed("gw", 1, body)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := m.claimed("gw", 1, body); err != nil || !r.Replayed || answerOf(r) != answerOf(first) {
		t.Fatal("before the ledger has it:", err)
	}
	if err := m.DurableInLedger(); err != nil {
		t.Fatal(err)
	}
	m.store.fail(errors.New("the ledger is unreadable"))
	if _, err := m.claimed("gw", 1, body); !errors.Is(err, ErrLedgerLags) || m.Err() != nil {
		t.Fatal("while it is unreadable:", err, m.Err())
	}
	if r, err := m.claimed("gw", 2, body); err != nil || r.Replayed {
		t.Fatal("another sequence:", err)
	}
	m.store.fail(nil)
	if r, err := m.claimed("gw", 1, body); err != nil || !r.Replayed || answerOf(r) != answerOf(first) {
		t.Fatal("from the ledger:", err)
	}
	m.store.forget("C")
	if _, err := m.claimed("gw", 1, body); !errors.Is(err, claims.ErrUnavailable) {
		t.Fatal("when the ledger lacks it:", err)
	}
	m.clock.pass(claims.KeptFor)
	if _, err := m.claimed("gw", 1, body); !errors.Is(err, claims.ErrTooOld) {
		t.Fatal("after a day:", err)
	}
}
