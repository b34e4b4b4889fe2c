package spool

import (
	"errors"
	"fmt"
	"os"
)

// Batch is what one request will carry or carries. Its methods are called by one goroutine at a time.
type Batch struct {
	spool    *Spool
	place    uint64
	store    store
	length   int64 // of its whole records
	events   int   // that passed unasked
	sequence uint64
}

// ErrFull means that the spool has no room for more.
var ErrFull = errors.New("the spool is full")

// Events returns how many events of b passed unasked and are to be counted.
func (b *Batch) Events() int { return b.events }

// Append keeps count more events, encoded as a meterd.v1.Batch. b must not be sealed. It fails with ErrFull, or because
// they could not be written; then none of them is kept.
func (b *Batch) Append(body []byte, count int) error {
	record := appendEvents(b.origin(), kindEvents, body, count)
	if !b.spool.admit(len(record), count) {
		return ErrFull
	}
	if err := b.write(record); err != nil {
		b.spool.release(len(record), count)
		return err
	}
	b.events += count
	return nil
}

// Seal keeps how b is sent. It has room even if the spool is full: what is sealed is at most a batch for each request
// in flight, and most of its events are there already.
func (b *Batch) Seal(s Seal) error {
	record, sent := appendSeal(b.origin(), &s), appendRecord(nil, kindSent)
	if err := b.write(record); err != nil {
		return err
	}
	b.spool.take(len(record), s.Passed()-b.events)
	b.events = s.Passed()
	// A second sync, so that a seal that is not whole was never sent, unless this stands behind it.
	if err := b.write(sent); err != nil {
		return err
	}
	b.spool.take(len(sent), 0)
	return nil
}

// Restart replaces what b holds by count events that are to get a sequence again.
func (b *Batch) Restart(body []byte, count int) error {
	record := appendEvents(b.origin(), kindAnew, body, count)
	if err := b.write(record); err != nil {
		return err
	}
	b.spool.take(len(record), count-b.events)
	b.events = count
	return nil
}

// origin returns what b's first record begins behind.
func (b *Batch) origin() []byte {
	if b.length > 0 {
		return nil
	}
	return appendOrigin(nil, b.spool.opts.Producer)
}

func (b *Batch) write(record []byte) error {
	if err := b.store.write(record, b.length); err != nil {
		return err
	}
	b.length += int64(len(record))
	return nil
}

// Rest gives the descriptor of b back until the next Append.
func (b *Batch) Rest() { b.store.rest() }

// Read returns what b holds. It fails when that is damaged or cannot be read.
func (b *Batch) Read() (Content, error) {
	raw, err := b.store.read()
	if err != nil {
		return Content{}, err
	}
	c, whole, err := decodeContent(raw[:min(int64(len(raw)), b.length)])
	switch {
	case err != nil:
		return Content{}, err
	case int64(whole) != b.length || c.isEmpty():
		return Content{}, fmt.Errorf("record at byte %d: %w", whole, errTorn)
	}
	return c, nil
}

// Remove forgets b, which was answered. When it cannot be removed Fault is told: the next process sends it again with
// its sequence, and meterd counts nothing.
func (b *Batch) Remove() {
	b.spool.release(int(b.length), b.events)
	if err := b.store.remove(); err != nil {
		b.spool.opts.Fault(err)
	}
}

// SetAside takes b, which is damaged because of err, out of the spool for good, and tells Fault where it is now.
func (b *Batch) SetAside(err error) {
	b.spool.release(int(b.length), b.events)
	f, isFile := b.store.(*file)
	if !isFile {
		b.spool.opts.Fault(fmt.Errorf("what is owed is damaged in memory: %w", err))
		return
	}
	f.rest()
	aside := f.path + ".damaged"
	if moved := os.Rename(f.path, aside); moved != nil {
		err = errors.Join(err, moved)
	}
	b.spool.opts.Fault(fmt.Errorf("%q is damaged and was set aside as %q; nothing of it will be reported to meterd: %w",
		f.path, aside, err))
}
