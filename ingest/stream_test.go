package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	library "github.com/fasthttp/websocket"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
)

// streamClient is a stock WebSocket client on an event stream.
type streamClient struct {
	*guardedDoor
	conn    *library.Conn
	welcome wire.Welcome
}

// dialStream opens a stream; header lines are NAME: VALUE.
func (d *guardedDoor) dialStream(base, token, query string, lines ...string) (*library.Conn, *http.Response, error) {
	header := http.Header{"Authorization": {"Bearer " + d.secrets[token]}}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
	}
	dialer := library.Dialer{Subprotocols: []string{streamProtocol}}
	return dialer.Dial("ws"+strings.TrimPrefix(base, "http")+"/v1/stream"+query, header)
}

// openStream opens a stream and reads the welcome.
func (d *guardedDoor) openStream(base, token, query string, lines ...string) *streamClient {
	d.Helper()
	conn, resp, err := d.dialStream(base, token, query, lines...)
	d.must(err)
	d.must(resp.Body.Close())
	d.Cleanup(func() { _ = conn.Close() }) // Some tests close it themselves.
	d.must(conn.SetReadDeadline(time.Now().Add(patience)))
	c := &streamClient{guardedDoor: d, conn: conn}
	f := c.next()
	if f.Kind != wire.FrameWelcome {
		d.Fatalf("the first frame is %+v", f)
	}
	c.welcome, err = wire.DecodeWelcome(f.Body)
	d.must(err)
	return c
}

// next reads a frame.
func (c *streamClient) next() wire.Frame {
	c.Helper()
	kind, message, err := c.conn.ReadMessage()
	c.must(err)
	f, err := wire.DecodeFrame(message)
	if err != nil || kind != library.BinaryMessage {
		c.Fatalf("message %d %x: %v", kind, message, err)
	}
	return f
}

func (c *streamClient) frame(f wire.Frame) {
	c.Helper()
	c.must(c.conn.WriteMessage(library.BinaryMessage, wire.AppendFrame(nil, &f)))
}

func (c *streamClient) send(sequence uint64, batch []byte) {
	c.Helper()
	c.frame(wire.Frame{Sequence: sequence, Kind: wire.FrameBatch, Body: batch})
}

// said reads a frame and puts it into words.
func (c *streamClient) said() string {
	c.Helper()
	f := c.next()
	text := ""
	switch f.Kind {
	case wire.FrameAnswer:
		var a wire.Answer
		c.must(a.Decode(f.Body))
		text = fmt.Sprintf("%d: accepted %d", f.Sequence, a.Accepted)
		for _, denied := range a.Denied {
			text += fmt.Sprintf(", %d %s", denied.Index, denied.Code)
		}
		if f.Replayed {
			text += ", replayed"
		}
	case wire.FrameProblem:
		p, err := wire.DecodeRefusal(f.Body)
		c.must(err)
		text = fmt.Sprintf("%d: %d %s", f.Sequence, p.Status, p.Code)
		if (p.RetryAfterMs > 0) != (p.Status == 503) {
			c.Errorf("%+v", p)
		}
	case wire.FrameCommand:
		m, err := wire.DecodeCommand(f.Body)
		c.must(err)
		text = strings.Join(strings.Fields(strings.Join([]string{m.Type, m.Product, m.Device, m.Reason}, " ")), " ")
	case wire.FrameCredit:
		n, err := wire.DecodeCount(f.Body)
		c.must(err)
		text = fmt.Sprintf("credit %d", n)
	}
	return text
}

func (c *streamClient) expect(want ...string) {
	c.Helper()
	for _, w := range want {
		if got := c.said(); got != w {
			c.Fatalf("%q came, want %q", got, w)
		}
	}
}

// closed reads up to the close frame, passing over answers.
func (c *streamClient) closed(code int, part string) {
	c.Helper()
	for {
		_, _, err := c.conn.ReadMessage()
		if err == nil {
			continue
		}
		var e *library.CloseError
		if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Text, part) {
			c.Fatalf("the stream ended with %v, want %d %q", err, code, part)
		}
		return
	}
}

