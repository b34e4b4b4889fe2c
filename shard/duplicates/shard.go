package duplicates

import (
	"encoding/binary"
	"sync"

	"github.com/meterd/meterd/shard/record"
)

const keptS = int64(KeptFor / 1e9)

// entry is one event. It has no pointer: the garbage collector never looks.
type entry struct {
	key     record.EventKey
	atS     uint32
	outcome record.Outcome
}

const (
	entryBytes = 24
	placeBytes = 4
)

// shard is the entries whose keys begin alike. A key that was decided anew, since its first entry was too old, has two
// entries until the older one is popped; the index knows the newer one.
type shard struct {
	mu    sync.Mutex
	max   int
	ring  []entry // a power of two long
	first int     // where the oldest lies
	n     int
	index []uint32 // twice as long: places in the ring plus one, at the first free place behind their key's own
}

func (s *shard) bytes() int { return len(s.ring)*entryBytes + len(s.index)*placeBytes }

// home returns where a key belongs in the index.
func (s *shard) home(k *record.EventKey) int {
	return int(binary.LittleEndian.Uint32(k[8:])) & (len(s.index) - 1)
}

// at returns the entry of a place of the index.
func (s *shard) at(i int) *entry { return &s.ring[s.index[i]-1] }

// find returns the place of a key in the index, or the free one that it would have.
func (s *shard) find(k *record.EventKey) (i int, found bool) {
	if len(s.index) == 0 {
		return 0, false
	}
	for i = s.home(k); s.index[i] != 0; i = (i + 1) & (len(s.index) - 1) {
		if s.at(i).key == *k {
			return i, true
		}
	}
	return i, false
}

// push adds e as the newest entry of its key. The oldest of all makes room if there is none.
func (s *shard) push(e entry) {
	if s.n == len(s.ring) {
		if s.n < s.max {
			s.grow()
		} else {
			s.pop()
		}
	}
	place := (s.first + s.n) & (len(s.ring) - 1)
	s.ring[place] = e
	s.n++
	i, _ := s.find(&e.key)
	s.index[i] = uint32(place + 1)
}

// pop forgets the oldest entry.
func (s *shard) pop() {
	if i, found := s.find(&s.ring[s.first].key); found && int(s.index[i])-1 == s.first {
		s.remove(i)
	}
	s.first = (s.first + 1) & (len(s.ring) - 1)
	s.n--
}

// remove frees a place of the index. What lies behind it moves up, so that a search never meets a gap before its key.
func (s *shard) remove(i int) {
	mask := len(s.index) - 1
	for k := (i + 1) & mask; s.index[k] != 0; k = (k + 1) & mask {
		if home := s.home(&s.at(k).key); (k-home)&mask >= (k-i)&mask {
			s.index[i] = s.index[k]
			i = k
		}
	}
	s.index[i] = 0
}

// expire forgets the oldest entries while they are too old at nowS.
func (s *shard) expire(nowS int64) {
	for s.n > 0 && nowS-int64(s.ring[s.first].atS) >= keptS {
		s.pop()
	}
}

// grow doubles the room.
func (s *shard) grow() {
	ring := make([]entry, min(max(2*len(s.ring), shardMin), s.max))
	n := copy(ring, s.ring[s.first:])
	copy(ring[n:], s.ring[:s.first])
	s.ring, s.first = ring, 0
	s.index = make([]uint32, 2*len(ring))
	for place := range s.n { // Of two entries of a key the later one takes the place.
		i, _ := s.find(&ring[place].key)
		s.index[i] = uint32(place + 1)
	}
}

// free gives back the memory of a shard that is empty.
func (s *shard) free() {
	if s.n == 0 {
		s.ring, s.index, s.first = nil, nil, 0
	}
}
