package ledger

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/meterd/meterd/retention/disk"
)

// castagnoli is computed in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// check refuses a directory with damage that Badger would answer by ending the process (y.Check, a panic in one of its
// goroutines) or by dropping rows without a word. It changes nothing. Other damage Badger reports itself.
//
//	MANIFEST gone         Badger begins a new one, and deletes every table
//	MANIFEST cut          records behind a length that is wrong are forgotten, and their tables deleted     manifest.go
//	a table, anywhere     readNoFail ends the process, a bad length panics, and of a block with a bad
//	                      checksum Badger reads nothing and goes on without a word, also when it compacts   table.go
//	an older memtable     is cut at the first bad checksum, although what came after it counts             memtable.go
//	a memtable too large  does not fit the arena, which ends the process                                   memtable.go
//
// The newest memtable may be cut anywhere: the position goes back with the rows.
func check(dir string, size size) error {
	files, err := listFiles(dir)
	if err != nil {
		return err
	}
	if !files.has("MANIFEST") {
		for _, f := range files {
			if ext := filepath.Ext(f.name); ext == ".sst" || ext == ".vlog" || ext == ".mem" {
				return disk.Damage(filepath.Join(dir, "MANIFEST"), "it is missing although there is %q", f.name)
			}
		}
		return nil // It is new.
	}
	tables, err := checkManifest(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		return err
	}
	for _, f := range files.numbered(".sst") {
		// Badger deletes a table that the manifest does not name: a kill came before it did, or after it did no more.
		if _, named := tables[uint64(f.number)]; named {
			if err := checkTable(filepath.Join(dir, f.name)); err != nil {
				return err
			}
		}
	}
	return checkMemtables(dir, files.numbered(".mem"), size.memTableBytes)
}

// file is one file of the directory.
type file struct {
	name   string
	number uint32 // of a table, value log or memtable
	bytes  int64
}

type files []file

// listFiles lists the directory, and refuses what is no file in it, or none of this user's: Badger would end the
// process over DISCARD.
func listFiles(dir string) (list files, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list %q: %w", dir, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("list %q: %w", dir, err)
		}
		if !info.Mode().IsRegular() {
			return nil, disk.Damage(path, "it is no file")
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, fmt.Errorf("open %q: %w; it must be writable for this user", path, err)
		}
		_ = f.Close() // Nothing was written.
		list = append(list, file{name: e.Name(), bytes: info.Size()})
	}
	return list, nil
}

func (l files) has(name string) bool {
	return slices.ContainsFunc(l, func(f file) bool { return f.name == name })
}

// numbered returns the files with an extension, by their numbers.
func (l files) numbered(ext string) (list files) {
	for _, f := range l {
		if number, ok := numberOf(f.name, ext); ok {
			f.number = number
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b file) int { return int(int64(a.number) - int64(b.number)) })
	return list
}

// numberOf returns the number of a file that Badger has numbered.
func numberOf(name, ext string) (uint32, bool) {
	stem, ok := strings.CutSuffix(name, ext)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(stem, 10, 32)
	return uint32(n), err == nil
}
