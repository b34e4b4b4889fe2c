package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// child is a server process that bench starts, stops and kills.
type child struct {
	name    string
	program string
	args    []string
	log     string // the file that its output is appended to
	// ready looks at a line of the output. It reports whether the process is ready, and at which address if it chose one.
	ready func(line string) (address string, ok bool)

	cmd     *exec.Cmd
	address string
	exited  chan struct{} // closed after err was set
	err     error
}

// start runs the program and returns how long it took to say that it is ready. Polling the port instead would use CPU
// time that is measured, and a connection to a local port that nobody listens on yet can connect to itself.
func (c *child) start(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(c.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", c.name, err)
	}
	c.cmd = exec.Command(c.program, c.args...)
	pipe, err := c.cmd.StderrPipe()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("start %s: %w", c.name, err), log.Close())
	}
	c.cmd.Stdout = c.cmd.Stderr
	begun := time.Now()
	if err := c.cmd.Start(); err != nil {
		return 0, errors.Join(fmt.Errorf("start %s: %w", c.name, err), log.Close())
	}
	ready := make(chan string, 1)
	c.exited = make(chan struct{})
	go c.follow(pipe, log, ready)
	limit := time.NewTimer(readyWithin)
	defer limit.Stop()
	select {
	case c.address = <-ready:
		return time.Since(begun), nil
	case <-c.exited:
		return 0, c.exitError("before it was ready")
	case <-limit.C:
		return 0, errors.Join(fmt.Errorf("%s was not ready within %s, see %s", c.name, readyWithin, c.log), c.kill())
	case <-ctx.Done():
		return 0, errors.Join(context.Cause(ctx), c.kill())
	}
}

// follow writes the output of the process to the log, sends the address that it is ready at, and records its exit.
func (c *child) follow(pipe io.Reader, log *os.File, ready chan<- string) {
	defer close(c.exited)
	var announced sync.Once
	var failed error // of the log. Reading goes on, so that the process does not block on its output.
	for lines := bufio.NewReader(pipe); ; {
		line, err := lines.ReadString('\n')
		if failed == nil {
			_, failed = log.WriteString(line)
		}
		if address, ok := c.ready(line); ok {
			announced.Do(func() { ready <- address })
		}
		if err != nil {
			break // The process has closed its output: it has ended.
		}
	}
	c.err = errors.Join(c.cmd.Wait(), failed, log.Close())
}

// stop asks the process to stop and returns how long it took.
func (c *child) stop() (time.Duration, error) {
	begun := time.Now()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, errors.Join(fmt.Errorf("stop %s: %w", c.name, err), c.kill())
	}
	limit := time.NewTimer(stopWithin)
	defer limit.Stop()
	select {
	case <-c.exited:
	case <-limit.C:
		return 0, errors.Join(fmt.Errorf("%s did not stop within %s", c.name, stopWithin), c.kill())
	}
	if c.err != nil {
		return 0, c.exitError("although it was asked to stop")
	}
	return time.Since(begun), nil
}

// kill ends the process at once. It is no error if the process has ended already.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	<-c.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// running reports whether the process was started and has not ended.
func (c *child) running() bool {
	if c.exited == nil {
		return false
	}
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

func (c *child) exitError(when string) error {
	return fmt.Errorf("%s ended %s, see %s: %w", c.name, when, c.log, exitStatus(c.err))
}

// exitStatus returns an error also for an exit with status 0.
func exitStatus(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (c *child) pid() int { return c.cmd.Process.Pid }
