package ingest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// loopDoor is a server in front of an engine. Its clients connect over socket pairs.
type loopDoor struct {
	*guardedDoor
	server *Server
}

func newLoopDoor(t *testing.T) *loopDoor {
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	var err error
	d.server, err = Listen("127.0.0.1:0", nil, Starting, slog.New(slog.DiscardHandler))
	d.must(err)
	d.must(d.server.Open(d.handler))
	d.Cleanup(func() { d.must(d.server.Shutdown(context.Background())) })
	d.ask(d.handler, "gateway", connect("pa"))
	return d
}

// pair returns both ends of a connection.
func pair(t *testing.T) (near net.Conn, far socket) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		near, err = socket(fds[0]).conn()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = near.Close() }) // Some tests close it themselves.
	if err := near.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return near, socket(fds[1])
}

// client is a connection to the server, and what comes from it.
type client struct {
	*loopDoor
	conn net.Conn
	in   *bufio.Reader
}

func (d *loopDoor) client() *client {
	near, far := pair(d.T)
	if !d.server.limit.acquire() {
		d.Fatal("there is no place")
	}
	d.server.dispatcher.assign(far, 0)
	return &client{d, near, bufio.NewReader(near)}
}

// inLoops returns how many connections the loops serve.
func (d *loopDoor) inLoops() (n int64) {
	for _, l := range *d.server.dispatcher.loops.Load() {
		n += l.open.Load()
	}
	return n
}

// request writes a request with a body; lines are more of its header.
func (d *loopDoor) request(contentType, body string, lines ...string) string {
	header := append([]string{
		"Host: meterd", "Authorization: Bearer " + d.secrets["gateway"], "Content-Type: " + contentType,
		"Content-Length: " + strconv.Itoa(len(body)),
	}, lines...)
	return plainLine + strings.Join(header, "\r\n") + "\r\n\r\n" + body
}

const upOfPa = `{"type":"up","product":"pa","device":"d"}`

func (d *loopDoor) up(lines ...string) string { return d.request("application/json", upOfPa, lines...) }

func (c *client) send(text string) {
	c.Helper()
	_, err := io.WriteString(c.conn, text)
	c.must(err)
}

// hear reads an answer.
func (c *client) hear() *fasthttp.Response {
	c.Helper()
	r := &fasthttp.Response{}
	if err := r.Read(c.in); err != nil {
		c.Fatalf("no answer: %v", err)
	}
	return r
}

// ended fails the test unless the connection ends without more bytes.
func (c *client) ended() {
	c.Helper()
	if rest, err := io.ReadAll(c.in); err != nil || len(rest) > 0 {
		c.Fatalf("the connection did not end: %q, %v", rest, err)
	}
}

// left returns how many messages RateLimit says are left.
func left(t *testing.T, r *fasthttp.Response) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(
		string(r.Header.Peek("RateLimit")),
		`"messages";r=%d;`,
		&n,
	); err != nil ||
		r.StatusCode() != 200 {
		t.Fatalf("%v:\n%s", err, r)
	}
	return n
}

