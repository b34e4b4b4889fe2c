package powercut

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// writerEnvironment makes the test binary a process that writes to Badger in the directory it names and prints the
// number of each transaction once it is acknowledged. It has to be a process: a cut under a mapping is SIGBUS.
const writerEnvironment = "METERD_POWERCUT_WRITER"

func openBadger(dir string, log badger.Logger) (*badger.DB, error) {
	return badger.Open(badger.DefaultOptions(dir).WithSyncWrites(true).WithLogger(log).WithMemTableSize(1 << 20).
		WithValueLogFileSize(4 << 20).
		WithValueThreshold(1 << 10).
		WithNumCompactors(2).WithIndexCacheSize(1 << 20).WithBlockCacheSize(0).WithCompression(options.None))
}

func badgerKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte("k"), n) }

// badgerValue is of n alone; every third goes to the value log.
func badgerValue(n uint64) []byte {
	size := 64
	if n%3 == 0 {
		size = 3000
	}
	v := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(v) // Never fails.
	return v
}

// fatalLog ends the writer at the first error: Badger only logs a failed sync of the value log, and would acknowledge.
type fatalLog struct{}

func (fatalLog) Errorf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format, args...)
	os.Exit(1)
}
func (fatalLog) Warningf(string, ...any) {}
func (fatalLog) Infof(string, ...any)    {}
func (fatalLog) Debugf(string, ...any)   {}

func writerMain(dir string) int {
	db, err := openBadger(dir, fatalLog{})
	if err != nil {
		fmt.Fprintln(os.Stderr, "open:", err)
		return 1
	}
	n, err := survivors(db)
	if err != nil {
		fmt.Fprintln(os.Stderr, "survivors:", err)
		return 1
	}
	for ; ; n++ {
		err := db.Update(func(txn *badger.Txn) error { return txn.Set(badgerKey(n), badgerValue(n)) })
		if err != nil {
			fmt.Fprintln(os.Stderr, "update:", err)
			return 1
		}
		fmt.Println(n)
	}
}

// survivors returns how many transactions from 0 on are there and right.
func survivors(db *badger.DB) (n uint64, err error) {
	err = db.View(func(txn *badger.Txn) error {
		for ; ; n++ {
			item, err := txn.Get(badgerKey(n))
			if errors.Is(err, badger.ErrKeyNotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := item.Value(func(v []byte) error {
				if string(v) != string(badgerValue(n)) {
					return fmt.Errorf("transaction %d has another value", n)
				}
				return nil
			}); err != nil {
				return err
			}
		}
	})
	return n, err
}

// writeAndCut lets a writer run until it has acknowledged count transactions, cuts, and returns the first number that
// was not acknowledged. The writer runs on meanwhile, so that the cut falls anywhere in its work.
func writeAndCut(t *testing.T, f *FS, count int, writerFirst bool) uint64 {
	self, err := os.Executable()
	must(err)
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append(os.Environ(), writerEnvironment+"="+filepath.Join(f.Mountpoint(), "db"))
	var complaints tail
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	acknowledged := uint64(0)
	lines := bufio.NewScanner(out)
	end := func() {
		if writerFirst {
			must(cmd.Process.Kill())
		}
		must(f.Cut())
	}
	for seen := 0; lines.Scan(); {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		must(err)
		acknowledged = n + 1
		if seen++; seen == count {
			end()
		}
	}
	select {
	case <-f.ended:
	default:
		t.Fatalf("the writer ended before the cut, after %d transactions: %s", acknowledged, &complaints)
	}
	_ = cmd.Process.Kill() // It may have ended by SIGBUS.
	_ = cmd.Wait()
	return acknowledged
}

// openAfterCut mounts lower again and returns how many transactions Badger finds.
func openAfterCut(t *testing.T, lower string) uint64 {
	f := MountT(t, lower, Options{})
	db, err := openBadger(filepath.Join(f.Mountpoint(), "db"), nil)
	if err != nil {
		t.Fatalf("open after the cut: %v", err)
	}
	n, err := survivors(db)
	if err != nil {
		t.Fatalf("read after the cut: %v", err)
	}
	must(db.Close())
	must(f.Unmount())
	return n
}

func TestBadgerSurvivesCuts(t *testing.T) {
	needFUSE(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	lower := t.TempDir()
	for cut := range 5 {
		o := Options{Seed: random.Uint64()}
		if cut == 0 {
			o.Seed = 0 // The strictest disk once, torn states then.
		}
		f := MountT(t, lower, o)
		acknowledged := writeAndCut(t, f, 100+random.IntN(700), cut%2 == 1)
		if acknowledged == 0 {
			t.Fatalf("cut %d: nothing was acknowledged", cut)
		}
		if found := openAfterCut(t, lower); found < acknowledged {
			t.Fatalf("cut %d: %d transactions were acknowledged, %d are there", cut, acknowledged, found)
		}
	}
}

// TestBadgerOnLyingDisk is the proof that the test above can fail.
func TestBadgerOnLyingDisk(t *testing.T) {
	needFUSE(t)
	lower := t.TempDir()
	base := writeAndCut(t, MountT(t, lower, Options{}), 50, false)
	base = max(base, openAfterCut(t, lower))
	acknowledged := writeAndCut(t, MountT(t, lower, Options{IgnoreSync: true}), 200, false)
	if acknowledged < base+200 {
		t.Fatalf("the writer acknowledged up to %d only, starting at %d", acknowledged, base)
	}
	if found := openAfterCut(t, lower); found != base {
		t.Errorf(
			"%d transactions are there, want the %d from before the syncs were ignored (of %d acknowledged)",
			found,
			base,
			acknowledged,
		)
	}
}
