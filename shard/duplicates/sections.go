package duplicates

import (
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/shard/record"
)

// sectionEntryBytes is the size of an entry of a section: key, when it was decided, what became of it.
const sectionEntryBytes = 16 + 4 + 1

// Sections calls put with everything in pieces of at most bytesMax bytes, which end between two entries. A piece is
// used again when put returns. An event waits while its shard is copied, 1.5 MB at most, and no longer. What is decided
// meanwhile may be in it.
func (m *Memory) Sections(bytesMax int, put func([]byte) error) error {
	var image []byte
	most := bytesMax / sectionEntryBytes * sectionEntryBytes
	for i := range m.shards {
		image = m.shards[i].appendImage(image[:0])
		for rest := image; len(rest) > 0; {
			n := min(most, len(rest))
			if err := put(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
	return nil
}

// appendImage appends the entries of a shard, oldest first.
func (s *shard) appendImage(dst []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.n {
		e := &s.ring[(s.first+i)&(len(s.ring)-1)]
		dst = append(dst, e.key[:]...)
		dst = binary.LittleEndian.AppendUint32(dst, e.atS)
		dst = append(dst, byte(e.outcome))
	}
	return dst
}

// LoadSection joins a piece that Sections wrote. An error may leave a part of it joined.
func (m *Memory) LoadSection(data []byte) error {
	if len(data)%sectionEntryBytes != 0 {
		return errors.New("the section of events' ids is damaged")
	}
	for ; len(data) > 0; data = data[sectionEntryBytes:] {
		r := record.Decided{
			Key: record.EventKey(data), AtS: binary.LittleEndian.Uint32(data[16:]), Outcome: record.Outcome(data[20]),
		}
		if !r.Outcome.IsValid() {
			return errors.New("the section of events' ids has one of an unknown outcome")
		}
		m.Join(&r)
	}
	return nil
}
