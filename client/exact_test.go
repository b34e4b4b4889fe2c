package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event"
)

// exactMeterd counts, and remembers sequences as the contract has it, behind a network that loses, cuts and repeats.
type exactMeterd struct {
	fakeMeterd
	dice    *rand.Rand
	badness int // of a hundred requests, how many something happens to
	down    bool

	memory  map[uint64]*remembered
	order   []uint64
	counted map[string]map[int64]int // device → size of the message → times
	turns   map[string]map[int64]int // device → size of the message → how many messages were counted before
	faults  []string
}

// remembered is what is known of a sequence.
type remembered struct{ body, answer string }

func newExactMeterd(dice *rand.Rand, badness int) *exactMeterd {
	m := &exactMeterd{
		dice:    dice,
		badness: badness,
		memory:  map[uint64]*remembered{},
		counted: map[string]map[int64]int{},
		turns:   map[string]map[int64]int{},
	}
	m.answer = m.carry
	m.producer = func() (*http.Response, error) {
		switch {
		case m.down || m.isBad():
			return nil, errCut
		case len(m.order) == 0:
			return respond(404, `{"code":"not_found"}`), nil
		}
		return respond(200, fmt.Sprintf(`{"producer":"gw-1","last_sequence":%d}`, m.order[len(m.order)-1])), nil
	}
	return m
}

func (m *exactMeterd) isBad() bool { return m.dice.IntN(100) < m.badness }

// carry brings a request to its fate. The fake's lock is held.
func (m *exactMeterd) carry(_ int, r request) (*http.Response, error) {
	if m.down {
		return nil, errCut
	}
	if !m.isBad() {
		return m.decide(r), nil
	}
	switch m.dice.IntN(7) {
	case 0: // Nothing of it arrives.
		return nil, errCut
	case 1: // The answer is lost.
		m.decide(r)
		return nil, errCut
	case 2: // Something in between gives up.
		m.decide(r)
		return respond(502+m.dice.IntN(3), ""), nil
	case 3: // A part of the answer is lost.
		m.decide(r)
		return respond(200, `{"accepted":`), nil
	case 4: // meterd is overloaded.
		return respond(503, `{"code":"overloaded"}`, "Retry-After", "1"), nil
	case 5: // It arrives late, when it was long given up.
		time.AfterFunc(time.Duration(m.dice.Int64N(int64(400*time.Millisecond))), func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			if !m.down {
				m.decide(r)
			}
		})
		return nil, errCut
	}
	m.decide(r)
	return m.decide(r), nil // It arrives twice.
}

// decide answers a request as the contract says.
func (m *exactMeterd) decide(r request) *http.Response {
	seq, err := strconv.ParseUint(r.sequence, 10, 64)
	if err != nil {
		m.faults = append(m.faults, "no sequence: "+r.sequence)
		return respond(400, `{"code":"invalid_argument"}`)
	}
	if known := m.memory[seq]; known != nil {
		if known.body != r.body {
			m.faults = append(m.faults, fmt.Sprintf("sequence %d came with two bodies", seq))
			return respond(422, `{"code":"sequence_reused"}`)
		}
		return respond(200, known.answer, "Meterd-Replayed", "true")
	}
	if len(m.order) >= 256 && seq < m.order[0] {
		return respond(409, `{"code":"sequence_too_old"}`)
	}
	at, _ := slices.BinarySearch(m.order, seq)
	m.order = slices.Insert(m.order, at, seq)
	if len(m.order) > 256 {
		delete(m.memory, m.order[0])
		m.order = m.order[1:]
	}
	for _, l := range r.lines {
		if l.Size == nil {
			continue
		}
		if m.counted[l.Device] == nil {
			m.counted[l.Device], m.turns[l.Device] = map[int64]int{}, map[int64]int{}
		}
		m.turns[l.Device][*l.Size] = len(m.counted[l.Device])
		m.counted[l.Device][*l.Size]++
	}
	answer := fmt.Sprintf(`{"accepted":%d,"denied":[]}`, len(r.lines))
	m.memory[seq] = &remembered{r.body, answer}
	return respond(200, answer)
}

// told is what became of a message as its caller knows it.
type told int

const (
	toldCounted  told = iota
	toldRefused       // nothing was counted
	toldNothing       // it may have been
	toldUnasked       // it passed, to be reported
	toldOverload      // it was not taken
)

// TestRetriesAreExact: whatever the network does, a message that was accepted is counted once, one that was refused not
// at all, and only what is said to be ambiguous may be either; failing open, everything is counted once in the end.
// METERD_TEST_SEED names the first of its seeds.
func TestRetriesAreExact(t *testing.T) {
	first := firstSeed()
	for i := range uint64(24) {
		seed := first + i
		policy, transport := Policy(i%3), Transport(i%2)
		t.Run(fmt.Sprintf("seed=%d,policy=%d,transport=%d", seed, policy, transport), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runExact(t, rand.New(rand.NewPCG(seed, uint64(policy))), policy, transport) })
		})
	}
}

