package shard

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	commitlog "github.com/meterd/meterd/retention/log"
)

// Groups are cuts: a request that decided and has not left keeps its whole group back, so no acknowledged word reflects
// a decision that the log does not have.
func TestGroupWaitsForWhoIsInside(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":2}`, 0)
	m.submit(line("connect", "p", "d"))

	inside, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	m.inside = func() {
		if calls.Add(1) == 1 { // X alone is stopped.
			close(inside)
			<-release
		}
	}
	before, _, _ := m.log.Last()
	x, y := make(chan error, 1), make(chan error, 1)
	go func() { x <- m.Submit(request(t, line("up", "p", "d"))) }()
	<-inside
	second := request(t, line("up", "p", "d"))
	go func() { y <- m.Submit(second) }()
	// Y has decided and left when it is counted twice; then only X keeps the group open. Or somebody seals already, for a
	// request of before: he waits for X, too, and Y for him.
	groups := uint64(1)
	for calls.Load() < 2 {
		if !m.gate.mu.TryRLock() {
			groups = 2
			break
		}
		m.gate.mu.RUnlock()
		m.settleNothing()
	}
	if last, _, _ := m.log.Last(); last != before {
		t.Fatalf("group %d was written while a request was inside it", last)
	}
	select {
	case err := <-y:
		t.Fatalf("the second message was acknowledged (%v) before the first one left", err)
	default:
	}
	close(release)
	if err := errors.Join(<-x, <-y); err != nil {
		t.Fatal(err)
	}
	if last, _, _ := m.log.Last(); last == before || last > before+groups {
		t.Fatalf("two requests of %d groups at most made %d", groups, last-before)
	}
	m.inside = nil
	m.crash()
	if d, _ := m.device("p", "d"); d.Up != 2 {
		t.Fatalf("recovered %d messages, 2 were acknowledged", d.Up)
	}
	if got := m.submit(line("up", "p", "d")); got[0] != "message_quota_exceeded" {
		t.Fatalf("third of two messages: %s", got[0])
	}
}

// settleNothing gives other goroutines the processor: a bounded wait without a clock.
func (m *machine) settleNothing() { _ = m.Catalogue().Accounts() }

// A group that was decided and never became durable is gone after a crash, and nobody was told of it.
func TestLostGroupIsUnanswered(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10}`, 0)
	m.submit(line("connect", "p", "d") + line("up", "p", "d"))
	m.log.mu.Lock()
	m.log.hold, m.log.began = make(chan struct{}), make(chan struct{}, 1)
	m.log.mu.Unlock()

	answer := make(chan error, 1)
	e := m.Engine
	go func() { answer <- e.Submit(request(t, line("up", "p", "d")+line("connect", "p", "new"))) }()
	<-m.log.began
	view := make(chan error, 1)
	go func() { view <- e.View(func(*View) {}) }()
	select {
	case err := <-answer:
		t.Fatalf("answered (%v) before the group was durable", err)
	case err := <-view:
		t.Fatalf("a view left (%v) before what it shows was durable", err)
	default:
	}
	m.crash()
	if err := <-answer; !errors.Is(err, ErrStopped) {
		t.Fatalf("the lost request was answered: %v", err)
	}
	if err := <-view; !errors.Is(err, ErrStopped) {
		t.Fatalf("the view of lost state was answered: %v", err)
	}
	if d, _ := m.device("p", "d"); d.Up != 1 {
		t.Fatalf("recovered %d messages, 1 was acknowledged", d.Up)
	}
	if _, ok := m.device("p", "new"); ok {
		t.Fatal("a device is known whose connect was never acknowledged")
	}
	if c := m.licenses("p"); c.Used != 1 {
		t.Fatalf("%d licences used, 1 was acknowledged (R4)", c.Used)
	}
}

// A checkpoint that was copied while a group was in flight is installed only when that group is durable.
func TestCheckpointWaitsForTheGroupItReflects(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10}`, 0)
	m.submit(line("connect", "p", "d") + line("up", "p", "d"))
	m.log.mu.Lock()
	m.log.hold, m.log.began = make(chan struct{}), make(chan struct{}, 1)
	m.log.mu.Unlock()
	e := m.Engine
	answer, checkpoint := make(chan error, 1), make(chan error, 1)
	go func() { answer <- e.Submit(request(t, line("up", "p", "d"))) }()
	<-m.log.began
	go func() { checkpoint <- e.Checkpoint() }()
	select {
	case err := <-checkpoint:
		t.Fatalf("the checkpoint was installed (%v) before the group that it reflects was durable", err)
	case err := <-answer:
		t.Fatalf("answered (%v) before the group was durable", err)
	default:
	}
	m.kill()
	if err := <-checkpoint; err == nil {
		t.Fatal("a checkpoint of lost state was installed")
	}
	if err := <-answer; err == nil {
		t.Fatal("acknowledged, and lost")
	}
	m.start()
	if d, _ := m.device("p", "d"); d.Up != 1 {
		t.Fatalf("recovered %d messages, 1 was acknowledged", d.Up)
	}
}

