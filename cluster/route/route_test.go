package route

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

const patience = 2 * time.Minute

// owners is a board that the test writes.
type owners struct {
	mu      sync.Mutex
	of      map[int]owner
	letGo   time.Time
	changed chan struct{} // nil: nothing ever happens
	looked  func()        // called once, when somebody begins to wait for a change; nil: nobody wants to know
}

func (o *owners) LetGo(int) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.letGo
}

func (o *owners) Changed() <-chan struct{} {
	o.mu.Lock()
	changed, looked := o.changed, o.looked
	o.looked = nil
	o.mu.Unlock()
	if looked != nil {
		looked()
	}
	return changed
}

func (o *owners) Owner(cell int) (node, address string, epoch uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	to, ok := o.of[cell]
	return to.node, to.address, 7, ok
}

func (o *owners) set(cell int, node, address string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[int]owner{}
	}
	o.of[cell] = owner{cell: cell, node: node, address: address}
}

func (o *owners) unset(cell int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.of, cell)
}

// rig is a router behind a real server, and cells that the test makes.
type rig struct {
	*Router
	t     *testing.T
	board *owners
	at    string // of the router
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	board := &owners{}
	o := Options{
		Cells: 1, Board: board, Hop: "key",
		Catalogues: func(int) *license.Catalogue { return nil },
		Documents:  func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("docs") },
		Metrics:    func() []metric.Part { return nil },
		Leaving:    func() bool { return false },
		Loopback:   true,
	}
	if change != nil {
		change(&o)
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.waitMax, r.mergeIn = time.Hour, time.Hour // No machine is too slow.
	server, err := ingest.Listen("127.0.0.1:0", nil, r.Handle, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go r.Run(ctx)
	t.Cleanup(func() {
		cancel()
		ending, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = server.Shutdown(ending) // A test may have left a request behind.
	})
	return &rig{Router: r, t: t, board: board, at: server.Address().String()}
}

// cell has handler answer as the owner of cell 0.
func (r *rig) cell(handler http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(handler)
	r.t.Cleanup(s.Close)
	r.board.set(0, "n1", s.Listener.Addr().String())
	return s
}

func (r *rig) do(method, path string, body io.Reader, header ...string) (*http.Response, string) {
	r.t.Helper()
	resp, text, err := r.try(method, path, body, header...)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, text
}

func (r *rig) try(method, path string, body io.Reader, header ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(method, "http://"+r.at+path, body)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

func (r *rig) wantProblem(resp *http.Response, text string, status int, detail string) {
	r.t.Helper()
	if resp.StatusCode != status || !strings.Contains(text, detail) {
		r.t.Errorf("got %d %s, want %d with %q", resp.StatusCode, text, status, detail)
	}
	if status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" {
		r.t.Error("503 without Retry-After")
	}
}

// What a cell gets is what the client sent, and who it is; what the client gets is what the cell answered.
func TestForward(t *testing.T) {
	r := newRig(t, nil)
	r.cell(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		if q.Header.Get("Meterd-Hop") != "key" || q.Header.Get("Meterd-Client") != "127.0.0.1" ||
			len(q.Header.Values("Meterd-Client")) != 1 {
			t.Errorf("the cell does not know the client: %v", q.Header)
		}
		for _, name := range []string{"Te", "Keep-Alive", "Expect"} {
			if v, has := q.Header[name]; has {
				t.Errorf("%s: %v came through", name, v)
			}
		}
		w.Header()["Meterd-Replayed"] = []string{"true"}
		w.Header()["RateLimit"] = []string{`"messages";r=12;t=3600`}
		w.Header().Set("Retry-After", "17")
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Meterd-Seen", q.Header.Get("Meterd-Producer")+" "+q.Header.Get("Meterd-Sequence")+" "+q.Host)
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprintf(w, "%s %s %q", q.Method, q.RequestURI, body)
	})
	resp, text := r.do("POST", "/v1/events?a=%20b", strings.NewReader(`{"type":"up"}`),
		"Meterd-Producer", "gw", "Meterd-Sequence", "7", "Meterd-Hop", "stolen", "Meterd-Client", "192.0.2.1",
		"Content-Type", "application/json", "TE", "trailers", "Keep-Alive", "5", "Expect", "100-continue")
	if text != `POST /v1/events?a=%20b "{\"type\":\"up\"}"` || resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("got %d %s", resp.StatusCode, text)
	}
	for name, want := range map[string]string{
		"Meterd-Replayed": "true", "Ratelimit": `"messages";r=12;t=3600`, "Retry-After": "17",
		"Content-Type": "application/problem+json", "Meterd-Seen": "gw 7 " + r.at,
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	c, err := net.Dial("tcp", r.at)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "GET /v1/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	if raw, err := io.ReadAll(c); err != nil || !strings.Contains(string(raw), "\r\nRateLimit: \"") {
		t.Errorf("names were changed: %s, %v", raw, err)
	}
	_ = c.Close() // It was read to its end.
	if len(resp.Header.Values("Date")) != 1 {
		t.Errorf("dates: %v", resp.Header.Values("Date"))
	}
}

