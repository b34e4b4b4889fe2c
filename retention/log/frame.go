package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/zeebo/xxh3"
)

// frame is the header of a group as it lies in a segment; FORMAT.md draws it. Head and chunks follow it.
type frame struct {
	salt            uint64 // of the segment: what an earlier use of the file left behind has another one
	seq             uint64
	firstMs, lastMs int64
	before          Chain // of the group before
	head            part
	chunks          []part
}

// part is what a header knows of the head or of a chunk.
type part struct {
	bytes uint32
	hash  uint64 // xxh3-64
}

const (
	frameMagic      = 0x52464d4d // "MMFR"
	frameFixedBytes = 4 + 4 + 8 + 8 + 8 + 8 + 16 + 4
	partBytes       = 4 + 8
	// frameChainedFrom is where the hashed part begins: a group has the same Chain in every segment.
	frameChainedFrom = 16
	// frameAlign is the alignment of frames, so that one is searched for at an eighth of all bytes.
	frameAlign = 8
)

// errShort says that a header goes on behind the bytes that there are.
var errShort = errors.New("its header is cut off")

func align(n int64, to int64) int64 { return (n + to - 1) / to * to }

// of fills f from a group. It keeps nothing of the group.
func (f *frame) of(g *Group, salt uint64, before Chain) {
	f.salt, f.seq, f.firstMs, f.lastMs, f.before = salt, g.Seq, g.FirstMs, g.LastMs, before
	f.head = partOf(g.Head)
	f.chunks = f.chunks[:0]
	for _, c := range g.Chunks {
		f.chunks = append(f.chunks, partOf(c))
	}
}

func partOf(b []byte) part { return part{uint32(len(b)), xxh3.Hash(b)} }

func (p part) is(b []byte) bool { return partOf(b) == p }

// append appends the header to dst.
func (f *frame) append(dst []byte) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, frameMagic)
	dst = le.AppendUint32(dst, 0)
	dst = le.AppendUint64(dst, f.salt)
	dst = le.AppendUint64(dst, f.seq)
	dst = le.AppendUint64(dst, uint64(f.firstMs))
	dst = le.AppendUint64(dst, uint64(f.lastMs))
	dst = append(dst, f.before[:]...)
	dst = le.AppendUint32(dst, uint32(len(f.chunks)))
	dst = f.head.append(dst)
	for _, c := range f.chunks {
		dst = c.append(dst)
	}
	le.PutUint32(dst[start+4:], crc32.Checksum(dst[start+8:], castagnoli))
	return dst
}

func (p part) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, p.bytes)
	return binary.LittleEndian.AppendUint64(dst, p.hash)
}

func decodePart(b []byte) part {
	return part{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])}
}

// decode reads the header that b begins with and returns its length. errShort comes with the length that b must have.
func (f *frame) decode(b []byte, salt uint64) (n int, err error) {
	if len(b) < frameFixedBytes {
		return frameFixedBytes, errShort
	}
	le := binary.LittleEndian
	if le.Uint32(b) != frameMagic || le.Uint64(b[8:]) != salt {
		return 0, errors.New("there is no frame of this segment")
	}
	chunks := le.Uint32(b[frameFixedBytes-4:])
	if chunks > ChunksMax {
		return 0, fmt.Errorf("its header says %d chunks", chunks)
	}
	n = frameFixedBytes + int(1+chunks)*partBytes
	if len(b) < n {
		return n, errShort
	}
	if crc32.Checksum(b[8:n], castagnoli) != le.Uint32(b[4:]) {
		return 0, errors.New("its header's checksum does not match")
	}
	f.salt, f.seq = salt, le.Uint64(b[16:])
	f.firstMs, f.lastMs = int64(le.Uint64(b[24:])), int64(le.Uint64(b[32:]))
	copy(f.before[:], b[40:])
	f.head = decodePart(b[frameFixedBytes:])
	f.chunks = f.chunks[:0]
	total := uint64(f.head.bytes)
	for row := b[frameFixedBytes+partBytes : n]; len(row) > 0; row = row[partBytes:] {
		c := decodePart(row)
		if total += uint64(c.bytes); c.bytes == 0 {
			return 0, errors.New("its header says an empty chunk")
		}
		f.chunks = append(f.chunks, c)
	}
	if f.head.bytes > HeadBytesMax || total > GroupBytesMax {
		return 0, fmt.Errorf("its header says a head of %d bytes, %d in all", f.head.bytes, total)
	}
	return n, nil
}

// bytes returns the length of the whole frame: header, head and chunks, without what aligns the next one.
func (f *frame) bytes() int64 {
	n := int64(frameFixedBytes+(1+len(f.chunks))*partBytes) + int64(f.head.bytes)
	for _, c := range f.chunks {
		n += int64(c.bytes)
	}
	return n
}

// chainOf returns the Chain of the group with this header.
func chainOf(header []byte) Chain { return xxh3.Hash128(header[frameChainedFrom:]).Bytes() }

// decodeGroup reads the whole frame that b begins with, proves its content, and returns its length. The group points
// into b and into chunks, to which its chunks are appended. errShort comes with the length that b must have.
func (f *frame) decodeGroup(b []byte, salt uint64, g *Group, chunks [][]byte) (n int, _ [][]byte, err error) {
	n, err = f.decode(b, salt)
	if err != nil {
		return n, chunks, err
	}
	if f.bytes() > int64(len(b)) {
		return int(f.bytes()), chunks, errShort
	}
	*g = Group{Seq: f.seq, FirstMs: f.firstMs, LastMs: f.lastMs, Chain: chainOf(b[:n])}
	take := func(p part) ([]byte, bool) {
		piece := b[n : n+int(p.bytes) : n+int(p.bytes)]
		n += int(p.bytes)
		return piece, p.is(piece)
	}
	var ok bool
	if g.Head, ok = take(f.head); !ok {
		return 0, chunks, fmt.Errorf("group %d: its head is not what its header says", f.seq)
	}
	at := len(chunks)
	for i, p := range f.chunks {
		piece, ok := take(p)
		if !ok {
			return 0, chunks, fmt.Errorf("group %d: chunk %d of %d bytes is not what its header says", f.seq, i+1, p.bytes)
		}
		chunks = append(chunks, piece)
	}
	g.Chunks = chunks[at:len(chunks):len(chunks)]
	return n, chunks, nil
}
