package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
)

// replica is a machine whose engine is a standby until it is promoted.
type replica struct {
	*machine
	standby *Standby
}

// newReplica returns a replica with a log, a ledger and checkpoints of its own.
func newReplica(t testing.TB, clock *handClock) *replica {
	r := &replica{machine: &machine{
		t: t, log: &memLog{}, store: newMemStore(), dir: t.TempDir(), disk: &wideDisk{}, clock: clock, lanes: 2,
	}}
	r.open()
	t.Cleanup(r.kill)
	return r
}

func (r *replica) open() {
	r.t.Helper()
	s, err := OpenStandby(r.options())
	if err != nil {
		r.t.Fatal(err)
	}
	r.standby, r.Engine = s, s.e // So that the machine can kill it, and look at it.
}

func (r *replica) kill() {
	if r.Engine != nil && r.standby.joiner != nil {
		if err := r.standby.joiner.Close(); err != nil {
			r.t.Error(err)
		}
	}
	r.machine.kill()
}

// copies appends the groups of another log up to one, as a follower of the stream does.
func (r *replica) copies(from *memLog, to int) {
	r.t.Helper()
	groups := from.snapshot()[len(r.log.snapshot()):to]
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.groups = append(r.log.groups, groups...)
}

func (r *replica) follow() {
	r.t.Helper()
	if err := r.standby.Follow(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if at := r.durableSeq.Load(); at != uint64(len(r.log.snapshot())) {
		r.t.Fatalf("it is at group %d", at)
	}
}

func (r *replica) promote() {
	r.t.Helper()
	e, err := r.standby.Promote(r.log, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	r.Engine = e
}

// recoveredFrom returns a machine that begins with a log as it stands up to a group.
func recoveredFrom(t testing.TB, from *memLog, to int, clock *handClock) *machine {
	m := &machine{
		t: t, log: &memLog{groups: from.snapshot()[:to:to]}, store: newMemStore(), dir: t.TempDir(), disk: &wideDisk{},
		clock: clock, lanes: 3,
	}
	m.start()
	t.Cleanup(m.kill)
	return m
}

// ask is a request as gateways send it, and send again.
type ask struct {
	producer string
	sequence uint64 // 0: none
	lines    string
	clouds   []string
	at       time.Time // when it was asked first
}

func (a *ask) request(t testing.TB) *Request {
	if len(a.clouds) > 0 {
		return clouds(t, a.clouds...)
	}
	r := request(t, a.lines)
	r.Producer = []byte(a.producer)
	if a.sequence > 0 {
		r.Claim = &claims.Claim{Sequence: a.sequence}
		copy(r.Claim.Hash[:], a.lines)
	}
	return r
}

// randomAsk draws a request of all kinds of events for a few devices; a batch of many denials has a long answer.
func randomAsk(r *rand.Rand, sequence uint64) *ask {
	if r.IntN(5) == 0 {
		a := &ask{}
		for range 1 + r.IntN(4) {
			kind := []string{"up", "connect", "down"}[r.IntN(3)]
			a.clouds = append(a.clouds, cloud(kind, "/a", fmt.Sprint(kind, r.IntN(20))))
		}
		return a
	}
	a := &ask{producer: fmt.Sprint("gw", r.IntN(3))}
	if r.IntN(2) == 0 {
		a.sequence = sequence
	}
	kinds := []string{"connect", "up", "up", "up", "down", "ota", "disconnect", "connect"}
	named := []string{"ota", "ota_void"} // with an id
	var b strings.Builder
	for range 1 + r.IntN(12) {
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "{\"type\":%q,\"product\":\"p\",\"device\":\"d%d\",\"size\":%d,\"id\":\"%d\"}\n",
				named[r.IntN(2)], r.IntN(8), 5<<20+r.IntN(2), r.IntN(40))
			continue
		}
		fmt.Fprintf(&b, "{\"type\":%q,\"product\":%q,\"device\":\"d%d\",\"size\":%d,\"topic\":\"t\"}\n",
			kinds[r.IntN(len(kinds))], []string{"p", "q", "none"}[r.IntN(3)], r.IntN(8), r.IntN(200))
	}
	a.lines = b.String()
	return a
}