// Bodies are as large as they may be, of a known length or not, in both directions, and are not held.
func TestBodies(t *testing.T) {
	const size = 64 << 20
	r := newRig(t, nil)
	r.cell(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Query().Has("length") {
			w.Header().Set("Content-Length", strconv.FormatInt(q.ContentLength, 10))
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(body) // The client compares.
	})
	sent := sha256.New()
	for _, query := range []string{"?length", ""} {
		for _, n := range []int64{1, 5000, 100_000, size} {
			sent.Reset()
			var random [32]byte
			source := io.TeeReader(io.LimitReader(rand.NewChaCha8(random), n), sent)
			got := sha256.New()
			req, err := http.NewRequest("PUT", "http://"+r.at+"/v1/echo"+query, source)
			if err != nil {
				t.Fatal(err)
			}
			if query != "" {
				req.ContentLength = n
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			back, err := io.Copy(got, resp.Body)
			resp.Body.Close()
			if err != nil || back != n || string(got.Sum(nil)) != string(sent.Sum(nil)) {
				t.Errorf("%q: of %d bytes %d came back (%v)", query, n, back, err)
			}
			if query != "" && resp.ContentLength != n {
				t.Errorf("length of %d bytes is given as %d", n, resp.ContentLength)
			}
		}
	}
}

func TestHeadAndRange(t *testing.T) {
	r := newRig(t, nil)
	r.cell(func(w http.ResponseWriter, q *http.Request) {
		http.ServeContent(w, q, "a.csv", time.Unix(1, 0), strings.NewReader(strings.Repeat("0123456789", 20_000)))
	})
	if resp, _ := r.do("HEAD", "/v1/a.csv", nil); resp.ContentLength != 200_000 || resp.StatusCode != http.StatusOK {
		t.Errorf("HEAD: %d, %d bytes", resp.StatusCode, resp.ContentLength)
	}
	resp, text := r.do("GET", "/v1/a.csv", nil, "Range", "bytes=100002-100004")
	if resp.StatusCode != http.StatusPartialContent || text != "234" ||
		resp.Header.Get("Content-Range") != "bytes 100002-100004/200000" {
		t.Errorf("range: %d %q %v", resp.StatusCode, text, resp.Header)
	}
	if resp, text = r.do(
		"GET",
		"/v1/a.csv",
		nil,
		"If-Modified-Since",
		time.Unix(2, 0).UTC().Format(http.TimeFormat),
	); text != "" ||
		resp.StatusCode != http.StatusNotModified {
		t.Errorf("not modified: %d %q", resp.StatusCode, text)
	}
	if resp, text = r.do("GET", "/v1/a.csv", nil); len(text) != 200_000 || resp.StatusCode != http.StatusOK {
		t.Errorf("whole: %d, %d bytes", resp.StatusCode, len(text))
	}
}

// Events are handed on when they come, and an owner learns that the client has gone.
func TestServerSentEvents(t *testing.T) {
	r := newRig(t, nil)
	next, gone := make(chan string), make(chan struct{})
	r.cell(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		for {
			select {
			case text := <-next:
				fmt.Fprint(w, text)
				w.(http.Flusher).Flush()
			case <-q.Context().Done():
				close(gone)
				return
			}
		}
	})
	resp, err := http.Get("http://" + r.at + "/v1/commands?producer=gw")
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(resp.Body)
	for i := range 3 {
		want := fmt.Sprintf("id: %d\n", i)
		next <- want
		if got, err := in.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	resp.Body.Close()
	for {
		select {
		case next <- ": alive\n": // The first one that meets a closed connection tells.
		case <-gone:
			return
		case <-time.After(patience):
			t.Fatal("the owner was not told that the client has gone")
		}
	}
}

// An owner that ends in the middle of an answer is seen as one by the client.
func TestAnswerCutShort(t *testing.T) {
	r := newRig(t, nil)
	r.cell(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/v1/length" {
			w.Header().Set("Content-Length", "1000000")
		}
		fmt.Fprint(w, strings.Repeat("x", 500_000))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	for _, path := range []string{"/v1/length", "/v1/chunks"} {
		if resp, text, err := r.try("GET", path, nil); err == nil {
			t.Errorf("%s: %d bytes with status %d look whole", path, len(text), resp.StatusCode)
		}
	}
}

func TestNoOwner(t *testing.T) {
	r := newRig(t, nil)
	resp, text := r.do("POST", "/v1/events", strings.NewReader(strings.Repeat("x", 3<<20)))
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "cell 0 has no owner now")
	r.board.set(0, "n1", "127.0.0.1:1") // A port of the system's, which nobody is given by chance.
	for _, method := range []string{"POST", "GET"} {
		resp, text = r.do(method, "/v1/events", nil)
		r.wantProblem(resp, text, http.StatusServiceUnavailable, "cannot be reached")
	}
}

