package ingest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/commands"
)

// serve opens the door on a loopback address.
func (d *guardedDoor) serve() (base string) {
	d.Helper()
	s, err := Listen("127.0.0.1:0", nil, d.handler.Handle, slog.New(slog.DiscardHandler))
	d.must(err)
	d.Cleanup(func() {
		select {
		case <-d.handler.streams.closing:
		default:
			d.handler.Close()
		}
		d.must(s.Shutdown(context.Background()))
	})
	return "http://" + s.Address().String()
}

// serveInLoops is serve with loops, as the daemon without TLS has them. Without loops, streams are relayed.
func (d *guardedDoor) serveInLoops() (base string) {
	d.Helper()
	s, err := Listen("127.0.0.1:0", nil, d.handler.Handle, slog.New(slog.DiscardHandler))
	d.must(err)
	d.must(s.Open(d.handler))
	d.Cleanup(func() { d.must(s.Shutdown(context.Background())) })
	return "http://" + s.Address().String()
}

// hear opens a command stream over HTTP; the caller reads its body and closes it.
func (d *guardedDoor) hear(base, token, query, after string) *http.Response {
	d.Helper()
	ctx, stop := context.WithCancel(context.Background())
	d.Cleanup(stop)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/commands"+query, http.NoBody)
	d.must(err)
	req.Header.Set("Authorization", "Bearer "+d.secrets[token])
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	d.must(err)
	d.Cleanup(func() { _ = resp.Body.Close() }) // It is read no more.
	return resp
}

// blocks reads n events of a stream as they stand on the wire, without the blank line behind each; comments are left
// out.
func (d *guardedDoor) blocks(body io.Reader, n int) (list []string) {
	d.Helper()
	lines := bufio.NewScanner(body)
	block := ""
	for len(list) < n && lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, ":"):
		case line != "":
			block += line + "\n"
		case block != "":
			list, block = append(list, block), ""
		}
	}
	if len(list) < n {
		d.Fatalf("the stream ended behind %q: %v", list, lines.Err())
	}
	return list
}

// connects connects a device in the name of a producer.
func (d *guardedDoor) connects(token, producer, product, device string) {
	d.Helper()
	r := &shard.Request{
		Batch:    &event.Batch{},
		Producer: []byte(producer),
		Account:  d.engine.Catalogue().Token(token).AccountID,
	}
	if p := wire.DecodeNDJSON(
		r.Batch,
		fmt.Appendf(nil, `{"type":"connect","product":%q,"device":%q}`, product, device),
	); p != nil {
		d.Fatal(p)
	}
	d.must(d.engine.Submit(r))
	if r.Result.Accepted != 1 {
		d.Fatalf("%s: %+v", device, r.Result)
	}
}

// putOffline suspends a product, which disconnects its devices, and lets it go.
func (d *guardedDoor) putOffline(product string) {
	d.Helper()
	for _, on := range []bool{true, false} {
		d.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.SuspendProduct(by, product, on)
			return next, ch, err
		})
	}
}

func (d *guardedDoor) credit(product, order string) {
	d.Helper()
	d.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.ApplyCredit(by, product, license.Credit{Order: order, Quantity: 1})
		return next, ch, err
	})
}

// A stream over a real connection: the form of its events, which commands it has, and that it resumes after an id.
func TestCommandStream(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serve()
	d.connects("gateway", "gw-1", "pa", "held")
	d.connects("gateway", "", "pa", "free")
	d.connects("gateway", "gw-1", "pz", "foreign")
	streams := map[string]io.Reader{}
	for name, who := range map[string][2]string{
		"holder": {"gateway", "?producer=gw-1"}, "other": {"gateway", "?producer=gw-2"}, "all": {"gateway", ""},
		"acme": {"gateway-of-acme", ""}, "namesake": {"gateway-of-acme", "?producer=gw-1"},
	} {
		resp := d.hear(base, who[0], who[1], "")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" ||
			resp.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v", name, resp.StatusCode, resp.Header)
		}
		streams[name] = resp.Body
	}
	d.putOffline("pa")
	d.putOffline("pz")
	d.credit("pz", "PO-1")
	d.credit("pa", "PO-2")
	disconnect := func(product, device string) string {
		return fmt.Sprintf(
			"event: disconnect\ndata: {\"product\":%q,\"device\":%q,\"reason\":\"suspended\"}\n",
			product,
			device,
		)
	}
	refresh := func(product string) string { return fmt.Sprintf("event: refresh\ndata: {\"product\":%q}\n", product) }
	held, free, foreign := disconnect("pa", "held"), disconnect("pa", "free"), disconnect("pz", "foreign")
	var all []string
	for name, want := range map[string][]string{
		"holder":   {held, free, foreign, refresh("pz"), refresh("pa")},
		"other":    {free, refresh("pz"), refresh("pa")},
		"all":      {held, free, foreign, refresh("pz"), refresh("pa")},
		"acme":     {held, free, refresh("pa")},
		"namesake": {free, refresh("pa")}, // A producer of that name in the account's own space holds nothing.
	} {
		blocks := d.blocks(streams[name], len(want))
		if name == "all" {
			all = blocks
		}
		if got := withoutIDs(t, blocks); !slices.Equal(got, sorted(want)) {
			t.Errorf("%s heard %q, want %q", name, got, want)
		}
	}
	// Behind an id comes what came behind it, though credits may come before disconnects now.
	for i, block := range all[:4] {
		id := strings.TrimPrefix(strings.Split(block, "\n")[0], "id: ")
		got, want := withoutIDs(t, d.blocks(d.hear(base, "gateway", "", id).Body, 4-i)), withoutIDs(t, all[i+1:])
		if !slices.Equal(got, want) {
			t.Errorf("behind %s: %q, want %q", id, got, want)
		}
	}
}

