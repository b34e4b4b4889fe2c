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
	orders   Orders
	row      Row
}

// newWriter begins a directory. rest is called now and then.
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

// addRows adds rows that are in the order of devices and places, and rests.
func (w *writer) addRows(b *batch, baseMs int64) error {
	for i := 0; i < len(b.rows); {
		if err := w.room(b.rows[i].device); err != nil {
			return err
		}
		// Nothing of a bare row can be erased.
		if n := w.block.addBare(b.rows[i:], w.s.o.blockRows, baseMs, &w.orders); n > 0 {
			w.sawDays(uint32(b.rows[i].logDays), uint64(n))
			if err := w.addBareNewest(b.rows[i:i+n], baseMs); err != nil {
				return err
			}
			i += n
			continue
		}
		b.row(&w.row, i, baseMs)
		w.orders.Number(&w.row)
		if err := w.add(&w.row); err != nil {
			return err
		}
		i++
	}
	w.rest()
	return nil
}

// room writes the block that is gathered if it does not take a row of a device.
func (w *writer) room(d Device) error {
	if !w.block.takes(d) || w.block.rows == w.s.o.blockRows {
		return w.flush()
	}
	return nil
}

// add adds a row for which there is room.
func (w *writer) add(r *Row) error {
	if w.erased.Covers(r) {
		r.Erase()
	}
	w.block.add(r)
	w.sawDays(r.LogDays, 1)
	return w.addNewest(r)
}

// sawDays notes how many rows had a value of LogDays.
func (w *writer) sawDays(days uint32, rows uint64) {
	if days != w.lastDays {
		w.count()
		w.lastDays = days
	}
	w.daysRun += rows
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
	if w.d.rows == 0 {
		w.d.firstMs, w.d.lastMs = b.firstMs, b.lastMs
	}
	w.d.rows += uint64(b.rows)
	w.d.firstMs, w.d.lastMs = min(w.d.firstMs, b.firstMs), max(w.d.lastMs, b.lastMs)
	w.key = b.key().append(w.key[:0], spaceRows)
	w.raw = b.finish(w.raw[:0])
	w.value = w.s.codec.seal(w.value[:0], w.raw)
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
	w.d.entries, w.d.sum = w.load.entries, w.load.sums.total()
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
