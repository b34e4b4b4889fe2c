package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// lossy stands between a gateway and a daemon, and loses the first answer to every second sequence: the daemon has
// decided, and the gateway cannot know.
type lossy struct {
	d  *daemon
	mu sync.Mutex

	lost     map[string]string // the body whose answer was lost, by its sequence
	replayed int               // answers to those that came again
	problems []string
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	sequence := r.Header.Get("Meterd-Sequence")
	a, err := l.d.try(
		r.Method, r.URL.RequestURI(), body, "Content-Type", r.Header.Get("Content-Type"),
		"Meterd-Producer", r.Header.Get("Meterd-Producer"), "Meterd-Sequence", sequence,
	)
	if err != nil || r.Header.Get("Authorization") != "Bearer "+l.d.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodPost && l.loses(sequence, string(body), a) {
		panic(http.ErrAbortHandler) // It closes the connection.
	}
	w.Header().Set("Content-Type", a.header.Get("Content-Type"))
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// loses reports whether this answer is lost, and sees to it that what comes again is what came first.
func (l *lossy) loses(sequence, body string, a answer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := strconv.Atoi(sequence)
	first, again := l.lost[sequence]
	switch replayed := a.header.Get("Meterd-Replayed") == "true"; {
	case err != nil:
		l.problems = append(l.problems, fmt.Sprintf("sequence %q", sequence))
	case again && (body != first || !replayed):
		l.problems = append(l.problems, fmt.Sprintf("sequence %d: first %s, then %s: %s", n, first, body, a.body))
	case again:
		l.replayed++
	case replayed:
		l.problems = append(l.problems, fmt.Sprintf("sequence %d was used before: %s", n, body))
	case n%2 == 0:
		l.lost[sequence] = body
		return true
	}
	return false
}

// TestSnippets runs the gateways of docs/snippets: all say the same, and a lost answer doubles and loses nothing. It
// leaves out those whose interpreter or compiler is not on this machine.
func TestSnippets(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it compiles, and waits for retries")
	}
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":3}`)
	for _, s := range []struct {
		file, needs string
		run         []string // what runs the file
	}{
		{"gateway.sh", "curl", []string{"sh"}},
		{"gateway.py", "python3", []string{"python3"}},
		{"gateway.mjs", "node", []string{"node"}},
		{"Gateway.java", "javac", []string{"java", "-Xshare:auto", "-XX:TieredStopAtLevel=1"}},
		{"gateway.c", "cc", nil},
	} {
		t.Run(s.file, func(t *testing.T) {
			if _, err := exec.LookPath(s.needs); err != nil {
				t.Skip(s.needs + " is not on this machine")
			}
			path := filepath.Join("..", "..", "docs", "snippets", s.file)
			if s.run == nil {
				binary := filepath.Join(t.TempDir(), "gateway")
				said, err := exec.Command("cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-o", binary, path).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, said)
				}
				s.run, path = []string{binary}, ""
			}
			runSnippet(t, d, strings.ReplaceAll(s.file, ".", "-"), append(s.run, strings.Fields(path)...))
		})
	}
}

// TestReadmeGateway runs the Go program of README.md: it says what README.md says that it does, over the event stream,
// and, with answers lost, over HTTP.
func TestReadmeGateway(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it compiles, and waits for retries")
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "cat >bin/gateway.go <<'END'\n")
	program, rest, isThere := strings.Cut(rest, "\nEND\ngo run bin/gateway.go\n```\n```\n")
	said, _, _ := strings.Cut(rest, "```\n")
	if !isThere {
		t.Fatal("README.md has no bin/gateway.go any more")
	}
	d := newDaemon(t)
	d.withProduct("ten", `{"messages_per_day":3}`)
	proxy := &lossy{d: d, lost: map[string]string{}}
	server := httptest.NewServer(proxy)
	defer server.Close()
	runReadme(t, d, program, said, "d3", "http://"+d.run.address)
	runReadme(t, d, program, said, "d4", server.URL, `"gw-go"`, `"gw-go-http", Transport: client.OverHTTP`)
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	if proxy.replayed != len(proxy.lost) || proxy.replayed < 2 || len(proxy.problems) > 0 {
		t.Errorf("%d answers were lost, %d given again; %q", len(proxy.lost), proxy.replayed, proxy.problems)
	}
}

// runReadme runs program for a device and a daemon at url, with changes: pairs of what is there and what is to be
// there.
func runReadme(t *testing.T, d *daemon, program, want, device, url string, changes ...string) {
	t.Helper()
	changes = append(changes, "http://127.0.0.1:8480", url, "data/admin.token", filepath.Join(d.data, "admin.token"),
		`"d3"`, strconv.Quote(device))
	for i := 0; i < len(changes); i += 2 {
		if strings.Count(program, changes[i]) != 1 {
			t.Fatalf("README.md's program does not name %s once", changes[i])
		}
		program = strings.Replace(program, changes[i], changes[i+1], 1)
	}
	file := filepath.Join(t.TempDir(), "gateway.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := exec.CommandContext(t.Context(), "go", "run", file).CombinedOutput()
	if err != nil || string(said) != want {
		t.Fatalf("%v, said\n%s\nwant\n%s", err, said, want)
	}
	v := d.device("ten", device)
	if v.Messages.Up != 3 || v.Messages.Denied != 1 || v.Online {
		t.Errorf("of 4 messages 3 are allowed: %d up, %d denied, online %v", v.Messages.Up, v.Messages.Denied, v.Online)
	}
}

// runSnippet runs a gateway for a device, twice: the second one goes on behind the sequences of the first.
func runSnippet(t *testing.T, d *daemon, device string, command []string) {
	proxy := &lossy{d: d, lost: map[string]string{}}
	server := httptest.NewServer(proxy)
	defer server.Close()
	address := server.Listener.Addr().String()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"connect: accepted\nup 1: accepted\nup 2: accepted\n",
		"connect: accepted\nup 1: accepted\nup 2: message_quota_exceeded\n",
	} {
		cmd := exec.CommandContext(t.Context(), command[0], append(command[1:], "p1", device, "2")...)
		cmd.Env = append(
			os.Environ(), "METERD_URL=http://"+address, "METERD_HOST="+host, "METERD_PORT="+port,
			"METERD_PRODUCER="+device, "METERD_TOKEN_FILE="+filepath.Join(d.data, "admin.token"),
		)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		said, err := cmd.Output()
		if err != nil || string(said) != want {
			t.Fatalf("%s: %v, said\n%s%s\nwant\n%s", command, err, said, stderr.String(), want)
		}
	}
	if proxy.mu.Lock(); proxy.replayed != len(proxy.lost) || proxy.replayed < 4 || len(proxy.problems) > 0 {
		t.Errorf("%d answers were lost, %d given again; %q", len(proxy.lost), proxy.replayed, proxy.problems)
	}
	proxy.mu.Unlock()
	v := d.device("p1", device)
	if v.Messages.Up != 3 || v.Messages.Denied != 1 || v.Online {
		t.Errorf("of 4 messages 3 are allowed: %d up, %d denied, online %v", v.Messages.Up, v.Messages.Denied, v.Online)
	}
}
