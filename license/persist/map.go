package persist

import (
	"hash/maphash"
	"iter"
)

// Map finds values by name: extendible hashing. The first bits of a name's hash choose the table in the directory; a
// full table is split in two by the next bit, and the directory doubles when a table has used all its bits.
//
// Finding a name costs about 15 ns, setting one about 5 µs among 100,000.
type Map[V any] struct {
	seed maphash.Seed
	// 1 << bits, none in an empty map; a table of depth d stands in 1 << (bits - d) neighbouring places
	directory []*table[V]
	bits      uint8
	made      uint64 // the version that may write to the directory
	n         int
}

// table is an open-addressing hash table, at most three quarters full.
type table[V any] struct {
	made  uint64 // the version that may write to it
	depth uint8  // bits of the hash that all its names share
	n     int
	slots []slot[V] // a power of two
}

type slot[V any] struct {
	hash  uint64 // 0: empty
	name  string
	value V
}

// NewMap returns an empty map. Maps may share a seed.
func NewMap[V any](seed maphash.Seed) Map[V] { return Map[V]{seed: seed} }

// Len returns how many names there are.
func (m *Map[V]) Len() int { return m.n }

// hashOf is never 0, which marks an empty slot.
func (m *Map[V]) hashOf(name []byte) uint64 { return maphash.Bytes(m.seed, name) | 1 }

// Get returns the value of name. It does not keep name and does not allocate.
func (m *Map[V]) Get(name []byte) (value V, found bool) {
	if len(m.directory) == 0 {
		return value, false
	}
	hash := m.hashOf(name)
	slots := m.directory[m.place(hash)].slots
	for i := hash >> 8; ; i++ {
		s := &slots[i&uint64(len(slots)-1)]
		if s.hash == hash && s.name == string(name) {
			return s.value, true
		}
		if s.hash == 0 {
			return value, false
		}
	}
}

// place returns where the directory has the table of a hash.
func (m *Map[V]) place(hash uint64) uint64 { return hash >> (64 - m.bits) }

// All yields every name with its value, in no order.
func (m *Map[V]) All() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for i := 0; i < len(m.directory); {
			t := m.directory[i]
			for j := range t.slots {
				if s := &t.slots[j]; s.hash != 0 && !yield(s.name, s.value) {
					return
				}
			}
			i += 1 << (m.bits - t.depth)
		}
	}
}

// Set gives name a value in m, which is version made and nobody else's yet.
func (m *Map[V]) Set(made uint64, name string, value V) {
	hash := m.hashOf([]byte(name))
	if len(m.directory) == 0 {
		m.directory, m.bits, m.made = []*table[V]{{made: made, slots: make([]slot[V], tableSlotsMin)}}, 0, made
	}
	t := m.own(made, hash)
	for t.n >= tableNamesMax && t.depth < depthMax && !t.has(hash, name) {
		t = m.split(t, hash)
	}
	if t.set(slot[V]{hash, name, value}) {
		m.n++
	}
}

// Delete takes name away from m, which is version made and nobody else's yet.
func (m *Map[V]) Delete(made uint64, name string) {
	if _, found := m.Get([]byte(name)); !found {
		return
	}
	hash := m.hashOf([]byte(name))
	t := m.own(made, hash)
	old := t.slots
	t.slots, t.n = make([]slot[V], len(old)), 0
	for i := range old {
		if s := &old[i]; s.hash != 0 && (s.hash != hash || s.name != name) {
			t.set(*s)
		}
	}
	m.n--
}

// own returns the table of a hash, copied unless it was made for this version.
func (m *Map[V]) own(made, hash uint64) *table[V] {
	if m.made != made {
		m.directory, m.made = append([]*table[V](nil), m.directory...), made
	}
	t := m.directory[m.place(hash)]
	if t.made == made {
		return t
	}
	t = &table[V]{made: made, depth: t.depth, n: t.n, slots: append([]slot[V](nil), t.slots...)}
	m.enter(t, hash)
	return t
}

// enter puts a table into its places of the directory, which one of its hashes tells.
func (m *Map[V]) enter(t *table[V], hash uint64) {
	places := uint64(1) << (m.bits - t.depth)
	first := m.place(hash) &^ (places - 1)
	for i := first; i < first+places; i++ {
		m.directory[i] = t
	}
}

// split divides a table of this version by the next bit of the hash and returns the half that hash belongs to.
func (m *Map[V]) split(t *table[V], hash uint64) *table[V] {
	if t.depth == m.bits {
		doubled := make([]*table[V], 2*len(m.directory))
		for i := range doubled {
			doubled[i] = m.directory[i/2]
		}
		m.directory, m.bits = doubled, m.bits+1
	}
	bit := uint64(1) << (63 - t.depth)
	var halves [2]*table[V]
	for i := range halves {
		halves[i] = &table[V]{made: t.made, depth: t.depth + 1, slots: make([]slot[V], tableNamesMax)}
	}
	half := func(h uint64) *table[V] {
		if h&bit == 0 {
			return halves[0]
		}
		return halves[1]
	}
	for i := range t.slots {
		if s := &t.slots[i]; s.hash != 0 {
			half(s.hash).set(*s)
		}
	}
	m.enter(halves[0], hash&^bit)
	m.enter(halves[1], hash|bit)
	return half(hash)
}

// find returns the slot of a name, or the empty one where it would stand.
func (t *table[V]) find(hash uint64, name string) *slot[V] {
	for i := hash >> 8; ; i++ {
		s := &t.slots[i&uint64(len(t.slots)-1)]
		if s.hash == 0 || (s.hash == hash && s.name == name) {
			return s
		}
	}
}

func (t *table[V]) has(hash uint64, name string) bool { return t.find(hash, name).hash != 0 }

// set puts s into a table that may be written to and reports whether its name is new.
func (t *table[V]) set(s slot[V]) bool {
	at := t.find(s.hash, s.name)
	if at.hash != 0 {
		at.value = s.value
		return false
	}
	if 4*(t.n+1) > 3*len(t.slots) {
		old := t.slots
		t.slots = make([]slot[V], 2*len(old))
		for i := range old {
			if old[i].hash != 0 {
				*t.find(old[i].hash, old[i].name) = old[i]
			}
		}
		at = t.find(s.hash, s.name)
	}
	*at = s
	t.n++
	return true
}
