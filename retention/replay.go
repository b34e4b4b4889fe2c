package retention

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/meterd/meterd/retention/disk"
)

// Replay calls fn for every group from `from` on, in order and whole. It proves on the way that nothing is missing and
// nothing was changed: sequence, checksums, and the hash chain, also from one directory to the next. A log that ends
// before from-1 or begins after from is an error. The group is valid until fn returns; reading goes on ahead of it in
// the background. What is appended meanwhile is not replayed.
func (l *Log) Replay(from uint64, fn func(*Group) error) error {
	from = max(from, 1)
	r, err := l.newReplay(from)
	if err != nil {
		return fmt.Errorf("replay the commit log from group %d: %w", from, err)
	}
	go r.run()
	defer func() {
		close(r.stop)
		for range r.full { // Its goroutine ends the channel when it has let go of the directories.
		}
	}()
	for b := range r.full {
		for i := range b.groups {
			if err := fn(&b.groups[i]); err != nil {
				return err
			}
		}
		if b.err != nil {
			return fmt.Errorf("replay the commit log from group %d: %w", from, b.err)
		}
		r.free <- b
	}
	return nil
}

// replay reads ahead, batch by batch.
type replay struct {
	log        *Log
	spans      []spanView
	next, last uint64 // the group that must come next, and the last one to come
	before     chain  // of the group before next, if known
	known      bool

	batch *batch
	value []byte // a header
	head  header
	chunk int  // of the group being read: chunks read so far
	open  bool // the batch's last group has not got all of them yet

	free, full chan *batch
	stop       chan struct{}
}

// spanView is a directory with its bounds as they were at one instant.
type spanView struct {
	*span
	bounds
}

// batch is what is handed over at once. Groups point into arena and chunks.
type batch struct {
	groups []Group
	arena  []byte
	chunks [][]byte
	err    error
}

func (l *Log) newReplay(from uint64) (*replay, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.firstLocked()
	switch {
	case from > l.last+1:
		return nil, disk.Damage(
			l.opts.Path,
			"it ends with group %d, but a checkpoint or its caller saw group %d",
			l.last,
			from-1,
		)
	case from < first && from <= l.last:
		return nil, disk.Damage(l.opts.Path, "it begins with group %d, the groups from %d on are missing", first, from)
	case from < first:
		return nil, fmt.Errorf(
			"%q begins with group %d: the older ones were dropped with their retention",
			l.opts.Path,
			first,
		)
	}
	r := &replay{
		log:  l,
		next: from,
		last: l.last,
		free: make(chan *batch, 3),
		full: make(chan *batch, 3),
		stop: make(chan struct{}),
	}
	for range cap(r.free) {
		r.free <- &batch{}
	}
	for _, s := range l.spans {
		if s.empty() {
			continue
		}
		if s.last < from { // The one before the first that is read: its end is known.
			r.before, r.known = s.chain, true
			continue
		}
		r.spans = append(r.spans, spanView{s, s.bounds})
	}
	return r, nil
}

// run fills batches until the end, an error or stop.
func (r *replay) run() {
	defer close(r.full)
	r.batch = <-r.free
	for _, s := range r.spans {
		if err := r.readSpan(s); err != nil {
			if !errors.Is(err, errStopped) {
				if n := len(r.batch.groups); r.open && n > 0 {
					r.batch.groups = r.batch.groups[:n-1] // Nobody gets half a group.
				}
				r.batch.err = err
				r.full <- r.batch // There is room for every batch.
			}
			return
		}
	}
	r.full <- r.batch
}

var errStopped = errors.New("replay was stopped")

// turn hands the batch over and takes an empty one.
func (r *replay) turn() error {
	r.full <- r.batch
	select {
	case r.batch = <-r.free:
		*r.batch = batch{groups: r.batch.groups[:0], arena: r.batch.arena[:0], chunks: r.batch.chunks[:0]}
		return nil
	case <-r.stop:
		return errStopped
	}
}

func (r *replay) readSpan(s spanView) error {
	in, err := r.log.pool.acquire(context.Background(), s.span)
	if err != nil {
		return err
	}
	if in == nil {
		return fmt.Errorf("%q was dropped during the replay", s.path)
	}
	defer r.log.pool.release(s.span)
	if err := r.readInstance(in, s); err != nil {
		if errors.Is(err, errStopped) {
			return err
		}
		return damaged(s.path, err.Error())
	}
	return nil
}