// streamBatch makes a batch: TYPE PRODUCT DEVICE each.
func streamBatch(events ...string) (batch []byte) {
	text := func(n protowire.Number, s string) {
		batch = protowire.AppendString(protowire.AppendTag(batch, n, protowire.BytesType), s)
	}
	var types []byte
	for _, e := range events {
		f := strings.Fields(e)
		text(1, f[1])
		text(2, f[2])
		types = append(types, byte(event.ParseType([]byte(f[0]))))
	}
	return protowire.AppendBytes(protowire.AppendTag(batch, 3, protowire.BytesType), types)
}

// bothWays runs check with streams on sockets, which loops serve, and with streams that are relayed, as with TLS.
func bothWays(t *testing.T, check func(d *guardedDoor, base string)) {
	t.Run("socket", func(t *testing.T) {
		d := newGuardedDoor(t)
		check(d, d.serveInLoops())
	})
	t.Run("relayed", func(t *testing.T) {
		d := newGuardedDoor(t)
		check(d, d.serve())
	})
}

// Batches are answered in their order, with sequences exactly as over HTTP, and what is refused alone leaves the stream
// open.
func TestStream(t *testing.T) { bothWays(t, checkStream) }

func checkStream(d *guardedDoor, base string) {
	c := d.openStream(base, "gateway", "?producer=gw-1")
	if w := c.welcome; w.HasSequences || w.Credit != 64 || w.EventsMax != 65536 || w.IdleMs != 60_000 {
		d.Errorf("the welcome is %+v", w)
	}
	first := streamBatch("connect pa d1", "up pa d1", "up pa d2", "up py d1")
	c.send(7, first)
	c.send(8, streamBatch("up pa d1"))
	c.send(0, streamBatch("down pa d1"))
	c.send(7, first)
	c.send(7, streamBatch("up pa d1"))
	c.send(9, []byte{0xff})
	c.send(9, nil)
	c.send(9, streamBatch("up pa d1", "up pa d1"))
	c.expect("7: accepted 2, 2 not_activated, 3 unknown_product", "8: accepted 1", "0: accepted 1",
		"7: accepted 2, 2 not_activated, 3 unknown_product, replayed", "7: 422 sequence_reused", "9: 400 bad_request",
		"9: 400 bad_request", "9: accepted 2")
	for n := uint64(1000); n < 1400; n++ {
		c.send(n, streamBatch("up pa d1"))
		c.expect(fmt.Sprint(n, ": accepted 1"))
	}
	c.send(7, first)
	c.expect("7: 409 sequence_too_old")
	other := d.openStream(base, "gateway", "", "Meterd-Producer: gw-1")
	if w := other.welcome; !w.HasSequences || w.LastSequence != 1399 || w.OldestRemembered == 0 {
		d.Errorf("the second welcome is %+v", w)
	}
	other.send(1399, streamBatch("up pa d1"))
	other.expect("1399: accepted 1, replayed")
	nameless := d.openStream(base, "gateway", "")
	nameless.send(1, first)
	nameless.send(0, first)
	nameless.expect("1: 400 invalid_argument", "0: accepted 2, 2 not_activated, 3 unknown_product")
	bound := d.openStream(base, "gateway-of-acme", "?producer=gw-1")
	bound.send(7, streamBatch("up pa d1", "up pz d1"))
	bound.expect("7: accepted 1, 1 unknown_product")
	d.must(c.conn.WriteControl(library.PingMessage, []byte("are you there"), time.Now().Add(patience)))
	c.conn.SetPongHandler(func(said string) error {
		if said != "are you there" {
			d.Errorf("the pong is %q", said)
		}
		return c.conn.WriteControl(library.CloseMessage, library.FormatCloseMessage(1000, "done"), time.Now().Add(patience))
	})
	c.closed(1000, "")
}

