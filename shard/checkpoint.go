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
	sectionCatalogue = 10 // before those that name its objects
	sectionUpgrades  = 11
)

const metaBytes = 8 * 4

// checkpointer remembers when the last checkpoint was made and how large it was.
type checkpointer struct {
	mu    sync.Mutex // one at a time
	now   chan struct{}
	last  atomic.Int64 // Unix nanoseconds of the machine's clock, for the metric; 0 before the first
	bytes atomic.Int64 // of the last one
	begin atomic.Uint64
}

// runCheckpoints makes checkpoints when they are due, and has the log let go of what nobody needs.
func (e *Engine) runCheckpoints() {
	span := max(e.o.Retention/7, time.Second)
	// A segment goes only when a checkpoint has passed it: with a short retention they cannot be far apart (R18).
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
		if e.checkpointDue(time.Since(made), span) {
			made = time.Now()
			if err := e.Checkpoint(); err != nil {
				e.fail(err)
				return
			}
		}
		passed := min(e.checkpoint.begin.Load(), e.views.Passed())
		if err := e.o.Log.Release(e.clock.view(), passed); err != nil {
			e.fail(fmt.Errorf("let go of old segments of the log: %w", err))
			return
		}
	}
}

// checkpointDue reports whether a replay would take too long, and the log has grown by as much as a checkpoint writes;
// or whether segments wait for a checkpoint to go.
func (e *Engine) checkpointDue(since, span time.Duration) bool {
	rows := e.sinceRows.Load()
	if rows >= checkpointRowsMax && e.sinceBytes.Load() >= e.checkpoint.bytes.Load() {
		return true
	}
	return e.durableSeq.Load() > e.checkpoint.begin.Load() && since >= span/2
}

// Checkpoint copies the state while events go on and installs the copy when the last group that it may reflect is
// durable. It is installed as "everything up to begin, perhaps more up to end": what lies between is replayed over it,
// which changes nothing that is there already.
func (e *Engine) Checkpoint() error {
	c := &e.checkpoint
	c.mu.Lock()
	defer c.mu.Unlock()
	e.gate.mu.RLock()
	begin := e.sealedSeq.Load()   // Nobody is sealing: all that groups up to begin decided is in the words.
	cat := e.catalogue.Load()     // As it stands after begin: the changes behind it are replayed.
	floor := e.ledgerFloor.Load() // Ids and answers of later groups are in memory.
	e.gate.mu.RUnlock()
	e.sinceRows.Store(0)
	e.sinceBytes.Store(0)
	w, err := e.o.Checkpoints.Create(begin)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	s := sectionWriter{w: w}
	if err := e.copyState(&s, cat, floor); err != nil {
		return fmt.Errorf("checkpoint: %w", errors.Join(err, w.Abort()))
	}
	// Everything that was copied is durable now, and so is its log: this is the last group that the copy may reflect, or
	// a later one.
	if err := w.Commit(e.durableSeq.Load()); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	c.bytes.Store(s.bytes)
	c.begin.Store(begin)
	c.last.Store(time.Now().UnixNano())
	e.o.Guard.Reserve(uint64(s.bytes))
	e.totals.forget(uint32(e.clock.last.Load()/record.QuarterMs), e.o.Ledger.Position().Seq)
	return nil
}

// sectionWriter writes sections and counts their bytes. After an error it does nothing.
type sectionWriter struct {
	w     *disk.CheckpointWriter
	bytes int64
	err   error
}

func (s *sectionWriter) put(kind uint16, data []byte) {
	if s.err == nil {
		s.bytes += int64(len(data))
		s.err = s.w.Section(kind, data)
	}
}

// copyState writes all sections and returns when the newest group they may reflect is durable.
func (e *Engine) copyState(s *sectionWriter, cat *license.Catalogue, floor uint64) error {
	s.catalogue(cat)
	for piece := range pieces(appendPools(nil, cat), disk.SectionBytesMax/poolBytes*poolBytes) {
		s.put(sectionPools, piece)
	}
	var image []byte
	for n := range shards {
		image = e.table.AppendShard(append(image[:0], byte(n)), n)
		for piece := range shardPieces(image, disk.SectionBytesMax) {
			s.put(sectionShard, piece)
		}
	}
	e.producers.Tidy(e.clock.view())
	if err := e.producers.Sections(disk.SectionBytesMax, func(section []byte) error {
		s.put(sectionProducers, section)
		return s.err
	}); err != nil {
		return err
	}
	if err := e.writeCommands(func(kind uint16, data []byte) error {
		s.put(kind, data)
		return s.err
	}); err != nil {
		return err
	}
	e.upgrades.sections(func(section []byte) { s.put(sectionUpgrades, section) })
	for _, section := range e.totals.sections() {
		s.put(sectionTotals, section)
	}
	e.gate.mu.RLock()
	meta := binary.LittleEndian.AppendUint64(nil, uint64(e.clock.last.Load()))
	meta = binary.LittleEndian.AppendUint64(meta, e.serial.Load())
	meta = binary.LittleEndian.AppendUint64(meta, floor)
	meta = binary.LittleEndian.AppendUint64(meta, e.commands.Last())
	g := e.gate.newest()
	e.gate.mu.RUnlock()
	s.put(sectionMeta, meta)
	if s.err != nil {
		return s.err
	}
	return e.awaitNewest(g)
}

// catalogue writes the records of all objects: key, its length before it, and value.
func (s *sectionWriter) catalogue(cat *license.Catalogue) {
	var section []byte
	err := cat.Records(func(key, value []byte) error {
		if len(section) > 0 && len(section)+len(key)+len(value)+6 > disk.SectionBytesMax {
			s.put(sectionCatalogue, section)
			section = section[:0]
		}
		section = binary.LittleEndian.AppendUint16(section, uint16(len(key)))
		section = append(section, key...)
		section = binary.LittleEndian.AppendUint32(section, uint32(len(value)))
		section = append(section, value...)
		return nil
	})
	if s.err == nil {
		s.err = err
	}
	s.put(sectionCatalogue, section)
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

// sections returns all quarters of an hour as a checkpoint holds them.
func (t *totals) sections() [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	var s sections
	for q, sum := range t.quarters {
		s.add(func(dst []byte) []byte {
			return appendEntry(dst, func(row []byte) []byte {
				row = binary.LittleEndian.AppendUint32(row, q.Product)
				row = binary.LittleEndian.AppendUint32(row, q.Number)
				return sum.Append(row)
			})
		})
	}
	return s.all()
}

// appendEntry appends what fn appends, with its length before it.
func appendEntry(dst []byte, fn func([]byte) []byte) []byte {
	at := len(dst)
	dst = fn(append(dst, 0, 0))
	binary.LittleEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
	return dst
}

var errSection = errors.New("a section is damaged")

// eachEntry calls fn for every entry of a section, each with its length of two bytes before it.
func eachEntry(data []byte, fn func(entry []byte) error) error {
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.LittleEndian.Uint16(data)) {
			return errSection
		}
		entry := data[2 : 2+int(binary.LittleEndian.Uint16(data))]
		data = data[2+len(entry):]
		if err := fn(entry); err != nil {
			return err
		}
	}
	return nil
}