// A checkpoint is joined with the log behind it: nothing is lost or counted twice, and what it passed need not be
// replayed.
func TestCheckpointAndLogJoin(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":100}`, 5)
	m.credit("p", "PACK", 3, true)
	m.submit(line("connect", "p", "a") + line("up", "p", "a") + line("down", "p", "a"))
	m.submit(`{"type":"ota","product":"p","device":"a","size":10485760}` + "\n")
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m.submit(line("up", "p", "a") + line("connect", "p", "b") + line("disconnect", "p", "a"))
	for range 2 { // Recovery of a recovered state changes nothing.
		m.crash()
		a, _ := m.device("p", "a")
		b, _ := m.device("p", "b")
		if a.Up != 2 || a.Down != 1 || a.Online || !b.Online || a.OTA.Allowance() != 1 || a.OTA.Packs() != 1 {
			t.Fatalf("recovered %+v and %+v", a, b)
		}
		if c := m.licenses("p"); c.Used != 2 || c.Available != 3 {
			t.Fatalf("recovered licences %+v (R4)", c)
		}
	}
	m.log.mu.Lock()
	m.log.groups[0].Chunks = nil // It lies before the checkpoint: replay must not look at it.
	m.log.groups[0].Head = nil
	m.log.mu.Unlock()
	m.crash()
}

// A log that ends before what the checkpoint reflects has lost its tail: the daemon refuses to start.
func TestLostTailRefusesStart(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.submit(line("connect", "p", "d"))
	m.submit(line("up", "p", "d"))
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m.kill()
	m.log.inMemory(t)
	m.log.groups = m.log.groups[:1]
	_, err := Open(m.options())
	if err == nil || !strings.Contains(err.Error(), "lost its tail") {
		t.Fatalf("opened on a log without its tail: %v", err)
	}
}

// After a failed write nothing is acknowledged any more, not even what needs no write.
func TestFailedWriteStopsEverything(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.submit(line("connect", "p", "d"))
	m.log.mu.Lock()
	m.log.err = errors.New("the disk is gone")
	m.log.mu.Unlock()
	if err := m.Submit(request(t, line("up", "p", "d"))); !errors.Is(err, ErrStopped) {
		t.Fatalf("a batch on a failed disk: %v", err)
	}
	<-m.Failed()
	if err := m.Submit(request(t, line("up", "p", "d"))); !errors.Is(err, ErrStopped) {
		t.Fatalf("a batch after a failed disk: %v", err)
	}
	if err := m.View(func(*View) {}); !errors.Is(err, ErrStopped) {
		t.Fatalf("a view after a failed disk: %v", err)
	}
	if !strings.Contains(m.Err().Error(), "the disk is gone") {
		t.Fatalf("the failure does not say why: %v", m.Err())
	}
}

var _ Log = (*commitlog.Log)(nil)
