package shard

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/retention"
	"github.com/meterd/meterd/retention/record"
)

// Replay goes through two goroutines: one reads, inflates and decodes groups, the other joins them in their order. Joining waits for memory;
// so it looks devices up in blocks, whose cache misses overlap.

// replayAhead is how many decoded groups wait for being joined; each is at most some ten thousand rows, or one huge batch.
const replayAhead = 8

// decoded is a group, ready to be joined. It is used again.
type decoded struct {
	seq, controlSeq uint64
	lastMs          int64
	head            record.Head
	raw             [][]byte
	chunks          []record.Chunk
	ordinals        []counters.Ordinal
	words           []joinWord // one for each ordinal
	rows            int
	err             error
}

// joinWord is what one row says about its device.
type joinWord struct {
	word  uint64
	seenS uint64 // 0: nothing
	index int    // 0: no word
}

var errJoinStopped = errors.New("joining has stopped")

// replay joins every group of the log from from on.
func (j *joiner) replay(from uint64) error {
	full, free := make(chan *decoded, replayAhead), make(chan *decoded, replayAhead)
	for range replayAhead {
		free <- &decoded{}
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(full)
		done <- j.e.o.Log.Replay(from, func(g *retention.Group) error {
			var d *decoded
			select {
			case d = <-free:
			case <-stop:
				return errJoinStopped
			}
			d.err = d.decode(j.e.compress, g)
			full <- d // There is room: no more of them exist.
			return nil
		})
	}()
	var err error
	for d := range full {
		if err == nil {
			if err = j.join(d); err != nil {
				close(stop)
			}
		}
		free <- d
	}
	if end := <-done; err == nil {
		err = end
	}
	return err
}

// content decodes and joins one group.
func (j *joiner) content(g *retention.Group) error {
	var d decoded
	d.err = d.decode(j.e.compress, g)
	return j.join(&d)
}

// decode reads everything of g that joining needs. Nothing of g is kept.
func (d *decoded) decode(c *record.Compressor, g *retention.Group) (err error) {
	d.seq, d.controlSeq, d.lastMs, d.rows = g.Seq, g.ControlSeq, g.LastMs, 0
	d.chunks, d.ordinals, d.words = d.chunks[:0], d.ordinals[:0], d.words[:0]
	if d.head, err = record.DecodeHead(g.Head); err != nil {
		return err
	}
	for len(d.raw) < len(g.Chunks) {
		d.raw = append(d.raw, nil)
	}
	for i, stored := range g.Chunks {
		if d.raw[i], err = c.Decompress(d.raw[i][:0], stored); err != nil {
			return err
		}
		chunk, err := record.Open(d.raw[i])
		if err != nil {
			return err
		}
		d.chunks = append(d.chunks, chunk)
		if err := d.scan(&chunk); err != nil {
			return err
		}
	}
	return nil
}

// scan gathers the words of messages and of denials, and when a device was last seen.
func (d *decoded) scan(c *record.Chunk) error {
	s := c.Scan()
	for s.Next() {
		r := &s.Row
		d.rows++
		if r.Named {
			continue
		}
		var w joinWord
		switch {
		case r.IsMessage():
			if r.Day > counters.DayMax || r.Up > counters.MessagesPerDayMax || r.Down > counters.MessagesPerDayMax {
				return fmt.Errorf("a row counts %d and %d messages on day %d", r.Up, r.Down, r.Day)
			}
			w.index, w.word = wordMessages, uint64(counters.NewMessageWord(r.Day, r.Up, r.Down))
		case r.Counted:
			if r.Day > counters.DayMax || r.Denied > counters.DeniedMax {
				return fmt.Errorf("a row counts %d denials on day %d", r.Denied, r.Day)
			}
			w.index, w.word = wordDenied, uint64(counters.NewDeniedWord(r.Day, r.Denied))
		}
		if s := r.DecidedMs/1000 - epochS; r.Code == 0 && s > 0 && s <= counters.SecondMax {
			w.seenS = uint64(s)
		}
		d.ordinals = append(d.ordinals, counters.Ordinal(r.Ordinal))
		d.words = append(d.words, w)
	}
	return s.Err()
}

// join joins one group: the bindings of all its chunks, then everything else.
func (j *joiner) join(d *decoded) error {
	if d.controlSeq > j.cat.Seq {
		return fmt.Errorf("group %d was decided under control record %d, but the ledger ends at %d: the ledger lost its tail; restore the data directory from a backup", d.seq, d.controlSeq, j.cat.Seq)
	}
	if err := j.joinContent(d); err != nil {
		return fmt.Errorf("group %d: %w", d.seq, err)
	}
	j.lastMs = max(j.lastMs, d.lastMs)
	j.rows += uint64(d.rows)
	return nil
}

func (j *joiner) joinContent(d *decoded) error {
	if d.err != nil {
		return d.err
	}
	j.serial(d.head.SerialLast)
	for i := range d.head.Totals {
		j.e.totals.join(d.head.Totals[i].Quarter, &d.head.Totals[i].Totals)
	}
	for i := range d.chunks {
		if err := d.chunks[i].Bindings(j.bindDevice, j.bindProducer); err != nil {
			return err
		}
	}
	for i := range d.chunks {
		if err := d.chunks[i].Effects(j); err != nil {
			return err
		}
	}
	return j.joinWords(d)
}

func (j *joiner) joinWords(d *decoded) error {
	if j.index == nil {
		j.index = j.e.table.NewIndex()
		j.slots = make([]*counters.Slot, findBatch)
	}
	for from := 0; from < len(d.words); from += findBatch {
		to := min(from+findBatch, len(d.words))
		slots := j.slots[:to-from]
		j.index.Find(d.ordinals[from:to], slots)
		for i, slot := range slots {
			if slot == nil {
				return fmt.Errorf("a record names device %d, which no record has bound", d.ordinals[from+i])
			}
			w := &d.words[from+i]
			if w.index != 0 {
				slot.Join(w.index, w.word)
			}
			if w.seenS != 0 {
				slot.Touch(w.seenS)
			}
		}
	}
	return nil
}