// outcome decides a request, and says as text what came of it.
func (m *machine) outcome(a *ask) string {
	m.t.Helper()
	r := a.request(m.t)
	err := m.Submit(r)
	return fmt.Sprintf("%s%q: %v, replayed %v at %d\n%s", a.lines, a.clouds, err, r.Replayed, r.DecidedMs, answerOf(r))
}

// wholeHistory has the owner record all kinds of things, and step called behind each of them.
func (m *machine) wholeHistory(r *rand.Rand, step func()) (asked []*ask) {
	m.product("p", `{"messages_per_day":5,"validity":"P2D","ota_per_month":2,"message_unit_bytes":64}`, 4)
	m.product("q", `{"messages_per_day":null}`, 2)
	m.credit("p", "PACK", 5, true)
	for n := range 40 {
		a := randomAsk(r, uint64(n+1))
		a.at = m.clock.wall
		asked = append(asked, a)
		m.outcome(a)
		m.randomChange(r)
		switch r.IntN(14) {
		case 0:
			m.clock.pass(25 * time.Hour)
			m.ends()
		case 1:
			m.clock.pass(20 * 24 * time.Hour)
		case 2:
			m.credit("p", fmt.Sprint("LOT-", r.Uint32()), 2, false)
		case 3:
			if err := m.Checkpoint(); err != nil {
				m.t.Fatal(err)
			}
		case 4:
			m.crash()
		case 5:
			if _, err := m.EraseLog("test", nil, "p", fmt.Appendf(nil, "d%d", r.IntN(8))); err != nil {
				m.t.Fatal(err)
			}
		case 6:
			if _, err := m.Offline(m.administrator(), fmt.Sprint("gw", r.IntN(3))); err != nil {
				m.t.Fatal(err)
			}
		case 7:
			if _, err := m.ForgetProducer(m.administrator(), fmt.Sprint("gw", r.IntN(3))); err != nil {
				m.t.Fatal(err)
			}
		case 8:
			m.clock.pass(time.Hour)
			m.ends()
		case 9:
			if err := m.DurableInLedger(); err != nil {
				m.t.Fatal(err)
			}
		}
		step()
	}
	return asked
}

// The law of standbys: one that followed any history, with whatever came between, and was promoted, holds the same
// state as its owner, and as an engine that is recovered from the same log; and the three decide the same from then on,
// whether they are asked anew or again.
func TestPromotedIsRecovered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		owner := newMachine(t)
		defer func() { owner.kill() }()
		standby := newReplica(t, owner.clock)
		defer func() { standby.kill() }()
		asked := owner.wholeHistory(r, func() {
			n := len(standby.log.snapshot())
			standby.copies(owner.log, n+r.IntN(len(owner.log.snapshot())-n+1))
			if r.IntN(3) > 0 {
				standby.follow()
			}
			standby.randomly(r)
		})
		owner.ends()
		if err := owner.DurableInLedger(); err != nil {
			t.Fatal(err)
		}
		last := len(owner.log.snapshot())
		standby.copies(owner.log, last)
		recovered := recoveredFrom(t, owner.log, last, owner.clock)
		defer recovered.kill()
		standby.promote()
		same := func(what string) {
			t.Helper()
			want, promoted := recovered.state(), standby.state()
			if promoted != want {
				rt.Fatalf("%s, the promoted one's state differs (seed %d):\n%s", what, seed, diff(want, promoted))
			}
			if got, want := withoutDays(promoted), withoutDays(owner.state()); got != want {
				rt.Fatalf("%s, the owner's state differs (seed %d):\n%s", what, seed, diff(want, got))
			}
		}
		same("at first")
		asked = slices.DeleteFunc(asked, func(a *ask) bool { // They are forgotten, or not yet.
			return a.sequence > 0 && owner.clock.wall.Sub(a.at) >= claims.KeptFor
		})
		for n := range 20 {
			asked = append(asked, randomAsk(r, uint64(100+n)))
		}
		for _, a := range asked {
			want := owner.outcome(a)
			for name, m := range map[string]*machine{"promoted": standby.machine, "recovered": recovered} {
				if got := m.outcome(a); got != want {
					rt.Fatalf("the %s one decides differently (seed %d):\n%s\nwant %s", name, seed, got, want)
				}
			}
		}
		same("then")
	})
}

