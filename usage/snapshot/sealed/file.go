package sealed

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
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

// sealedFile is a file that is being written and hashed.
type sealedFile struct {
	*bufio.Writer
	f               *os.File
	hash            hash.Hash
	bytes, unsynced int64
	room            func(bytes uint64) bool
}

// createFile makes a file in a directory. While it grows, room says whether the disk has room for it.
func createFile(dir, name string, room func(bytes uint64) bool) (*sealedFile, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, noRoom(fmt.Errorf("create a file of a snapshot: %w", err))
	}
	s := &sealedFile{f: f, hash: sha256.New(), room: room}
	s.Writer = bufio.NewWriterSize(sink{s}, writeBytes)
	return s, nil
}

// sink is where a sealedFile's buffer goes.
type sink struct{ s *sealedFile }

func (k sink) Write(b []byte) (int, error) {
	s := k.s
	n, err := s.f.Write(b)
	s.hash.Write(b[:n])
	s.bytes += int64(n)
	s.unsynced += int64(n)
	if err == nil && s.unsynced >= syncBytes {
		s.unsynced = 0
		if err = disk.SyncData(s.f); err == nil && !s.room(aheadBytes) {
			err = errNoRoom()
		}
	}
	return n, noRoom(err)
}

// finish makes the file durable and returns what it is.
func (s *sealedFile) finish(rows uint64) (File, error) {
	err := s.Flush()
	if err == nil {
		err = noRoom(s.f.Sync())
	}
	if err = errors.Join(err, s.f.Close()); err != nil {
		return File{}, fmt.Errorf("write %q: %w", s.f.Name(), err)
	}
	return File{
		Name: filepath.Base(s.f.Name()), Bytes: s.bytes, Rows: rows, SHA256: hex.EncodeToString(s.hash.Sum(nil)),
	}, nil
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
