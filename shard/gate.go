package shard

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// group is what one synced append writes. Its fields but entered, bytes, done and err belong to the sealer.
type group struct {
	done chan struct{} // closed when the group is durable, or when it never will be
	err  error         // set before done is closed

	watchMu  sync.Mutex
	watchers []chan<- struct{} // get a value after done was closed; nil from then on

	entered atomic.Int64 // requests that decided in it, or wait for what they read
	bytes   atomic.Int64 // promised to requests that entered

	seq        uint64 // given when it is sealed; 0 while open and when it stayed empty
	firstMs    int64
	lastMs     int64
	head       []byte
	raw        [][]byte // chunks, not yet compressed
	chunks     [][]byte // compressed
	encodeTook time.Duration
	ended      time.Time // when the committer had done with it
	rows       int
	// commandLast is the last number of a command that it may have.
	commandLast uint64
	changes     [][]byte // administrative changes that took effect as it was sealed
	refreshes   []commands.Refresh
	view        *views.Group // what the views get once it is durable
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// reach makes the group's times include ms, which is not before any time in it.
func (g *group) reach(ms int64) {
	if g.firstMs == 0 {
		g.firstMs = ms
	}
	g.lastMs = max(g.lastMs, ms)
}

// finish wakes all requests that wait for the group.
func (g *group) finish() {
	close(g.done)
	g.watchMu.Lock()
	watchers := g.watchers
	g.watchers = nil
	g.watchMu.Unlock()
	for _, c := range watchers {
		signal(c)
	}
}

// IsDone implements claims.Group.
func (g *group) IsDone() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// watch has c signalled when the group is done: once, if nobody else says so in between. It returns false if the group
// is done already.
func (g *group) watch(c chan<- struct{}) bool {
	g.watchMu.Lock()
	defer g.watchMu.Unlock()
	if g.IsDone() {
		return false
	}
	if n := len(g.watchers); n == 0 || g.watchers[n-1] != c {
		g.watchers = append(g.watchers, c)
	}
	return true
}

// gate lets requests into the open group and the sealer between two groups.
//
// Memory order: a request holds mu for reading from before its first load of the catalogue to after its last append,
// and the sealer holds it for writing when it takes the lanes' records and swaps the catalogue: everything one side
// wrote, the other sees.
type gate struct {
	mu     sync.RWMutex
	open   *group     // guarded by mu
	sealed *group     // the last one that was sealed; guarded by mu
	lanes  chan *lane // at most GOMAXPROCS requests decide at once: more would only be preempted inside and stall the seal
	all    []*lane
	// bigBytes is from which size on the open group is sealed although the committer is busy; set before any request.
	bigBytes int64

	kick chan struct{} // a request waits for the open group, or wants a cut
	big  chan struct{} // the open group is worth encoding although the committer is busy
	cuts cutList
}

func newGate(lanes int) *gate {
	g := &gate{
		open: newGroup(), lanes: make(chan *lane, lanes),
		kick: make(chan struct{}, 1), big: make(chan struct{}, 1), bigBytes: groupBytesBig,
	}
	for range lanes {
		l := newLane()
		g.all = append(g.all, l)
		g.lanes <- l
	}
	return g
}

// signal makes sure that the goroutine that waits on c runs once more; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// leave ends what enter began, and returns the group to wait for. The group stays open until a request waits for it.
func (g *gate) leave(l *lane) *group {
	open := g.open
	g.mu.RUnlock()
	g.lanes <- l
	if open.bytes.Load() >= g.bigBytes {
		signal(g.big)
	}
	return open
}

// cutList gathers what wants to run between two groups.
type cutList struct {
	mu   sync.Mutex
	fns  []func()
	need int // room for devices that a request waits for
	done chan struct{}
}

// add queues fn for the next cut and returns a channel that is closed after it.
func (c *cutList) add(need int, fn func()) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
	}
	c.need = max(c.need, need)
	if fn != nil {
		c.fns = append(c.fns, fn)
	}
	return c.done
}

