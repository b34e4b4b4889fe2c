package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
)

// tables are the files of a directory as they are read: the bytes of a block and no more. Badger itself reads by page
// faults: each has the kernel read as much around it as the disk's read-ahead says, often megabytes for a block of
// 15 KB, and holds a processor of the runtime's until the disk has answered. A query announces the blocks of several
// directories first, so that the disk works on them at once. Opening reads the indexes, which lie at the files' ends.
type tables struct {
	path   string
	spaces [len(tableSpaces)]tableSpace
}

// tableSpaces are the key spaces of a directory.
const tableSpaces = string(spaceRows) + string(spaceNewest) + string(spacePayloads)

// tableSpace is what a directory has of one key space, in the order of keys.
type tableSpace struct {
	files  []tableFile
	blocks []tableBlock
}

type tableFile struct {
	name  string
	first int   // its first block
	end   int64 // of its last block
}

// tableBlock is a block of Badger's: of its entries, most often one.
type tableBlock struct {
	key entryKey // of its first entry
	at  uint32   // byte of the file
}

// openTables reads where the blocks of a directory lie.
func openTables(path string) (*tables, error) {
	names, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", path, err)
	}
	var all []table
	for _, e := range names {
		if !strings.HasSuffix(e.Name(), ".sst") {
			continue
		}
		t, err := openTable(filepath.Join(path, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the index of %q: %w", filepath.Join(path, e.Name()), err)
		}
		t.file.name = e.Name()
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b table) int { return a.blocks[0].key.compare(b.blocks[0].key) })
	ts := &tables{path: path}
	for _, t := range all {
		if i := strings.IndexByte(tableSpaces, t.space); i >= 0 {
			s := &ts.spaces[i]
			t.file.first = len(s.blocks)
			s.blocks = append(s.blocks, t.blocks...)
			s.files = append(s.files, t.file)
		}
	}
	return ts, nil
}

// table is one file of Badger's: blocks, index, its length, its checksum, that one's length.
type table struct {
	file   tableFile
	space  byte
	blocks []tableBlock
}

func openTable(path string) (t table, err error) {
	f, err := os.Open(path)
	if err != nil {
		return t, err
	}
	defer f.Close() // It was only read.
	info, err := f.Stat()
	if err != nil {
		return t, err
	}
	end := info.Size()
	part := func() (b []byte, err error) { // The last one before end.
		var n [4]byte
		if _, err = f.ReadAt(n[:], max(0, end-4)); err != nil {
			return nil, err
		}
		size := int64(binary.BigEndian.Uint32(n[:]))
		if end -= 4 + size; end < 0 {
			return nil, fmt.Errorf("a part of %d bytes", size)
		}
		b = make([]byte, size)
		_, err = f.ReadAt(b, end)
		return b, err
	}
	sum, err := part()
	if err != nil {
		return t, err
	}
	index, err := part()
	if err == nil {
		err = verify(index, sum)
	}
	if err == nil {
		t.file.end = end
		err = recovered(func() error { return t.decodeIndex(index) })
	}
	return t, err
}

// verify compares bytes with a checksum of Badger's.
func verify(b, sum []byte) error {
	var want pb.Checksum
	if err := proto.Unmarshal(sum, &want); err != nil {
		return fmt.Errorf("a checksum: %w", err)
	}
	// Badger panics on one that it does not know.
	if want.Algo != pb.Checksum_CRC32C && want.Algo != pb.Checksum_XXHash64 {
		return fmt.Errorf("a checksum of the unknown kind %d", want.Algo)
	}
	return y.VerifyChecksum(b, &want)
}

// decodeIndex takes the blocks from an index of Badger's. It panics on one that is damaged.
func (t *table) decodeIndex(raw []byte) error {
	index := fb.GetRootAsTableIndex(raw, 0)
	n := index.OffsetsLength()
	if n == 0 || n > len(raw) {
		return fmt.Errorf("an index of %d blocks", n)
	}
	t.blocks = make([]tableBlock, 0, n)
	var block fb.BlockOffset
	for i := range n {
		if !index.Offsets(&block, i) {
			return fmt.Errorf("block %d is not in the index", i)
		}
		key, space, err := decodeVersioned(block.KeyBytes())
		if err != nil {
			return err
		}
		t.space = space
		t.blocks = append(t.blocks, tableBlock{key, block.Offset()})
	}
	return nil
}

// decodeVersioned decodes a key that Badger's version stands behind.
func decodeVersioned(b []byte) (k entryKey, space byte, err error) {
	return decodeKey(b[:max(0, len(b)-8)])
}

// place returns in which file block i lies, and where.
func (s *tableSpace) place(i int) (f *tableFile, from, size int64) {
	n := sort.Search(len(s.files), func(k int) bool { return s.files[k].first > i })
	f, from = &s.files[n-1], int64(s.blocks[i].at)
	to := f.end
	if next := i + 1; next < len(s.blocks) && (n == len(s.files) || next < s.files[n].first) {
		to = int64(s.blocks[next].at)
	}
	return f, from, to - from
}

// at returns the last block that begins at or before a key, -1 if there is none.
func (s *tableSpace) at(key entryKey) int {
	return sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].key.compare(key) > 0 }) - 1
}

