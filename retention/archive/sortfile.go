package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/retention/disk"
)

// sortPrefix begins the names of files with sorted pieces. They have no name while they are used: a name is left by a
// crash between two steps, and removed by the next start.
const sortPrefix = "sort-"

// sortFile has the sorted pieces of one directory's rows. It is never synced, for a crash takes its reader away, too.
type sortFile struct {
	s      *Store
	file   *os.File
	size   int64
	pieces []piece
	buffer []byte
	raw    []byte
	block  block
}

// piece is where a sorted piece lies.
type piece struct{ from, to int64 }

// CanSort returns ErrNoRoom if the disk has no room for rows that are sorted for a reader.
func (s *Store) CanSort() error {
	if !s.o.Spare(sortRoom) {
		return fmt.Errorf("%w: rows cannot be sorted", ErrNoRoom)
	}
	return nil
}

func (s *Store) newSortFile() (*sortFile, error) {
	path := filepath.Join(s.o.Path, fmt.Sprintf("%s%d%s", sortPrefix, s.sorts.Add(1), disk.TmpSuffix))
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open a file to sort in: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return nil, errors.Join(fmt.Errorf("unlink %q: %w", path, err), f.Close())
	}
	return &sortFile{s: s, file: f}, nil
}

// frame precedes the rows of one block and their payloads.
type frame struct {
	key            entryKey
	rows, payloads int // bytes as they are stored
	crc            uint32
}

const frameBytes = 8 + 8 + 8 + 4 + 4 + 4

func (h *frame) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.key.device))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.key.place.DecidedMs))
	dst = binary.LittleEndian.AppendUint64(dst, h.key.place.Tie)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.rows))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.payloads))
	return binary.LittleEndian.AppendUint32(dst, h.crc)
}

func decodeFrame(b []byte) (h frame, err error) {
	if len(b) != frameBytes {
		return h, errShort
	}
	h.key.device = Device(binary.LittleEndian.Uint64(b))
	h.key.place.DecidedMs = int64(binary.LittleEndian.Uint64(b[8:]))
	h.key.place.Tie = binary.LittleEndian.Uint64(b[16:])
	rows, payloads := binary.LittleEndian.Uint32(b[24:]), binary.LittleEndian.Uint32(b[28:])
	if rows > rowsBytesMax || payloads > payloadBytesMax+16 { // What does not compress has its two bytes before it.
		return h, fmt.Errorf("a block of %d and %d bytes", rows, payloads)
	}
	h.rows, h.payloads, h.crc = int(rows), int(payloads), binary.LittleEndian.Uint32(b[32:])
	return h, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// write appends a piece: the rows that next returns until it returns nil.
func (f *sortFile) write(next func() (*Row, error)) error {
	p := piece{f.size, f.size}
	f.buffer = f.buffer[:0]
	for {
		r, err := next()
		if err != nil {
			return err
		}
		if f.block.rows > 0 && (r == nil || !f.block.takes(r.Device)) {
			f.seal()
		}
		if len(f.buffer) >= pieceWriteBytes || r == nil && len(f.buffer) > 0 {
			if err := f.flush(); err != nil {
				return err
			}
		}
		if r == nil {
			break
		}
		f.block.add(r)
	}
	if p.to = f.size; p.to > p.from {
		f.pieces = append(f.pieces, p)
	}
	return nil
}

// seal appends the block to the buffer.
func (f *sortFile) seal() {
	b := &f.block
	f.raw = b.finish(f.raw[:0])
	at := len(f.buffer)
	h := frame{key: entryKey{b.first.Device, b.first.Place()}}
	f.buffer = f.s.codec.seal(append(f.buffer, make([]byte, frameBytes)...), f.raw)
	h.rows = len(f.buffer) - at - frameBytes
	if len(b.payloads) > 0 {
		f.buffer = f.s.codec.seal(f.buffer, b.payloads)
		h.payloads = len(f.buffer) - at - frameBytes - h.rows
	}
	h.crc = checksum(f.buffer[at+frameBytes:])
	h.append(f.buffer[at:at])
	b.reset()
}

// flush writes the buffer.
func (f *sortFile) flush() error {
	if !f.s.o.Spare(uint64(len(f.buffer)) + spaceMin) {
		return fmt.Errorf("%w: %d bytes were written to sort rows", ErrNoRoom, f.size)
	}
	if _, err := f.file.WriteAt(f.buffer, f.size); err != nil {
		return fmt.Errorf("write sorted rows: %w", err)
	}
	f.size += int64(len(f.buffer))
	f.buffer = f.buffer[:0]
	return nil
}

// forget gives the space of the first n pieces back, where the file system can.
func (f *sortFile) forget(n int) {
	for _, p := range f.pieces[:n] {
		_ = unix.Fallocate(int(f.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, p.from, p.to-p.from)
	}
	f.pieces = f.pieces[n:]
}

// close gives the space back in small steps, as any large file's.
func (f *sortFile) close() error {
	err := disk.ShortenGently(fmt.Sprintf("/proc/self/fd/%d", f.file.Fd()), f.size, 0)
	return errors.Join(err, f.file.Close())
}
