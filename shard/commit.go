package shard

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/meterd/meterd/license"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// runSealer closes groups: whenever a request waits for one, or wants a cut, and the committer is idle or the group is
// big. So a lone event waits for nobody, and under load a group gathers for as long as the one before it is being
// synced.
//
// Where another node may take over, groups are gathered for longer (gather.go).
func (e *Engine) runSealer() {
	var last *group
	for {
		select {
		case <-e.gate.kick:
		case <-e.stop:
			e.abandon()
			close(e.commits)
			return
		}
		beside := e.waitForCommitter()
		if e.gathers() {
			e.gather(last, beside)
		}
		g := e.seal()
		if g == nil {
			continue
		}
		e.finishLanes(g)
		e.handed.Add(1)
		e.commits <- g
		last = g
	}
}

// abandon wakes the requests that wait for the open group when the engine is closed: it will not be sealed.
func (e *Engine) abandon() {
	e.gate.mu.Lock()
	defer e.gate.mu.Unlock()
	e.gate.open.err = ErrStopped
	e.gate.open.finish()
}

// waitForCommitter returns when the committer has nothing to do, or the open group is big. It returns how many requests
// waited beside the group that the committer has ended meanwhile.
func (e *Engine) waitForCommitter() (beside int64) {
	for e.handed.Load() > 0 {
		select {
		case <-e.idle: // Perhaps of an older group: look again.
			beside = e.gate.open.entered.Load()
		case <-e.gate.big: // Perhaps of an older group, too.
			if e.isBig() {
				return 0
			}
		case <-e.failed:
			return 0
		}
	}
	return beside
}

// seal ends the open group with nobody inside and opens the next. It returns nil if nothing was left in it.
func (e *Engine) seal() *group {
	gt := e.gate
	fns, need, cutDone := gt.cuts.take()
	began := time.Now()
	gt.mu.Lock()
	held := time.Now()
	g := gt.open
	under := e.catalogue.Load()
	decided := e.decideChanges(g)
	full := e.collect(g, under)
	// A request may have entered and left no record; waiting for this group then means waiting for the ones before it.
	ended := full || g.entered.Load() > 0
	if ended {
		gt.open, gt.sealed = newGroup(), g
	}
	newest := gt.newest()
	for _, fn := range fns {
		fn()
	}
	e.letGo()
	grown := e.grow(need)
	gt.mu.Unlock()
	e.grew(grown)
	e.stats.sealed(held.Sub(began), time.Since(held))
	decidedAt(newest, decided)
	if cutDone != nil {
		close(cutDone)
	}
	if !ended {
		return nil
	}
	return g
}

// collect moves what the lanes hold into g, whose events were decided under a catalogue, and reports whether it is
// anything. The gate is closed.
func (e *Engine) collect(g *group, under *license.Catalogue) bool {
	full, seq := len(g.changes) > 0, e.sealedSeq.Load()+1
	gathered := e.gathered[:0]
	for _, l := range e.gate.all {
		e.verdicts.take(l)
		e.observed.take(l)
		if l.records.Empty() && len(l.raw) == 0 {
			continue
		}
		full = true
		l.records, l.spare = l.spare, l.records
		g.raw = append(g.raw, l.raw...)
		g.rows += l.rows + l.spare.Rows()
		if g.firstMs == 0 || l.firstMs < g.firstMs {
			g.firstMs = l.firstMs
		}
		g.lastMs = max(g.lastMs, l.lastMs)
		gathered = l.totals.take(gathered)
		l.raw = nil
		l.rows, l.firstMs, l.lastMs = 0, 0, 0
	}
	if !full {
		return false
	}
	g.seq = seq
	e.sealedSeq.Store(seq)
	g.commandLast = e.commands.Last()
	head := record.Head{SerialLast: e.serial.Load(), Changes: g.changes}
	head.Totals = e.totals.Seal(make([]record.BucketTotals, 0, len(gathered)), gathered)
	e.gathered = gathered
	for _, l := range e.gate.all {
		l.totals.reset()
	}
	g.head = head.Append(nil)
	g.view = &views.Group{FirstMs: g.firstMs, LastMs: g.lastMs, Head: head, Catalogue: under}
	return true
}

