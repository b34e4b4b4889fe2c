package recovery

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/meterd/meterd/counters"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// Replay goes through two goroutines: one reads, inflates and decodes groups, the other joins them in their order.
// Joining waits for memory; so it looks devices up in blocks, whose cache misses overlap, and a large group is joined
// by several goroutines, each its share of the shards.

// replayAhead is how many decoded groups wait for being joined; each is at most some ten thousand rows, or one huge
// batch. followAhead is that of a joiner that follows the log, which keeps their memory.
const (
	replayAhead = 8
	followAhead = 2
)

// joinShareMin is how many words a goroutine that joins is worth.
const joinShareMin = 2048

// decoded is a group, ready to be joined. It is used again.
type decoded struct {
	Group
	stored   []byte // what Head points into
	raw      [][]byte
	ordinals []counters.Ordinal
	words    []joinWord // one for each ordinal
	messages record.Messages
	err      error
}

// joinWordBytes is the size of a joinWord and its ordinal.
const joinWordBytes = 3 * 8

// joinWord is what one row says about its device.
type joinWord struct {
	word uint64
	seen uint64 // index of the word, 0 without: 8 | second that the device was seen, 0 without: 56
}

func newJoinWord(index int, word, seenS uint64) joinWord {
	return joinWord{word: word, seen: seenS<<8 | uint64(index)}
}

var errJoinStopped = errors.New("joining has stopped")

// shardRange is a part of the device table: the shards from first to before end.
type shardRange struct{ first, end int }

// allShards is the device table as a whole.
func allShards() shardRange { return shardRange{0, shards} }

func (r shardRange) holds(o counters.Ordinal) bool { return r.first <= o.Shard() && o.Shard() < r.end }

// replay joins every group of the log from from on.
func (j *Joiner) replay(from uint64) error {
	return replay(&j.o, from, math.MaxUint64, allShards(), j.join)
}

// replay calls join for every group of the log from from on up to to, in order, with the words of the devices of some
// shards.
func replay(o *Options, from, to uint64, words shardRange, join func(*decoded) error) error {
	return pipeline(newAhead(replayAhead), o.Compressor, words, func(fn func(*commitlog.Group) error) error {
		return o.Log.Replay(from, func(g *commitlog.Group) error {
			if g.Seq > to {
				return errJoinStopped
			}
			return fn(g)
		})
	}, join)
}

// newAhead returns the memory of a pipeline.
func newAhead(groups int) []*decoded {
	ahead := make([]*decoded, groups)
	for i := range ahead {
		ahead[i] = &decoded{}
	}
	return ahead
}

// pipeline decodes the groups that read gives, each valid until fn returns, and calls join for them, in order. ahead is
// used until it returns.
func pipeline(
	ahead []*decoded, c *record.Compressor, words shardRange, read func(fn func(*commitlog.Group) error) error,
	join func(*decoded) error,
) error {
	full, free := make(chan *decoded, len(ahead)), make(chan *decoded, len(ahead))
	for _, d := range ahead {
		free <- d
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(full)
		done <- read(func(g *commitlog.Group) error {
			var d *decoded
			select {
			case d = <-free:
			case <-stop:
				return errJoinStopped
			}
			d.err = d.decode(c, g, words)
			full <- d // There is room: no more of them exist.
			return nil
		})
	}()
	var err error
	for d := range full {
		if err == nil {
			if err = join(d); err != nil {
				close(stop)
			}
		}
		free <- d
	}
	if end := <-done; err == nil && !errors.Is(end, errJoinStopped) {
		err = end
	}
	return err
}

// Close gives the memory of joining back.
func (j *Joiner) Close() error {
	if j.index == nil {
		return nil
	}
	err := j.index.Close()
	j.index = nil
	return err
}

// Join decodes and joins one group.
func (j *Joiner) Join(g *commitlog.Group) error {
	var d decoded
	d.err = d.decode(j.o.Compressor, g, allShards())
	return j.join(&d)
}

