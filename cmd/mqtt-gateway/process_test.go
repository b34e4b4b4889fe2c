package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/testport"
)

// process is one of our binaries, running. It dies with the test process, however that dies.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it was reaped
	mu     sync.Mutex
	stderr strings.Builder
}

// launch starts a binary and returns the attributes of the log line that says msg.
func launch(msg, name string, args ...string) (*process, map[string]string, error) {
	if err := build(); err != nil {
		return nil, nil, err
	}
	p := &process{exited: make(chan struct{})}
	p.cmd = exec.CommandContext(context.Background(), filepath.Join(programs, name), args...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "METERD_") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, nil, err
	}
	said := make(chan map[string]string, 1)
	go p.follow(pipe, msg, said)
	select {
	case attributes := <-said:
		return p, attributes, nil
	case <-p.exited:
		return nil, nil, fmt.Errorf("%s ended (%s):\n%s", name, p.cmd.ProcessState, p.said())
	case <-time.After(patience):
		p.kill()
		return nil, nil, fmt.Errorf("%s did not say %q:\n%s", name, msg, p.said())
	}
}

// follow keeps what the process logs and hands on the attributes of the first line that says msg.
func (p *process) follow(pipe io.Reader, msg string, said chan<- map[string]string) {
	defer close(p.exited)
	for lines := bufio.NewReader(pipe); ; {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.stderr.WriteString(line)
		p.mu.Unlock()
		if strings.Contains(line, " msg="+msg+" ") {
			attributes := map[string]string{}
			for field := range strings.FieldsSeq(line) {
				key, value, _ := strings.Cut(field, "=")
				attributes[key] = value
			}
			select {
			case said <- attributes:
			default: // It said so before.
			}
		}
		if err != nil {
			break // The process closed its end: it is gone.
		}
	}
	_ = p.cmd.Wait() // ProcessState tells.
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// kill is kill -9. It does nothing to a process that has ended.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop is SIGTERM: the process must exit 0.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("it did not stop:\n%s", p.said())
	}
	if !p.cmd.ProcessState.Success() {
		return fmt.Errorf("it ended with %s:\n%s", p.cmd.ProcessState, p.said())
	}
	return nil
}

// terminate is stop, which must succeed.
func (p *process) terminate(t *testing.T) {
	t.Helper()
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
}

// world is a real meterd and a real gateway.
type world struct {
	t       *testing.T
	data    string
	listen  string // meterd's address: the same after a restart
	via     string // what the gateway takes for meterd's address, when it is not that
	token   string
	meterd  *process
	gateway *process
	*running
}

// newWorld starts both, with an account acme, that has licences for so many devices of each of its two products (gifts
// included): "small" with a quota of 10 messages a day, "large" with 100,000.
func newWorld(t *testing.T, licenses int) *world {
	t.Helper()
	w := newWorldWithoutGateway(t, licenses)
	w.startGateway()
	return w
}

func newWorldWithoutGateway(t *testing.T, licenses int) *world {
	t.Helper()
	w := &world{t: t, data: filepath.Join(t.TempDir(), "data"), listen: testport.Free(t)}
	t.Cleanup(func() {
		for _, p := range []*process{w.gateway, w.meterd} {
			if p != nil {
				p.kill()
			}
		}
	})
	if err := w.startMeterd(); err != nil {
		t.Fatal(err)
	}
	w.ask("POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`, nil)
	noon := fmt.Sprintf("%+03d:00", 12-time.Now().UTC().Hour()) // No day ends while this runs.
	for product, quota := range map[string]int{"small": 10, "large": 100_000} {
		w.ask(
			"POST",
			"/v1/products",
			fmt.Sprintf(`{"product":%q,"account":"acme","time_zone":%q,"plan":{"messages_per_day":%d}}`, product, noon, quota),
			nil,
		)
	}
	var account struct{ Licenses struct{ Available int } }
	w.ask("GET", "/v1/accounts/acme", "", &account)
	if more := licenses - account.Licenses.Available; more > 0 {
		for _, product := range []string{"small", "large"} {
			w.ask("POST", "/v1/products/"+product+"/lots", fmt.Sprintf(`{"order":"PO-1","quantity":%d}`, more), nil)
		}
	}
	return w
}

// startMeterd starts meterd, each time on the same address.
func (w *world) startMeterd() error {
	p, _, err := launch("ready", "meterd", "serve", "--data", w.data, "--listen", w.listen, "--checkpoint-every", "1s")
	if err != nil {
		return err
	}
	w.meterd = p
	secret, err := os.ReadFile(filepath.Join(w.data, "admin.token"))
	w.token = strings.TrimSpace(string(secret))
	return err
}

// startGateway starts the gateway; the same producer each time. Unless flags say otherwise no device is refused because
// meterd is slow.
func (w *world) startGateway(flags ...string) {
	w.t.Helper()
	address := w.listen
	if w.via != "" {
		address = w.via
	}
	p, attributes, err := launch(`"taking MQTT connections"`, "mqtt-gateway", append([]string{
		"--listen",
		"127.0.0.1:0",
		"--metrics-listen",
		"127.0.0.1:0",
		"--ask-timeout",
		"5m",
		"--meterd-url",
		"http://" + address,
		"--token-file",
		filepath.Join(w.data, "admin.token"),
		"--producer",
		"gw-e2e",
	}, flags...)...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.gateway = p
	w.running = &running{t: w.t, at: addresses{mqtt: attributes["listen"], metrics: attributes["metrics"]}}
}

// request makes one call to meterd and returns the status and body of the answer.
func (w *world) request(method, path, body string, header ...string) (int, []byte) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.listen+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", method, path, err, w.meterd.said())
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// ask is a request that must succeed; it reads the answer into v unless that is nil.
func (w *world) ask(method, path, body string, v any) {
	w.t.Helper()
	status, answer := w.request(method, path, body)
	if status/100 != 2 {
		w.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(answer, v); err != nil {
		w.t.Fatalf("%s: %v", answer, err)
	}
}

// view is what meterd says of a device.
type view struct {
	State    string
	Online   bool
	Holder   *string
	Messages struct{ Up, Down, Denied int }
}

func (w *world) view(product, device string) (v view) {
	w.t.Helper()
	w.ask("GET", "/v1/products/"+product+"/devices/"+device, "", &v)
	return v
}

// entry is a line of a device's log.
type entry struct {
	Type, Verdict string
	Payload       *string
	Size          int
}

func (w *world) log(product, device string) (list []entry) {
	w.t.Helper()
	status, body := w.request(
		"GET",
		"/v1/products/"+product+"/devices/"+device+"/logs",
		"",
		"Accept",
		"application/x-ndjson",
	)
	if status != http.StatusOK {
		w.t.Fatalf("%d %s", status, body)
	}
	for d := json.NewDecoder(bytes.NewReader(body)); d.More(); {
		var e entry
		if err := d.Decode(&e); err != nil {
			w.t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

// await looks until cond holds.
func (w *world) await(what string, cond func() bool) {
	w.t.Helper()
	if !within(patience, cond) {
		w.t.Fatalf("waited in vain until %s\n%s\n%s", what, w.meterd.said(), w.gateway.said())
	}
}

// within looks until cond holds, and returns false if it did not come to that.
func within(longest time.Duration, cond func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(longest)
	defer limit.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit.C:
			return false
		}
	}
	return true
}
