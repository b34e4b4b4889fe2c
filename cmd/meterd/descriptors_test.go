package main_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A daemon that can get no other descriptor still answers everything on the connections that it has, whoever looks
// after them.
func TestNoDescriptorIsLeft(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p", `{"messages_per_day":2}`)
	conn, err := net.Dial("tcp", d.run.address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	ask := func(method, path, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, "http://meterd"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+d.token)
		r.Header.Set("Content-Type", "application/json")
		if err := r.Write(conn); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(in, r)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		defer a.Body.Close()
		if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s, %v", method, path, a.Status, err)
		}
	}
	ask("POST", "/v1/events", `{"type":"connect","product":"p","device":"d"}`)
	var before unix.Rlimit
	limit := func(to, was *unix.Rlimit) {
		t.Helper()
		if err := unix.Prlimit(d.run.cmd.Process.Pid, unix.RLIMIT_NOFILE, to, was); err != nil {
			t.Fatal(err)
		}
	}
	limit(nil, &before)
	limit(&unix.Rlimit{Cur: 3, Max: before.Max}, nil)
	ask("POST", "/v1/events", `{"type":"up","product":"p","device":"d"}`)
	ask("GET", "/v1/products/p/devices/d", "")
	ask("POST", "/v1/events", `{"type":"up","product":"p","device":"d"}`)
	limit(&before, nil)
	d.stop()
}
