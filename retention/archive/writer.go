package archive

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/meterd/meterd/retention/disk"
)

// writer turns ordered rows into the blocks of a new directory.
type writer struct {
	s        *Store
	path     string // while it is not finished
	load     *loader
	block    block
	raw      []byte
	value    []byte
	key      []byte
	newest   newest
	newestOf uint32 // whose rows they are
	d        directory
	days     map[uint32]uint64
	lastDays uint32
	daysRun  uint64
	rest     func()
	erased   *Erasures
	bare     Row // one whose topic and payload are erased
}

// newWriter begins a directory. rest is called now and then while it is read back.
func (s *Store) newWriter(d directory, rest func()) (*writer, error) {
	w := &writer{s: s, d: d, path: filepath.Join(s.o.Path, d.name()+disk.TmpSuffix), days: map[uint32]uint64{}}
	w.rest, w.newest = rest, newNewest()
	if _, w.erased = s.erasing(); w.erased != nil {
		w.d.erased = w.erased.seq
	}
	if err := s.step("make " + d.name()); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(w.path); err != nil { // Of a try that failed.
		return nil, fmt.Errorf("make room for %q: %w", w.path, err)
	}
	var err error
	if w.load, err = newLoader(w.path, s.o.Logger); err != nil {
		return nil, errors.Join(err, os.RemoveAll(w.path))
	}
	return w, nil
}

func (w *writer) add(r *Row) error {
	if w.erased.Covers(r) {
		w.bare = *r
		w.bare.Erase()
		r = &w.bare
	}
	if !w.block.takes(r) || w.block.rows == w.s.o.blockRows {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.block.rows == 0 {
		place := r.Place()
		w.key = entryKey{device: r.Device, place: place}.append(w.key[:0], spaceRows)
	}
	w.block.add(r)
	if w.d.rows == 0 {
		w.d.firstMs, w.d.lastMs = r.DecidedMs, r.DecidedMs
	}
	w.d.rows++
	w.d.firstMs, w.d.lastMs = min(w.d.firstMs, r.DecidedMs), max(w.d.lastMs, r.DecidedMs)
	if r.LogDays != w.lastDays {
		w.count()
		w.lastDays = r.LogDays
	}
	w.daysRun++
	return w.addNewest(r)
}

// count notes how many rows had the last LogDays.
func (w *writer) count() {
	if w.daysRun > 0 {
		w.days[w.lastDays] += w.daysRun
		w.daysRun = 0
	}
}

// flush writes the block that is gathered.
func (w *writer) flush() error {
	b := &w.block
	if b.rows == 0 {
		return nil
	}
	w.raw = b.finish(w.raw[:0])
	w.value = w.s.codec.seal(w.value[:0], w.raw)
	w.key[0] = spaceRows
	expires := w.expires(b)
	if err := w.load.put(w.key, w.value, expires); err != nil {
		return err
	}
	if len(b.payloads) > 0 {
		w.value = w.s.codec.seal(w.value[:0], b.payloads)
		w.key[0] = spacePayloads
		if err := w.load.put(w.key, w.value, expires); err != nil {
			return err
		}
	}
	b.reset()
	return nil
}

// expires returns when the entries of a block expire.
func (w *writer) expires(b *block) uint64 {
	days := b.maxDays
	if b.anyZero {
		days = 0
	}
	return w.s.expiresAt(b.lastMs, days)
}

// finish makes the directory durable under its final name, with what the manifest says of it. No manifest names it yet.
func (w *writer) finish() (directory, error) {
	d, err := w.complete()
	if err != nil {
		return d, w.fail(err)
	}
	return d, nil
}

// fail gives up: nothing of the directory is kept.
func (w *writer) fail(err error) error {
	err = errors.Join(fmt.Errorf("write %q: %w", w.path, err), w.load.abort())
	if serr := w.s.step("give up " + w.d.name()); serr != nil {
		return err
	}
	return errors.Join(err, os.RemoveAll(w.path))
}

func (w *writer) complete() (directory, error) {
	if err := errors.Join(w.flush(), w.flushNewest()); err != nil {
		return w.d, err
	}
	w.count()
	for days, rows := range w.days {
		w.d.days = append(w.d.days, dayRows{days, rows})
	}
	slices.SortFunc(w.d.days, func(a, b dayRows) int { return cmp.Compare(a.days, b.days) })
	w.d.entries = w.load.entries
	if err := w.s.step("sync " + w.d.name()); err != nil {
		return w.d, err
	}
	if err := w.load.finish(); err != nil {
		return w.d, err
	}
	if err := w.s.step("read back " + w.d.name()); err != nil {
		return w.d, err
	}
	if err := readBack(w.path, w.d.entries, &w.load.sums, w.s.o.Logger, w.rest); err != nil {
		return w.d, err
	}
	var err error
	if w.d.bytes, err = bytesOf(w.path); err != nil {
		return w.d, err
	}
	if err := w.s.step("rename " + w.d.name()); err != nil {
		return w.d, err
	}
	if err := os.Rename(w.path, filepath.Join(w.s.o.Path, w.d.name())); err != nil {
		return w.d, err
	}
	if err := w.s.step("sync the name " + w.d.name()); err != nil {
		return w.d, err
	}
	return w.d, disk.SyncDir(w.s.o.Path)
}
