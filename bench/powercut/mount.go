package powercut

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// FS is a mounted file system. Its methods may be called from several goroutines; after Cut or Unmount it is over, and
// the same lower directory may be mounted again.
type FS struct {
	lower      string
	mountpoint string
	process    *os.Process
	complaints *tail
	commands   *os.File
	answers    *os.File
	lines      *bufio.Reader
	asking     sync.Mutex    // one question at a time
	ended      chan struct{} // closed when the process was reaped
	endState   *os.ProcessState
	detached   sync.Once
	detachErr  error
	cutAt      string
}

// Mount starts the file system over the directory lower, in a process of its own, and returns when it is usable at the
// directory mountpoint. Whoever gets an FS must end it with Cut or Unmount; MountT does so by itself. The test binary's
// TestMain must hand over to Main, see the package's documentation. Lower must not change by other hands while it is
// mounted.
func Mount(lower, mountpoint string, o Options) (*FS, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("powercut options: %w", err)
	}
	if err := Available(); err != nil {
		return nil, fmt.Errorf("mount on %q: %w", mountpoint, err)
	}
	lower, mountpoint, err := places(lower, mountpoint)
	if err != nil {
		return nil, err
	}
	f, err := start(order{Lower: lower, Mountpoint: mountpoint, Options: o})
	if err != nil {
		return nil, fmt.Errorf("start the file system process: %w", err)
	}
	a, err := f.ask(nil, mountWithin)
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	if err != nil {
		_ = f.Cut() // The first error says more.
		return nil, fmt.Errorf(
			"mount %q on %q: %w (does TestMain call powercut.Main? it said: %s)",
			lower,
			mountpoint,
			err,
			f.complaints,
		)
	}
	unthrottle(mountpoint)
	return f, nil
}

// MountT is Mount on a fresh directory for one test: it fails the test if that does not work, and cuts at its end.
func MountT(tb testing.TB, lower string, o Options) *FS {
	tb.Helper()
	f, err := Mount(lower, tb.TempDir(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := f.Cut(); err != nil {
			tb.Error(err)
		}
	})
	return f
}

// Mountpoint is the directory that the applications under test use.
func (f *FS) Mountpoint() string { return f.mountpoint }

// Lower is the directory with what would survive.
func (f *FS) Lower() string { return f.lower }

// PID is the file system's process, for tests that kill it by other means.
func (f *FS) PID() int { return f.process.Pid }

// Cut is the power cut: SIGKILL to the file system's process, and, when it is gone, the mount is taken away even if
// files are open on it. Whoever has some gets ENOTCONN or ECONNABORTED from calls and SIGBUS from mapped pages that are
// not cached. After Cut returned lower does not change any more. A second Cut, or one after Unmount, does nothing.
func (f *FS) Cut() error {
	if err := f.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the file system process %d: %w", f.process.Pid, err)
	}
	<-f.ended
	return f.detach()
}

// CutKeeping is Cut of a disk with a cache: beside what was synced an arbitrary part of the rest survives, drawn from
// seed: changes of names, pages of each file, here and there a part of a page.
func (f *FS) CutKeeping(seed uint64) error {
	_, _ = f.ask(&question{Cut: true, Seed: seed}, endWithin) // It may be gone already.
	return f.Cut()
}

// CutAfter cuts the power at the changes-th change from now on of what begins with path, as Options.CutAt does.
func (f *FS) CutAfter(changes uint64, path string, seed uint64) error {
	if _, err := f.ask(&question{CutAfter: changes, Path: path, Seed: seed}, endWithin); err != nil {
		return fmt.Errorf("let the power go: %w", err)
	}
	return nil
}

// CutAt says at which change the power went, when Options.CutAt or CutAfter cut it and Cut was called since; else it is
// empty.
func (f *FS) CutAt() string { return f.cutAt }

// Unmount is the orderly end: everything, synced or not, is written to lower, under IgnoreSync as well. While files are
// open on the mount it fails with EBUSY and the file system goes on.
func (f *FS) Unmount() error {
	if err := unmount(f.mountpoint); err != nil {
		return fmt.Errorf("unmount %q: %w", f.mountpoint, err)
	}
	select {
	case <-f.ended:
	case <-time.After(endWithin):
		return errors.Join(
			fmt.Errorf("unmount %q: the file system process did not end within %v", f.mountpoint, endWithin),
			f.Cut(),
		)
	}
	f.detached.Do(func() { f.closePipes() })
	if !f.endState.Success() {
		return fmt.Errorf("unmount %q: the file system process ended with %s: %s", f.mountpoint, f.endState, f.complaints)
	}
	return nil
}

