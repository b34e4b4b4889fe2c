package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard/record"
)

// shards is how many parts the device table has.
const shards = counters.Shards

// The sections of a checkpoint (FORMAT.md). An entry never crosses from one section to the next.
const (
	sectionMeta      = 1
	sectionShard     = 2 // shard, then a piece of its image; pieces of one shard follow each other
	sectionPools     = 4
	sectionTotals    = 5
	sectionCommands  = 6
	sectionProducers = 8 // with what is remembered of their sequences
	sectionRuns      = 9
)

const metaBytes = 8 * 4

// keyTotals is followed by product and quarter of an hour: the ledger's usage.
const keyTotals = "Q"

// checkpointer remembers when the last checkpoint was made and how large it was.
type checkpointer struct {
	mu    sync.Mutex // one at a time
	now   chan struct{}
	last  atomic.Int64 // Unix nanoseconds of the machine's clock, for the metric; 0 before the first
	bytes atomic.Int64 // of the last one
	begin atomic.Uint64
}

// runCheckpoints makes checkpoints when they are due and drops directories of the log that nobody needs.
func (e *Engine) runCheckpoints() {
	span := max(e.o.Retention/7, 10*time.Second)
	// A directory goes only when a checkpoint has passed it: with a short retention they cannot be a minute apart (R18).
	every := min(e.o.CheckpointEvery, span/2)
	if every == 0 {
		<-e.stop
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	made := time.Now()
	for {
		select {
		case <-tick.C:
		case <-e.checkpoint.now:
			if time.Since(made) < every {
				continue // The next tick comes soon enough.
			}
		case <-e.stop:
			return
		case <-e.failed:
			return
		}
		rows := e.sinceRows.Load()
		if rows >= checkpointRecordsMax || e.sinceBytes.Load() > e.checkpoint.bytes.Load() ||
			(rows > 0 && time.Since(made) >= span/2) {
			made = time.Now()
			if err := e.Checkpoint(); err != nil {
				e.fail(err)
				return
			}
		}
		if err := e.o.Log.Drop(e.clock.view(), e.checkpoint.begin.Load()); err != nil {
			e.fail(fmt.Errorf("drop old log directories: %w", err))
			return
		}
	}
}

// Checkpoint copies the state while events go on and installs the copy when the last group that it may reflect is
// durable. It is installed as "everything up to begin, perhaps more up to end": what lies between is replayed over it,
// which changes nothing that is there already.
func (e *Engine) Checkpoint() error {
	c := &e.checkpoint
	c.mu.Lock()
	defer c.mu.Unlock()
	e.gate.mu.RLock()
	begin := e.sealedSeq.Load() // Nobody is sealing: all that groups up to begin decided is in the words.
	e.gate.mu.RUnlock()
	e.sinceRows.Store(0)
	e.sinceBytes.Store(0)
	w, err := e.o.Checkpoints.Create(begin)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	size, err := e.fillCheckpoint(w)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", errors.Join(err, w.Abort()))
	}
	// Everything that was copied is durable now, and so is its log: this is the last group that the copy may reflect, or a
	// later one.
	if err := w.Commit(e.durableSeq.Load()); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	c.bytes.Store(size)
	c.begin.Store(begin)
	c.last.Store(time.Now().UnixNano())
	e.o.Guard.Reserve(uint64(size))
	return nil
}

// fillCheckpoint writes the copy, and to the ledger what the log need not keep for it any more.
func (e *Engine) fillCheckpoint(w *disk.CheckpointWriter) (size int64, err error) {
	size, dirty, err := e.copyState(w)
	if err != nil {
		return 0, err
	}
	if err := e.writeTotals(dirty); err != nil {
		return 0, err
	}
	return size, e.flushRows()
}

// copyState writes all sections and returns when the newest group they may reflect is durable. dirty are the quarters
// of an hour that the ledger does not have as they are.
func (e *Engine) copyState(w *disk.CheckpointWriter) (size int64, dirty []record.QuarterTotals, err error) {
	put := func(kind uint16, data []byte) {
		if err == nil {
			size += int64(len(data))
			err = w.Section(kind, data)
		}
	}
	var image []byte
	for s := range shards {
		image = e.table.AppendShard(append(image[:0], byte(s)), s)
		for piece := range shardPieces(image, disk.SectionBytesMax) {
			put(sectionShard, piece)
		}
	}
	putAll := func(kind uint16, sections [][]byte) {
		for _, section := range sections {
			put(kind, section)
		}
	}
	e.gate.mu.RLock()
	cat := e.catalogue.Load()
	e.gate.mu.RUnlock()
	for piece := range pieces(appendPools(nil, cat), disk.SectionBytesMax/poolBytes*poolBytes) {
		put(sectionPools, piece)
	}
	if err == nil {
		err = e.producers.Sections(disk.SectionBytesMax, func(piece []byte) error {
			put(sectionProducers, piece)
			return err
		})
	}
	if err == nil {
		err = e.writeCommands(func(kind uint16, data []byte) error {
			put(kind, data)
			return err
		})
	}
	all, dirty := e.totals.copy()
	putAll(sectionTotals, all)
	e.gate.mu.RLock()
	meta := binary.LittleEndian.AppendUint64(nil, uint64(e.clock.last.Load()))
	meta = binary.LittleEndian.AppendUint64(meta, e.serial.Load())
	meta = binary.LittleEndian.AppendUint64(meta, e.catalogue.Load().Seq)
	meta = binary.LittleEndian.AppendUint64(meta, e.commands.Last())
	g := e.gate.newest()
	e.gate.mu.RUnlock()
	put(sectionMeta, meta)
	if err != nil {
		return 0, nil, err
	}
	return size, dirty, e.awaitNewest(g)
}