// randomly does what may happen to a standby.
func (r *replica) randomly(rnd *rand.Rand) {
	r.t.Helper()
	switch rnd.IntN(8) {
	case 0:
		if err := r.Checkpoint(); err != nil {
			r.t.Fatal(err)
		}
	case 1:
		r.kill()
		r.open()
	case 2:
		if err := r.standby.Close(); err != nil {
			r.t.Fatal(err)
		}
		r.Engine = nil
		r.open()
	case 3: // So that memory lets go of ids and answers.
		if err := r.views.WaitFor(r.o.Ledger, r.durableSeq.Load()); err != nil {
			r.t.Fatal(err)
		}
	}
}

// TestPromotedAtEachGroup: between any two groups a standby can be promoted. Sweeps that were pending then end as they
// end for an engine that is recovered there.
func TestPromotedAtEachGroup(t *testing.T) {
	owner := newMachine(t)
	r := rand.New(rand.NewPCG(7, 7))
	owner.wholeHistory(r, func() {})
	for to := range owner.log.snapshot() {
		standby, recovered := newReplica(t, owner.clock), recoveredFrom(t, owner.log, to, owner.clock)
		standby.copies(owner.log, to/2)
		standby.follow()
		standby.copies(owner.log, to)
		standby.promote()
		for _, m := range []*machine{standby.machine, recovered} {
			for _, s := range m.Catalogue().Sweeps() {
				if err := m.awaitSweep(s.Seq); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got, want := unordered(standby.state()), unordered(recovered.state()); got != want {
			t.Fatalf("promoted behind group %d:\n%s", to, diff(want, got))
		}
		standby.kill()
		recovered.kill()
	}
}

// withoutDays is a state without the days that are closed: after a start days count as open that were never used.
func withoutDays(state string) string {
	return regexp.MustCompile(`product \d+ closed through \d+`).ReplaceAllString(state, "")
}

// unordered is a state without the order of its commands: a sweep gives them in the order of the device table, which
// depends on how that has grown.
func unordered(state string) string {
	lines := strings.Split(regexp.MustCompile(`command \d+ to`).ReplaceAllString(state, "command to"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestFollowBesideCheckpoints: checkpoints that are made while groups are joined are as good as any, and what looks
// into the gate, or at the catalogue, disturbs nothing.
func TestFollowBesideCheckpoints(t *testing.T) {
	owner := newMachine(t)
	standby := newReplica(t, owner.clock)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	beside := func(fn func()) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					fn()
				}
			}
		})
	}
	before, followed := standby.Engine, standby.standby // promote gives the replica another engine.
	beside(func() {
		if err := before.Checkpoint(); err != nil {
			t.Error(err)
		}
	})
	beside(func() {
		followed.Catalogue().Product([]byte("p"))
	})
	asked := owner.wholeHistory(rand.New(rand.NewPCG(3, 3)), func() {
		standby.copies(owner.log, len(owner.log.snapshot()))
		standby.follow()
	})
	owner.ends()
	standby.copies(owner.log, len(owner.log.snapshot()))
	standby.promote() // Beside a checkpoint, too.
	close(stop)
	wg.Wait()
	want := withoutDays(owner.state())
	if got := withoutDays(standby.state()); got != want {
		t.Fatalf("promoted:\n%s", diff(want, got))
	}
	standby.machine.crash()
	if got := withoutDays(standby.state()); got != want {
		t.Fatalf("from its own checkpoint:\n%s", diff(want, got))
	}
	for _, a := range asked {
		if a.sequence > 0 && owner.clock.wall.Sub(a.at) >= claims.KeptFor {
			continue
		}
		if got, want := standby.outcome(a), owner.outcome(a); got != want {
			t.Fatalf("%s\nwant %s", got, want)
		}
	}
}

