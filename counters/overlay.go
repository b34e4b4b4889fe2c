package counters

import "fmt"

// Overlay is a table to try decisions on: a copy of each device that is looked at, made when it is looked at first, and
// the devices that were inserted. Nothing reaches the table below. It belongs to one goroutine, which looks devices up
// inside the gate; its slots are good outside, too.
type Overlay struct {
	table  *Table
	slots  map[Key]*Slot
	free   []Slot // to be used for the next copies
	grants map[Ordinal]Grant
	names  map[Ordinal]inserted
}

type inserted struct {
	product uint32
	name    []byte
}

// NewOverlay returns an overlay of t for a batch of so many events.
func NewOverlay(t *Table, events int) *Overlay {
	return &Overlay{table: t, slots: make(map[Key]*Slot, events), free: make([]Slot, min(events, overlaySlots))}
}

// Find is Table.Find, of the copy.
func (v *Overlay) Find(k Key) *Slot {
	if s := v.slots[k]; s != nil {
		return s
	}
	if s := v.table.Find(k); s != nil {
		return v.copied(k, s)
	}
	return nil
}

// FindBatch is Table.FindBatch, of copies.
func (v *Overlay) FindBatch(keys []Key, found []*Slot) {
	v.table.FindBatch(keys, found)
	for i, k := range keys {
		switch s := v.slots[k]; {
		case s != nil:
			found[i] = s
		case found[i] != nil:
			found[i] = v.copied(k, found[i])
		}
	}
}

func (v *Overlay) copied(k Key, s *Slot) *Slot {
	c := v.add(k)
	for i := range s.w {
		c.w[i].Store(s.w[i].Load())
	}
	return c
}

// add makes an empty slot the one of k.
func (v *Overlay) add(k Key) *Slot {
	if len(v.free) == 0 {
		v.free = make([]Slot, overlaySlots)
	}
	s := &v.free[0]
	v.free = v.free[1:]
	v.slots[k] = s
	return s
}

// Insert is Table.Insert; it needs no room, and keeps name. The device gets an ordinal that no device of the table has:
// places of a shard's arena are given from below, and the last ones never.
func (v *Overlay) Insert(k Key, name []byte) (*Slot, bool, error) {
	if err := checkName(k.Product(), name); err != nil {
		return nil, false, err
	}
	if s := v.Find(k); s != nil {
		return s, false, nil
	}
	if len(v.names) == overlayInsertsMax {
		return nil, false, fmt.Errorf("insert into an overlay: it has %d new devices", len(v.names))
	}
	if v.names == nil {
		v.names = map[Ordinal]inserted{}
	}
	s := v.add(k)
	s.w[0].Store(k.Hi)
	s.w[1].Store(k.Lo)
	s.w[7].Store(uint64(NewSeenWord(0, uint32(arenaMask-len(v.names)))))
	v.names[s.Ordinal()] = inserted{k.Product(), name}
	return s, true, nil
}

// Name is Table.Name.
func (v *Overlay) Name(o Ordinal) (product uint32, name []byte) {
	if d, ok := v.names[o]; ok {
		return d.product, d.name
	}
	return v.table.Name(o)
}

// Grant is Table.Grant. Of a device that was only copied it is that of now.
func (v *Overlay) Grant(o Ordinal) Grant {
	if g, ok := v.grants[o]; ok {
		return g
	}
	return v.table.Grant(o)
}

// SetGrant is Table.SetGrant.
func (v *Overlay) SetGrant(o Ordinal, g Grant) {
	if v.grants == nil {
		v.grants = map[Ordinal]Grant{}
	}
	v.grants[o] = g
}
