package powercut

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// errOrphaned ends a server whose test is gone.
var errOrphaned = errors.New("the test ended without Cut or Unmount")

// IsServer says whether Mount started this process to be the file system.
func IsServer() bool { return os.Getenv(environment) != "" }

// Main is the file system's process. TestMain calls it before anything else if IsServer, and exits with what it
// returns. It returns when the file system is unmounted, and ends the process itself when the test is gone.
func Main() int {
	answers := os.NewFile(answersFD, "answers")
	commands := os.NewFile(commandsFD, "commands")
	if answers == nil || commands == nil {
		fmt.Fprintln(os.Stderr, "powercut: not started by Mount")
		return 2
	}
	if err := serve(commands, answers); err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
		_ = writeAnswer(answers, answer{Error: err.Error()}) // Standard error has it too.
		return 1
	}
	return 0
}

func serve(commands io.Reader, answers io.Writer) error {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(environment)), &o); err != nil {
		return fmt.Errorf("decode %s: %w", environment, err)
	}
	d, err := openDisk(o.Lower, o.Options)
	if err != nil {
		return err
	}
	defer d.close()
	server, err := fuse.NewServer(newWire(d), o.Mountpoint, mountOptions(o.Options))
	if err != nil {
		return fmt.Errorf("mount on %q: %w", o.Mountpoint, err)
	}
	served := make(chan struct{})
	go func() {
		server.Serve()
		close(served)
	}()
	if err := server.WaitMount(); err != nil {
		return errors.Join(fmt.Errorf("wait for mount on %q: %w", o.Mountpoint, err), detach(o.Mountpoint))
	}
	// The last answer, after unmounting, must not be written into the middle of one to a question.
	var answering sync.Mutex
	write := func(a answer) error {
		answering.Lock()
		defer answering.Unlock()
		return writeAnswer(answers, a)
	}
	say := func() error {
		d.mu.Lock()
		s := d.stats
		d.mu.Unlock()
		return write(answer{Stats: s})
	}
	d.mu.Lock()
	d.power.gone = func(what string) {
		_ = write(answer{Stats: d.stats, CutAt: what}) // Without it the test knows only that the power is gone.
		os.Exit(0)
	}
	d.mu.Unlock()
	if err := say(); err != nil {
		return errors.Join(fmt.Errorf("report the mount: %w", err), detach(o.Mountpoint))
	}
	var orphaned atomic.Bool
	go func() {
		listen(commands, func(q question) error {
			d.obey(q)
			return say()
		})
		// The test ended without Cut or Unmount: to the lower directory that is a cut too. Only this process is left
		// to take the mount away, and taking it away must not look like an orderly end below.
		orphaned.Store(true)
		_ = detach(o.Mountpoint) // There is nobody to tell.
		os.Exit(1)
	}()
	<-served
	if orphaned.Load() {
		return errOrphaned
	}
	d.mu.Lock()
	err = d.keepAll()
	d.mu.Unlock()
	if err != nil {
		return fmt.Errorf("write back to %q: %w", o.Lower, err)
	}
	return say()
}

// listen answers questions until their pipe ends.
func listen(commands io.Reader, answer func(question) error) {
	lines := bufio.NewScanner(commands)
	for lines.Scan() {
		var q question
		if json.Unmarshal(lines.Bytes(), &q) != nil || answer(q) != nil {
			return
		}
	}
}

// obey does what a question asks for beside an answer. It does not return from a cut.
func (d *disk) obey(q question) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case q.Cut:
		_ = d.keepSome(q.Seed) // What an error leaves is a state like any other.
		d.power.gone("the end of the test")
	case q.CutAfter > 0:
		d.power.left, d.power.path, d.power.seed = q.CutAfter, q.Path, q.Seed
	case q.FailSync:
		d.failing = &failure{q.Path, q.Seed}
	}
}

// mountOptions says how the kernel is to see us. Explicit cache control, because nobody changes files behind the
// kernel's back: the default drops cached pages, mapped dirty ones among them, whenever a modification time moved.
func mountOptions(o Options) *fuse.MountOptions {
	m := &fuse.MountOptions{
		Name: fsName, FsName: fsName, Options: []string{"default_permissions"},
		MaxWrite: requestBytesMax, MaxBackground: 64,
		DirectMount: true, ExplicitDataCacheControl: true,
		DisableXAttrs: true, DisableReadDirPlus: true,
		Logger: log.New(os.Stderr, "go-fuse: ", 0),
	}
	if o.WritebackCache {
		m.ExtraCapabilities |= fuse.CAP_WRITEBACK_CACHE
	}
	return m
}