// TestStandbyWaitsForItsLedger: what memory keeps for the ledger is bounded at a standby, too; it follows again when
// the ledger does, and a promotion does not wait.
func TestStandbyWaitsForItsLedger(t *testing.T) {
	owner := newMachine(t)
	owner.product("p", `{"messages_per_day":1}`, 0)
	standby := newReplica(t, owner.clock)
	standby.kill()
	standby.claims.LongBytes = 1000
	standby.open()
	standby.store.refuse(errors.New("no"))
	owner.submit(line("connect", "p", "d"))
	long := strings.Repeat(line("up", "p", "d")+line("connect", "p", "d"), 100)
	n := uint64(0)
	for !standby.producers.LongIsFull() {
		n++
		if _, err := owner.claimed("gw", n, long); err != nil {
			t.Fatal(err)
		}
		if err := owner.DurableInLedger(); err != nil {
			t.Fatal(err)
		}
		standby.copies(owner.log, len(owner.log.snapshot()))
		standby.follow()
	}
	owner.submit(line("up", "p", "d"))
	standby.copies(owner.log, len(owner.log.snapshot()))
	ctx, cancel := context.WithTimeout(t.Context(), ledgerWait/2)
	defer cancel()
	before := standby.durableSeq.Load()
	if err := standby.standby.Follow(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if at := standby.durableSeq.Load(); at != before {
		t.Fatalf("it follows to group %d of %d", at, before)
	}
	standby.store.refuse(nil)
	standby.promote()
	if got, want := withoutDays(standby.state()), withoutDays(owner.state()); got != want {
		t.Fatalf("promoted:\n%s", diff(want, got))
	}
}

// TestStandbyRefuses: a standby that was used up does nothing any more, one that cannot follow fails for good and
// writes no checkpoint, and a log that does not continue its own is refused.
func TestStandbyRefuses(t *testing.T) {
	owner := newMachine(t)
	owner.product("p", `{}`, 1)
	clock := owner.clock

	used := newReplica(t, clock)
	used.copies(owner.log, len(owner.log.snapshot()))
	used.promote()
	if err := used.standby.Follow(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("a promoted one follows: %v", err)
	}
	if _, err := used.standby.Promote(used.log, nil); !errors.Is(err, ErrStopped) {
		t.Errorf("it is promoted again: %v", err)
	}
	if err := used.standby.Close(); err != nil || used.Err() != nil {
		t.Errorf("closing it: %v, %v", err, used.Err())
	}
	if got := used.submit(line("connect", "p", "d")); got[0] != "accepted" {
		t.Errorf("it decides %v", got)
	}

	broken := newReplica(t, clock)
	broken.copies(owner.log, len(owner.log.snapshot()))
	broken.log.groups[1].Head = []byte("no head")
	if err := broken.standby.Follow(t.Context()); err == nil || !errors.Is(broken.standby.Err(), err) {
		t.Errorf("a damaged group: %v, %v", err, broken.standby.Err())
	}
	<-broken.standby.Failed()
	if _, err := broken.standby.Promote(broken.log, nil); err == nil {
		t.Error("it is promoted")
	}
	broken.Engine = nil
	if c, err := broken.options().Checkpoints.Latest(); c != nil || err != nil {
		t.Errorf("it wrote a checkpoint: %v", err)
	}

	other := newReplica(t, clock)
	if _, err := other.standby.Promote(owner.log, nil); err == nil {
		t.Error("it appends to a log that it has not followed")
	}
	other.Engine = nil
}

// TestStandbyKeepsItsDisk: a standby makes checkpoints, has segments released that all its views have passed, and
// forgets no sequence by a clock of its own.
func TestStandbyKeepsItsDisk(t *testing.T) {
	owner := newMachine(t)
	owner.product("p", `{}`, 1)
	if _, err := owner.claimed("gw", 1, line("connect", "p", "d")); err != nil {
		t.Fatal(err)
	}
	ahead := &handClock{wall: testStart.Add(25 * time.Hour)}
	r := &replica{machine: &machine{
		t: t, log: &memLog{released: make(chan uint64, 1)}, store: newMemStore(), dir: t.TempDir(), disk: &wideDisk{},
		clock: ahead, lanes: 2,
	}}
	o := r.options()
	o.CheckpointEvery, o.Retention = time.Millisecond, 20*time.Millisecond
	s, err := OpenStandby(o)
	if err != nil {
		t.Fatal(err)
	}
	r.standby, r.Engine = s, s.e
	t.Cleanup(r.kill)
	r.copies(owner.log, len(owner.log.snapshot()))
	r.follow()
	last := r.durableSeq.Load()
	for passed := uint64(0); passed < last; passed = <-r.log.released {
	}
	if p := r.producers.Find(0, []byte("gw")); !p.Sequences().Any {
		t.Error("a sequence is forgotten by the standby's own clock")
	}
	again, err := owner.claimed("gw", 1, line("connect", "p", "d"))
	if err != nil || !again.Replayed {
		t.Fatal(err)
	}
	if got := s.Catalogue(); got.Product([]byte("p")) == nil || s.Durable() != nil || s.RowsLogged() == 0 {
		t.Errorf("it knows %v of %d rows", got, s.RowsLogged())
	}
	at := func(want time.Time) {
		t.Helper()
		if now := s.NowMs(); now != want.UnixMilli() {
			t.Errorf("it is %s, want %s", time.UnixMilli(now).UTC(), want)
		}
	}
	at(testStart) // Of the last group, although its own clock is a day ahead.
	ahead.pass(time.Minute)
	at(testStart.Add(time.Minute))
	s.OwnerIsAt(testStart.Add(2 * time.Minute).UnixMilli())
	at(testStart.Add(2 * time.Minute))
	s.OwnerIsAt(testStart.UnixMilli())
	ahead.pass(time.Minute)
	at(testStart.Add(3 * time.Minute))
	r.promote()
	at(ahead.wall)
	s.OwnerIsAt(testStart.Add(1000 * time.Hour).UnixMilli())
	at(ahead.wall)
}

// TestPromotedGoesOn: a promoted standby takes up what a restart takes up: the last decided time (R12), counts of
// devices, commands that were not obeyed, and ends of licences.
func TestPromotedGoesOn(t *testing.T) {
	owner := newMachine(t)
	owner.product("p", `{"validity":"P1D"}`, 0)
	owner.gifts("p", 1)
	owner.submit(line("connect", "p", "d"))
	owner.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, err := c.SuspendDevice(by, "p", "d", true)
		return next, ch, err
	})
	behind := &handClock{wall: owner.clock.wall.Add(-time.Hour)}
	standby := newReplica(t, behind)
	standby.copies(owner.log, len(owner.log.snapshot()))
	standby.follow()
	standby.promote()
	if now := standby.NowMs(); now != testStart.UnixMilli() {
		t.Errorf("time goes on from %d", now)
	}
	if got := standby.hears(""); len(got) != 1 || !strings.Contains(got[0], "d") {
		t.Errorf("gateways hear %q", got)
	}
	p := standby.Catalogue().Product([]byte("p"))
	other := standby.Catalogue().Product([]byte("gifts-of-p"))
	if p.State.Active.Load() != 1 || p.State.Online.Load() != 0 || other.State.Active.Load() != gifts-1 ||
		other.State.Online.Load() != gifts-1 {
		t.Error("devices are counted wrong")
	}
	standby.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, err := c.SuspendDevice(by, "p", "d", false)
		return next, ch, err
	})
	behind.pass(26 * time.Hour)
	standby.ends()
	if got := standby.submit(line("up", "p", "d")); got[0] != event.LicenseExhausted.String() {
		t.Errorf("behind its end: %s", got)
	}
}
