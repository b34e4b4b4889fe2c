package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/meterd/meterd/retention/disk"
)

// castagnoli is computed in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Position is a place in the log: everything up to group Seq is archived. Chain is the hash of that group's link. It is
// shard/views' Position, declared again, for this package imports nothing above retention.
type Position struct {
	Seq   uint64
	Chain [16]byte
}

// Levels of directories.
const (
	levelRun  = 1
	levelSpan = 2
)

// directory is what the manifest says of one.
type directory struct {
	number  uint64
	level   uint8
	span    int64  // of its rows: decided time over the length of a span, rounded down
	logDays uint32 // of a span's: the only one of its rows
	rows    uint64
	entries uint64
	bytes   int64
	// Decided times of its rows.
	firstMs, lastMs int64
	days            []dayRows // how many rows have which LogDays, sorted
	erased          uint64    // nothing in it was erased by a number that is not larger
	rewrittenMs     int64     // when it was begun anew for what was erased, Unix milliseconds; 0: never
	sum             Sum       // zeroes: it was written by a version that noted none
}

type dayRows struct {
	days uint32
	rows uint64
}

func (d *directory) name() string {
	if d.level == levelRun {
		return fmt.Sprintf("run-%d", d.number)
	}
	return fmt.Sprintf("span-%d", d.number)
}

// Ties says where ties of a millisecond are counted from: First is the first group that has events of Ms.
type Ties struct {
	Ms    int64
	First uint64
}

// Next takes the next group of the log and returns what its rows' Tie is: that of rows decided in its first
// millisecond, and of the others.
func (t *Ties) Next(seq uint64, firstMs, lastMs int64) (first, others uint32) {
	if t.First == 0 || firstMs > t.Ms {
		t.Ms, t.First = firstMs, seq
	}
	first = uint32(seq - t.First)
	if lastMs > firstMs {
		t.Ms, t.First = lastMs, seq
	}
	return first, 0
}

// manifest is what the archive consists of. Nothing that it does not name is a part of it.
type manifest struct {
	position      Position
	positionMs    int64 // decided time of the position's group
	ties          Ties  // behind the position
	availableFrom int64 // Unix milliseconds; events before are missing; 0: none are
	next          uint64
	logDays       map[uint32]uint32 // of each product's plan behind the position
	directories   []directory       // in the order of their numbers
	logErased     uint64            // the commit log has nothing of what was erased by a number that is not larger
	logErasedMs   int64             // when that was begun, Unix milliseconds
	retentionMs   int64             // that rows are kept for; 0: unknown
	// removedTo is the instant, Unix milliseconds, before which rows were removed that a longer retention would have kept.
	removedTo int64
}

// keepFor has rows be kept for so long from now on, and reports whether that is new. What was removed before is missing
// with a longer retention.
func (m *manifest) keepFor(retentionMs int64) bool {
	if retentionMs > m.retentionMs {
		m.availableFrom = max(m.availableFrom, m.removedTo)
	}
	isNew := retentionMs != m.retentionMs
	m.retentionMs = retentionMs
	return isNew
}

func (m *manifest) clone() *manifest {
	c := *m
	c.logDays = maps.Clone(m.logDays)
	c.directories = slices.Clone(m.directories)
	return &c
}

const (
	manifestVersion = 4 // 3 is without sums, 2 without the retention and up to when it has removed
	manifestOldest  = 1 // without what was erased
	manifestMagic   = "MARC"
)

