package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is when a test gives up waiting. It bounds a failure and measures nothing.
const patience = 5 * time.Minute

// pollEvery is how often something is looked at that tells nobody when it changes.
const pollEvery = 20 * time.Millisecond

// daemon is a real meterd on a data directory, started and ended as often as a test likes.
type daemon struct {
	t      testing.TB
	data   string
	flags  []string // beside --data and --listen
	env    []string // beside what is left of ours
	scheme string
	http   *http.Client
	token  string

	run *run // the process that runs, or ran last
}

// run is one process of a daemon.
type run struct {
	cmd     *exec.Cmd
	address string
	ready   chan string   // gets the address
	exited  chan struct{} // closed when the process was reaped and all it said was read
	stdout  output
	stderr  output
}

// output gathers what a process writes, while it is read.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// newDaemon starts a daemon on a fresh data directory and ends it with the test.
func newDaemon(t testing.TB, flags ...string) *daemon {
	t.Helper()
	d := daemonAt(t, filepath.Join(t.TempDir(), "data"), flags...)
	d.start()
	return d
}

// daemonAt returns a daemon that is not started yet.
func daemonAt(t testing.TB, data string, flags ...string) *daemon {
	t.Helper()
	needsBinary(t)
	d := &daemon{t: t, data: data, flags: flags, scheme: "http"}
	d.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: patience}
	t.Cleanup(func() {
		d.kill()
		d.http.CloseIdleConnections()
	})
	return d
}

// start starts the daemon and returns when it is ready.
func (d *daemon) start() {
	d.t.Helper()
	if err := d.tryStart(); err != nil {
		d.t.Fatal(err)
	}
}

// tryStart is start for daemons that may refuse.
func (d *daemon) tryStart() error {
	d.launch()
	if err := d.awaitReady(); err != nil {
		return err
	}
	if d.token == "" {
		return d.readToken()
	}
	return nil
}

func (d *daemon) readToken() error {
	secret, err := os.ReadFile(filepath.Join(d.data, "admin.token"))
	d.token = strings.TrimSpace(string(secret))
	return err
}

// launch starts the process and returns at once.
func (d *daemon) launch() {
	d.t.Helper()
	args := append([]string{"serve", "--data", d.data, "--listen", "127.0.0.1:0"}, d.flags...)
	r, err := launch(d.env, args...)
	if err != nil {
		d.t.Fatal(err)
	}
	d.run = r
}

// launch runs the binary. It dies with the test process, however that dies.
func launch(env []string, args ...string) (*run, error) {
	return launchCommand(env, append([]string{program}, args...)...)
}

// launchCommand is launch through a command that becomes the binary.
func launchCommand(env []string, command ...string) (*run, error) {
	r := &run{ready: make(chan string, 1), exited: make(chan struct{})}
	r.cmd = exec.CommandContext(context.Background(), command[0], command[1:]...)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "METERD_") {
			r.cmd.Env = append(r.cmd.Env, v)
		}
	}
	// Two more processes a daemon would slow all tests down: those of the history ask for them.
	r.cmd.Env = append(append(r.cmd.Env, "METERD_USAGE_HISTORY=false"), env...)
	r.cmd.Stdout = &r.stdout
	pipe, err := r.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		for lines := bufio.NewReader(pipe); ; {
			line, err := lines.ReadString('\n')
			if line != "" {
				r.hear(line)
			}
			if err != nil {
				break // The process closed its end: it is gone.
			}
		}
		_ = r.cmd.Wait() // ProcessState tells.
		close(r.exited)
	}()
	return r, nil
}

func (r *run) hear(line string) {
	// The metrics library gives /proc a second, and says so when a stalled machine takes longer. It is no word of ours.
	if strings.Contains(line, " INFO: metrics: ") {
		return
	}
	_, _ = r.stderr.Write([]byte(line)) // It never fails.
	if !strings.Contains(line, " msg=ready ") {
		return
	}
	for field := range strings.FieldsSeq(line) {
		if address, ok := strings.CutPrefix(field, "address="); ok {
			r.ready <- address
		}
	}
}

// said returns what the process wrote to standard error.
func (r *run) said() string { return r.stderr.String() }

func (r *run) alive() bool {
	select {
	case <-r.exited:
		return false
	default:
		return true
	}
}

// awaitReady returns when the daemon is ready, or an error with all it said if it ended instead.
func (d *daemon) awaitReady() error {
	r := d.run
	select {
	case address := <-r.ready:
		r.address = d.throughRouter(address)
		return nil
	case <-r.exited:
		return fmt.Errorf("the daemon ended (%s) before it was ready:\n%s", r.cmd.ProcessState, r.said())
	case <-time.After(patience):
		d.kill()
		return fmt.Errorf("the daemon was not ready after %s:\n%s", patience, r.said())
	}
}

// stop is SIGTERM: the daemon must finish what is in hand and exit 0.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	d.awaitExit(0)
}

func (d *daemon) signal(s os.Signal) {
	d.t.Helper()
	if err := d.run.cmd.Process.Signal(s); err != nil {
		d.t.Fatalf("signal the daemon: %v\n%s", err, d.run.said())
	}
}

// awaitExit waits for the end of the process and checks its exit code.
func (d *daemon) awaitExit(code int) {
	d.t.Helper()
	select {
	case <-d.run.exited:
	case <-time.After(patience):
		d.kill()
		d.t.Fatalf("the daemon did not end within %s:\n%s", patience, d.run.said())
	}
	if got := d.run.cmd.ProcessState.ExitCode(); got != code {
		d.t.Fatalf("the daemon ended with %s, want exit code %d:\n%s", d.run.cmd.ProcessState, code, d.run.said())
	}
}

// kill is kill -9. It does nothing to a daemon that has ended.
func (d *daemon) kill() {
	if d.run == nil {
		return
	}
	if err := d.run.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Errorf("kill the daemon: %v", err)
	}
	<-d.run.exited
}

// restart is a graceful stop and a new start.
func (d *daemon) restart() {
	d.t.Helper()
	d.stop()
	d.start()
}

// refused starts a daemon that must not start, and returns what it said on standard error.
func (d *daemon) refused() string {
	d.t.Helper()
	d.launch()
	return d.run.refused(d.t)
}

// refused waits for a process that must end by itself with an exit code that is not 0.
func (r *run) refused(t testing.TB) string {
	t.Helper()
	select {
	case <-r.exited:
	case <-r.ready:
		_ = r.cmd.Process.Kill()
		<-r.exited
		t.Fatalf("the daemon started although it must not:\n%s", r.said())
	case <-time.After(patience):
		_ = r.cmd.Process.Kill()
		<-r.exited
		t.Fatalf("the daemon neither started nor ended within %s:\n%s", patience, r.said())
	}
	if code := r.cmd.ProcessState.ExitCode(); code <= 0 {
		t.Fatalf("the daemon ended with %s, want a code that is not 0:\n%s", r.cmd.ProcessState, r.said())
	}
	if strings.Contains(r.said(), "\ngoroutine ") {
		t.Fatalf("the daemon panicked:\n%s", r.said())
	}
	return r.said()
}

// await looks until cond holds.
func await(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// want fails the test unless every part is in text.
func want(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