// firstSeed returns the seed that METERD_TEST_SEED names, or any.
func firstSeed() uint64 {
	if given, err := strconv.ParseUint(os.Getenv("METERD_TEST_SEED"), 10, 64); err == nil {
		return given
	}
	return rand.Uint64()
}

func runExact(t *testing.T, dice *rand.Rand, policy Policy, transport Transport) {
	m := newExactMeterd(rand.New(rand.NewPCG(dice.Uint64(), 1)), 10+dice.IntN(50))
	m.latency = time.Duration(dice.IntN(5)) * time.Millisecond
	c := newTestClient(t, &m.fakeMeterd, func(o *Options) {
		o.Transport = transport
		o.OnUnavailable, o.InFlightMax, o.BatchEventsMax = policy, 1+dice.IntN(16), 1+dice.IntN(20)
		o.Timeout = time.Duration(100+dice.IntN(3000)) * time.Millisecond
	})
	const devices, messages = 10, 150
	results := make([][]told, devices)
	pending := make([][]*Pending, devices)
	for n := range messages {
		if n%50 == 25 { // A restart, or an outage that is longer than Timeout.
			m.set(true)
			time.AfterFunc(time.Duration(dice.Int64N(int64(5*time.Second))), func() { m.set(false) })
		}
		for d := range devices {
			p, err := c.Begin(t.Context(), up(fmt.Sprintf("d%d", d), int64(n+1)))
			if err != nil {
				t.Fatal(err)
			}
			pending[d] = append(pending[d], p)
		}
		time.Sleep(time.Duration(dice.Int64N(int64(60 * time.Millisecond))))
	}
	for d, list := range pending {
		for _, p := range list {
			results[d] = append(results[d], outcomeOf(t, p))
		}
	}
	m.set(false)
	m.mu.Lock()
	m.badness = 5
	m.mu.Unlock()
	time.Sleep(time.Minute)
	if err := c.Close(context.Background()); err != nil {
		t.Error(err)
	}
	m.compare(t, results, c.Stats())
}

func (m *exactMeterd) set(down bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = down
}

func outcomeOf(t *testing.T, p *Pending) told {
	t.Helper()
	v, err := p.Wait(t.Context())
	var unavailable *UnavailableError
	switch {
	case err == nil && v.Accepted && v.Unasked:
		return toldUnasked
	case err == nil && v.Accepted:
		return toldCounted
	case errors.As(err, &unavailable) && unavailable.Ambiguous:
		return toldNothing
	case errors.As(err, &unavailable) && !errors.Is(err, ErrProducerShared):
		return toldRefused
	}
	t.Errorf("%+v, %v", v, err)
	return toldOverload
}

// compare holds what was told against what is counted.
func (m *exactMeterd) compare(t *testing.T, results [][]told, s Stats) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.faults) > 0 || m.overlap != nil {
		t.Errorf("%v\n%s", m.overlap, strings.Join(m.faults, "\n"))
	}
	sum := map[told]int{}
	for d, list := range results {
		for n, what := range list {
			sum[what]++
			times := m.counted[fmt.Sprintf("d%d", d)][int64(n+1)]
			if times > 1 || times == 0 && (what == toldCounted || what == toldUnasked) || times == 1 && what == toldRefused {
				t.Errorf("message %d of device %d: counted %d times, told %d", n+1, d, times, what)
			}
		}
	}
	if int(s.Ambiguous) != sum[toldNothing] || s.Unasked != 0 || s.UnaskedLost != 0 || s.ProducerShared != 0 {
		t.Errorf("told %v, stats %+v", sum, s)
	}
	t.Logf(
		"counted %d, refused %d, ambiguous %d, unasked %d; %+v",
		sum[toldCounted],
		sum[toldRefused],
		sum[toldNothing],
		sum[toldUnasked],
		s,
	)
}

// TestTwoClientsOfOneName: two gateways that were given one name are told, and what each of them was told is still
// exact.
func TestTwoClientsOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newExactMeterd(rand.New(rand.NewPCG(1, 1)), 0)
		found := 0
		option := func(o *Options) { o.ProducerShared = func(error) { found++ } }
		a, b := newTestClient(t, &m.fakeMeterd, option), newTestClient(t, &m.fakeMeterd, option)
		defer closeClient(t, a)
		defer closeClient(t, b)
		refused := 0
		for i := range 1000 {
			for _, c := range []*Client{a, b} {
				// Both send the same bytes: with the same sequence they would be counted once.
				switch v, err := c.Decide(t.Context(), Event{Type: event.Up, Product: "p1", Device: "d1", Size: int64(i + 1)}); {
				case errors.Is(err, ErrProducerShared):
					refused++
				case err != nil || !v.Accepted:
					t.Fatalf("%+v, %v", v, err)
				}
			}
		}
		counted := 0
		for _, times := range m.counted["d1"] {
			counted += times
		}
		if counted != 2000-refused || refused == 0 || found != refused || len(m.faults) > 0 {
			t.Errorf("%d counted, %d refused, told %d times, %v", counted, refused, found, m.faults)
		}
	})
}