// withoutIDs returns the events without their first lines, which must be ids, sorted: devices of a product are put
// offline in no particular order.
func withoutIDs(t *testing.T, blocks []string) (list []string) {
	t.Helper()
	for _, block := range blocks {
		id, rest, ok := strings.Cut(block, "\n")
		if !ok || !strings.HasPrefix(id, "id: ") {
			t.Errorf("an event without an id: %q", block)
		}
		list = append(list, rest)
	}
	return sorted(list)
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// Requests for a stream that are refused; none of them counts as an open stream.
func TestCommandStreamRefuses(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serve()
	refused := func(want int, code, query, after string) {
		t.Helper()
		resp := d.hear(base, "gateway", query, after)
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want || !strings.Contains(string(body), `"code":"`+code+`"`) {
			t.Errorf("%s behind %q: %d %s %v, want %d %s", query, after, resp.StatusCode, body, err, want, code)
		}
	}
	for _, query := range []string{"?producer=", "?producer=a%20b", "?producer=" + strings.Repeat("a", 65)} {
		refused(400, "invalid_argument", query, "")
	}
	d.handler.streams.open.Store(streamsMax)
	refused(503, "overloaded", "", "")
	d.handler.streams.open.Store(streamsMax - 1)
	d.credit("pa", "PO-1")
	if got := d.blocks(d.hear(base, "gateway", "", "none").Body, 1); !strings.Contains(got[0], `{"product":"pa"}`) {
		t.Errorf("the last place: %q", got)
	}
}

// An id that this daemon never sent counts as none: the kept commands are sent, and every refresh.
func TestCommandStreamBehindAnUnknownID(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serve()
	d.connects("gateway", "gw-1", "pa", "held")
	d.credit("pa", "PO-1")
	d.putOffline("pa")
	all := d.blocks(d.hear(base, "gateway", "", "none").Body, 2)
	tag, _, _ := strings.Cut(strings.TrimPrefix(all[1], "id: "), ".")
	for _, id := range []string{
		"1", "1.", ".1", "1.2", "a.b", "-1.0", "1.2.3", tag + ".0", tag + ".0.", tag + ".0.0.0", tag + ".-1.0",
		tag + ".00.0", tag + ".18446744073709551616.0", tag + ".0.2", tag + ".1000.0", "f" + tag + ".0.0",
		strings.ToUpper("f0f0f0f0") + ".0.0",
	} {
		if got := d.blocks(d.hear(base, "gateway", "", id).Body, 2); !slices.Equal(got, all) {
			t.Errorf("behind %s: %q, want %q", id, got, all)
		}
	}
	last := strings.TrimPrefix(strings.Split(all[1], "\n")[0], "id: ")
	resp := d.hear(base, "gateway", "", last)
	d.handler.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || strings.Contains(string(said), "event:") {
		t.Errorf("behind the last id: %q, %v", said, err)
	}
}

// When the daemon stops, its streams end.
func TestCommandStreamsEndWithTheDaemon(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serve()
	resp := d.hear(base, "gateway", "", "")
	d.handler.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("a stream that the daemon ended: %v", err)
	}
}

// toldEngine returns the commands that a test gives it.
type toldEngine struct {
	Engine // nil: a stream asks nothing else
	cat    *license.Catalogue
	list   []shard.Command
	more   chan struct{}
}

func (e *toldEngine) Catalogue() *license.Catalogue { return e.cat }
func (e *toldEngine) NowMs() int64                  { return time.Now().UnixMilli() }

