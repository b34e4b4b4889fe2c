package commands

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// Options is what Commands asks its engine.
type Options struct {
	// Change returns the change number of a device's session, false if there is no such device. It is called inside the
	// gate.
	Change func(counters.Ordinal) (change uint64, ok bool)
	// IsHolder reports whether there is a producer of this ordinal; else nobody holds what it held. Without it every
	// ordinal is a producer's.
	IsHolder func(holder uint32) bool
	// Gate lets Page and Tidy inside the gate: while it is held the device table does not move.
	Gate sync.Locker
	// NowMs returns the time, Unix milliseconds.
	NowMs func() int64
	// OldRefreshes calls fn for changes of administration, by rising number, behind number after and up to number to,
	// until fn returns false. It is called without a lock.
	OldRefreshes func(after, to uint64, fn func(Refresh) (more bool)) error
}

// Commands is what gateways must be told. All methods are safe for concurrent use, but those that say when they are
// called.
type Commands struct {
	o        Options
	last     atomic.Uint64 // the last sequence given out
	recorded atomic.Bool   // this run is in a record

	mu        sync.Mutex
	kept      kept
	durable   uint64 // disconnects up to this sequence may be heard
	tidied    uint64 // the next entry to be looked at is behind it
	refreshes refreshes
	history   history
	waiters   map[uint32]chan struct{} // by account, 0 for listeners of all; closed when there may be something new
	ready     chan struct{}            // closed
}

// New returns Commands that Join and Read… fill and Start begins.
func New(o Options) *Commands {
	c := &Commands{o: o, kept: newKept(keptMax), waiters: map[uint32]chan struct{}{}, ready: make(chan struct{})}
	close(c.ready)
	return c
}

// Join takes over a disconnect that a record has, in whatever order they come. The device was bound before. It is
// called before Start.
func (c *Commands) Join(m record.Command) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.join(m)
	c.tidy(m.AtMs, addSteps)
	return err
}

func (c *Commands) join(m record.Command) error {
	if m.Seq == 0 || m.Reason == event.Accepted || m.Reason >= event.Codes {
		return fmt.Errorf("command %d has the reason %d", m.Seq, m.Reason)
	}
	c.JoinLast(m.Seq)
	if other := c.kept.all.at(m.Seq); other != nil && other.Ordinal != m.Ordinal {
		return fmt.Errorf("command %d is of device %d and of device %d", m.Seq, other.Ordinal, m.Ordinal)
	}
	c.kept.put(m)
	return nil
}

// JoinLast says that sequences up to seq were given out. It is called before Start.
func (c *Commands) JoinLast(seq uint64) { c.last.Store(max(c.last.Load(), seq)) }

// JoinRun takes over a start of the daemon that a record or a checkpoint has. It is called before Start.
func (c *Commands) JoinRun(r record.Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.join(r)
}

// Start begins a run of the daemon behind what was joined; change is the number of the last change of administration.
func (c *Commands) Start(change uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.durable = c.last.Load()
	c.refreshes.floor, c.refreshes.last = change, change
	c.history.begin(c.durable+1, change+1)
}