func (m *manifest) append(dst []byte) []byte {
	begin := len(dst)
	dst = append(append(dst, manifestMagic...), manifestVersion)
	dst = binary.AppendUvarint(dst, m.position.Seq)
	dst = append(dst, m.position.Chain[:]...)
	dst = binary.AppendVarint(dst, m.positionMs)
	dst = binary.AppendVarint(dst, m.ties.Ms)
	dst = binary.AppendUvarint(dst, m.ties.First)
	dst = binary.AppendVarint(dst, m.availableFrom)
	dst = binary.AppendUvarint(dst, m.next)
	dst = binary.AppendUvarint(dst, uint64(len(m.logDays)))
	last := uint32(0)
	for _, product := range slices.Sorted(maps.Keys(m.logDays)) {
		dst = binary.AppendUvarint(dst, uint64(product-last))
		dst = binary.AppendUvarint(dst, uint64(m.logDays[product]))
		last = product
	}
	dst = binary.AppendUvarint(dst, uint64(len(m.directories)))
	for i := range m.directories {
		d := &m.directories[i]
		dst = binary.AppendUvarint(append(dst, d.level), d.number)
		dst = binary.AppendVarint(dst, d.span)
		dst = binary.AppendUvarint(dst, uint64(d.logDays))
		dst = binary.AppendUvarint(dst, d.rows)
		dst = binary.AppendUvarint(dst, d.entries)
		dst = binary.AppendUvarint(dst, uint64(d.bytes))
		dst = binary.AppendVarint(dst, d.firstMs)
		dst = binary.AppendVarint(dst, d.lastMs)
		dst = binary.AppendUvarint(dst, uint64(len(d.days)))
		for _, x := range d.days {
			dst = binary.AppendUvarint(dst, uint64(x.days))
			dst = binary.AppendUvarint(dst, x.rows)
		}
		dst = binary.AppendVarint(binary.AppendUvarint(dst, d.erased), d.rewrittenMs)
		dst = append(dst, d.sum[:]...)
	}
	dst = binary.AppendVarint(binary.AppendUvarint(dst, m.logErased), m.logErasedMs)
	dst = binary.AppendVarint(binary.AppendVarint(dst, m.retentionMs), m.removedTo)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[begin:], castagnoli))
}

func decodeManifest(b []byte) (*manifest, error) {
	const fixed = len(manifestMagic) + 1
	switch end := len(b) - 4; {
	case end < fixed || string(b[:len(manifestMagic)]) != manifestMagic:
		return nil, errors.New("it is no manifest of an archive")
	case crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]):
		return nil, errors.New("its checksum does not match")
	case b[len(manifestMagic)] < manifestOldest || b[len(manifestMagic)] > manifestVersion:
		return nil, fmt.Errorf("it has version %d, this meterd knows %d", b[len(manifestMagic)], manifestVersion)
	}
	c, erases := column{b: b[fixed : len(b)-4]}, b[len(manifestMagic)] >= 2
	m := &manifest{logDays: map[uint32]uint32{}}
	m.position.Seq = c.uvarint()
	copy(m.position.Chain[:], c.bytes(16))
	m.positionMs, m.ties.Ms, m.ties.First, m.availableFrom = c.varint(), c.varint(), c.uvarint(), c.varint()
	m.next = c.uvarint()
	product := uint32(0)
	for n := c.uvarint(); n > 0 && !c.failed; n-- {
		product += uint32(c.uvarint())
		m.logDays[product] = uint32(c.uvarint())
	}
	for n := c.uvarint(); n > 0 && !c.failed; n-- {
		d := directory{
			level: c.byte(), number: c.uvarint(), span: c.varint(), logDays: uint32(c.uvarint()),
			rows: c.uvarint(), entries: c.uvarint(), bytes: int64(c.uvarint()), firstMs: c.varint(), lastMs: c.varint(),
		}
		for k := c.uvarint(); k > 0 && !c.failed; k-- {
			d.days = append(d.days, dayRows{uint32(c.uvarint()), c.uvarint()})
		}
		if erases {
			d.erased, d.rewrittenMs = c.uvarint(), c.varint()
		}
		if b[len(manifestMagic)] >= 4 {
			copy(d.sum[:], c.bytes(16))
		}
		if d.level != levelRun && d.level != levelSpan || d.number >= m.next {
			return nil, fmt.Errorf("it names directory %d of level %d", d.number, d.level)
		}
		m.directories = append(m.directories, d)
	}
	if erases {
		m.logErased, m.logErasedMs = c.uvarint(), c.varint()
	}
	if b[len(manifestMagic)] >= 3 {
		m.retentionMs, m.removedTo = c.varint(), c.varint()
	}
	if c.failed || len(c.b) > 0 {
		return nil, errors.New("it ends too early or too late")
	}
	return m, nil
}

// manifestName is the file's name; it is replaced whole.
const manifestName = "MANIFEST"

// readManifest reads the manifest of an archive, nil if there is none yet.
func readManifest(dir string) (*manifest, error) {
	path := filepath.Join(dir, manifestName)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil && info.Size() > manifestBytesMax {
		return nil, disk.Damage(path, "it has %d bytes", info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	m, err := decodeManifest(b)
	if err != nil {
		return nil, disk.Damage(path, "%v", err)
	}
	return m, nil
}
