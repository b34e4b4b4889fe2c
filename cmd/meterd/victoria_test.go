package main_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// startVictoria starts the hidden child on a directory and returns a way to its socket. It ends with the test.
func startVictoria(t testing.TB, dir string) *httputil.ReverseProxy {
	t.Helper()
	cmd := exec.Command(program, "history-child", "--path", "store", "--socket", "vm.sock", "--retention", "9480h")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stages, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close() // It flushes and ends.
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child ended with %v", err)
		}
	})
	if line, err := bufio.NewReader(stages).ReadString('\n'); err != nil || line != "open\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "vm" },
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "vm.sock"))
		}},
	}
}