// withoutDate is an answer without its times and random parts. fasthttp closes a connection if it has not read the
// body; a loop has read it.
func withoutDate(r *fasthttp.Response) string {
	var kept []string
	for line := range strings.SplitSeq(r.Header.String(), "\r\n") {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Date", "Connection":
		case "Ratelimit", "Retry-After":
			kept = append(kept, name)
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n") + string(r.Body())
}

// A loop gives the same answers as fasthttp. The requests differ only in a header that keeps one from being plain.
func TestLoopAnswersLikeFasthttp(t *testing.T) {
	d := newLoopDoor(t)
	for i, sent := range []func(lines ...string) string{
		d.up,
		func(l ...string) string {
			return d.request("application/json", `{"type":"up","product":"pa","device":"none"}`, l...)
		},
		func(l ...string) string {
			return d.request("application/json", `{"type":"up","product":"px","device":"d"}`, l...)
		},
		func(l ...string) string {
			return d.request("application/json", `{"type":"ota","product":"pa","device":"d","size":5,"id":"u"}`, l...)
		},
		func(l ...string) string {
			return d.request("application/json", `[`+upOfPa+`,{"type":"up"},`+upOfPa+`]`, l...)
		},
		func(l ...string) string { return d.request("application/x-ndjson", upOfPa+"\n"+upOfPa, l...) },
		func(l ...string) string { return d.request("application/x-protobuf", "\x12\x00", l...) },
		func(l ...string) string { return d.request("application/json", `{"type":`, l...) },
		func(l ...string) string { return d.request("application/json", ` `, l...) },
		func(l ...string) string { return d.request("text/plain", upOfPa, l...) },
		func(l ...string) string { return d.up(append(l, "Meterd-Sequence: 1")...) },
		func(l ...string) string { return d.up(append(l, "Meterd-Producer: a b")...) },
		func(l ...string) string { return strings.Replace(d.up(l...), "Bearer ", "Bearer x", 1) },
	} {
		var answers [2]string
		for k, line := range []string{"Connection: keep-alive", "Connection: keep-alive, keep-alive"} {
			c := d.client()
			c.send(sent(line))
			answers[k] = withoutDate(c.hear())
		}
		if answers[0] != answers[1] {
			t.Errorf("request %d: a loop answers\n%s\nfasthttp\n%s", i, answers[0], answers[1])
		}
	}
	c := d.client()
	lines := []string{"Meterd-Producer: again", "Meterd-Sequence: 7"}
	for _, want := range []string{"", "true", "true"} {
		c.send(d.up(lines...))
		if want == "true" { // The next time it is fasthttp's.
			lines = append(lines, "Connection: keep-alive, keep-alive")
		}
		if r := c.hear(); string(r.Header.Peek("Meterd-Replayed")) != want || r.StatusCode() != 200 {
			t.Errorf("replayed: %q wanted\n%s", want, r)
		}
	}
}

// Pipelined requests are answered in their order, also when the connection goes to fasthttp in between.
func TestLoopPipelines(t *testing.T) {
	const requests = 200
	d := newLoopDoor(t)
	c := d.client()
	var all strings.Builder
	for i := range requests {
		all.WriteString(d.up("Meterd-Producer: pipe", "Meterd-Sequence: "+strconv.Itoa(i)))
	}
	for _, kind := range []string{"ota", "ota_void"} { // Aside, for they read the ledger.
		all.WriteString(
			d.request("application/json", `{"type":"`+kind+`","product":"pa","device":"d","size":5,"id":"u"}`),
		)
	}
	all.WriteString(
		"GET /v1/producers/pipe HTTP/1.1\r\nHost: meterd\r\nAuthorization: Bearer " + d.secrets["gateway"] + "\r\n\r\n",
	)
	all.WriteString(d.up())
	c.send(all.String())
	first := left(t, c.hear())
	for i := 1; i < requests; i++ {
		if got := left(t, c.hear()); got != first-i {
			t.Fatalf("answer %d: %d left, %d after the first", i, got, first)
		}
	}
	for range 2 {
		if r := c.hear(); r.StatusCode() != 200 {
			t.Errorf("an upgrade:\n%s", r)
		}
	}
	if r := c.hear(); r.StatusCode() != 200 || !bytes.Contains(r.Body(), []byte(`"last_sequence":199`)) {
		t.Errorf("the producer:\n%s", r)
	}
	if got := left(t, c.hear()); got != first-requests {
		t.Errorf("after fasthttp had the connection: %d left", got)
	}
	if n := d.inLoops(); n != 0 {
		t.Errorf("loops look after %d connections", n)
	}
}

// A request may arrive in pieces: with few of them the loop answers it, with many the connection goes to fasthttp.
func TestLoopWaitsForTheRest(t *testing.T) {
	d := newLoopDoor(t)
	whole := d.up()
	for _, c := range []struct {
		size   int
		inLoop int64
	}{{len(whole)/2 + 1, 1}, {1, 0}} {
		one := d.client()
		for piece := range slices.Chunk([]byte(whole), c.size) {
			one.send(string(piece))
			d.quiet()
		}
		left(t, one.hear())
		one.send(whole)
		left(t, one.hear())
		if n := d.inLoops(); n != c.inLoop {
			t.Errorf("pieces of %d bytes: loops look after %d connections", c.size, n)
		}
		_ = one.conn.Close()
		d.settle(0)
	}
}

// quiet returns when every loop has made a step.
func (d *loopDoor) quiet() {
	c := d.client()
	c.send(d.request("application/json", `{"type":"up","product":"none","device":"d"}`))
	c.hear()
	_ = c.conn.(stream).CloseWrite() // A connection that is broken is seen as well.
	c.ended()
}

// settle waits until the loops serve so many connections.
func (d *loopDoor) settle(connections int64) {
	for range 1000 {
		if d.inLoops() == connections {
			return
		}
		d.quiet()
	}
	d.Fatalf("loops look after %d connections, not %d", d.inLoops(), connections)
}

// A client that closes its sending side still gets the answer, and then the end of the connection. A client that has
// disconnected does no harm.
func TestLoopAndHalfClosedConnections(t *testing.T) {
	d := newLoopDoor(t)
	for _, text := range []string{d.up(), d.up() + d.up(), ""} {
		c := d.client()
		c.send(text)
		d.must(c.conn.(stream).CloseWrite())
		for range strings.Count(text, plainLine) {
			left(t, c.hear())
		}
		c.ended()
	}
	c := d.client()
	c.send(d.up()[:60])
	d.must(c.conn.(stream).CloseWrite())
	if r := c.hear(); r.StatusCode() != 400 {
		t.Errorf("half a request:\n%s", r)
	}
	refused := d.request("application/json", `{"type":"up","product":"none","device":"d"}`)
	for range 20 {
		for _, text := range []string{d.up() + d.up(), strings.Repeat(refused, 100)} {
			c := d.client()
			c.send(text)
			d.must(c.conn.Close())
		}
	}
	c = d.client()
	c.send(d.up())
	left(t, c.hear())
	d.settle(1)
}

// A client that sends much more than it reads is not read from until it has read.
func TestLoopWaitsForTheReader(t *testing.T) {
	const requests = 20_000
	d := newLoopDoor(t)
	c := d.client()
	sent := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(c.conn, 64<<10)
		for range requests {
			if _, err := out.WriteString(
				d.request("application/json", `{"type":"up","product":"none","device":"d"}`),
			); err != nil {
				sent <- err
				return
			}
		}
		sent <- out.Flush()
	}()
	d.quiet() // Others are answered meanwhile.
	for i := range requests {
		if r := c.hear(); r.StatusCode() != 404 {
			t.Fatalf("answer %d:\n%s", i, r)
		}
	}
	d.must(<-sent)
	if n := d.inLoops(); n != 1 {
		t.Errorf("loops look after %d connections", n)
	}
}

