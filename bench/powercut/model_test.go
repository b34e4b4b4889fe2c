package powercut

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// model says what must and what may survive, without a journal: per name the things it led to since the last sync
// that covers it, per file the contents since its last sync.
type model struct {
	live  map[string]*modelFile   // by path
	past  map[string][]*modelFile // what each path led to, oldest first; nil for nothing
	floor map[string]int          // index into past: durable, what came before cannot be seen any more
	files []*modelFile
}

// modelFile is known in the lower directory by its permission bits, which are its number.
type modelFile struct {
	number   uint32
	node     uint64
	data     []byte
	versions [][]byte // [0] is the last one synced
	born     string   // path and index of its creation
	bornAt   int
	synced   bool
	gone     bool // it was removed or replaced at some time
}

var modelDirs = []string{"d0", "d1"}

func newModel() *model {
	return &model{live: map[string]*modelFile{}, past: map[string][]*modelFile{}, floor: map[string]int{}}
}

func (m *model) set(path string, f *modelFile) {
	if len(m.past[path]) == 0 {
		m.past[path] = []*modelFile{nil}
	}
	m.past[path] = append(m.past[path], f)
	if f == nil {
		delete(m.live, path)
	} else {
		m.live[path] = f
	}
}

func (m *model) create(path string, node uint64) {
	f := &modelFile{number: uint32(len(m.files) + 1), node: node, versions: [][]byte{nil}}
	m.files = append(m.files, f)
	m.set(path, f)
	f.born, f.bornAt = path, len(m.past[path])-1
}

func (m *model) syncFile(f *modelFile) {
	f.versions, f.synced = [][]byte{bytes.Clone(f.data)}, true
	m.floor[f.born] = max(m.floor[f.born], f.bornAt)
}

func (m *model) syncDir(dir string) {
	for path, past := range m.past {
		if filepath.Dir(path) == dir {
			m.floor[path] = len(past) - 1
		}
	}
}

func (f *modelFile) write(off int, data []byte) {
	next := make([]byte, max(len(f.data), off+len(data)))
	copy(next, f.data)
	copy(next[off:], data)
	f.data = next
	f.versions = append(f.versions, next)
}

func (f *modelFile) truncate(size int) {
	next := make([]byte, size)
	copy(next, f.data)
	f.data = next
	f.versions = append(f.versions, next)
}

// check compares lower with what may be there. Without early write-back contents must be exactly the synced ones.
func (m *model) check(lower string, early bool) error {
	seen := map[uint32]string{}
	for path, past := range m.past {
		number := uint32(0)
		st, err := os.Lstat(filepath.Join(lower, path))
		if err == nil {
			number = uint32(st.Mode().Perm())
		}
		allowed := false
		for _, f := range past[m.floor[path]:] {
			allowed = allowed || f == nil && number == 0 || f != nil && number == f.number
		}
		if !allowed {
			return fmt.Errorf("%s leads to file %d, which it did not since its last sync", path, number)
		}
		if number == 0 {
			continue
		}
		if other := seen[number]; other != "" {
			return fmt.Errorf("file %d is at %s and at %s", number, path, other)
		}
		seen[number] = path
		data, err := os.ReadFile(filepath.Join(lower, path))
		if err != nil {
			return err
		}
		if err := m.files[number-1].checkContent(data, early); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	for _, f := range m.files {
		durable := f.synced || m.floor[f.born] >= f.bornAt
		if durable && !f.gone && seen[f.number] == "" {
			return fmt.Errorf("file %d was durable, was never removed, and has no name", f.number)
		}
	}
	return nil
}

// checkContent demands that every sector is one that the file had since its last sync, truncations applied or not.
func (f *modelFile) checkContent(data []byte, early bool) error {
	if !early {
		if !bytes.Equal(data, f.versions[0]) {
			return fmt.Errorf("file %d has %d bytes that are not the %d synced ones", f.number, len(data), len(f.versions[0]))
		}
		return nil
	}
	shortest, longest := len(f.versions[0]), 0
	for _, v := range f.versions {
		shortest, longest = min(shortest, len(v)), max(longest, len(v))
	}
	if len(data) < shortest || len(data) > longest {
		return fmt.Errorf("file %d has %d bytes, want %d to %d", f.number, len(data), shortest, longest)
	}
	for at := 0; at < len(data); at += sectorBytes {
		if !f.hadSector(data[at:min(at+sectorBytes, len(data))], at) {
			return fmt.Errorf("file %d: the sector at %d was never written since the last sync", f.number, at)
		}
	}
	return nil
}

// hadSector says whether the file had sector at off since its last sync, or had it before a truncation: the truncation
// may have come early, and what was written between the two be lost.
func (f *modelFile) hadSector(sector []byte, off int) bool {
	for n, v := range f.versions {
		cut := len(v)
		for _, later := range f.versions[n:] {
			cut = min(cut, len(later))
			expected := make([]byte, len(sector))
			if off < cut {
				copy(expected, v[off:cut])
			}
			if bytes.Equal(expected, sector) {
				return true
			}
		}
	}
	return false
}
