package counters

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
)

// ErrCollision means that two devices of one product have the same 104 bits of hash. It is not expected within the age
// of the universe.
var ErrCollision = errors.New("counters: two names have the same hash")

// ErrNoMemory means that the system gave no memory for devices.
var ErrNoMemory = errors.New("counters: no memory for devices")

// Table holds the devices. The package comment says what is safe when.
type Table struct {
	tables   [Shards]slots // apart from the rest: it fits the first-level cache
	shards   [Shards]shard
	seed     uint64
	promised promise
	growFrom int // the shard at which the next Grow begins, so that a small budget reaches all
	slotMem  region
	nameMem  region // apart, since names are never freed: they would lie between tables and keep them from merging
}

// shard is what a search does not need. The lock guards the arena against a second writer, the table against growth
// while it is copied.
type shard struct {
	mu    sync.Mutex
	used  count // slots that are not empty
	names arena
}

// New returns an empty table.
func New(o Options) (*Table, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	t := &Table{seed: o.Seed}
	for i := range t.tables {
		h, err := t.newSlots(slotsFor(i, 0, 0))
		if err != nil {
			return nil, errors.Join(err, t.Close())
		}
		t.tables[i] = h
	}
	if err := t.nameMem.reserve(chunksFor(promiseMin), chunkBytes); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.promised.reset(t.promisable())
	return t, nil
}

// Close gives the memory back. Nobody may use the table, its slots or its names afterwards.
func (t *Table) Close() error { return errors.Join(t.slotMem.close(), t.nameMem.close()) }

// Len returns the number of devices.
func (t *Table) Len() int {
	n := 0
	for i := range t.shards {
		n += t.shards[i].used.get()
	}
	return n
}

// Find returns the slot of a device, nil if the table does not hold it.
func (t *Table) Find(k Key) *Slot {
	return t.tables[k.Shard()].find(k)
}

// Insert returns the slot of a device and whether it is new. The key must be KeyOf the name; the name is copied. Room
// for a new device must have been reserved, and its memory is there then. It fails on a name that the table does not
// hold, and when a shard's names are full.
func (t *Table) Insert(k Key, name []byte) (*Slot, bool, error) {
	if err := checkName(k.Product(), name); err != nil {
		return nil, false, err
	}
	if t.KeyOf(k.Product(), name) != k {
		panic("BUG: counters: insert with the key of another name")
	}
	sh, h := &t.shards[k.Shard()], &t.tables[k.Shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := h.find(k); s != nil {
		if _, have := sh.names.entry(s.Seen().Arena()); !bytes.Equal(have, name) {
			return nil, false, fmt.Errorf("insert %q of product %d beside %q: %w", name, k.Product(), have, ErrCollision)
		}
		return s, false, nil
	}
	if sh.used.get() >= h.capacity()-1 {
		panic("BUG: counters: insert without room: reserve before the batch")
	}
	place, err := sh.names.append(&t.nameMem, k.Product(), name)
	if err != nil {
		return nil, false, fmt.Errorf("insert a device: %w", err)
	}
	s := h.add(k, NewSeenWord(0, place))
	sh.used.set(sh.used.get() + 1)
	return s, true, nil
}

// SlotOf returns the slot of an ordinal, nil if it names no device.
func (t *Table) SlotOf(o Ordinal) *Slot {
	product, name := t.Name(o)
	if product == 0 {
		return nil
	}
	if s := t.Find(t.KeyOf(product, name)); s != nil && s.Ordinal() == o {
		return s
	}
	return nil
}

// Name returns the product and name of an ordinal, 0 and nil if there is nothing. The name belongs to the table and
// does not change until Close. An ordinal that no record or slot ever named may give any answer; SlotOf tells.
func (t *Table) Name(o Ordinal) (product uint32, name []byte) {
	if o > OrdinalMax {
		return 0, nil
	}
	return t.shards[o.Shard()].names.entry(o.place())
}
