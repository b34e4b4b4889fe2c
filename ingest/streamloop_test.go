package ingest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	library "github.com/fasthttp/websocket"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
)

// manualLoop is a loop whose steps the test calls, for streams on socket pairs.
type manualLoop struct {
	*loopDoor
	*loop
}

func newManualLoop(t *testing.T) *manualLoop {
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	d.ask(d.handler, "gateway", connect("pa"))
	m := &manualLoop{d, d.loop()}
	d.handler.events.serveWith([]*loop{m.loop})
	return m
}

// stream opens a stream and reads its welcome.
func (m *manualLoop) stream() (s *eventStream, near net.Conn) {
	m.Helper()
	return m.streamOf(nil)
}

func (m *manualLoop) streamOf(producer []byte) (s *eventStream, near net.Conn) {
	m.Helper()
	near, far := pair(m.T)
	conn, err := far.conn()
	m.must(err)
	s = newEventStream(m.handler, m.engine.Catalogue().Token("gateway"), producer)
	s.start(conn)
	m.step()
	welcome := wire.Frame{Kind: wire.FrameWelcome, Body: wire.AppendWelcome(nil, &s.welcome)}
	_, err = io.ReadFull(near, make([]byte, 2+welcome.Bytes()))
	m.must(err)
	return s, near
}

// until steps until ok returns true.
func (m *manualLoop) until(ok func() bool) {
	for !ok() {
		if !m.step() && !m.store() {
			runtime.Gosched() // Nothing wakes the loop when more arrives: its watch is not running.
		}
	}
}

// A loop decides what has arrived on all of its streams before it has any of it stored: it becomes one group, together
// with requests over HTTP.
func TestStreamsShareAGroup(t *testing.T) {
	const streams = 40
	m := newManualLoop(t)
	var ends []net.Conn
	for range streams {
		_, near := m.stream()
		ends = append(ends, near)
	}
	one, far := pair(t)
	_, err := io.WriteString(one, m.up())
	m.must(err)
	m.add(far)
	before := m.disk.groups.Load()
	for _, near := range ends {
		_, err := near.Write(append(rawBatch(0, streamBatch("up pa d")), rawBatch(0, streamBatch("up pa d"))...))
		m.must(err)
	}
	for m.step() {
	}
	if len(m.waiting) != 2*streams+1 || m.unwatched != 2*streams+1 {
		t.Fatalf("%d decided, %d of them not being stored", len(m.waiting), m.unwatched)
	}
	m.until(func() bool { return len(m.waiting)+len(m.streams.listed) == 0 })
	answer := wire.Frame{Kind: wire.FrameAnswer, Body: []byte{8, 1}}
	for _, near := range ends {
		_, err := io.ReadFull(near, make([]byte, 2*(2+answer.Bytes())))
		m.must(err)
	}
	if n := m.disk.groups.Load() - before; n != 1 {
		t.Errorf("%d groups, want one", n)
	}
}

// A stream that is held goes on when its batches were answered at once, as refused ones are.
func TestHeldStreamGoesOn(t *testing.T) {
	const batches = 5
	m := newManualLoop(t)
	s, near := m.stream()
	if !m.handler.admission.take(m.handler.admission.most / 3) { // The credit stays as it is.
		t.Fatal("the budget is not free")
	}
	s.credit.Store(1)
	_, err := near.Write(bytes.Repeat(rawBatch(1, streamBatch("up pa d")), batches)) // There is no producer.
	m.must(err)
	for m.step() {
	}
	if s.isHeld || s.from != s.to {
		t.Fatalf("held is %t, %d bytes are not decided", s.isHeld, s.to-s.from)
	}
	in := bufio.NewReader(near)
	for range batches {
		_, payload := nextRaw(t, in)
		if f, err := wire.DecodeFrame(payload); err != nil || f.Kind != wire.FrameProblem || f.Sequence != 1 {
			t.Errorf("%+v, %v", f, err)
		}
	}
}

// An answer that only the ledger has is read in a goroutine: a read from disk holds up no other stream.
func TestLedgerIsReadAside(t *testing.T) {
	m := newManualLoop(t)
	s, near := m.streamOf([]byte("gw"))
	in := bufio.NewReader(near)
	for _, isReplay := range []bool{false, true} {
		_, err := near.Write(rawBatch(1, upsOf("unknown", 1000)))
		m.must(err)
		for s.inFlight.Load() == 0 && !m.step() {
		}
		if s.isSettling != isReplay {
			t.Errorf("replayed %t, settled aside %t", isReplay, s.isSettling)
		}
		m.until(func() bool { return s.inFlight.Load() == 0 })
		_, payload := nextRaw(t, in)
		if f, err := wire.DecodeFrame(payload); err != nil || f.Kind != wire.FrameAnswer || f.Replayed != isReplay {
			t.Errorf("kind %d, replayed %t, %v", f.Kind, f.Replayed, err)
		}
		m.must(m.engine.DurableInLedger())
	}
}

