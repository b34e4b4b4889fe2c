package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"github.com/meterd/meterd/usage/history"
	"github.com/meterd/meterd/usage/history/child"
)

// historyStarter starts children of this binary that keep the history.
type historyStarter struct {
	logger    *slog.Logger
	freeBytes uint64 // what they leave free on the disk
}

// historyProcess is one child.
type historyProcess struct {
	cmd           *exec.Cmd
	input         io.Closer // its end tells the child to end
	opened, ended chan struct{}
	err           error // before ended is closed
}

// Start implements history.Starter. The kernel kills the child when the thread that started it ends, so a thread is
// kept for it; and the child ends by itself when its standard input does.
func (s historyStarter) Start(o history.ChildOptions) (history.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this binary: %w", err)
	}
	p := &historyProcess{opened: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.Command(self, historyChildName, "--path", o.Path, "--socket", o.Socket,
		"--retention", o.Retention.String(), "--resolution", o.Resolution.String(), "--stale-after", o.StaleAfter.String(),
		"--cache-bytes", strconv.FormatInt(o.CacheBytes, 10), "--free-bytes", strconv.FormatUint(s.freeBytes, 10))
	p.cmd.Dir = o.Directory
	p.cmd.Env = []string{} // Of ours nothing is for it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	input, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.input = input
	stages, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	words, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Until the child has ended.
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			s.hear(o.Name, words)
		}()
		if line, err := bufio.NewReader(stages).ReadString('\n'); err == nil && line == child.StageOpen+"\n" {
			close(p.opened)
		}
		<-heard
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("start %q: %w", filepath.Base(self), err), input.Close())
	}
	return p, nil
}

// hear logs what a child says, until it says no more.
func (s historyStarter) hear(name string, words io.Reader) {
	lines := bufio.NewScanner(words)
	for n := 0; lines.Scan(); n++ {
		if n < childLinesMax && lines.Text() != "" {
			s.logger.Warn("the child that keeps the history says", "store", name, "line", lines.Text())
		}
	}
	_, _ = io.Copy(io.Discard, words) // A line was too long: the rest is nobody's.
}

func (p *historyProcess) Opened() <-chan struct{} { return p.opened }
func (p *historyProcess) Ended() <-chan struct{}  { return p.ended }
func (p *historyProcess) Err() error              { return p.err }
func (p *historyProcess) PID() int                { return p.cmd.Process.Pid }

// Faulted implements history.Process. A killed process has no exit code.
func (p *historyProcess) Faulted() bool {
	var exit *exec.ExitError
	return errors.As(p.err, &exit) && exit.ExitCode() > 0
}

// End implements history.Process.
func (p *historyProcess) End() { _ = p.input.Close() }

// Kill implements history.Process. A process that has ended is not killed: its number may be another's.
func (p *historyProcess) Kill() { _ = p.cmd.Process.Kill() }