// decode reads everything of g that joining needs, and the words of the devices of some shards. Nothing of g is kept.
func (d *decoded) decode(c *record.Compressor, g *commitlog.Group, words shardRange) (err error) {
	d.Group = Group{
		Seq: g.Seq, FirstMs: g.FirstMs, LastMs: g.LastMs, Chain: g.Chain, Chunks: d.Chunks[:0], Bytes: len(g.Head),
	}
	d.ordinals, d.words = d.ordinals[:0], d.words[:0]
	d.stored = append(d.stored[:0], g.Head...)
	if d.Head, err = record.DecodeHead(d.stored); err != nil {
		return err
	}
	for len(d.raw) < len(g.Chunks) {
		d.raw = append(d.raw, nil)
	}
	for i, stored := range g.Chunks {
		d.Bytes += len(stored)
		if d.raw[i], err = c.Decompress(d.raw[i][:0], stored); err != nil {
			return err
		}
		chunk, err := record.Open(d.raw[i])
		if err != nil {
			return err
		}
		d.Chunks = append(d.Chunks, chunk)
		if words.first == words.end {
			continue
		}
		at := len(d.words)
		if err := d.scan(&chunk); err != nil {
			return err
		}
		if words != allShards() {
			d.keep(at, words)
		}
	}
	return nil
}

// keep keeps of the words from at on those of the devices of some shards.
func (d *decoded) keep(at int, words shardRange) {
	n := at
	for i := at; i < len(d.words); i++ {
		d.ordinals[n], d.words[n] = d.ordinals[i], d.words[i]
		if words.holds(d.ordinals[i]) {
			n++
		}
	}
	d.ordinals, d.words = d.ordinals[:n], d.words[:n]
}

// scan gathers the words of messages and of denials, and when a device was last seen.
func (d *decoded) scan(c *record.Chunk) error {
	if ok, err := d.messages.Each(c, d.run); ok || err != nil {
		return err
	}
	s := c.Scan()
	for s.Next() {
		r := &s.Row
		d.Rows++
		if r.Named {
			continue
		}
		var index int
		var word, seenS uint64
		switch {
		case r.IsMessage():
			if err := checkMessages(r.Day, r.Up, r.Down); err != nil {
				return err
			}
			index, word = record.WordMessages, uint64(counters.NewMessageWord(r.Day, r.Up, r.Down))
		case r.Counted:
			if r.Day > counters.DayMax || r.Denied > counters.DeniedMax {
				return fmt.Errorf("a row counts %d denials on day %d", r.Denied, r.Day)
			}
			index, word = record.WordDenied, uint64(counters.NewDeniedWord(r.Day, r.Denied))
		}
		if r.Code == 0 {
			seenS = seenSecond(r.DecidedMs)
		}
		d.ordinals = append(d.ordinals, counters.Ordinal(r.Ordinal))
		d.words = append(d.words, newJoinWord(index, word, seenS))
	}
	return s.Err()
}

// run gathers the words of a run of messages.
func (d *decoded) run(r *record.MessageRun) error {
	seenS := seenSecond(r.DecidedMs)
	for i, ordinal := range r.Ordinals {
		up, down := r.Ups[i], r.Downs[i]
		if err := checkMessages(r.Day, up, down); err != nil {
			return err
		}
		d.ordinals = append(d.ordinals, counters.Ordinal(ordinal))
		d.words = append(d.words, newJoinWord(record.WordMessages, uint64(counters.NewMessageWord(r.Day, up, down)), seenS))
	}
	d.Rows += len(r.Ordinals)
	return nil
}

func checkMessages(day, up, down uint32) error {
	if day > counters.DayMax || up > counters.MessagesPerDayMax || down > counters.MessagesPerDayMax {
		return fmt.Errorf("a row counts %d and %d messages on day %d", up, down, day)
	}
	return nil
}

// seenSecond returns the device table's second of an instant, 0 if it has none.
func seenSecond(ms int64) uint64 {
	if s := ms/1000 - counters.EpochS; s > 0 && s <= counters.SecondMax {
		return uint64(s)
	}
	return 0
}