// Run returns, to the first caller alone, the run that must be recorded in the open group before its first disconnect
// or change of administration. It is called inside the gate.
func (c *Commands) Run() (r record.Run, first bool) {
	if c.recorded.Load() || !c.recorded.CompareAndSwap(false, true) {
		return record.Run{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history.join(c.history.current)
	return c.history.current, true
}

// Add runs decide, which takes a device offline and says whom to tell, gives that a sequence, keeps it in the place of
// what is kept for the device, and returns it for the record. If decide returns false, nothing is kept. It is heard
// when Publish says that its group is durable. Add is called inside the gate.
//
// Whatever changes a session but a connect does so in here, in Renew or in Disown, under the lock: a change between
// taking a device offline and keeping the disconnect would make it look as if the device had connected.
func (c *Commands) Add(decide func() (m record.Command, offline bool)) (m record.Command, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, ok = decide(); !ok {
		return record.Command{}, false
	}
	m.Seq = c.last.Add(1) // Under the lock: the lists are in this order.
	c.kept.put(m)
	c.tidy(m.AtMs, addSteps)
	return m, true
}

// Renew runs change, which changes the session of a device otherwise than by a connect and returns the change numbers
// before and after. What is kept for the device goes on under its old sequence, so that who heard it does not hear it
// again, and is returned for the record; ok is false if none is kept. Renew is called inside the gate.
func (c *Commands) Renew(o counters.Ordinal, change func() (from, to uint64)) (m record.Command, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.renewed(o, change)
	if e == nil {
		return record.Command{}, false
	}
	return e.Command, true
}

// Disown is Renew for a session whose holder was forgotten: every gateway of the account hears what is kept.
func (c *Commands) Disown(o counters.Ordinal, change func() (from, to uint64)) (m record.Command, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.renewed(o, change)
	if e == nil {
		return record.Command{}, false
	}
	e.Holder = 0
	return e.Command, true
}

// renewed gives what is kept for a device the change number after change, nil if none is kept or nothing changed.
func (c *Commands) renewed(o counters.Ordinal, change func() (from, to uint64)) *entry {
	from, to := change()
	e := c.kept.devices[uint64(o)]
	if from == to || e == nil || e.Change != from {
		return nil
	}
	e.Change = to
	return e
}

// Last returns the last sequence given out.
func (c *Commands) Last() uint64 { return c.last.Load() }

// Publish makes the disconnects up to sequence seq heard: those of groups that are durable.
func (c *Commands) Publish(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq <= c.durable {
		return
	}
	before := c.durable
	c.durable = seq
	for id := range c.waiters {
		if l := c.kept.of(id); l != nil && l.lastSeq() > before {
			c.wake(id)
		}
	}
}

// Changed says that a change of administration is durable. It wakes every listener: the change may have been to its
// token. Changes come in the order of their numbers.
func (c *Commands) Changed(r Refresh) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refreshes.last = r.Seq
	if r.Product != 0 {
		c.refreshes.add(r)
	}
	for id := range c.waiters {
		c.wake(id)
	}
}

func (c *Commands) wake(id uint32) {
	close(c.waiters[id])
	delete(c.waiters, id)
}

// Tidy looks at some entries, the next ones at every call, and forgets those that are over.
func (c *Commands) Tidy() {
	nowMs := c.o.NowMs()
	for range tidyHolds {
		if !c.tidyHold(nowMs) {
			return
		}
	}
}

// tidyHold tidies what is looked at in one hold and reports whether there is more behind it.
func (c *Commands) tidyHold(nowMs int64) (more bool) {
	c.o.Gate.Lock()
	defer c.o.Gate.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tidy(nowMs, holdSteps)
	return c.tidied > 0
}

// tidy looks at up to steps entries. It does not look behind the end and begin anew at one call.
func (c *Commands) tidy(nowMs int64, steps int) {
	var over [holdSteps]*entry
	n, from := 0, c.tidied
	end := c.kept.all.each(from, func(e *entry) bool {
		if steps == 0 {
			return false
		}
		steps--
		c.tidied = e.Seq
		if c.isOver(e, nowMs) {
			over[n] = e
			n++
		}
		return true
	})
	if end {
		c.tidied = 0
	}
	for _, e := range over[:n] {
		c.kept.remove(e)
	}
}

// isOver reports whether nobody needs to be told any more: the device has connected, or a day has passed (R3).
//
// A connect does nothing about commands: it changes the session, and that is all there is to be right about. Whoever
// reads an entry compares its change number with the session's, inside the gate, so an entry is heard only while its
// device has not connected, whether the connect came before the entry, between entry and sync, or after. No order of
// the two needs to be argued, because there is one word and every reader looks at it.
func (c *Commands) isOver(e *entry, nowMs int64) bool {
	if nowMs-e.AtMs >= keptFor.Milliseconds() {
		return true
	}
	change, ok := c.o.Change(counters.Ordinal(e.Ordinal))
	return !ok || change > e.Change
}

// Now returns the place from which a listener hears the disconnects that are kept, and whatever comes.
func (c *Commands) Now() Place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Place{Tag: c.tag(), Refresh: c.refreshes.last}
}

// Resume returns the place to go on from for a listener who says that it has heard everything up to the event with this
// id, "" for Now. An id that is malformed, or that this history never gave, says nothing: whoever sends it hears all
// that is kept, and every refresh.
func (c *Commands) Resume(id string) Place {
	if id == "" {
		return c.Now()
	}
	p, ok := parsePlace(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !ok || !c.history.knows(p, c.durable, c.refreshes.last) {
		p = Place{}
	}
	p.Tag = c.tag()
	return p
}

func (c *Commands) tag() uint32 { return c.history.tag(c.durable, c.refreshes.last) }