// Shutdown answers every request that was decided: the answered events are exactly the counted ones.
func TestLoopShutsDown(t *testing.T) {
	const clients = 40
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	var err error
	d.server, err = Listen("127.0.0.1:0", nil, Starting, slog.New(slog.DiscardHandler))
	d.must(err)
	d.must(d.server.Open(d.handler))
	d.ask(d.handler, "gateway", connect("pa"))
	var all sync.WaitGroup
	heard := make([]int, clients)
	running := make(chan struct{}, clients)
	for i := range clients {
		c := d.client()
		all.Go(func() {
			for n := 0; ; n++ {
				if n == 3 {
					running <- struct{}{}
				}
				if _, err := io.WriteString(c.conn, d.up()); err != nil {
					return
				}
				var r fasthttp.Response
				if err := r.Read(c.in); err != nil {
					return // Not even begun, or the test fails below.
				}
				if r.StatusCode() == 200 {
					heard[i]++
				}
			}
		})
	}
	for range clients {
		<-running
	}
	idle := d.client()
	d.must(d.server.Shutdown(context.Background()))
	all.Wait()
	idle.ended()
	sum := 0
	for _, n := range heard {
		sum += n
	}
	if r := d.ask(d.handler, "gateway", "POST /v1/events "+upOfPa); 1_500-left(t, &r.Response)-1 != sum {
		t.Errorf("%d answers were heard, left is %s", sum, r.Response.Header.Peek("RateLimit"))
	}
}

// Connections that take too long are closed or go to fasthttp.
func TestLoopSweeps(t *testing.T) {
	d := newGuardedDoor(t)
	door := &dispatcher{limit: &connLimit{max: 2}, forHTTP: make(chan net.Conn, 2), closing: make(chan struct{})}
	l, err := newLoop(d.handler, door)
	d.must(err)
	look := func(text string) net.Conn {
		near, far := pair(t)
		_, err := io.WriteString(near, text)
		d.must(err)
		l.add(far)
		return near
	}
	silent, begun := look(""), look("POST ")
	l.step()
	began := l.now
	l.now = began.Add(sweepEvery)
	l.sweep()
	if len(door.forHTTP) != 1 || l.open.Load() != 1 {
		t.Fatalf("after a second: %d handed over, %d open", len(door.forHTTP), l.open.Load())
	}
	handed := <-door.forHTTP
	_, err = io.WriteString(begun, "/v1")
	d.must(err)
	b := make([]byte, 20)
	for want := range slices.Values([]string{"POST ", "/v1"}) {
		if n, err := handed.Read(b); string(b[:n]) != want || err != nil {
			t.Errorf("fasthttp reads %q, %v", b[:n], err)
		}
	}
	l.now = began.Add(readTimeout - 1)
	if l.sweep(); l.open.Load() != 1 {
		t.Error("it was closed too early")
	}
	l.now = began.Add(readTimeout)
	if l.sweep(); l.open.Load() != 0 {
		t.Error("it is still open after a minute")
	}
	if n, err := silent.Read(b); n != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
		t.Errorf("%d bytes, %v", n, err)
	}
	d.must(handed.Close())
	l.poller.close()
}