// join joins one group: the bindings of all its chunks, then words and effects, then its administrative changes.
func (j *Joiner) join(d *decoded) error {
	j.seq = d.Seq
	if err := j.joinContent(d); err != nil {
		return fmt.Errorf("group %d: %w", d.Seq, err)
	}
	j.lastMs = max(j.lastMs, d.LastMs)
	j.rows += uint64(d.Rows)
	return nil
}

func (j *Joiner) joinContent(d *decoded) error {
	if d.err != nil {
		return d.err
	}
	j.seq = d.Seq
	j.serial(d.Head.SerialLast)
	for i := range d.Head.Totals {
		j.s.Totals.Join(&d.Head.Totals[i])
	}
	if err := j.Bindings(d.Chunks); err != nil {
		return err
	}
	for i := range d.Chunks {
		if err := d.Chunks[i].Effects(j); err != nil {
			return err
		}
	}
	if err := j.joinWords(d); err != nil {
		return err
	}
	return j.joinChanges(d)
}

func (j *Joiner) joinChanges(d *decoded) error {
	for _, change := range d.Head.Changes {
		if err := j.Change(change); err != nil {
			return err
		}
	}
	return nil
}

// Bindings joins the bindings of a group: what is forgotten counts last.
func (j *Joiner) Bindings(chunks []record.Chunk) error {
	b := binder{j: j}
	for i := range chunks {
		if err := chunks[i].Bindings(&b); err != nil {
			return err
		}
	}
	for _, ordinal := range b.forgotten {
		if err := j.s.Producers.RestoreForgotten(ordinal); err != nil {
			return err
		}
	}
	return nil
}

// binder implements record.Bindings.
type binder struct {
	j         *Joiner
	forgotten []uint32 // producers
}

func (b *binder) Device(d record.Device) error { return b.j.bindDevice(d) }

func (b *binder) Producer(p record.Producer) error { return b.j.s.Producers.Restore(p) }

func (b *binder) Forgotten(producer uint32) error {
	b.forgotten = append(b.forgotten, producer)
	return nil
}

// joinWords joins what the rows say. Words may be joined in any order and by anybody, but an index has one goroutine a
// shard.
func (j *Joiner) joinWords(d *decoded) error {
	if j.index == nil {
		j.index = j.s.Table.NewIndex()
		j.shares = make([]joinShare, j.o.Lanes)
	}
	parts := max(1, min(len(j.shares), len(d.words)/joinShareMin))
	var wg sync.WaitGroup
	for part := 1; part < parts; part++ {
		wg.Go(func() { j.shares[part].join(j.index, d, part, parts) })
	}
	j.shares[0].join(j.index, d, 0, parts)
	wg.Wait()
	for part := range parts {
		if err := j.shares[part].err; err != nil {
			return err
		}
	}
	return nil
}

// joinShare is what one goroutine joins: a block of rows whose devices are looked up at once.
type joinShare struct {
	ordinals [findBatch]counters.Ordinal
	rows     [findBatch]int32
	slots    [findBatch]*counters.Slot
	err      error
}

// join joins the rows of every parts-th shard from the part-th on.
func (s *joinShare) join(index *counters.Index, d *decoded, part, parts int) {
	n := 0
	for i, ordinal := range d.ordinals {
		s.ordinals[n], s.rows[n] = ordinal, int32(i)
		if ordinal.Shard()%parts == part {
			n++
		}
		if n == findBatch {
			if s.err = s.block(index, d, n); s.err != nil {
				return
			}
			n = 0
		}
	}
	s.err = s.block(index, d, n)
}

func (s *joinShare) block(index *counters.Index, d *decoded, n int) error {
	index.Find(s.ordinals[:n], s.slots[:n])
	for i, slot := range s.slots[:n] {
		if slot == nil {
			return fmt.Errorf("a record names device %d, which no record has bound", s.ordinals[i])
		}
		w := &d.words[s.rows[i]]
		if at := int(w.seen & 0xff); at != 0 {
			slot.Join(at, w.word)
		}
		if seenS := w.seen >> 8; seenS != 0 {
			slot.Touch(seenS)
		}
	}
	return nil
}