// shardPieces cuts an image that has its shard before it into pieces of at most n bytes that each have. The shard takes
// the place of the byte before the piece, which was in the last one: a piece is valid until the next one is asked for,
// and the image is used up. Copying a gigabyte would keep the garbage collector busy.
func shardPieces(image []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		shard := image[0]
		for len(image) > 1 {
			image[0] = shard
			k := min(len(image), n)
			if !yield(image[:k]) {
				return
			}
			image = image[k-1:]
		}
	}
}

// pieces cuts b into pieces of at most n bytes.
func pieces(b []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

// sections gathers entries into sections that a checkpoint takes.
type sections struct {
	done [][]byte
	open []byte
}

// add appends one entry, which fn appends to the open section.
func (s *sections) add(fn func(dst []byte) []byte) {
	at := len(s.open)
	s.open = fn(s.open)
	if len(s.open) > disk.SectionBytesMax {
		s.done = append(s.done, s.open[:at:at])
		s.open = append([]byte(nil), s.open[at:]...)
	}
}

func (s *sections) all() [][]byte {
	if len(s.open) == 0 {
		return s.done
	}
	return append(s.done, s.open)
}

// poolBytes is the size of an entry of the pools' section: kind, ordinal, drawn, returned.
const poolBytes = 1 + 4 + 8 + 8

const (
	poolEntry  = 0
	giftsEntry = 1 // a product's gifts drawn
)

func appendPools(dst []byte, cat *license.Catalogue) []byte {
	entry := func(kind byte, id uint32, drawn, returned uint64) {
		dst = append(dst, kind)
		dst = binary.LittleEndian.AppendUint32(dst, id)
		dst = binary.LittleEndian.AppendUint64(dst, drawn)
		dst = binary.LittleEndian.AppendUint64(dst, returned)
	}
	cat.EachPool(
		func(p *license.Pool) { entry(poolEntry, p.ID, p.Drawn, p.Returned) },
		func(product uint32, drawn uint64) { entry(giftsEntry, product, drawn, 0) },
	)
	return dst
}

// copy returns all quarters of an hour as a checkpoint holds them, and those that the ledger does not have.
func (t *totals) copy() (all [][]byte, dirty []record.QuarterTotals) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var s sections
	for q, sum := range t.quarters {
		s.add(func(dst []byte) []byte {
			at := len(dst)
			dst = append(dst, 0, 0)
			dst = binary.LittleEndian.AppendUint32(dst, q.Product)
			dst = binary.LittleEndian.AppendUint32(dst, q.Number)
			dst = sum.Append(dst)
			binary.LittleEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
			return dst
		})
	}
	for q := range t.dirty {
		dirty = append(dirty, record.QuarterTotals{Quarter: q, Totals: *t.quarters[q]})
	}
	clear(t.dirty)
	return s.all(), dirty
}

// writeTotals writes quarters of an hour to the ledger and forgets those that are over.
func (e *Engine) writeTotals(dirty []record.QuarterTotals) error {
	w := ledgerWriter{ledger: e.o.Ledger}
	for i := range dirty {
		q := dirty[i].Quarter
		if err := w.put(totalsKey(q), dirty[i].Totals.Append(nil)); err != nil {
			return fmt.Errorf("write totals: %w", err)
		}
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("write totals: %w", err)
	}
	e.totals.forget(uint32(e.clock.last.Load() / record.QuarterMs))
	return nil
}

func totalsKey(q record.Quarter) []byte {
	k := binary.BigEndian.AppendUint32([]byte(keyTotals), q.Product)
	return binary.BigEndian.AppendUint32(k, q.Number)
}

// forget drops quarters before the running one that the ledger has. Decided times never go back, so they do not change
// any more.
func (t *totals) forget(running uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for q := range t.quarters {
		if _, dirty := t.dirty[q]; q.Number < running && !dirty {
			delete(t.quarters, q)
		}
	}
}
