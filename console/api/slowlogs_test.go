package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/shard/query"
)

// patience is when a test gives up waiting. It bounds a failure and measures nothing.
const patience = time.Minute

// await waits until something is so.
func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); runtime.Gosched() {
		if time.Since(began) > patience {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// watchedQueries counts the scans of the log that are running; with hold they last until their context is over.
type watchedQueries struct {
	Queries
	scans, ended atomic.Int64
	holds        atomic.Bool
}

func (e *watchedQueries) DeviceLog(ctx context.Context, q query.LogQuery, fn func(*query.LogEntry) bool) error {
	e.scans.Add(1)
	defer e.ended.Add(1)
	if e.holds.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return e.Queries.DeviceLog(ctx, q, fn)
}

func (e *watchedQueries) ProductLog(
	ctx context.Context, q query.ProductLogQuery, fn func(*query.LogEntry) bool,
) error {
	e.scans.Add(1)
	defer e.ended.Add(1)
	if e.holds.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return e.Queries.ProductLog(ctx, q, fn)
}

func (e *watchedQueries) running() int64 { return e.scans.Load() - e.ended.Load() }

// narrowBytes is the size of buffers between client and server: far less than a log, and enough for segments of the
// loopback, which is slow with less.
const narrowBytes = 128 << 10

// narrowListener accepts connections with small buffers and counts the writes on them that have not returned.
type narrowListener struct {
	net.Listener
	writing atomic.Int64
}

func (l *narrowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp := c.(*net.TCPConn)
	_ = tcp.SetWriteBuffer(narrowBytes) // A wider one parks a writer later.
	return &narrowConn{tcp, l}, nil
}

type narrowConn struct {
	*net.TCPConn
	l *narrowListener
}

func (c *narrowConn) Write(b []byte) (int, error) {
	c.l.writing.Add(1)
	defer c.l.writing.Add(-1)
	return c.TCPConn.Write(b)
}

// served is a daemon behind a real server on the loopback.
type served struct {
	*daemon
	queries  *watchedQueries
	listener *narrowListener
}

func serve(t *testing.T) *served {
	t.Helper()
	s := &served{queries: &watchedQueries{}}
	s.daemon = newDaemon(t, func(o *Options) {
		s.queries.Queries = o.Queries
		o.Queries = s.queries
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.listener = &narrowListener{Listener: ln}
	server := &fasthttp.Server{Handler: s.handler.Handle, CloseOnShutdown: true, Logger: log.New(io.Discard, "", 0)}
	done := make(chan error, 1)
	go func() { done <- server.Serve(s.listener) }()
	t.Cleanup(func() {
		must(t, server.Shutdown())
		must(t, <-done)
	})
	return s
}

// dial sends a request for the log of d-0, and reads nothing.
func (s *served) dial(query, accept string) *net.TCPConn {
	s.t.Helper()
	return s.dialAt("/v1/products/p/devices/d-0/logs"+query, accept)
}

// dialAt sends a request, and reads nothing of its answer.
func (s *served) dialAt(uri, accept string) *net.TCPConn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	must(s.t, err)
	tcp := conn.(*net.TCPConn)
	s.t.Cleanup(func() { _ = tcp.Close() })
	must(s.t, tcp.SetReadBuffer(narrowBytes))
	_, err = fmt.Fprintf(tcp, "GET %s HTTP/1.1\r\nHost: meterd\r\n"+
		"Authorization: Bearer %s\r\nAccept: %s\r\nConnection: close\r\n\r\n", uri, s.tokens["admin"], accept)
	must(s.t, err)
	return tcp
}

// answerOn reads an answer to its end.
func (s *served) answerOn(r io.Reader) (status int, body string) {
	s.t.Helper()
	a, err := http.ReadResponse(bufio.NewReader(r), nil)
	must(s.t, err)
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	must(s.t, err)
	return a.StatusCode, string(b)
}

// fill gives d-0 a log of about 100 KB an entry.
func (s *served) fill(entries int) {
	s.create(1, "p")
	s.connect("p", 0, 1)
	payload := strings.Repeat("0123456789", 10_000)
	for i := range entries {
		s.submit("", fmt.Sprintf(`{"type":"up","product":"p","device":"d-0","topic":"%d","payload":"%s"}`, i, payload))
	}
}

// Twenty clients that take a log slowly hold nothing of it: nobody scans while they are waited for, the next reader is
// answered, and each of them gets all of its log in the end (R18).
func TestSlowReadersHoldNothing(t *testing.T) {
	s := serve(t)
	const entries, slow = 30, 20
	s.fill(entries)
	var clients [slow]*net.TCPConn
	var begun [slow][1 << 10]byte
	for i := range clients {
		clients[i] = s.dial("", mediaNDJSON)
		_, err := io.ReadFull(clients[i], begun[i][:])
		must(t, err)
	}
	areParked := func() bool { return s.listener.writing.Load() == slow && s.queries.running() == 0 }
	await(t, "all slow clients are waited for", areParked)

	status, whole := s.answerOn(s.dial("", mediaNDJSON))
	if n := strings.Count(whole, "\n"); status != 200 || n != entries+1 { // and the connect
		t.Fatalf("another reader: %d with %d lines", status, n)
	}
	status, page := s.answerOn(s.dial("?limit=2", "application/json"))
	if status != 200 || strings.Count(page, `"decided_at"`) != 2 {
		t.Errorf("a page: %d", status)
	}
	// The kernel may have taken a little more for one of them meanwhile: then it is waited for again.
	await(t, "all slow clients are waited for again", areParked)
	for i, c := range clients {
		status, body := s.answerOn(io.MultiReader(strings.NewReader(string(begun[i][:])), c))
		if status != 200 || body != whole {
			t.Errorf("slow client %d: %d with %d bytes of %d", i, status, len(body), len(whole))
		}
	}
	if scans := s.queries.scans.Load(); scans < slow*entries/3 {
		t.Errorf("%d scans: a page is larger than it may be", scans)
	}
	await(t, "nobody reads", func() bool { return s.handler.readers.count() == 0 })
}

// A page of JSON is bounded in bytes too; its cursor goes on where it ended.
func TestPagesAreBoundedInBytes(t *testing.T) {
	s := serve(t)
	const entries = 25
	s.fill(entries)
	var topics []string
	pages, query := 0, "?limit=1000"
	for query != "" {
		status, body := s.answerOn(s.dial(query, "application/json"))
		if status != 200 || len(body) > logAnswerBytesMax+1<<10 {
			t.Fatalf("page %d: %d with %d bytes", pages, status, len(body))
		}
		pages++
		for _, part := range strings.Split(body, `"topic":"`)[1:] {
			topic, _, _ := strings.Cut(part, `"`)
			topics = append(topics, topic)
		}
		query = ""
		if _, next, ok := strings.Cut(body, `"next":"`); ok {
			query = "?limit=1000&cursor=" + strings.TrimSuffix(next, `"}`)
		}
	}
	want := []string{}
	for i := entries - 1; i >= 0; i-- {
		want = append(want, fmt.Sprint(i))
	}
	if fmt.Sprint(topics) != fmt.Sprint(want) || pages < 3 {
		t.Errorf("%d pages: %v", pages, topics)
	}
}

// A client that has gone ends the search for it, whichever way it asked.
func TestGoneClientEndsTheSearch(t *testing.T) {
	s := serve(t)
	s.fill(1)
	s.queries.holds.Store(true)
	for i, accept := range []string{"application/json", mediaNDJSON} {
		c := s.dial("", accept)
		await(t, "the search runs", func() bool { return s.queries.scans.Load() == int64(i+1) })
		must(t, c.Close())
		await(t, "the search has ended", func() bool { return s.queries.running() == 0 })
	}
	await(t, "nobody reads", func() bool { return s.handler.readers.count() == 0 })
}

// Too many readers at once are refused, each token at its own bound; a search that takes too long says so.
func TestLogReadersAreBounded(t *testing.T) {
	d, queries, _ := faultyDaemon(t)
	logs := request{token: "admin", method: "GET", uri: "/v1/products/p/devices/d-0/logs"}
	refused := func(says string) {
		t.Helper()
		ctx, _ := d.ask(logs)
		var p struct{ Code, Detail string }
		must(t, json.Unmarshal(ctx.Response.Body(), &p))
		if ctx.Response.StatusCode() != 503 || p.Code != "overloaded" || !strings.Contains(p.Detail, says) ||
			len(ctx.Response.Header.Peek("Retry-After")) == 0 {
			t.Errorf("%s", &ctx.Response)
		}
	}
	for range logReadersATokenMax {
		if !d.handler.readers.enter("admin") {
			t.Fatal("refused too early")
		}
	}
	refused("too many logs are being read")
	d.addToken("viewer", access.RoleViewer, "")
	logs.token = "viewer"
	if ctx, _ := d.ask(logs); ctx.Response.StatusCode() != 200 {
		t.Errorf("another token: %s", &ctx.Response)
	}
	for i := d.handler.readers.count(); i < logReadersMax; i++ {
		if !d.handler.readers.enter(fmt.Sprint("t", i%10)) {
			t.Fatal("refused too early")
		}
	}
	refused("too many logs are being read")
	d.handler.readers.leave("t0")
	queries.err = fmt.Errorf("scan: %w", context.DeadlineExceeded)
	refused("name a shorter time")
	if got, want := d.handler.readers.count(), logReadersMax-1; got != want {
		t.Errorf("%d readers, want %d", got, want)
	}
}
