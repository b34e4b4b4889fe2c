package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// daemon is a `meterd serve` of our own: started, stopped and killed, on one data directory.
type daemon struct {
	program string
	data    string
	flags   []string // beside --data and --listen

	cmd     *exec.Cmd
	address string
	exited  chan struct{} // closed after err was set
	err     error
}

// logName is the file in the data directory's parent that takes what the daemon logs.
const logName = "daemon.log"

// start runs the program and returns how long it took until /readyz answered 200. The daemon chooses a free port itself and says so
// when it is ready: that is waited for, because asking a port again and again costs the CPU that is measured, and a connection to
// a port that nobody listens on yet may meet itself.
func (d *daemon) start(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(filepath.Join(filepath.Dir(d.data), logName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, fmt.Errorf("start the daemon: %w", err)
	}
	args := append([]string{"serve", "--data", d.data, "--listen", "127.0.0.1:0"}, d.flags...)
	d.cmd = exec.Command(d.program, args...)
	pipe, err := d.cmd.StderrPipe()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("start the daemon: %w", err), log.Close())
	}
	begun := time.Now()
	if err := d.cmd.Start(); err != nil {
		return 0, errors.Join(fmt.Errorf("start the daemon: %w", err), log.Close())
	}
	ready := make(chan string, 1)
	d.exited = make(chan struct{})
	go d.follow(pipe, log, ready)
	limit := time.NewTimer(readyWithin)
	defer limit.Stop()
	select {
	case d.address = <-ready:
	case <-d.exited:
		return 0, d.exitError("before it was ready")
	case <-limit.C:
		return 0, errors.Join(fmt.Errorf("the daemon was not ready within %s, see %s", readyWithin, log.Name()), d.kill())
	case <-ctx.Done():
		return 0, errors.Join(context.Cause(ctx), d.kill())
	}
	if err := newAdmin(d.address, "").ready(ctx); err != nil {
		return 0, errors.Join(err, d.kill())
	}
	return time.Since(begun), nil
}

// follow keeps what the daemon logs, hands on the address that it is ready at, and notes its exit.
func (d *daemon) follow(pipe io.Reader, log *os.File, ready chan<- string) {
	defer close(d.exited)
	var announced sync.Once
	var failed error // to keep the log; the daemon is read on, so that it does not wait for us
	for lines := bufio.NewReader(pipe); ; {
		line, err := lines.ReadString('\n')
		if failed == nil {
			_, failed = log.WriteString(line)
		}
		if address, ok := readyAddress(line); ok {
			announced.Do(func() { ready <- address })
		}
		if err != nil {
			break // The daemon closed its end: it is gone.
		}
	}
	d.err = errors.Join(d.cmd.Wait(), failed, log.Close())
}

// readyAddress returns the address of the log line that says that the daemon is ready.
func readyAddress(line string) (string, bool) {
	if !strings.Contains(line, " msg=ready ") {
		return "", false
	}
	for field := range strings.FieldsSeq(line) {
		if address, ok := strings.CutPrefix(field, "address="); ok {
			return address, true
		}
	}
	return "", false
}

// stop asks the daemon to stop and returns how long it took.
func (d *daemon) stop() (time.Duration, error) {
	begun := time.Now()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, errors.Join(fmt.Errorf("stop the daemon: %w", err), d.kill())
	}
	limit := time.NewTimer(stopWithin)
	defer limit.Stop()
	select {
	case <-d.exited:
	case <-limit.C:
		return 0, errors.Join(fmt.Errorf("the daemon did not stop within %s", stopWithin), d.kill())
	}
	if d.err != nil {
		return 0, d.exitError("although it was asked to stop")
	}
	return time.Since(begun), nil
}

// kill ends the daemon at once; it is no error if it has ended already.
func (d *daemon) kill() error {
	err := d.cmd.Process.Kill()
	<-d.exited
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// running reports whether the daemon was started and has not ended.
func (d *daemon) running() bool {
	if d.exited == nil {
		return false
	}
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

func (d *daemon) exitError(when string) error {
	return fmt.Errorf("the daemon ended %s, see %s: %w", when, filepath.Join(filepath.Dir(d.data), logName), exitStatus(d.err))
}

// exitStatus names an exit without an error, so that there is something to wrap.
func exitStatus(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }
