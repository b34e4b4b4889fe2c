package recovery

import (
	"encoding/binary"
	"sync"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
)

// shards is how many parts the device table has.
const shards = counters.Shards

// The sections of a checkpoint (FORMAT.md). An entry never crosses from one section to the next.
const (
	sectionMeta      = 1
	sectionShard     = 2 // shard, then a piece of its image; pieces of one shard follow each other
	sectionPools     = 4
	sectionTotals    = 5
	sectionCommands  = 6
	sectionProducers = 8 // with what is remembered of their sequences
	sectionRuns      = 9
	sectionCatalogue = 10 // before those that name its objects
	sectionUpgrades  = 11
	sectionDays      = 12
	sectionDecided   = 13
)

const metaBytes = 8 * 4

// Write copies the state into a checkpoint, section by section, while events go on, and returns how many bytes that
// were. cat is the catalogue as it stood after the group that was sealed last when copying began. What is copied may
// reflect later groups; when all else is copied last is called, which returns the last decided time, Unix milliseconds,
// and notes the newest group: the caller waits until that is durable. still is held while pools are copied.
func (s *State) Write(
	to *disk.CheckpointWriter, cat *license.Catalogue, still sync.Locker, last func() int64,
) (int64, error) {
	w := sectionWriter{w: to}
	w.catalogue(cat)
	still.Lock()
	pools := appendPools(nil, cat)
	still.Unlock()
	for piece := range pieces(pools, disk.SectionBytesMax/poolBytes*poolBytes) {
		w.put(sectionPools, piece)
	}
	for piece := range pieces(appendDays(nil, cat), disk.SectionBytesMax/dayBytes*dayBytes) {
		w.put(sectionDays, piece)
	}
	var image []byte
	for n := range shards {
		image = s.Table.AppendShard(append(image[:0], byte(n)), n)
		for piece := range shardPieces(image, disk.SectionBytesMax) {
			w.put(sectionShard, piece)
		}
	}
	put := func(kind uint16) func([]byte) error {
		return func(section []byte) error {
			w.put(kind, section)
			return w.err
		}
	}
	if err := s.Producers.Sections(disk.SectionBytesMax, put(sectionProducers)); err != nil {
		return 0, err
	}
	if err := s.Duplicates.Sections(disk.SectionBytesMax, put(sectionDecided)); err != nil {
		return 0, err
	}
	if err := s.Commands.WriteKept(put(sectionCommands)); err != nil {
		return 0, err
	}
	if runs := s.Commands.AppendRuns(nil); len(runs) > 0 {
		w.put(sectionRuns, runs)
	}
	s.Upgrades.sections(func(section []byte) { w.put(sectionUpgrades, section) })
	for _, section := range s.Totals.sections() {
		w.put(sectionTotals, section)
	}
	meta := binary.LittleEndian.AppendUint64(nil, uint64(last()))
	meta = binary.LittleEndian.AppendUint64(meta, s.Serial.Load())
	// Read behind the copies of ids and answers: of what memory let go of meanwhile, they may lack some.
	meta = binary.LittleEndian.AppendUint64(meta, s.LedgerFloor.Load())
	meta = binary.LittleEndian.AppendUint64(meta, s.Commands.Last())
	w.put(sectionMeta, meta)
	return w.bytes, w.err
}

// sectionWriter writes sections and counts their bytes. After an error it does nothing.
type sectionWriter struct {
	w     *disk.CheckpointWriter
	bytes int64
	err   error
}

func (s *sectionWriter) put(kind uint16, data []byte) {
	if s.err == nil {
		s.bytes += int64(len(data))
		s.err = s.w.Section(kind, data)
	}
}

// catalogue writes the records of all objects: key, its length before it, and value.
func (s *sectionWriter) catalogue(cat *license.Catalogue) {
	var section []byte
	err := cat.Records(func(key, value []byte) error {
		if len(section) > 0 && len(section)+len(key)+len(value)+6 > disk.SectionBytesMax {
			s.put(sectionCatalogue, section)
			section = section[:0]
		}
		section = binary.LittleEndian.AppendUint16(section, uint16(len(key)))
		section = append(section, key...)
		section = binary.LittleEndian.AppendUint32(section, uint32(len(value)))
		section = append(section, value...)
		return nil
	})
	if s.err == nil {
		s.err = err
	}
	s.put(sectionCatalogue, section)
}

// poolBytes is the size of an entry of the pools' section: kind, ordinal, drawn, returned.
const poolBytes = 1 + 4 + 8 + 8

const (
	poolEntry  = 0
	giftsEntry = 1 // a product's gifts drawn
)

// dayBytes is the size of an entry of the days' section: product, and the day up to which its days are closed.
const dayBytes = 4 + 2

func appendDays(dst []byte, cat *license.Catalogue) []byte {
	for id := range cat.ProductIDMax() {
		p := cat.ProductByID(id + 1)
		if day := p.State.Days.Through(); day > 0 {
			dst = binary.LittleEndian.AppendUint32(dst, p.ID)
			dst = binary.LittleEndian.AppendUint16(dst, uint16(day))
		}
	}
	return dst
}

func appendPools(dst []byte, cat *license.Catalogue) []byte {
	entry := func(kind byte, id uint32, drawn, returned uint64) {
		dst = append(dst, kind)
		dst = binary.LittleEndian.AppendUint32(dst, id)
		dst = binary.LittleEndian.AppendUint64(dst, drawn)
		dst = binary.LittleEndian.AppendUint64(dst, returned)
	}
	cat.EachPool(
		func(p *license.Pool) { entry(poolEntry, p.ID, p.Drawn, p.Returned) },
		func(product uint32, drawn uint64) { entry(giftsEntry, product, drawn, 0) },
	)
	return dst
}