func (e *toldEngine) Commands(
	after commands.Place,
	_ shard.Listener,
) ([]shard.Command, commands.Place, <-chan struct{}, error) {
	at, _ := slices.BinarySearchFunc(
		e.list,
		after.Command+1,
		func(c shard.Command, n uint64) int { return int(c.Place.Command) - int(n) },
	)
	list := e.list[at:min(at+500, len(e.list))]
	if len(list) > 0 {
		after = list[len(list)-1].Place
	}
	return list, after, e.more, nil
}

// newTold returns a stream of n commands, behind command from, to a client at the other end of a pipe.
func newTold(
	t *testing.T,
	n int,
	from uint64,
	validity time.Duration,
) (s *commandStream, client net.Conn, done chan struct{}) {
	t.Helper()
	e := &toldEngine{cat: license.New("default", time.Hour), more: make(chan struct{})}
	token := access.Token{Name: "gw", Role: access.RoleGateway}
	if validity > 0 {
		token.ExpiresAtMs = time.Now().Add(validity).UnixMilli()
	}
	var err error
	if e.cat, _, err = e.cat.CreateToken(license.Actor{}, token); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		e.list = append(e.list, shard.Command{
			Place: commands.Place{
				Command: uint64(i + 1),
			},
			Product: "p",
			Device:  fmt.Sprint("d", i),
			Reason:  event.LicenseExhausted,
		})
	}
	near, far := net.Pipe()
	h := &Handler{engine: e}
	h.streams.closing = make(chan struct{})
	h.streams.open.Add(1)
	s = &commandStream{h: h, token: e.cat.Token("gw"), conn: near, place: commands.Place{Command: from}}
	done = make(chan struct{})
	go func() {
		defer close(done)
		s.run(bufio.NewWriter(near))
		if err := near.Close(); err != nil {
			t.Error(err)
		}
	}()
	return s, far, done
}

// A silent stream sends a comment every fifteen seconds, so that both sides notice a dead connection.
func TestCommandStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client, done := newTold(t, 0, 0, 0)
		began := time.Now()
		lines := bufio.NewScanner(client)
		for i, want := range []string{": meterd", "", ": alive", "", ": alive", "", ": alive"} {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("line %d is %q, want %q", i, lines.Text(), want)
			}
			if passed := time.Since(began); passed != time.Duration(i/2)*heartbeatEvery {
				t.Errorf("line %d came after %s", i, passed)
			}
		}
		go func() { _, _ = io.Copy(io.Discard, client) }() // Until the stream ends.
		close(s.h.streams.closing)
		<-done
		if n := s.h.streams.open.Load(); n != 0 {
			t.Errorf("%d streams are open", n)
		}
	})
}

// A client that reads nothing is disconnected. When it connects again it gets the rest, from the last complete event
// on.
func TestSlowReaderIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		s, client, done := newTold(t, n, 0, 0)
		began := time.Now()
		lines, last := bufio.NewScanner(client), uint64(0)
		for last < 700 && lines.Scan() {
			last = max(last, idOf(t, lines.Text()))
		}
		<-done // It reads no more.
		if waited := time.Since(began); waited != streamWriteTimeout {
			t.Errorf("it was dropped after %s, want %s", waited, streamWriteTimeout)
		}
		if open := s.h.streams.open.Load(); last != 700 || open != 0 {
			t.Fatalf("it heard %d, and %d streams are open", last, open)
		}
		s, client, done = newTold(t, n, last, 0)
		lines = bufio.NewScanner(client)
		for last < n && lines.Scan() {
			if id := idOf(t, lines.Text()); id > 0 {
				if id != last+1 {
					t.Fatalf("behind %d comes %d", last, id)
				}
				last = id
			}
		}
		go func() { _, _ = io.Copy(io.Discard, client) }() // Until the stream ends.
		close(s.h.streams.closing)
		<-done
	})
}

// idOf returns the sequence of a line that is an id, 0 of another one.
func idOf(t *testing.T, line string) uint64 {
	t.Helper()
	text, ok := strings.CutPrefix(line, "id: 00000000.0.")
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A silent stream ends when its token expires.
func TestCommandStreamEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, done := newTold(t, 1, 0, 40*time.Second)
		began := time.Now()
		said, err := io.ReadAll(client)
		<-done
		if err != nil || strings.Count(string(said), ": alive") != 2 ||
			strings.Count(string(said), "event: disconnect") != 1 {
			t.Errorf("it said %q, %v", said, err)
		}
		if lived := time.Since(began); lived < 40*time.Second || lived > 40*time.Second+2*time.Millisecond {
			t.Errorf("it ended after %s", lived)
		}
	})
}