// Commands come on the stream, in order, and go on behind an id after it was opened again. Without acks no more come
// than were promised; answers do.
func TestStreamCommands(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serveInLoops()
	c := d.openStream(base, "gateway", "?producer=gw-1")
	other := d.openStream(base, "gateway", "?producer=gw-2")
	c.send(0, streamBatch("connect pa d1", "connect pa d2", "connect pz d1"))
	c.expect("0: accepted 3")
	d.putOffline("pa")
	d.credit("pz", "PO-1")
	c.expect("disconnect pa d1 suspended", "disconnect pa d2 suspended")
	f := c.next()
	m, err := wire.DecodeCommand(f.Body)
	if err != nil || m.Type != "refresh" || m.Product != "pz" {
		t.Fatalf("%+v, %v", m, err)
	}
	other.expect("refresh pz")
	d.credit("pa", "PO-2")
	c.expect("refresh pa")
	again := d.openStream(base, "gateway", "?producer=gw-1&last_command="+m.ID)
	again.expect("refresh pa")
	later := d.openStream(base, "gateway", "?producer=gw-1", "Last-Event-ID: "+m.ID)
	later.expect("refresh pa")

	for i := range streamCommandsCredit { // One was sent before.
		d.credit("pa", fmt.Sprint("more-", i))
	}
	for range streamCommandsCredit - 1 {
		later.expect("refresh pa")
	}
	later.send(0, streamBatch("up pa d1"))
	later.expect("0: accepted 1")
	later.frame(wire.Frame{Kind: wire.FrameAck, Body: wire.AppendCount(nil, streamCommandsCredit)})
	later.expect("refresh pa")
}

// Whoever breaks the protocol is told what is wrong, and disconnected.
func TestStreamHostile(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serveInLoops()
	for name, c := range map[string]struct {
		raw  string
		code int
		part string
	}{
		"no frame":               {"\xff\xff", 1002, "no WebSocket frame"},
		"not masked":             {"\x82\x01a", 1002, "masked"},
		"a text":                 {"\x81\x81\x00\x00\x00\x00a", 1003, "binary"},
		"too large":              {"\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00", 1009, "67108"},
		"a fragment of nothing":  {"\x80\x80\x00\x00\x00\x00", 1002, "fragment"},
		"a message in a message": {"\x02\x81\x00\x00\x00\x00a\x82\x80\x00\x00\x00\x00", 1002, "message"},
		"no Frame":               {"\x82\x81\x00\x00\x00\x00a", 1007, "meterd.v1.Frame"},
		"an empty message":       {"\x82\x80\x00\x00\x00\x00", 1007, "nothing"},
		"a frame of meterd's":    {"\x82\x82\x00\x00\x00\x00\x32\x00", 1008, "batches and acks"},
		"an ill ack":             {"\x82\x83\x00\x00\x00\x00\x42\x01\xff", 1007, "Ack"},
		"an ill close":           {"\x88\x81\x00\x00\x00\x00a", 1002, "close"},
		"a good close":           {"\x88\x82\x00\x00\x00\x00\x03\xe9", 1001, ""},
	} {
		s := d.openStream(base, "gateway", "")
		if _, err := s.conn.NetConn().Write([]byte(c.raw)); err != nil {
			t.Fatal(err)
		}
		t.Log(name)
		s.closed(c.code, c.part)
	}
	for name, c := range map[string]struct {
		token, query string
		header       string
		status       int
	}{
		"a wrong token":        {"wrong", "", "X: y", 401},
		"a viewer":             {"viewer", "", "X: y", 403},
		"an ill producer":      {"gateway", "?producer=a%20b", "X: y", 400},
		"an empty producer":    {"gateway", "?producer=", "X: y", 400},
		"two producers":        {"gateway", "?producer=a", "Meterd-Producer: b", 400},
		"another origin":       {"gateway", "", "Origin: http://elsewhere", 101},
		"no protocol of ours":  {"gateway", "", "Sec-WebSocket-Protocol: x", 400},
		"the same name, twice": {"gateway", "?producer=a", "Meterd-Producer: a", 101},
	} {
		dialer := library.Dialer{}
		header := http.Header{"Authorization": {"Bearer " + d.secrets[c.token]}, "Sec-Websocket-Protocol": {"x, meterd.v1"}}
		key, value, _ := strings.Cut(c.header, ": ")
		header.Set(key, value)
		conn, resp, err := dialer.Dial("ws"+strings.TrimPrefix(base, "http")+"/v1/stream"+c.query, header)
		if conn != nil {
			conn.Close()
		}
		if resp == nil || resp.StatusCode != c.status || (err == nil) != (c.status == 101) {
			t.Errorf("%s: %v, %v", name, resp, err)
		}
	}
	for _, call := range []string{"POST /v1/stream x", "GET /v1/stream"} {
		if ctx := d.ask(d.handler, "gateway", call); ctx.Response.StatusCode()/100 != 4 {
			t.Errorf("%s: %s", call, said(ctx))
		}
	}
}

