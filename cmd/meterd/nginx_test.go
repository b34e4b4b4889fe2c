package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// nginx is a stock nginx with the configuration of docs/integrations, and a platform behind it.
type nginx struct {
	t        *testing.T
	http     *http.Client // for devices
	emqx     *http.Client // for EMQX
	platform atomic.Int64 // requests that reached it
}

// newNginx starts nginx on a Unix socket, where nobody else can be, and ends it with the test.
func newNginx(t *testing.T, d *daemon, token string) *nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("nginx is not on this machine: make tools installs it")
		}
	}
	n := &nginx{t: t}
	platform := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			n.platform.Add(1)
		}
	}))
	t.Cleanup(platform.Close)
	dir, err := os.MkdirTemp("", "nginx") // t.TempDir is too long for the name of a socket.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	devices, emqx := filepath.Join(dir, "devices"), filepath.Join(dir, "emqx")
	for name, change := range map[string]*strings.Replacer{
		"meterd-ask.conf": strings.NewReplacer("_timeout 1s;", "_timeout 60s;", "_timeout 5s;", "_timeout 60s;"),
		"nginx.conf": strings.NewReplacer(
			"http {\n", "http {\n    access_log off;\n", "127.0.0.1:8080", "unix:"+devices, "127.0.0.1:8081", "unix:"+emqx,
			"127.0.0.1:8480", d.run.address, "127.0.0.1:9000", platform.Listener.Addr().String(),
		),
	} {
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "integrations", name))
		if err != nil {
			t.Fatal(err)
		}
		writeConfig(t, filepath.Join(dir, name), change.Replace(string(text)))
	}
	writeConfig(
		t,
		filepath.Join(dir, "meterd-token.conf"),
		fmt.Sprintf("proxy_set_header Authorization \"Bearer %s\";", token),
	)
	cmd := exec.Command(program, "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr",
		"-g", "daemon off; master_process off; pid "+filepath.Join(dir, "pid")+";")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	n.http, n.emqx = n.over(devices), n.over(emqx)
	await(t, "nginx answers", func() bool {
		resp, err := n.emqx.Get("http://nginx/")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil
	})
	return n
}

// over returns a client of a Unix socket.
func (n *nginx) over(socket string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	c := &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: patience}
	n.t.Cleanup(c.CloseIdleConnections)
	return c
}

func writeConfig(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// want sends a message, and fails the test unless it gets this status.
func (n *nginx) want(path string, status int) http.Header {
	n.t.Helper()
	resp, err := n.http.Post("http://nginx"+path, "text/plain", bytes.NewReader([]byte("21.5 C")))
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != status {
		n.t.Errorf("%s: %s, want %d", path, resp.Status, status)
	}
	return resp.Header
}

// allows asks what EMQX asks, and returns whether the answer allows as EMQX understands it.
func (n *nginx) allows(path string) bool {
	n.t.Helper()
	resp, err := n.emqx.Post("http://nginx"+path, asJSON, strings.NewReader("{}"))
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err == nil && resp.StatusCode == http.StatusNoContent:
		return true
	case err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != asJSON ||
		string(body) != `{"result":"deny"}`:
		n.t.Errorf("%s: EMQX does not know what %s %s %v is", path, resp.Status, body, err)
	}
	return false
}

// TestNginxForEMQX: what docs/integrations/emqx.md has EMQX ask, without EMQX itself.
func TestNginxForEMQX(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts the real binary")
	}
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":2}`)
	n := newNginx(t, d, d.token)
	for _, step := range []struct {
		path string
		want bool
	}{
		{"/emqx/publish/p1/d1", false}, // It must connect first.
		{"/emqx/connect/p1/d1", true},
		{"/emqx/publish/p1/d1", true},
		{"/emqx/publish/p1/d1", true},
		{"/emqx/publish/p1/d1", false},
		{"/emqx/connect/p2/d1", false},
		{"/emqx/subscribe/p1/d1", true},
		{"/emqx/ota/p1/d1", false},
		{"/emqx/publish/p1/d%22,%22x", false},
		{"/", false},
	} {
		if got := n.allows(step.path); got != step.want {
			t.Errorf("%s: allowed %v, want %v", step.path, got, step.want)
		}
	}
	if v := d.device("p1", "d1"); v.Messages.Up != 2 || v.Messages.Denied != 1 || *v.Holder != "nginx-1" {
		t.Errorf("2 of 3 messages are allowed: %d up, %d denied", v.Messages.Up, v.Messages.Denied)
	}
	d.kill()
	if n.allows("/emqx/publish/p1/d1") {
		t.Error("a message was allowed without meterd")
	}
}

// TestNginx: what docs/integrations/nginx.md says, with a stock nginx.
func TestNginx(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts the real binary")
	}
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":3}`)
	var token struct{ Token string }
	d.must("POST", "/v1/tokens", `{"name":"nginx-1","role":"gateway","account":"p1"}`, &token)
	n := newNginx(t, d, token.Token)

	n.want("/p1/d1/messages", http.StatusForbidden) // It must connect first.
	n.want("/p1/d1/bulk", http.StatusForbidden)
	n.want("/p2/d1/messages", http.StatusForbidden) // There is no such product.
	n.want("/p1/d%221/messages", http.StatusNotFound)
	n.want("/meterd/count", http.StatusForbidden)
	if got := n.platform.Load(); got != 0 {
		t.Errorf("%d denied messages reached the platform", got)
	}
	d.batch(line("connect", "p1", "d1"))
	for range 5 {
		n.want("/p1/d1/bulk", http.StatusOK)
	}
	for range 3 {
		n.want("/p1/d1/messages", http.StatusOK)
	}
	for _, path := range []string{"/p1/d1/messages", "/p1/d1/bulk"} {
		if h := n.want(path, http.StatusTooManyRequests); h.Get("Retry-After") == "" {
			t.Errorf("%s was not told when the quota is back: %v", path, h)
		}
	}
	if got := n.platform.Load(); got != 8 {
		t.Errorf("%d messages reached the platform, want 8", got)
	}
	v := d.device("p1", "d1")
	if v.Messages.Up != 3 || v.Messages.Denied != 1 {
		t.Errorf("%d up and %d denied, want 3 and 1: a check counts nothing", v.Messages.Up, v.Messages.Denied)
	}
	if logged := d.logs("p1", "d1"); len(logged) < 2 || logged[1].Size != int64(len("21.5 C")) {
		t.Errorf("the size was not logged: %+v", logged)
	}

	newNginx(t, d, "wrong").want("/p1/d1/messages", http.StatusServiceUnavailable)
	d.kill()
	n.want("/p1/d1/messages", http.StatusServiceUnavailable)
}