// wanted reports whether somebody waits for a cut.
func (c *cutList) wanted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done != nil
}

// take empties the list.
func (c *cutList) take() (fns []func(), need int, done chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fns, need, done = c.fns, c.need, c.done
	c.fns, c.need, c.done = nil, 0, nil
	return fns, need, done
}

// lane is the memory that one request inside the gate writes to. The request that received it from the gate owns it.
type lane struct {
	turn     turn // of the request that holds the lane
	records  *record.Builder
	spare    *record.Builder // swapped in when a group is sealed
	raw      [][]byte        // chunks that were cut within the group
	rows     int
	totals   laneTotals
	verdicts [event.Types][event.Codes]uint64
	observed [event.Types]uint64 // accepted, and would have been denied
	firstMs  int64
	lastMs   int64
}

func newLane() *lane { return &lane{records: &record.Builder{}, spare: &record.Builder{}} }

// cutChunk ends the running chunk when it is large; only between two batches.
func (l *lane) cutChunk() {
	if l.records.Bytes() >= chunkBytesMax {
		l.rows += l.records.Rows()
		l.raw = append(l.raw, l.records.Finish(nil))
	}
}

// View is one look at the state, inside the gate. It is for reading alone, and nothing of it may be kept but values
// that were copied out.
type View struct {
	Catalogue *license.Catalogue
	NowMs     int64 // Unix milliseconds, never before a decision that is seen
	Table     *counters.Table
	Producers *claims.Producers
}

// View runs fn inside the gate, where the catalogue and the device table stand still against swaps and growth, and
// returns when everything that fn may have seen is durable: nothing leaves before that. fn must be short: a seal waits
// for it.
func (e *Engine) View(fn func(*View)) error {
	g, err := e.look(fn)
	if err != nil {
		return err
	}
	return e.awaitNewest(g)
}

// Look runs fn as View does, and waits for nothing: it is for callers that look many times. Nothing of what fn saw may
// leave before Durable or DurableInLedger, called afterwards, has returned.
func (e *Engine) Look(fn func(*View)) error {
	_, err := e.look(fn)
	return err
}

// look returns the last group that anything seen can be in.
func (e *Engine) look(fn func(*View)) (*group, error) {
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	if e.closed.Load() {
		return nil, ErrStopped
	}
	fn(&View{Catalogue: e.catalogue.Load(), NowMs: e.clock.view(), Table: e.table, Producers: e.producers})
	return e.witness(), nil
}

// Names says which device an ordinal names; what it returns belongs to the engine.
type Names = views.Devices

// Named runs fn inside the gate with the names of devices. It waits for nothing to be durable: it is for ordinals that
// durable records name. fn must be short, and keeps nothing but copies.
func (e *Engine) Named(fn func(Names)) error {
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	if e.closed.Load() {
		return ErrStopped
	}
	fn(e.table)
	return nil
}

// Durable returns when everything that was decided before the call is durable: what was read from the catalogue before
// may leave then.
func (e *Engine) Durable() error { return e.View(func(*View) {}) }

// newest returns the last group that anything decided so far can be in; nil if there was none. gate.mu is held for
// reading, and what is to be covered was read before the call.
func (g *gate) newest() *group {
	if g.open.entered.Load() > 0 {
		return g.open
	}
	return g.sealed
}

// witness returns the group that must be stored before what was read may leave: the newest one, or, where another node
// may take over, the open one, which is stored after the call, with records or without. gate.mu is held for reading.
func (e *Engine) witness() *group {
	if e.o.Barrier == nil {
		return e.gate.newest()
	}
	e.gate.open.entered.Add(1)
	return e.gate.open
}

// awaitNewest returns when g and all groups before it are durable.
func (e *Engine) awaitNewest(g *group) error {
	if g == nil {
		if e.Err() != nil {
			return ErrStopped
		}
		return nil
	}
	return e.await(g)
}