// A client that has more in flight than its credit is disconnected, after what was decided before is answered; nothing
// beyond was decided.
func TestStreamCredit(t *testing.T) {
	d := newGuardedDoor(t)
	d.serveInLoops()
	near, far := pair(t)
	conn, err := far.conn()
	d.must(err)
	s := newEventStream(d.handler, d.engine.Catalogue().Token("gateway"), []byte("gw-1"))
	s.start(conn)
	d.disk.busy.Lock()
	for n := range uint64(streamCredit + 1) {
		_, err := near.Write(rawBatch(n+1, streamBatch("connect pa d1")))
		d.must(err)
	}
	<-s.over
	d.disk.busy.Unlock()
	_, err = near.Write([]byte("\x88\x80\x00\x00\x00\x00")) // The close frame.
	d.must(err)
	all, err := io.ReadAll(near)
	d.must(err)
	var kinds []wire.FrameKind
	last, reason := uint64(0), ""
	for len(all) > 0 {
		h, n, err := websocket.ParseHeader(all)
		d.must(err)
		payload := all[n : n+int(h.Length)]
		if all = all[n+int(h.Length):]; h.Opcode == websocket.Close {
			_, reason, err = websocket.ParseClose(payload)
			d.must(err)
			continue
		}
		f, err := wire.DecodeFrame(payload)
		d.must(err)
		kinds, last = append(kinds, f.Kind), f.Sequence
	}
	if len(kinds) != 1+streamCredit || last != streamCredit || !strings.Contains(reason, "64 batches wait") {
		t.Errorf("%d up to %d, closed as %q", kinds, last, reason)
	}
	if known, _, err := d.engine.Sequences(0, "gw-1"); err != nil || known.Last != streamCredit {
		t.Errorf("%+v, %v", known, err)
	}
	<-d.handler.events.ended()
	if used := d.handler.admission.used.Load(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}

// rawBatch returns a batch as a client sends it: masked, with zeros.
func rawBatch(sequence uint64, batch []byte) []byte {
	f := wire.Frame{Sequence: sequence, Kind: wire.FrameBatch, Body: batch}
	h := websocket.Header{Opcode: websocket.Binary, Final: true, Masked: true, Length: uint64(f.Bytes())}
	return wire.AppendFrame(websocket.AppendHeader(nil, h), &f)
}

// A message in fragments is one message, also with a ping between them and if they arrive byte by byte.
func TestStreamFragments(t *testing.T) {
	d := newGuardedDoor(t)
	c := d.openStream(d.serveInLoops(), "gateway", "?producer=gw-1")
	message := wire.AppendFrame(nil, &wire.Frame{Sequence: 3, Kind: wire.FrameBatch, Body: streamBatch("connect pa d1")})
	var raw []byte
	for i, b := range message {
		head := []byte{0, 0x81, 0, 0, 0, 0}
		if i == 0 {
			head[0] = 2
		}
		if i == len(message)-1 {
			head[0] |= 0x80
		}
		raw = append(append(raw, head...), b)
		raw = append(raw, "\x89\x80\x00\x00\x00\x00"...)
	}
	for i := range raw {
		if _, err := c.conn.NetConn().Write(raw[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	c.expect("3: accepted 1")
}

// Batches of all sizes, many at a time, arrive whole and in order; the buffers that grow for them are given back.
func TestStreamLargeBatches(t *testing.T) { bothWays(t, checkLargeBatches) }

func checkLargeBatches(d *guardedDoor, base string) {
	c := d.openStream(base, "gateway", "?producer=gw-1")
	c.send(1, streamBatch("connect pa d1"))
	c.expect("1: accepted 1")
	sizes := []int{1, 1000, 1, 30_000, 30_000, 700, 700, 65_536, 65_536, 2, 1000, 1000, 1000, 1000, 1}
	for n, events := range sizes {
		batch := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "pa")
		batch = protowire.AppendString(protowire.AppendTag(batch, 2, protowire.BytesType), "d1")
		types := bytes.Repeat([]byte{byte(event.Up)}, events)
		c.send(uint64(10+n), protowire.AppendBytes(protowire.AppendTag(batch, 3, protowire.BytesType), types))
	}
	for n, events := range sizes {
		f := c.next()
		var a wire.Answer
		if err := a.Decode(f.Body); err != nil || f.Sequence != uint64(10+n) ||
			int(a.Accepted)+len(a.Denied) != events {
			d.Fatalf("%d of %d: %d accepted, %d denied, %v", f.Sequence, events, a.Accepted, len(a.Denied), err)
		}
	}
	d.must(c.conn.Close())
	<-d.handler.events.ended()
	if used := d.handler.admission.used.Load(); used != 0 {
		d.Errorf("%d bytes are still charged", used)
	}
}

// A token that is deleted ends its stream at once, though nothing is sent on it, and decides nothing.
func TestStreamRevoked(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serveInLoops()
	idle := d.openStream(base, "gateway-of-acme", "?producer=gw-1")
	other := d.openStream(base, "gateway", "")
	d.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.DeleteToken(by, "gateway-of-acme")
	})
	idle.closed(1008, "token")
	other.send(0, streamBatch("connect pa d1"))
	other.expect("0: accepted 1")
}

// When the daemon stops, what was decided is answered, and streams end with 1001.
func TestStreamEndsWithTheDaemon(t *testing.T) { bothWays(t, checkStreamEnds) }

func checkStreamEnds(d *guardedDoor, base string) {
	c := d.openStream(base, "gateway", "?producer=gw-1")
	idle := d.openStream(base, "gateway", "")
	d.disk.busy.Lock()
	c.send(1, streamBatch("connect pa d1"))
	c.send(2, streamBatch("up pa d1"))
	for d.handler.admission.used.Load() < 2*costMin-costFactor { // Until both are decided, or about to be.
		runtime.Gosched()
	}
	d.handler.Close()
	idle.closed(1001, "connect again")
	d.disk.busy.Unlock()
	c.expect("1: accepted 1", "2: accepted 1")
	c.closed(1001, "connect again")
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	d.handler.Finish(ctx)
	if ctx.Err() != nil || d.handler.events.count() != 0 {
		d.Errorf("%d streams are open: %v", d.handler.events.count(), ctx.Err())
	}
	if used := d.handler.admission.used.Load(); used != 0 {
		d.Errorf("%d bytes are still charged", used)
	}
}

// Frames that a client sends together with its handshake are read.
func TestStreamEarlyFrames(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serveInLoops()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	d.must(err)
	defer conn.Close()
	d.must(conn.SetDeadline(time.Now().Add(patience)))
	raw := "GET /v1/stream HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: meterd.v1\r\n" +
		"Authorization: Bearer " + d.secrets["gateway"] + "\r\n\r\n" +
		string(rawBatch(0, streamBatch("connect pa d1")))
	_, err = conn.Write([]byte(raw))
	d.must(err)
	answer := wire.AppendFrame(nil, &wire.Frame{Kind: wire.FrameAnswer, Body: []byte{8, 1}})
	var got []byte
	for b := make([]byte, 1024); !strings.HasSuffix(string(got), string(answer)); {
		n, err := conn.Read(b)
		d.must(err)
		got = append(got, b[:n]...)
	}
}

// While memory is scarce the credit is small and memory is waited for; all is answered in the end. Then it grows again.
func TestStreamScarce(t *testing.T) {
	d := newGuardedDoor(t)
	memory := &d.handler.admission
	memory.most = 8 * costMin
	c := d.openStream(d.serveInLoops(), "gateway", "?producer=gw-1")
	c.send(1, streamBatch("connect pa d1"))
	c.expect("1: accepted 1")
	const others = 5 * costMin
	if !memory.take(others) {
		t.Fatal("memory is not free")
	}
	hasShrunk := false
	for n := uint64(10); n < 10+streamCredit; n++ {
		c.send(n, streamBatch("up pa d1"))
	}
	for n := 10; n < 10+streamCredit; {
		switch said := c.said(); said {
		case "credit 1", "credit 8":
			hasShrunk = true
		case fmt.Sprint(n, ": accepted 1"):
			n++
		default:
			t.Fatal(said)
		}
	}
	if !hasShrunk {
		t.Error("the credit stayed as it was")
	}
	memory.give(others)
	c.send(1000, streamBatch("up pa d1"))
	for said := ""; said != "credit 64"; said = c.said() {
		if said != "" && said != "1000: accepted 1" && said != "credit 8" {
			t.Fatal(said)
		}
	}
}