// hang takes connections, reads a request from each, and closes it without an answer.
func hang(t *testing.T, then func()) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			q, err := http.ReadRequest(bufio.NewReader(c))
			if err == nil {
				_, _ = io.Copy(io.Discard, q.Body) // What comes is of no interest.
			}
			then()
			_ = c.Close() // As an owner that gives up.
		}
	}()
	return ln.Addr().String()
}

// An owner that had the whole request and did not answer may have done what it says.
func TestNoAnswer(t *testing.T) {
	r := newRig(t, nil)
	after := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, q.URL.Path) }),
	)
	t.Cleanup(after.Close)
	before := hang(t, func() { r.board.set(0, "n2", after.Listener.Addr().String()) })
	for _, tt := range []struct {
		method, path string
		want         string // empty: closed
	}{
		{"POST", "/v1/events", ""},
		{"PUT", "/v1/products/p/plan", ""},
		{"DELETE", "/v1/tokens/t", ""},
		{"GET", "/v1/downloads/TICKET", ""},
		{"GET", "/v1/accounts", "/v1/accounts"},
		{"POST", "/v1/check", "cannot be reached"}, // nothing was counted
	} {
		r.board.set(0, "n1", before)
		_, text, err := r.try(tt.method, tt.path, strings.NewReader(""))
		switch {
		case tt.want == "" && (err == nil || !errors.Is(err, io.EOF)):
			t.Errorf("%s %s: got %q, %v; want a closed connection", tt.method, tt.path, text, err)
		case tt.want != "" && (err != nil || !strings.Contains(text, tt.want)):
			t.Errorf("%s %s: got %q, %v", tt.method, tt.path, text, err)
		}
	}
}