// of returns what there is of a key space.
func (t *tables) of(space byte) *tableSpace { return &t.spaces[strings.IndexByte(tableSpaces, space)] }

// announce has the kernel read what a look for the last entry at or before a key needs, and does not wait. What fails
// here fails again when it is read.
func (t *tables) announce(key entryKey) {
	for _, space := range []byte{spaceRows, spacePayloads} {
		s := t.of(space)
		i := s.at(key)
		if i < 0 {
			continue
		}
		f, from, size := s.place(i)
		if fd, err := unix.Open(filepath.Join(t.path, f.name), unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
			_ = unix.Fadvise(fd, from, size, unix.FADV_WILLNEED)
			_ = unix.Close(fd)
		}
	}
}

// read reads block i of a space.
func (t *tables) read(s *tableSpace, i int) (*tableEntries, error) {
	all, err := t.readSome(s, i, 1)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// readSome reads blocks from i on that follow each other in a file, of about so many bytes, and one at least.
func (t *tables) readSome(s *tableSpace, i int, bytesMax int64) (all []*tableEntries, err error) {
	f, from, _ := s.place(i)
	to := from
	var ends []int64
	for k := i; k < len(s.blocks) && (k == i || to-from < bytesMax); k++ {
		g, at, size := s.place(k)
		if g != f {
			break
		}
		if size <= 0 || at != to || size > payloadBytesMax+rowsBytesMax {
			return nil, fmt.Errorf("a block of %d bytes at byte %d of %q", size, at, f.name)
		}
		to += size
		ends = append(ends, to-from)
	}
	file, err := os.Open(filepath.Join(t.path, f.name))
	if err != nil {
		return nil, err
	}
	defer file.Close() // It was only read.
	raw := make([]byte, to-from)
	if _, err := file.ReadAt(raw, from); err != nil {
		return nil, fmt.Errorf("read %q: %w", f.name, err)
	}
	begin := int64(0)
	for _, end := range ends {
		b, err := decodeEntries(raw[begin:end:end])
		if err != nil {
			return nil, fmt.Errorf("read %q at byte %d: %w", f.name, from+begin, err)
		}
		all, begin = append(all, b), end
	}
	return all, nil
}

// entries reads entries of a space from a key on, of about so many bytes; none if there are no more.
func (t *tables) entries(space byte, key entryKey, bytesMax int64) (list []blockOf, err error) {
	s := t.of(space)
	for i := max(s.at(key), 0); i < len(s.blocks) && len(list) == 0; {
		all, err := t.readSome(s, i, bytesMax)
		if err != nil {
			return nil, err
		}
		for _, b := range all {
			for k := range b.keys {
				if b.keys[k].compare(key) >= 0 {
					list = append(list, blockOf{b.keys[k], b.values[k]})
				}
			}
		}
		i += len(all)
	}
	return list, nil
}

// tableEntries are the entries of one block.
type tableEntries struct {
	keys   []entryKey
	values [][]byte
}

// find returns the last entry at or before a key, or the first one at or behind it; -1 if there is none.
func (b *tableEntries) find(key entryKey, before bool) int {
	i := sort.Search(len(b.keys), func(i int) bool {
		c := b.keys[i].compare(key)
		return c > 0 || c == 0 && !before
	})
	switch {
	case before:
		return i - 1
	case i == len(b.keys):
		return -1
	}
	return i
}

var errEntries = errors.New("a block of entries is damaged")

// decodeEntries decodes a block of Badger's: entries, where each begins, how many they are, a checksum, its length. An
// entry is how much of the first one's key it shares and has of its own, that, and its value.
func decodeEntries(raw []byte) (*tableEntries, error) {
	end := len(raw)
	number := func() int {
		if end -= 4; end < 0 {
			return -1
		}
		return int(binary.BigEndian.Uint32(raw[end:]))
	}
	sumSize := number()
	if sumSize < 0 || sumSize > end {
		return nil, errEntries
	}
	sum := raw[end-sumSize : end]
	end -= sumSize
	if err := verify(raw[:end], sum); err != nil {
		return nil, err
	}
	n := number()
	if n <= 0 || n > end/4 {
		return nil, errEntries
	}
	end -= 4 * n
	b := &tableEntries{keys: make([]entryKey, n), values: make([][]byte, n)}
	var base, key []byte
	for i := range n {
		from, to := int(binary.LittleEndian.Uint32(raw[end+4*i:])), end
		if i+1 < n {
			to = int(binary.LittleEndian.Uint32(raw[end+4*(i+1):]))
		}
		if from+4 > to || to > end {
			return nil, errEntries
		}
		e := raw[from:to]
		shared, own := int(binary.LittleEndian.Uint16(e)), int(binary.LittleEndian.Uint16(e[2:]))
		if shared > len(base) || 4+own+3 > len(e) {
			return nil, errEntries
		}
		key = append(append(key[:0], base[:shared]...), e[4:4+own]...)
		if i == 0 {
			base = slices.Clone(key)
		}
		var err error
		if b.keys[i], _, err = decodeVersioned(key); err != nil {
			return nil, err
		}
		value := e[4+own+2:] // Behind two bytes of flags: the expiry.
		_, size := binary.Uvarint(value)
		if size <= 0 {
			return nil, errEntries
		}
		b.values[i] = value[size:]
	}
	return b, nil
}
