package retention

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/retention/disk"
)

// A walk reads Badger's value log and memtable files without Badger and without changing them. Both are a 20-byte
// header followed by entries (badger v4.9.6 memtable.go, structs.go):
//
//	meta u8 | user meta u8 | key length uvarint | value length uvarint | expires uvarint | key | value | CRC32C u32, big-endian
const (
	fileHeaderBytes  = 20
	entryHeaderBytes = 22 // at most
	keySuffixBytes   = 8  // the version behind each key

	metaDelete  = 1 << 0
	metaPointer = 1 << 1
	metaTxn     = 1 << 6
	metaFinTxn  = 1 << 7
)

// walkEntry is one entry; key (without its version) and value point into the file.
type walkEntry struct {
	meta       byte
	key, value []byte
}

// pointer is where a value lies: in the memtable's entry instead of the value itself.
type pointer struct{ file, bytes, offset uint32 }

func (e *walkEntry) pointer() (pointer, bool) {
	if e.meta&metaPointer == 0 || len(e.value) != 12 {
		return pointer{}, false
	}
	ne := binary.NativeEndian // Badger copies the struct as it lies in memory.
	return pointer{ne.Uint32(e.value), ne.Uint32(e.value[4:]), ne.Uint32(e.value[8:])}, true
}

// walkEnd is where a walk ended and whether nothing but zeroes, or nothing at all, comes next.
type walkEnd struct {
	offset int
	clean  bool
}

// walk calls fn for every good entry from the start of data on.
func walk(data []byte, fn func(offset int, e *walkEntry)) walkEnd {
	at := min(fileHeaderBytes, len(data))
	for {
		e, size, ok := parseEntry(data[at:])
		if !ok {
			rest := data[at:min(len(data), at+entryHeaderBytes)]
			return walkEnd{at, len(bytes.Trim(rest, "\x00")) == 0}
		}
		fn(at, &e)
		at += size
	}
}

func parseEntry(b []byte) (e walkEntry, size int, ok bool) {
	if len(b) < 2 {
		return e, 0, false
	}
	e.meta = b[0]
	at := 2
	var fields [3]uint64
	for i := range fields {
		v, n := binary.Uvarint(b[at:])
		if n <= 0 {
			return e, 0, false
		}
		fields[i] = v
		at += n
	}
	keyLen, valueLen := fields[0], fields[1]
	if keyLen < keySuffixBytes || keyLen > 1<<16 || valueLen > uint64(len(b)) {
		return e, 0, false
	}
	end := at + int(keyLen) + int(valueLen)
	if end+4 > len(b) || crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return e, 0, false
	}
	e.key = b[at : at+int(keyLen)-keySuffixBytes]
	e.value = b[at+int(keyLen) : end]
	return e, end + 4, true
}

// walkTransactions calls fn for every transaction that is whole. Entries are valid until it returns.
func walkTransactions(data []byte, fn func(entries []walkEntry)) walkEnd {
	var open []walkEntry
	openAt := min(fileHeaderBytes, len(data))
	end := walk(data, func(offset int, e *walkEntry) {
		switch {
		case e.meta&metaTxn != 0:
			if len(open) == 0 {
				openAt = offset
			}
			open = append(open, *e)
		case e.meta&metaFinTxn != 0:
			fn(open)
			open = open[:0]
		}
	})
	if len(open) > 0 { // Cut within a transaction: all of it is lost.
		return walkEnd{openAt, false}
	}
	return end
}

// mapFile maps a file for reading and calls fn with its content.
func mapFile(path string, fn func(data []byte)) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %q: %w", path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open %q: %w", path, err)
	}
	if st.Size() == 0 {
		fn(nil)
		return nil
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %q: %w", path, err)
	}
	defer unix.Munmap(data)
	fn(data)
	return nil
}

// numbered is a file that Badger numbers.
type numbered struct {
	path   string
	number uint32
	bytes  int64
}

// numberedFiles lists the files of a directory with an extension (".vlog", ".mem") in their order.
func numberedFiles(dir, ext string) ([]numbered, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", dir, err)
	}
	var files []numbered
	for _, e := range entries {
		stem, ok := strings.CutSuffix(e.Name(), ext)
		n, err := strconv.ParseUint(stem, 10, 32)
		if !ok || err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("list %q: %w", dir, err)
		}
		files = append(files, numbered{filepath.Join(dir, e.Name()), uint32(n), info.Size()})
	}
	slices.SortFunc(files, func(a, b numbered) int { return int(int64(a.number) - int64(b.number)) })
	return files, nil
}

// damaged names the first value log file of a Badger directory that cannot be walked to its end, or else the directory.
func damaged(dir, what string) error {
	files, err := numberedFiles(dir, ".vlog")
	if err != nil {
		return err
	}
	for _, file := range files {
		var end walkEnd
		if err := mapFile(file.path, func(data []byte) { end = walk(data, func(int, *walkEntry) {}) }); err != nil {
			return err
		}
		if !end.clean {
			return disk.Damage(file.path, "the entry at byte %d has a bad checksum (%s)", end.offset, what)
		}
	}
	return disk.Damage(dir, "%s", what)
}
