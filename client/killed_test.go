package client

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestKillsAreExact: a gateway is killed again and again, in outages and while it sends, over a network that loses,
// cuts and repeats. What a caller was told is what is counted in the end, once, and in the order of each device; only
// what nobody was told about may be either. METERD_TEST_SEED names the first of its seeds.
func TestKillsAreExact(t *testing.T) {
	first, seeds := firstSeed(), uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for i := range seeds {
		seed := first + i
		policy, transport := FailOpen+Policy(i%2), Transport(i/2%2)
		t.Run(fmt.Sprintf("seed=%d,policy=%d,transport=%d", seed, policy, transport), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dice := rand.New(rand.NewPCG(seed, 2))
				m := newExactMeterd(rand.New(rand.NewPCG(dice.Uint64(), 1)), dice.IntN(40))
				m.latency = time.Duration(1+dice.IntN(20)) * time.Millisecond
				runKills(t, m, m, dice, policy, transport, func(*Options) {}, func() {})
			})
		})
	}
}

// runKills is the life of a gateway that reaches m over net; well ends what net does to it.
func runKills(
	t *testing.T, m *exactMeterd, net http.RoundTripper, dice *rand.Rand, policy Policy, transport Transport,
	address func(*Options), well func(),
) {
	change := func(o *Options) {
		address(o)
		o.OnUnavailable, o.Transport = policy, transport
		o.InFlightMax, o.BatchEventsMax, o.QueueEventsMax = 1+dice.IntN(8), 1+dice.IntN(20), 20+dice.IntN(100)
		o.Timeout = time.Duration(100+dice.IntN(2000)) * time.Millisecond
	}
	const devices, kills = 10, 20
	l := newLife(t, net, t.TempDir(), change)
	told := map[string]map[int64]told{}
	next := int64(1)
	for range kills {
		for range 1 + dice.IntN(20) {
			for d := range devices {
				l.begin(t, fmt.Sprintf("d%d", d), next)
			}
			next++
			time.Sleep(time.Duration(dice.Int64N(int64(60 * time.Millisecond))))
		}
		if dice.IntN(2) == 0 {
			m.set(true)
			time.AfterFunc(time.Duration(dice.Int64N(int64(8*time.Second))), func() { m.set(false) })
		}
		time.Sleep(time.Duration(dice.Int64N(int64(3 * time.Second))))
		dir := l.kill(t, told)
		if s := l.Stats(); s.UnaskedLost > 0 || s.ProducerShared > 0 || policy == FailOpen && s.Ambiguous > 0 {
			t.Errorf("%+v", s)
		}
		l.bury()
		l = newLife(t, net, dir, change)
	}
	well()
	m.set(false)
	m.mu.Lock()
	m.badness = 5
	m.mu.Unlock()
	time.Sleep(10 * time.Minute)
	if n := owedFiles(t, l.opts.Spool.Dir); n > 0 || l.Stats().Unasked > 0 {
		t.Errorf("%d files are left, %+v", n, l.Stats())
	}
	closeClient(t, l.Client)
	m.compareKills(t, told)
}

// begin hands in a message of so many bytes.
func (l *life) begin(t *testing.T, device string, size int64) {
	t.Helper()
	p, err := l.Begin(t.Context(), up(device, size))
	if errors.Is(err, ErrOverloaded) {
		return // Nothing was taken.
	}
	if err != nil {
		t.Fatal(err)
	}
	if l.pending[device] == nil {
		l.pending[device] = map[int64]*Pending{}
	}
	l.pending[device][size] = p
}

// hear notes what callers were told up to now.
func (l *life) hear(t *testing.T, all map[string]map[int64]told) {
	t.Helper()
	for device, list := range l.pending {
		if all[device] == nil {
			all[device] = map[int64]told{}
		}
		for size, p := range list {
			select {
			case <-p.done:
				all[device][size] = outcomeOf(t, p)
			default:
				all[device][size] = toldNothing
			}
		}
	}
}

func (m *exactMeterd) compareKills(t *testing.T, all map[string]map[int64]told) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.faults) > 0 {
		t.Error(strings.Join(m.faults, "\n"))
	}
	sum := map[told]int{}
	for device, list := range all {
		var passed []int64
		for size, what := range list {
			sum[what]++
			times := m.counted[device][size]
			isPass := what == toldCounted || what == toldUnasked
			if times > 1 || times == 0 && isPass || times == 1 && what == toldRefused {
				t.Errorf("message %d of %s: counted %d times, told %d", size, device, times, what)
			}
			if isPass {
				passed = append(passed, size)
			}
		}
		slices.Sort(passed)
		if !slices.IsSortedFunc(passed, func(a, b int64) int { return m.turns[device][a] - m.turns[device][b] }) {
			t.Errorf("%s: what passed was counted in another order", device)
		}
	}
	t.Logf("counted %d, refused %d, told nothing %d, unasked %d", sum[toldCounted], sum[toldRefused], sum[toldNothing],
		sum[toldUnasked])
}
