package retention

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
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

// TestSyncThatIsOnlyLogged is the reason of instanceLog: Badger logs that the value log could not be synced, and says
// that the transaction is committed.
func TestSyncThatIsOnlyLogged(t *testing.T) {
	path := t.TempDir()
	in, err := openInstance(path, ledgerSize(), false, &instanceLog{path: path})
	if err != nil {
		t.Fatal(err)
	}
	breakSync(t, files(t, path, ".vlog")[0])
	set := func(txn *badger.Txn) error { return txn.Set([]byte("k"), make([]byte, 4096)) }
	if err := in.db.Update(set); err != nil {
		t.Fatalf("badger reports the failed sync by now: %v", err)
	}
	if err := in.log.err(); err == nil || !strings.Contains(err.Error(), "sync") {
		t.Fatalf("badger logged: %v", err)
	}
}

// A disk that failed once is not asked again: after a sync that failed, of keys or of values, nothing is appended any
// more.
func TestAppendFailsForEverAfterAFailedSync(t *testing.T) {
	for name, of := range map[string]func(*syncer) *os.File{
		"keys":   func(s *syncer) *os.File { return s.mem },
		"values": func(s *syncer) *os.File { return s.log },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := OpenLog(logOptions(filepath.Join(t.TempDir(), "commit"), 3600))
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Append(testGroup(1, 0, 0, commitValueThresholdBytes)); err != nil {
				t.Fatal(err)
			}
			if err := of(&l.instance.syncer).Close(); err != nil { // The kernel answers EBADF.
				t.Fatal(err)
			}
			for range 3 {
				if err := l.Append(
					testGroup(2, 0, 0, commitValueThresholdBytes),
				); err == nil ||
					!strings.Contains(err.Error(), "sync") {
					t.Fatalf("append after a failed sync: %v", err)
				}
			}
			if last, _ := l.Last(); last != 1 {
				t.Fatalf("last group %d", last)
			}
			if err := l.Close(); err == nil {
				t.Fatal("closing said nothing of the failure")
			}
		})
	}
}

// A group whose chunks are small needs no sync of the value log.
func TestSmallGroupsSyncOneFile(t *testing.T) {
	l, err := OpenLog(logOptions(filepath.Join(t.TempDir(), "commit"), 3600))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.instance.syncer.log.Close(); err != nil { // Syncing it would fail.
		t.Fatal(err)
	}
	for seq := uint64(1); seq < 4; seq++ {
		if err := l.Append(testGroup(seq, 0, 0, 100, commitValueThresholdBytes-1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLedgerFailsForEverAfterALoggedError(t *testing.T) {
	var fatal atomic.Int32
	o := LedgerOptions{Path: filepath.Join(t.TempDir(), "ledger"), Fatal: func(error) { fatal.Add(1) }}
	l, err := OpenLedger(o)
	if err != nil {
		t.Fatal(err)
	}
	breakSync(t, files(t, o.Path, ".vlog")[0])
	row := []Entry{{Key: []byte("k"), Value: make([]byte, 4096)}}
	for range 3 {
		if err := l.Write(row); err == nil || !strings.Contains(err.Error(), "sync") {
			t.Fatalf("write after a failed sync: %v", err)
		}
	}
	if fatal.Load() != 1 {
		t.Fatalf("fatal was told %d times", fatal.Load())
	}
	if err := l.Close(); err == nil {
		t.Fatal("closing said nothing of the failure")
	}
}

// TestErrorWhileNobodyAppends comes from a goroutine of Badger's: a memtable that cannot be flushed, say.
func TestErrorWhileNobodyAppends(t *testing.T) {
	told := make(chan error, 1)
	o := logOptions(filepath.Join(t.TempDir(), "commit"), 3600)
	o.Fatal = func(err error) { told <- err }
	l, err := OpenLog(o)
	if err != nil {
		t.Fatal(err)
	}
	l.instance.log.Errorf("error flushing memtable to disk: %v, retrying", "disk on fire")
	select {
	case err := <-told:
		if !strings.Contains(err.Error(), "disk on fire") || !strings.Contains(err.Error(), o.Path) {
			t.Fatal(err)
		}
	case <-time.After(time.Minute): // It bounds a failure and measures nothing.
		t.Fatal("nobody was told")
	}
	if err := l.Append(testGroup(1, 0, 0)); err == nil {
		t.Fatal("it was appended")
	}
}

func TestNewNamesAreSeen(t *testing.T) {
	path := t.TempDir()
	in, err := openInstance(path, commitSize(), false, &instanceLog{path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	commit := func(key string) {
		t.Helper()
		txn := in.begin()
		defer txn.Discard()
		if err := txn.Set([]byte(key), nil); err != nil {
			t.Fatal(err)
		}
		if err := in.commit(txn); err != nil {
			t.Fatal(err)
		}
	}
	commit("a")
	if in.watch.fd < 0 {
		t.Log("the machine has no watch to give: names are listed after every group")
	} else if in.watch.changed() {
		t.Error("a commit that began no file changed the names")
	}
	before := len(in.names)
	for i, name := range []string{"new", "newer"} {
		if err := os.WriteFile(filepath.Join(path, "there"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(path, "there"), filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
		commit(name)
		if len(in.names) != before+i+1 {
			t.Fatalf("%d names after %d and a new one", len(in.names), before+i)
		}
	}
	in.watch.close()
	in.watch = nameWatch{-1}
	if err := os.WriteFile(filepath.Join(path, "newest"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if commit("b"); len(in.names) != before+3 {
		t.Fatal("without a watch a new name is not seen")
	}
}
