package ledger

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/meterd/meterd/bench/powercut"
)

// writerEnvironment makes the test binary a process that writes group after group to the ledger it names, and prints
// each group's number once it is acknowledged. It has to be a process: a cut under a mapping is SIGBUS.
const writerEnvironment = "METERD_LEDGER_WRITER"

func TestMain(m *testing.M) {
	switch path := os.Getenv(writerEnvironment); {
	case powercut.IsServer():
		os.Exit(powercut.Main())
	case path != "":
		fmt.Fprintln(os.Stderr, writeGroups(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func writeGroups(path string) error {
	s, err := Open(small(path))
	if err != nil {
		return err
	}
	for seq := s.Position().Seq + 1; ; seq++ {
		if err := s.Write(groupRows(int(seq)), at(seq)); err != nil {
			return err
		}
		fmt.Println(seq)
	}
}

// writeUntilCut lets a writer run on a disk until that is cut, which cut does when so many groups were acknowledged,
// and returns the last group that was.
func writeUntilCut(t *testing.T, f *powercut.FS, groups int, cut func() error) (acknowledged int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), writerEnvironment+"="+filepath.Join(f.Mountpoint(), "ledger"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); {
		if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
			t.Fatal(err)
		}
		if seen++; seen == groups {
			if err := cut(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Process.Kill() // It has ended, perhaps by SIGBUS.
	_ = cmd.Wait()
	if err := f.Cut(); err != nil {
		t.Fatal(err)
	}
	return acknowledged
}

// TestPowerCuts cuts the power again and again while groups are written, memtables end, tables are merged and the
// ledger is opened. The disk writes early, and keeps an arbitrary part of what was not synced. What was acknowledged is
// there each time, and the rows are exactly those of the position.
func TestPowerCuts(t *testing.T) {
	if err := powercut.Available(); err != nil {
		t.Skip(err)
	}
	cuts := 14
	if testing.Short() {
		cuts = 3
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	lower, position := t.TempDir(), 0
	path := filepath.Join(lower, "ledger")
	for cut := range cuts {
		f := powercut.MountT(t, lower, powercut.Options{Seed: dice.Uint64() | 1})
		last := dice.Uint64() | 1
		var acknowledged int
		if cut%2 == 0 {
			acknowledged = writeUntilCut(t, f, 1+dice.IntN(40), func() error { return f.CutKeeping(last) })
		} else {
			if err := f.CutAfter(1+dice.Uint64N(120), "ledger", last); err != nil {
				t.Fatal(err)
			}
			acknowledged = writeUntilCut(t, f, 0, nil)
		}
		acknowledged = max(acknowledged, position)
		found, err := verify(path)
		if err != nil || found < acknowledged || found > acknowledged+1 {
			t.Fatalf("cut %d, at %q: %d groups were acknowledged, %d are there: %v", cut, f.CutAt(), acknowledged, found, err)
		}
		position = found
	}
	t.Logf("%d cuts, %d groups, none lost", cuts, position)
}

// TestPowerCutWithoutSyncs is the counter-proof: on a disk that answers syncs and keeps nothing, all is lost.
func TestPowerCutWithoutSyncs(t *testing.T) {
	if err := powercut.Available(); err != nil {
		t.Skip(err)
	}
	lower := t.TempDir()
	f := powercut.MountT(t, lower, powercut.Options{IgnoreSync: true})
	acknowledged := writeUntilCut(t, f, 20, f.Cut)
	if found, err := verify(filepath.Join(lower, "ledger")); err != nil || found != 0 || acknowledged < 20 {
		t.Errorf("%d groups were acknowledged, %d are there: %v", acknowledged, found, err)
	}
}