// upsOf is a batch of events of one device.
func upsOf(device string, events int) []byte {
	batch := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "pa")
	batch = protowire.AppendString(protowire.AppendTag(batch, 2, protowire.BytesType), device)
	types := bytes.Repeat([]byte{byte(event.Up)}, events)
	return protowire.AppendBytes(protowire.AppendTag(batch, 3, protowire.BytesType), types)
}

// A stream whose message has to wait for memory holds up no other stream of its loop.
func TestStreamWaitsAside(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // One loop.
	d := newGuardedDoor(t)
	base := d.serveInLoops()
	one, other := d.openStream(base, "gateway", ""), d.openStream(base, "gateway", "")
	a := &d.handler.admission
	taken := a.most - 4*costMin
	if !a.take(taken) {
		t.Fatal("the budget is not free")
	}
	one.send(0, streamBatch("connect pa d1"))
	one.send(0, upsOf("d1", 5000))
	for a.waiting.Load() == 0 {
		runtime.Gosched()
	}
	for range 10 {
		other.send(0, streamBatch("connect pa d2"))
		for other.said() != "0: accepted 1" { // The credit is lowered first.
		}
	}
	a.give(taken)
	for _, want := range []string{"0: accepted 1", "0: accepted 1500, 1500 message_quota_exceeded"} {
		said := one.said()
		for len(said) > 6 && said[:6] == "credit" {
			said = one.said()
		}
		if len(said) < len(want) || said[:len(want)] != want {
			t.Fatalf("%.60q came, want %q", said, want)
		}
	}
}

// Commands that wait until the socket takes more are not told any more once the token is gone.
func TestCommandsThatWaitAreNotTold(t *testing.T) {
	m := newManualLoop(t)
	s, _ := m.stream()
	page := []byte("commands")
	s.told <- page
	if b := s.appendDue(nil); !bytes.Equal(b, page) {
		t.Errorf("with a token %q is told", b)
	}
	m.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.DeleteToken(by, "gateway")
	})
	s.told <- page
	if b := s.appendDue(nil); len(b) > 0 || s.ending == nil {
		t.Errorf("without one %q is told, the stream ends: %t", b, s.ending != nil)
	}
}

// A client that reads nothing while an answer waits is disconnected; what it held is free then.
func TestStreamSlowReaderOfASocket(t *testing.T) {
	m := newManualLoop(t)
	s, near := m.stream()
	sent := make(chan error, 1)
	go func() {
		_, err := near.Write(rawBatch(0, upsOf("unknown", event.EventsMax)))
		sent <- err
	}()
	m.until(func() bool { return len(s.out) > 0 })
	m.must(<-sent)
	if used, waits := m.handler.admission.used.Load(), int64(len(s.out)); used < waits {
		t.Errorf("%d bytes are charged, %d wait to be read", used, waits)
	}
	began := s.outSince
	m.now = began.Add(streamWriteTimeout - time.Nanosecond)
	if m.sweep(); m.handler.events.count() != 1 || s.ending != nil {
		t.Fatal("it was disconnected too early")
	}
	m.now = began.Add(streamWriteTimeout)
	m.sweep()
	m.runStreams()
	if n, used := m.handler.events.count(), m.handler.admission.used.Load(); n != 0 || used != 0 {
		t.Errorf("%d streams are open, %d bytes are charged", n, used)
	}
	if _, err := io.Copy(io.Discard, near); err != nil {
		t.Errorf("it did not end: %v", err)
	}
}

// sipping is a carrier whose client reads a byte at a time.
type sipping struct{ carrier }

func (sipping) write([]byte) (int, error) { return 1, nil }

// A client that reads slowly, but reads, is not disconnected while its stream goes on.
func TestStreamThatIsReadSlowly(t *testing.T) {
	m := newManualLoop(t)
	s, _ := m.stream()
	s.carrier = sipping{s.carrier}
	s.write(make([]byte, 100))
	for range 3 {
		m.now = m.now.Add(streamWriteTimeout - 1)
		if m.sweep(); s.isBroken {
			t.Fatal("it was disconnected too early")
		}
		s.flush()
	}
	s.finish(goingAway())
	m.now = m.now.Add(streamWriteTimeout - 1)
	s.flush()
	m.now = m.now.Add(1)
	if m.sweep(); !s.isBroken {
		t.Error("what it reads holds up the end of its stream")
	}
}

// Over TLS a stream is relayed, and closed in the same way.
func TestStreamRelayedEnds(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serve()
	c := d.openStream(base, "gateway", "?producer=gw-1")
	c.send(1, streamBatch("connect pa d1"))
	c.send(2, upsOf("d1", 70_000)) // More than a batch may have.
	c.expect("1: accepted 1", "2: 413 body_too_large")
	d.must(c.conn.WriteControl(library.CloseMessage, library.FormatCloseMessage(1000, ""), time.Now().Add(patience)))
	c.closed(1000, "")
	<-d.handler.events.ended()
	if used := d.handler.admission.used.Load(); used != 0 {
		t.Errorf("%d bytes are still charged", used)
	}
}
