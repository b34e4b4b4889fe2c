package sealed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/disk"
)

// File is a sealed file as a manifest shows it.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Rows   uint64 `json:"rows"`
	SHA256 string `json:"sha256"` // in hex
}

// sealedFile is a file that is being written and hashed, past the page cache. It is for one goroutine, and ends with
// finish or drop.
type sealedFile struct {
	f      disk.Direct
	hash   hash.Hash
	memory []byte // whole pages, and room for a line behind them
	buf    []byte // of memory: what is not written yet
	bytes  int64  // written
	room   func(bytes uint64) bool
}

// createFile makes a file in a directory. While it grows, room says whether the disk has room for it.
func createFile(dir, name string, room func(bytes uint64) bool) (*sealedFile, error) {
	f, err := disk.CreateDirect(filepath.Join(dir, name))
	if err != nil {
		return nil, noRoom(fmt.Errorf("create a file of a snapshot: %w", err))
	}
	memory, err := disk.NewPages(writeBytes + lineBytesMax)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &sealedFile{f: f, hash: sha256.New(), memory: memory, buf: memory[:0], room: room}, nil
}

// Write implements io.Writer. After an error only drop makes sense.
func (s *sealedFile) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		part := b[:min(len(b), lineBytesMax)]
		b = b[len(part):]
		if err := s.append(append(s.buf, part...)); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// append takes buf with up to lineBytesMax bytes behind it.
func (s *sealedFile) append(buf []byte) error {
	s.buf = buf
	if len(buf) < writeBytes {
		return nil
	}
	if err := s.write(buf[:writeBytes], writeBytes); err != nil {
		return err
	}
	s.buf = append(buf[:0], buf[writeBytes:]...)
	if s.bytes%roomEvery == 0 && !s.room(aheadBytes) {
		return errNoRoom()
	}
	return nil
}

// write writes whole pages, of which the first n bytes count.
func (s *sealedFile) write(pages []byte, n int) error {
	s.hash.Write(pages[:n])
	s.bytes += int64(n)
	return noRoom(s.f.WritePages(pages))
}

// finish makes the file durable and returns what it is.
func (s *sealedFile) finish(rows uint64) (File, error) {
	// What is left fills no page; what is too much is cut off.
	n := len(s.buf)
	err := s.write(s.buf[:(n+disk.PageBytes-1)&^(disk.PageBytes-1)], n)
	if err == nil {
		err = noRoom(s.f.Truncate(s.bytes))
	}
	if err == nil {
		err = noRoom(s.f.Sync())
	}
	if err = errors.Join(err, s.drop()); err != nil {
		return File{}, fmt.Errorf("write %q: %w", s.f.Name(), err)
	}
	return File{
		Name: filepath.Base(s.f.Name()), Bytes: s.bytes, Rows: rows, SHA256: hex.EncodeToString(s.hash.Sum(nil)),
	}, nil
}

// drop lets go of the file, finished or not.
func (s *sealedFile) drop() error {
	disk.FreePages(s.memory)
	return s.f.Close()
}

// noRoom makes an error of a full disk what callers are told.
func noRoom(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return errors.Join(errNoRoom(), err)
	}
	return err
}

func errNoRoom() error {
	return &event.Problem{
		Code: event.DiskFull, Detail: "the disk has no room for a snapshot, nothing of it is kept; free some space",
	}
}