// Stats asks the file system what it has seen. It fails once the file system is gone.
func (f *FS) Stats() (Stats, error) {
	a, err := f.ask(&question{}, endWithin)
	if err != nil {
		return Stats{}, fmt.Errorf("ask for stats: %w", err)
	}
	return a.Stats, nil
}

// FailSync lets the next sync of a file whose path on the mount begins with prefix fail with EIO. Of each of its pages
// seed draws whether it was written, still is in the disk's cache, or is lost; with 0 all are lost. The kernel goes on
// showing what was written, until its pages are dropped.
func (f *FS) FailSync(prefix string, seed uint64) error {
	if _, err := f.ask(&question{FailSync: true, Path: prefix, Seed: seed}, endWithin); err != nil {
		return fmt.Errorf("let a sync fail: %w", err)
	}
	return nil
}

// ask sends a question, unless there is none, and reads the answer.
func (f *FS) ask(q *question, within time.Duration) (answer, error) {
	f.asking.Lock()
	defer f.asking.Unlock()
	if err := f.answers.SetReadDeadline(time.Now().Add(within)); err != nil {
		return answer{}, err
	}
	if q != nil {
		if err := json.NewEncoder(f.commands).Encode(q); err != nil {
			return answer{}, err
		}
	}
	return readAnswer(f.lines)
}

// detach takes the mount away after the process is gone.
func (f *FS) detach() error {
	f.detached.Do(func() {
		if a, err := f.ask(nil, endWithin); err == nil { // The process is gone: this does not wait.
			f.cutAt = a.CutAt
		}
		f.closePipes()
		if err := detach(f.mountpoint); err != nil {
			f.detachErr = fmt.Errorf("detach %q: %w", f.mountpoint, err)
		}
	})
	return f.detachErr
}

func (f *FS) closePipes() {
	_ = f.commands.Close() // The other end is gone: nothing can be lost.
	_ = f.answers.Close()
}

// places makes both paths absolute and takes away a mount that a killed test left.
func places(lower, mountpoint string) (string, string, error) {
	var err error
	if lower, err = filepath.Abs(lower); err != nil {
		return "", "", fmt.Errorf("find lower directory %q: %w", lower, err)
	}
	if mountpoint, err = filepath.Abs(mountpoint); err != nil {
		return "", "", fmt.Errorf("find mountpoint %q: %w", mountpoint, err)
	}
	if within(lower, mountpoint) || within(mountpoint, lower) {
		return "", "", fmt.Errorf("lower directory %q and mountpoint %q must not hold one another", lower, mountpoint)
	}
	if _, err := os.Stat(mountpoint); errors.Is(err, syscall.ENOTCONN) {
		if err := detach(mountpoint); err != nil {
			return "", "", fmt.Errorf("take away the dead mount on %q: %w", mountpoint, err)
		}
	}
	return lower, mountpoint, nil
}

func within(outer, inner string) bool {
	return inner == outer || strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/")
}

// start runs this very binary again as the file system.
func start(o order) (*FS, error) {
	value, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	commandsEnd, commands, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer commandsEnd.Close()
	answers, answersEnd, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, commands.Close())
	}
	defer answersEnd.Close()
	f := &FS{
		lower: o.Lower, mountpoint: o.Mountpoint, complaints: new(tail), commands: commands, answers: answers,
		lines: bufio.NewReaderSize(answers, answerBytesMax), ended: make(chan struct{}),
	}
	// Without a TestMain that calls Main the child is a test run: it must find no test.
	cmd := exec.CommandContext(context.Background(), self, "-test.run=^$")
	cmd.Env = append(os.Environ(), environment+"="+string(value))
	cmd.ExtraFiles = []*os.File{commandsEnd, answersEnd}
	cmd.Stderr = f.complaints
	// Its own process group: a ^C that ends the test must leave somebody to take the mount away.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		f.closePipes()
		return nil, err
	}
	f.process = cmd.Process
	go func() {
		_ = cmd.Wait() // The state tells; a kill is what Cut wants.
		f.endState = cmd.ProcessState
		close(f.ended)
	}()
	return f, nil
}