// finishLanes turns what the lanes gathered into stored chunks, outside the gate, while the group before is being
// synced. Only the sealer touches a lane's spare.
func (e *Engine) finishLanes(g *group) {
	if g.seq == 0 {
		return
	}
	began := time.Now()
	for _, l := range e.gate.all {
		if !l.spare.Empty() {
			g.raw = append(g.raw, l.spare.Finish(e.buffers.take()))
		}
	}
	g.view.Effects = effectsOf(g.raw)
	g.chunks = e.encode(g.raw)
	e.buffers.give(g.raw)
	g.raw = nil
	g.encodeTook = time.Since(began)
}

// effectsOf copies what views need of raw chunks, whose memory is used again.
func effectsOf(raw [][]byte) (columns [][]byte) {
	for _, r := range raw {
		c, err := record.Open(r)
		if err != nil {
			panic("BUG: a chunk that was just built cannot be read: " + err.Error())
		}
		if column := c.EffectsColumn(); len(column) > 0 {
			columns = append(columns, bytes.Clone(column))
		}
	}
	return columns
}

// runCommitter writes groups in their order, one synced append each, and wakes the requests that wait for them.
func (e *Engine) runCommitter() {
	for g := range e.commits {
		e.commit(g)
		g.ended = time.Now()
		e.handed.Add(-1)
		signal(e.idle)
	}
}

func (e *Engine) commit(g *group) {
	defer g.finish()
	if e.Err() != nil {
		g.err = ErrStopped
		return
	}
	if g.seq == 0 {
		e.prove(g)
		return
	}
	began := time.Now()
	stored := commitlog.Group{Seq: g.seq, FirstMs: g.firstMs, LastMs: g.lastMs, Head: g.head, Chunks: g.chunks}
	g.head, g.chunks = nil, nil // The group may be remembered for long, its records must not.
	if err := e.appends.Append(&stored); err != nil {
		e.fail(fmt.Errorf("commit group %d: %w", g.seq, err))
		g.err = ErrStopped
		return
	}
	size := len(stored.Head)
	for _, c := range stored.Chunks {
		size += len(c)
	}
	e.buffers.give(stored.Chunks)
	e.stats.committed(g.rows, size, g.encodeTook, time.Since(began))
	e.sinceBytes.Add(int64(size))
	if e.sinceRows.Add(int64(g.rows)) >= checkpointRowsMax {
		signal(e.checkpoint.now)
	}
	g.view.Position = views.Position{Seq: g.seq, Chain: stored.Chain}
	e.views.Durable(g.view)
	e.durableSeq.Store(g.seq) // The views come first: a cut pins them behind all that its checkpoint reflects.
	e.commands.Publish(g.commandLast)
	for _, r := range g.refreshes { // Of every change: a stream whose token was revoked must notice, too.
		e.commands.Changed(r)
	}
	g.changes, g.refreshes, g.view = nil, nil, nil
}

// prove has the log say that what was read within a group without records was the newest state.
func (e *Engine) prove(g *group) {
	if e.o.Barrier == nil {
		return
	}
	if err := e.o.Barrier(); err != nil {
		e.fail(err)
		g.err = ErrStopped
	}
}

// encode compresses chunks, as many at a time as there are lanes. What is not worth a goroutine is done at once.
func (e *Engine) encode(raw [][]byte) [][]byte {
	stored := make([][]byte, len(raw))
	var wg sync.WaitGroup
	for i := range raw {
		if i == len(raw)-1 || len(raw[i]) <= encodeBytesSmall {
			stored[i] = e.compress.Compress(e.buffers.take(), raw[i])
			continue
		}
		wg.Go(func() { stored[i] = e.compress.Compress(e.buffers.take(), raw[i]) })
	}
	wg.Wait()
	return stored
}

// buffers keeps the memory of chunks for the next group. Without it every group takes memory that the collector has
// just given back to the kernel, which clears it again: 7 % of the processor time of large batches.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
	most int // how many are kept
}

// take returns an empty buffer.
func (b *buffers) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.free)
	if n == 0 {
		return nil
	}
	buffer := b.free[n-1]
	b.free[n-1] = nil
	b.free = b.free[:n-1]
	return buffer
}

// give takes buffers that nobody reads any more. One that a batch of large payloads made far larger than usual is not
// kept.
func (b *buffers) give(list [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, buffer := range list {
		if len(b.free) < b.most && cap(buffer) <= bufferBytesKept {
			b.free = append(b.free, buffer[:0])
		}
	}
}