func (r *replay) readInstance(in *instance, s spanView) error {
	txn := in.read()
	defer txn.Discard()
	if r.next > s.first { // Within a directory: the group before is in it.
		g := groupReader{in: in, txn: txn}
		if err := g.readHeader(r.next - 1); err != nil {
			return err
		}
		r.before, r.known = chainOf(g.value), true
	}
	until := min(s.last, r.last)
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	r.chunk, r.head.chunks = 0, r.head.chunks[:0]
	for it.Seek(appendKey(nil, r.next, 0)); it.Valid(); it.Next() {
		seq, part, ok := parseKey(it.Item().Key())
		if !ok {
			return fmt.Errorf("a key that is none of a group: %q", it.Item().Key())
		}
		if seq > until {
			break
		}
		if err := r.take(it.Item(), seq, part); err != nil {
			return fmt.Errorf("group %d: %w", seq, err)
		}
	}
	if err := r.groupEnded(); err != nil {
		return err
	}
	if r.next != until+1 {
		return fmt.Errorf("group %d is missing or cannot be read", r.next)
	}
	return nil
}

// groupEnded reports whether the group being read has all its chunks.
func (r *replay) groupEnded() error {
	if r.chunk < len(r.head.chunks) {
		return fmt.Errorf("group %d: chunk %d is missing", r.head.seq, r.chunk+1)
	}
	return nil
}

// take takes the next key of the log.
func (r *replay) take(item *badger.Item, seq uint64, part int) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("badger panicked while reading part %d: %v", part, p)
		}
	}()
	if part == 0 {
		return r.takeHeader(item, seq)
	}
	if seq != r.head.seq || part != r.chunk+1 || part > len(r.head.chunks) {
		return fmt.Errorf("part %d does not belong here", part)
	}
	row := r.head.chunks[r.chunk]
	err = item.Value(func(v []byte) error {
		if err := r.head.check(r.chunk, v); err != nil {
			return err
		}
		at := len(r.batch.arena)
		r.batch.arena = append(r.batch.arena, v...) // room was made for it
		r.batch.chunks = append(r.batch.chunks, r.batch.arena[at:at+int(row.bytes):at+int(row.bytes)])
		return nil
	})
	r.chunk++
	if g := &r.batch.groups[len(r.batch.groups)-1]; err == nil && r.chunk == len(r.head.chunks) {
		g.Chunks = r.batch.chunks[len(r.batch.chunks)-r.chunk:]
		r.open = false
	}
	return err
}

// takeHeader checks a header against what came before it and makes room for its group.
func (r *replay) takeHeader(item *badger.Item, seq uint64) error {
	if err := r.groupEnded(); err != nil {
		return err
	}
	var err error
	if r.value, err = item.ValueCopy(r.value[:0]); err == nil {
		err = r.head.decode(r.value)
	}
	if err != nil {
		return err
	}
	if seq != r.next || r.head.seq != seq {
		return fmt.Errorf("its header says group %d where group %d must come", r.head.seq, r.next)
	}
	if r.known && r.head.before != r.before {
		return errors.New("its header does not continue the group before: the hash chain is broken")
	}
	r.before, r.known, r.next, r.chunk = chainOf(r.value), true, seq+1, 0
	need := len(r.head.head) + r.head.chunkBytes()
	if b := r.batch; len(b.groups) > 0 && (len(b.groups) == replayBatchGroups || len(b.arena)+need > replayBatchBytes) {
		if err := r.turn(); err != nil {
			return err
		}
	}
	b := r.batch
	if cap(b.arena)-len(b.arena) < need {
		b.arena = make([]byte, 0, max(need, replayBatchBytes)) // Empty here: a group larger than a batch has one of its own.
	}
	at := len(b.arena)
	b.arena = append(b.arena, r.head.head...)
	b.groups = append(b.groups, Group{Head: b.arena[at:len(b.arena):len(b.arena)]})
	r.head.group(&b.groups[len(b.groups)-1])
	r.open = len(r.head.chunks) > 0
	return nil
}
