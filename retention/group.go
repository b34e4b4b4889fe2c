package retention

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/zeebo/xxh3"
)

// castagnoli is computed in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Group is one sealed group: the unit of a sync, of replay, and of a scan. Its content is opaque here.
type Group struct {
	Seq             uint64   // contiguous, from 1
	ControlSeq      uint64   // the last control record that it was decided under
	FirstMs, LastMs int64    // decided times of its first and last event, Unix milliseconds; they never go back (R12)
	Head            []byte   // opaque; read with every group
	Chunks          [][]byte // opaque, already compressed; read when they are needed

	load func(*Group) error
}

// Load reads the chunks of a group that Scan gave; elsewhere they are there already. Like all of the group they are
// valid until the function that was given the group returns.
func (g *Group) Load() error {
	if g.load == nil {
		return nil
	}
	return g.load(g)
}

func (g *Group) bytes() int {
	n := len(g.Head)
	for _, c := range g.Chunks {
		n += len(c)
	}
	return n
}

// validate refuses what the limits exclude; it says nothing about the group's place in the log.
func (g *Group) validate() error {
	var errs []error
	if n := g.bytes(); n > GroupBytesMax {
		errs = append(errs, fmt.Errorf("%d bytes, at most %d", n, GroupBytesMax))
	}
	if len(g.Head) > HeadBytesMax {
		errs = append(errs, fmt.Errorf("a head of %d bytes, at most %d", len(g.Head), HeadBytesMax))
	}
	if len(g.Chunks) > ChunksMax {
		errs = append(errs, fmt.Errorf("%d chunks, at most %d", len(g.Chunks), ChunksMax))
	}
	for i, c := range g.Chunks {
		if len(c) == 0 {
			errs = append(errs, fmt.Errorf("chunk %d is empty", i))
		}
	}
	if g.FirstMs > g.LastMs {
		errs = append(errs, fmt.Errorf("its first event was decided at %d, after its last at %d", g.FirstMs, g.LastMs))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("group %d: %w", g.Seq, err)
	}
	return nil
}

// chain is the hash of a group's header value. The next header carries it, and since a header has the hashes of its
// chunks, it stands for everything up to there.
type chain [16]byte

func chainOf(header []byte) chain { return xxh3.Hash128(header).Bytes() }

// header is the value of part 0 of a group; FORMAT.md draws it.
type header struct {
	seq, controlSeq uint64
	firstMs, lastMs int64
	before          chain // of the group before
	chunks          []chunkRow
	head            []byte
}

// chunkRow is what a header knows of a chunk.
type chunkRow struct {
	bytes uint32
	hash  uint64 // xxh3-64
}

const (
	headerVersion    = 1
	headerFixedBytes = 2 + 2 + 4 + 4*8 + 16
	chunkRowBytes    = 4 + 8
	sumBytes         = 4
)

// of fills h from a group. It keeps the group's head.
func (h *header) of(g *Group, before chain) {
	h.seq, h.controlSeq, h.firstMs, h.lastMs = g.Seq, g.ControlSeq, g.FirstMs, g.LastMs
	h.before, h.head = before, g.Head
	h.chunks = h.chunks[:0]
	for _, c := range g.Chunks {
		h.chunks = append(h.chunks, chunkRow{uint32(len(c)), xxh3.Hash(c)})
	}
}

// append appends the header's value to dst.
func (h *header) append(dst []byte) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint16(dst, headerVersion)
	dst = le.AppendUint16(dst, uint16(len(h.chunks)))
	dst = le.AppendUint32(dst, uint32(len(h.head)))
	dst = le.AppendUint64(dst, h.seq)
	dst = le.AppendUint64(dst, h.controlSeq)
	dst = le.AppendUint64(dst, uint64(h.firstMs))
	dst = le.AppendUint64(dst, uint64(h.lastMs))
	dst = append(dst, h.before[:]...)
	for _, c := range h.chunks {
		dst = le.AppendUint32(dst, c.bytes)
		dst = le.AppendUint64(dst, c.hash)
	}
	dst = append(dst, h.head...)
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// decode reads a header's value. h.head points into v.
func (h *header) decode(v []byte) error {
	if len(v) < headerFixedBytes+sumBytes {
		return fmt.Errorf("its header has %d bytes", len(v))
	}
	le := binary.LittleEndian
	body, sum := v[:len(v)-sumBytes], le.Uint32(v[len(v)-sumBytes:])
	if crc32.Checksum(body, castagnoli) != sum {
		return errors.New("its header's checksum does not match")
	}
	if version := le.Uint16(v); version != headerVersion {
		return fmt.Errorf("its header has version %d, this meterd knows %d", version, headerVersion)
	}
	chunks, headBytes := int(le.Uint16(v[2:])), int(le.Uint32(v[4:]))
	if chunks > ChunksMax || headBytes > HeadBytesMax || len(body) != headerFixedBytes+chunks*chunkRowBytes+headBytes {
		return fmt.Errorf("its header says %d chunks and %d bytes of head in %d bytes", chunks, headBytes, len(v))
	}
	h.seq, h.controlSeq = le.Uint64(v[8:]), le.Uint64(v[16:])
	h.firstMs, h.lastMs = int64(le.Uint64(v[24:])), int64(le.Uint64(v[32:]))
	copy(h.before[:], v[40:])
	h.chunks = h.chunks[:0]
	total := headBytes
	for row := body[headerFixedBytes : headerFixedBytes+chunks*chunkRowBytes]; len(row) > 0; row = row[chunkRowBytes:] {
		c := chunkRow{le.Uint32(row), le.Uint64(row[4:])}
		if total += int(c.bytes); c.bytes == 0 || total > GroupBytesMax {
			return fmt.Errorf("its header says a chunk of %d bytes", c.bytes)
		}
		h.chunks = append(h.chunks, c)
	}
	h.head = body[len(body)-headBytes:]
	return nil
}

// chunkBytes returns the length of all chunks together.
func (h *header) chunkBytes() int {
	n := 0
	for _, c := range h.chunks {
		n += int(c.bytes)
	}
	return n
}

// check compares a chunk with what the header says of it.
func (h *header) check(i int, chunk []byte) error {
	if row := h.chunks[i]; len(chunk) != int(row.bytes) || xxh3.Hash(chunk) != row.hash {
		return fmt.Errorf("chunk %d is not what its header says (%d bytes, %d expected)", i+1, len(chunk), row.bytes)
	}
	return nil
}

// group puts what the header says into g; head and chunks are the caller's.
func (h *header) group(g *Group) {
	g.Seq, g.ControlSeq, g.FirstMs, g.LastMs = h.seq, h.controlSeq, h.firstMs, h.lastMs
}

// A key is "g", the sequence and the part, both big-endian, so that keys sort as the log goes.
const keyBytes = 1 + 8 + 2

func appendKey(dst []byte, seq uint64, part int) []byte {
	dst = append(dst, 'g')
	dst = binary.BigEndian.AppendUint64(dst, seq)
	return binary.BigEndian.AppendUint16(dst, uint16(part))
}

func parseKey(key []byte) (seq uint64, part int, ok bool) {
	if len(key) != keyBytes || key[0] != 'g' {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), int(binary.BigEndian.Uint16(key[9:])), true
}
