package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/meterd/meterd/retention/disk"
)

// mark remembers how far the log went, so that a lost tail is seen: what is left looks whole. It is written after each
// sync and is not synced itself, so it is never ahead of what is on disk. It has two copies, written in turn, each in
// its own sector.
type mark struct {
	f   *os.File
	seq uint64
	buf [markBytes]byte
}

const (
	markMagic   = 0x4b52414d // "MARK"
	markVersion = 1
	markBytes   = 4 + 4 + 8 + 4
	markStride  = 4096 // a sector of its own, whatever the sector size
)

func markPath(dir string) string { return filepath.Join(dir, "MARK") }

// createMark makes the mark of an empty log, durable before anything is written to the log.
func createMark(dir string) (*mark, error) {
	path := markPath(dir)
	tmp := path + disk.TmpSuffix
	data := make([]byte, markStride+markBytes)
	encodeMark(data, 0)
	encodeMark(data[markStride:], 0)
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %q: %w", tmp, err)
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = disk.SyncDir(dir)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write %q: %w", path, err)
	}
	return &mark{f: f}, nil
}

// openMark reads the mark; os.ErrNotExist is reported as such. One bad copy is what a torn write leaves: it is told,
// the other one counts, and it is written again unless the log is only read. Two bad ones are damage.
func openMark(dir string, readOnly bool, logger *slog.Logger) (*mark, error) {
	path := markPath(dir)
	f, err := os.OpenFile(path, accessOf(readOnly), 0)
	if err != nil {
		return nil, fmt.Errorf("open %q: %w", path, err)
	}
	m := &mark{f: f}
	found := 0
	for i := range 2 {
		var b [markBytes]byte
		if _, err := f.ReadAt(b[:], int64(i)*markStride); err == nil {
			var seq uint64
			if seq, err = decodeMark(b[:]); err == nil {
				m.seq = max(m.seq, seq)
				found++
				continue
			}
		}
		logger.Warn("a copy of the mark is damaged, the other one counts", "path", path, "copy", i)
	}
	if found == 0 {
		_ = f.Close()
		return nil, disk.Damage(path, "both of its copies have bad checksums")
	}
	if found == 1 && !readOnly {
		for i := range uint64(2) {
			if err := m.writeCopy(m.seq, i); err != nil {
				_ = f.Close()
				return nil, err
			}
		}
	}
	return m, nil
}

func encodeMark(dst []byte, seq uint64) {
	le := binary.LittleEndian
	le.PutUint32(dst, markMagic)
	le.PutUint32(dst[4:], markVersion)
	le.PutUint64(dst[8:], seq)
	le.PutUint32(dst[16:], crc32.Checksum(dst[:16], castagnoli))
}

func decodeMark(b []byte) (uint64, error) {
	le := binary.LittleEndian
	if len(b) < markBytes || le.Uint32(b) != markMagic || le.Uint32(b[4:]) != markVersion ||
		le.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return 0, errors.New("not a mark")
	}
	return le.Uint64(b[8:]), nil
}

// set says that everything up to seq is on disk.
func (m *mark) set(seq uint64) error {
	if err := m.writeCopy(seq, seq&1); err != nil {
		return err
	}
	m.seq = seq
	return nil
}

func (m *mark) writeCopy(seq, which uint64) error {
	encodeMark(m.buf[:], seq)
	if _, err := m.f.WriteAt(m.buf[:], int64(which)*markStride); err != nil {
		return fmt.Errorf("write %q: %w", m.f.Name(), err)
	}
	return nil
}

func (m *mark) close() error {
	err := m.f.Sync()
	if cerr := m.f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("close %q: %w", m.f.Name(), err)
	}
	return nil
}
