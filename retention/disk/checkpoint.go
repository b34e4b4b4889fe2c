package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Checkpoints is the directory of checkpoints. The newest installed one counts; older ones are removed when it is
// installed, those that are held when they are let go. It is safe for concurrent use, but one checkpoint is written at
// a time.
type Checkpoints struct {
	path string
	mu   sync.Mutex     // guards names of installed checkpoints, and held
	held map[uint64]int // by their group B, how many readers hold them
}

// OpenCheckpoints opens or makes the directory and removes what a crash left unfinished.
func OpenCheckpoints(path string) (*Checkpoints, error) {
	if err := MakeDir(path); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", path, err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), TmpSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(path, e.Name())); err != nil {
			return nil, fmt.Errorf("remove an unfinished checkpoint: %w", err)
		}
	}
	return &Checkpoints{path: path, held: map[uint64]int{}}, nil
}

// The layout of a checkpoint; FORMAT.md draws it.
const (
	checkpointPrefix  = "checkpoint-"
	groupDigits       = 20 // Every uint64 fits, and names sort as numbers do.
	checkpointVersion = 1
	checkpointMagic   = "meterdCP"
	footerMagic       = "meterdCF"

	checkpointHeaderBytes = 8 + 4 + 8 + 4
	sectionHeaderBytes    = 2 + 4 + 4
	footerBytes           = 8 + 8 + 8 + 8 + 16 + 4
)

// footer is what says that a checkpoint is whole.
type footer struct {
	e, sections, bytes uint64   // bytes: of all that comes before the footer
	hash               [16]byte // xxh3-128 of it
}

func appendCheckpointHeader(dst []byte, b uint64) []byte {
	start := len(dst)
	dst = append(dst, checkpointMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, checkpointVersion)
	dst = binary.LittleEndian.AppendUint64(dst, b)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func decodeCheckpointHeader(v []byte) (b uint64, err error) {
	le := binary.LittleEndian
	switch {
	case string(v[:8]) != checkpointMagic:
		return 0, errors.New("it does not begin like a checkpoint")
	case le.Uint32(v[20:]) != crc32.Checksum(v[:20], castagnoli):
		return 0, errors.New("its header has a bad checksum")
	case le.Uint32(v[8:]) != checkpointVersion:
		return 0, fmt.Errorf("its header has version %d, this meterd knows %d", le.Uint32(v[8:]), checkpointVersion)
	}
	return le.Uint64(v[12:]), nil
}

// appendSectionHeader covers kind and length with the section's checksum as well.
func appendSectionHeader(dst []byte, kind uint16, data []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint16(dst, kind)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data)))
	sum := crc32.Update(crc32.Checksum(dst[start:], castagnoli), castagnoli, data)
	return binary.LittleEndian.AppendUint32(dst, sum)
}

func (f *footer) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, footerMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, f.e)
	dst = binary.LittleEndian.AppendUint64(dst, f.sections)
	dst = binary.LittleEndian.AppendUint64(dst, f.bytes)
	dst = append(dst, f.hash[:]...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

func (f *footer) decode(v []byte) error {
	le := binary.LittleEndian
	switch {
	case string(v[:8]) != footerMagic:
		return errors.New("it is cut off: it has no footer")
	case le.Uint32(v[48:]) != crc32.Checksum(v[:48], castagnoli):
		return errors.New("its footer has a bad checksum")
	}
	f.e, f.sections, f.bytes = le.Uint64(v[8:]), le.Uint64(v[16:]), le.Uint64(v[24:])
	copy(f.hash[:], v[32:])
	return nil
}

func (c *Checkpoints) name(b uint64) string {
	return filepath.Join(c.path, fmt.Sprintf("%s%0*d", checkpointPrefix, groupDigits, b))
}

// list returns the groups B of the installed checkpoints, oldest first.
func (c *Checkpoints) list() ([]uint64, error) {
	entries, err := os.ReadDir(c.path)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", c.path, err)
	}
	var installed []uint64
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), checkpointPrefix)
		if !ok || len(digits) != groupDigits {
			continue
		}
		if b, err := strconv.ParseUint(digits, 10, 64); err == nil {
			installed = append(installed, b)
		}
	}
	slices.Sort(installed)
	return installed, nil
}

// install gives a finished file the name of the checkpoint of group b.
func (c *Checkpoints) install(path string, b uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return os.Rename(path, c.name(b))
}

// prune removes the checkpoints older than the newest one that nobody holds.
func (c *Checkpoints) prune() error {
	names, err := c.takeOld()
	for _, gone := range names {
		err = errors.Join(err, RemoveGently(gone))
	}
	if err != nil {
		return fmt.Errorf("remove an older checkpoint: %w", err)
	}
	return nil
}

// takeOld renames what prune removes to what the next start removes, and returns the names.
func (c *Checkpoints) takeOld() (names []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	installed, err := c.list()
	if err != nil {
		return nil, err
	}
	for _, old := range installed[:max(len(installed), 1)-1] {
		if c.held[old] > 0 {
			continue
		}
		gone := c.name(old) + TmpSuffix
		if err := os.Rename(c.name(old), gone); err != nil {
			return names, err
		}
		names = append(names, gone)
	}
	return names, nil
}