// Who has stopped waiting for a stream is not kept by an owner that says nothing.
func TestStreamEnds(t *testing.T) {
	r := newRig(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	defer close(ended)
	r.board.set(0, "n1", hang(t, func() { cancel(); <-ended }))
	done := make(chan error, 1)
	go func() {
		_, err := r.Stream(ctx, 0, "/inner", nil)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("there was no answer")
		}
	case <-time.After(patience):
		t.Fatal("it is waited for")
	}
}

// Who waits for an owner is not kept waiting by one that was replaced while it is paused.
func TestReplacedWhilePaused(t *testing.T) {
	r := newRig(t, nil)
	paused, came := make(chan struct{}), make(chan struct{}, 2)
	before := hang(t, func() { came <- struct{}{}; <-paused })
	defer close(paused)
	after := httptest.NewServer(
		http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, q.URL.Path) }),
	)
	t.Cleanup(after.Close)
	for method, wantErr := range map[string]bool{"GET": false, "POST": true} {
		r.board.set(0, "n1", before)
		go func() {
			<-came
			r.board.set(0, "n2", after.Listener.Addr().String())
		}()
		if _, text, err := r.try(method, "/v1/accounts", nil); (err != nil) != wantErr {
			t.Errorf("%s: got %q, %v", method, text, err)
		}
		paused <- struct{}{}
	}
}

// An owner that closed an idle connection has not had the request.
func TestIdleLinkClosed(t *testing.T) {
	r := newRig(t, nil)
	s := r.cell(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	for range 5 {
		if resp, text := r.do("POST", "/v1/events", strings.NewReader("x")); text != "ok" {
			t.Fatalf("got %d %s", resp.StatusCode, text)
		}
		s.CloseClientConnections()
	}
}

// A refusal that comes before the body was read reaches the client.
func TestRefusedUnread(t *testing.T) {
	r := newRig(t, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r.board.set(0, "n1", ln.Addr().String())
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = http.ReadRequest(bufio.NewReader(c)) // The header alone.
		fmt.Fprint(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		_ = c.(*net.TCPConn).CloseWrite() // It fails as writing did.
		_, _ = io.CopyN(io.Discard, c, 1<<20)
		_ = c.Close() // In the middle of the body.
	}()
	resp, text := r.do("POST", "/v1/events", io.LimitReader(rand.NewChaCha8([32]byte{}), 64<<20))
	if resp.StatusCode != http.StatusRequestEntityTooLarge || text != "big" {
		t.Errorf("got %d %q", resp.StatusCode, text)
	}
}

// A body that ended too early does not look whole to the cell.
func TestBodyCutShort(t *testing.T) {
	r := newRig(t, nil)
	seen := make(chan error, 1)
	r.cell(func(_ http.ResponseWriter, q *http.Request) {
		_, err := io.ReadAll(q.Body)
		seen <- err
	})
	for _, request := range []string{
		"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n" + strings.Repeat("x", 8999),
		"POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2328\r\n" +
			strings.Repeat("x", 9000) + "\r\n",
	} {
		c, err := net.Dial("tcp", r.at)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, request)
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || !strings.Contains(string(answer), "400 Bad Request") {
			t.Errorf("got %q, %v", answer, err)
		}
		_ = c.Close() // It was read to its end.
		if err := <-seen; err == nil {
			t.Error("the cell takes it for whole")
		}
	}
}

// An event stream is a tunnel.
func TestTunnel(t *testing.T) {
	r := newRig(t, nil)
	ended := make(chan error, 1)
	r.cell(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Upgrade") != "websocket" || q.Header.Get("Sec-Websocket-Key") != "k" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: a\r\n\r\nhello")
		_, err = io.Copy(c, rw)
		ended <- errors.Join(err, c.Close())
	})
	c, err := net.Dial("tcp", r.at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: k\r\n\r\nearly")
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-Websocket-Accept") != "a" ||
		resp.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("got %v, %v", resp, err)
	}
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	expect("helloearly")
	large := strings.Repeat("0123456789", 100_000)
	go fmt.Fprint(c, large)
	expect(large)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
