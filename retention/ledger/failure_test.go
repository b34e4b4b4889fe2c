package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/retention/disk"
)

// breakSync makes every later msync of a mapped file fail: it unmaps a page of the mapping's unused end, and the kernel
// answers ENOMEM to a sync of a range with a hole.
func breakSync(t *testing.T, path string) {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		line := lines.Text()
		var from, to uintptr
		if !strings.HasSuffix(line, path) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		page := uintptr(os.Getpagesize())
		if _, _, errno := unix.Syscall(unix.SYS_MUNMAP, to-2*page, page, 0); errno != 0 {
			t.Fatal(errno)
		}
		return
	}
	t.Fatalf("%q is not mapped", path)
}

// TestFailsForEverAfterALoggedError: Badger logs that the value log could not be synced, and says that the transaction
// is committed.
func TestFailsForEverAfterALoggedError(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	write(t, s, 1, row("before", "1"))
	breakSync(t, named(t, s.path, ".vlog")[0])
	large := []Entry{{Key: []byte("k"), Value: make([]byte, 4096)}}
	for range 3 {
		if err := s.Write(large, at(2)); err == nil || !strings.Contains(err.Error(), "sync") {
			t.Fatalf("write after a failed sync: %v", err)
		}
	}
	if s.Position() != at(1) || s.Err() == nil {
		t.Fatalf("position %v, %v", s.Position(), s.Err())
	}
	if _, _, err := s.Get([]byte("before")); err == nil {
		t.Fatal("it is read although it has failed")
	}
	if err := s.Maintain(t.Context(), 1); err == nil {
		t.Fatal("it is maintained although it has failed")
	}
	if err := s.Close(); err == nil {
		t.Fatal("closing said nothing of the failure")
	}
}

// An error while nobody calls comes from a goroutine of Badger's: a memtable that cannot be flushed, say.
func TestErrorWhileNobodyCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	s := openStore(t, path)
	for _, what := range []string{"disk on fire", "disk still on fire"} {
		s.log.Errorf("error flushing memtable to disk: %v, retrying", what)
	}
	if err := s.Err(); err == nil || !strings.HasSuffix(err.Error(), ": disk on fire, retrying") ||
		!strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
	if err := s.Write(nil, at(1)); err == nil {
		t.Fatal("it was written")
	}
}

// TestPanicOfBadgers: one in a caller's goroutine is an error.
func TestPanicOfBadgers(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	write(t, s, 1, row("a", "1"))
	if err := s.db.Close(); err != nil { // Badger panics when it is used after it was closed.
		t.Fatal(err)
	}
	if err := s.Scan(nil, nil, false, func(_, _ []byte) (bool, error) { return true, nil }); err == nil {
		t.Fatal("scanned")
	}
	if err := s.Write([]Entry{row("b", "1")}, at(2)); err == nil || s.Err() == nil {
		t.Fatalf("%v, and Err says %v", err, s.Err())
	}
}

func TestNewNamesAreSynced(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	for i, name := range []string{"new", "newer"} {
		if err := os.WriteFile(filepath.Join(s.path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		before := len(s.names.known)
		write(t, s, uint64(i+1), row(name, ""))
		if len(s.names.known) != before+1 {
			t.Fatalf("%d names after %d and a new one", len(s.names.known), before)
		}
	}
}

// told returns options that note what a store tells.
func told(o Options) (Options, func() []error) {
	var mu sync.Mutex
	var list []error
	o.Failed = func(err error) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, err)
	}
	return o, func() []error {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

// A store that tells lets go of its directory when it has failed: another one may be put in its place.
func TestFailedIsTold(t *testing.T) {
	o, said := told(Options{Path: filepath.Join(t.TempDir(), "ledger")})
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 1, row("before", "1"))
	breakSync(t, named(t, s.path, ".vlog")[0])
	if err := s.Write([]Entry{{Key: []byte("k"), Value: make([]byte, 4096)}}, at(2)); err == nil {
		t.Fatal("it was written")
	}
	if list := said(); len(list) == 0 || errors.Is(list[0], disk.ErrDamaged) {
		t.Errorf("told %v; memory that runs out is no damage", list)
	}
	if err := s.Close(); !errors.Is(err, ErrFailed) {
		t.Errorf("closed: %v", err)
	}
	again := openStore(t, o.Path) // Badger has let go of it.
	if v, found, err := again.Get([]byte("before")); err != nil || !found || string(v) != "1" {
		t.Errorf("%q, %v, %v", v, found, err)
	}
}

// What a reader stumbles over is told, and other rows are read all the same.
func TestBadBlockIsTold(t *testing.T) {
	_, closed := twoStores(t)
	o, said := told(small(closed))
	flip(t, named(t, closed, ".vlog")[0], find(t, named(t, closed, ".vlog")[0], "large value of 0001 ")+1000)
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if len(said()) != 0 {
		t.Fatalf("told %v before anybody has read", said())
	}
	if _, _, err := s.Get([]byte("large/0001")); err == nil {
		t.Fatal("it was read")
	}
	list := said()
	if len(list) == 0 || !errors.Is(list[0], disk.ErrDamaged) || !strings.Contains(list[0].Error(), closed) {
		t.Errorf("told %v", list)
	}
	if err := s.Close(); err == nil {
		t.Error("closing said nothing of the failure")
	}
}
