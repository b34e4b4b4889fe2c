package shard

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard/claims"
)

// claimed submits lines of a producer under a sequence.
func (m *machine) claimed(producer string, seq uint64, lines string) (*Request, error) {
	m.t.Helper()
	r := request(m.t, lines)
	r.Producer = []byte(producer)
	r.Claim = &claims.Claim{Sequence: seq, Hash: xxh3.Hash128([]byte(lines)).Bytes()}
	return r, m.Submit(r)
}

func answerOf(r *Request) string {
	if r.Single {
		return string(wire.AppendVerdict(nil, &r.Result.Last))
	}
	return string(wire.AppendResult(nil, &r.Result))
}

// The same sequence gets the first answer again and counts nothing: as it is, after a crash, and from a checkpoint;
// large answers too.
func TestRetriesAreExact(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":3}`, 0)
	bodies := []string{
		line("connect", "p", "d"),
		line("up", "p", "d") + line("down", "p", "d"),
		line("up", "p", "d") + strings.Repeat(line("up", "p", "d"), 100), // a hundred denials: the ledger's
		line("up", "p", "d"),                                             // a single denial
		line("up", "nobody", "d"),
	}
	answers := make([]string, len(bodies))
	for i, body := range bodies {
		r, err := m.claimed("gw", uint64(10*i), body)
		if err != nil || r.Replayed {
			t.Fatal(err, r.Replayed)
		}
		answers[i] = answerOf(r)
	}
	d, _ := m.device("p", "d")
	for round := range 4 {
		for i, body := range bodies {
			r, err := m.claimed("gw", uint64(10*i), body)
			if err != nil || !r.Replayed || answerOf(r) != answers[i] {
				t.Fatalf("round %d, sequence %d: %v, replayed %v\n%s\n%s", round, 10*i, err, r.Replayed, answerOf(r), answers[i])
			}
		}
		if _, err := m.claimed("gw", 10, line("up", "p", "e")); !errors.Is(err, claims.ErrReused) {
			t.Fatalf("another body: %v", err)
		}
		if again, _ := m.device("p", "d"); again != d {
			t.Fatalf("a retry counted: %+v, then %+v", d, again)
		}
		s, ok, err := m.Sequences(0, "gw")
		if err != nil || !ok || s != (claims.Sequences{Any: true, Last: 40, Oldest: 0}) {
			t.Fatalf("sequences %+v, %v, %v", s, ok, err)
		}
		m.crash()
		if round == 1 {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if r, err := m.claimed("other", 10, line("up", "p", "e")); err != nil || r.Replayed {
		t.Fatal("sequences of another producer are its own", err)
	}
}

// Concurrent doubles of one sequence get one decision.
func TestConcurrentDoubles(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.submit(line("connect", "p", "d"))
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			r, err := m.claimed("gw", uint64(i%50), line("up", "p", "d"))
			if err != nil || r.Result.Accepted != 1 {
				t.Error(err, r.Result)
			}
		})
	}
	wg.Wait()
	if d, _ := m.device("p", "d"); d.Up != 50 {
		t.Fatalf("50 sequences, eight times each, counted %d", d.Up)
	}
}

// At least the last 256 sequences are remembered, what is older is refused; a refused request leaves its sequence free.
func TestSequenceWindow(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.submit(line("connect", "p", "d"))
	const sent = 1000
	for seq := range uint64(sent) {
		if _, err := m.claimed("gw", seq, line("up", "p", "d")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for seq := uint64(sent - 256); seq < sent; seq++ {
			if r, err := m.claimed("gw", seq, line("up", "p", "d")); err != nil || !r.Replayed {
				t.Fatalf("sequence %d of the last 256: %v", seq, err)
			}
		}
		if _, err := m.claimed("gw", 1, line("up", "p", "d")); !errors.Is(err, claims.ErrTooOld) {
			t.Fatalf("an old sequence: %v", err)
		}
		m.crash()
	}
	m.disk.full.Store(true)
	if _, err := m.claimed("gw", sent, line("up", "p", "d")); !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	m.disk.full.Store(false)
	if r, err := m.claimed("gw", sent, line("up", "p", "d")); err != nil || r.Replayed {
		t.Fatalf("after a refusal: %v", err)
	}
	m.clock.pass(claims.KeptFor)
	if r, err := m.claimed("gw", sent+1, line("up", "p", "d")); err != nil || r.Replayed {
		t.Fatal(err)
	}
	if _, err := m.claimed("gw", sent, line("up", "p", "d")); !errors.Is(err, claims.ErrTooOld) {
		t.Fatalf("after a day: %v", err)
	}
}

// Random histories of gateways that retry until they are answered, through crashes and checkpoints: what they saw
// accepted is what is counted.
func TestRetriesThroughCrashes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	m := newMachine(t)
	m.product("p", `{"messages_per_day":null}`, 0)
	m.submit(line("connect", "p", "d"))
	accepted, next := 0, uint64(1)
	for range 60 {
		// Some requests reach the disk, some are lost with the group; nobody is told which.
		n := 1 + r.IntN(5)
		body := func(seq uint64) string { return strings.Repeat(line("up", "p", "d"), 1+int(seq)%7) }
		lose := r.IntN(2) == 0
		if lose {
			m.log.mu.Lock()
			m.log.hold, m.log.began = make(chan struct{}), make(chan struct{}, 1)
			m.log.mu.Unlock()
		}
		results := make(chan error, n)
		e := m.Engine
		for i := range uint64(n) {
			req := request(t, body(next+i))
			req.Producer, req.Claim = []byte(
				"gw",
			), &claims.Claim{
				Sequence: next + i,
				Hash:     xxh3.Hash128([]byte(body(next + i))).Bytes(),
			}
			go func() { results <- e.Submit(req) }()
		}
		if lose {
			<-m.log.began
			m.crash()
		}
		for range n {
			if err := <-results; err != nil && !errors.Is(err, ErrStopped) {
				t.Fatal(err)
			}
		}
		if r.IntN(3) == 0 {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		for i := range uint64(n) { // The gateway tries again until it is answered.
			req, err := m.claimed("gw", next+i, body(next+i))
			if err != nil {
				t.Fatal(err)
			}
			accepted += req.Result.Accepted
		}
		next += uint64(n)
	}
	m.crash()
	if d, _ := m.device("p", "d"); int(d.Up) != accepted {
		t.Fatalf("%d accepted, %d counted", accepted, d.Up)
	}
}
