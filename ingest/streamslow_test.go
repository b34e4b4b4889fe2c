package ingest

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
)

// toldStream is a stream before an engine that only has commands. It returns the client's side of the connection.
func toldStream(t *testing.T, commands int, validity time.Duration) (*eventStream, net.Conn) {
	t.Helper()
	told, other, done := newTold(t, commands, 0, validity)
	if err := other.Close(); err != nil { // The command stream is of no use here.
		t.Fatal(err)
	}
	<-done
	near, far := net.Pipe()
	s := newEventStream(told.h, told.token, nil)
	t.Cleanup(func() { // This ends the loop.
		select {
		case <-s.h.streams.closing:
		default:
			s.h.Close()
		}
	})
	told.h.admission.most = admissionBytesDefault
	s.start(near)
	return s, far
}

// nextRaw reads a WebSocket frame as it came.
func nextRaw(t *testing.T, in *bufio.Reader) (h websocket.Header, payload []byte) {
	t.Helper()
	for n := 2; ; n++ {
		head, err := in.Peek(n)
		if err != nil {
			t.Fatal(err)
		}
		h, size, err := websocket.ParseHeader(head)
		if err != nil {
			t.Fatal(err)
		}
		if size > 0 {
			payload = make([]byte, size+int(h.Length))
			if _, err := io.ReadFull(in, payload); err != nil {
				t.Fatal(err)
			}
			return h, payload[size:]
		}
	}
}

// closedFor reads up to the close frame, answers it, and returns its reason.
func closedFor(t *testing.T, client net.Conn, in *bufio.Reader) string {
	t.Helper()
	for {
		h, payload := nextRaw(t, in)
		if h.Opcode != websocket.Close {
			continue
		}
		_, reason, err := websocket.ParseClose(payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("\x88\x80\x00\x00\x00\x00")); err != nil {
			t.Fatal(err)
		}
		return reason
	}
}

// A client that answers pings stays; one that is silent is disconnected a minute after it was last heard.
func TestStreamIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := toldStream(t, 0, 0)
		in := bufio.NewReader(client)
		began, pings := time.Now(), 0
		for pings < 10 {
			if h, _ := nextRaw(t, in); h.Opcode == websocket.Ping {
				pings++
				if passed := time.Since(began); passed != time.Duration(pings)*heartbeatEvery {
					t.Errorf("ping %d came after %s", pings, passed)
				}
				if _, err := client.Write([]byte("\x8a\x80\x00\x00\x00\x00")); err != nil {
					t.Fatal(err)
				}
			}
		}
		last := time.Now()
		if reason := closedFor(t, client, in); !strings.Contains(reason, "pong") {
			t.Error(reason)
		}
		if waited := time.Since(last); waited != streamIdleTimeout {
			t.Errorf("it was disconnected after %s", waited)
		}
		<-s.h.events.ended()
	})
}

// A client that sends a message too slowly is disconnected, though it sends something all the time.
func TestStreamSlowWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := toldStream(t, 0, 0)
		began, stopped := time.Now(), make(chan struct{})
		go func() {
			defer close(stopped)
			for _, b := range rawBatch(1, make([]byte, 100)) {
				if _, err := client.Write([]byte{b}); err != nil {
					return // It was disconnected.
				}
				time.Sleep(time.Second)
			}
		}()
		if reason := closedFor(t, client, bufio.NewReader(client)); !strings.Contains(reason, "of a message") {
			t.Error(reason)
		}
		if lived := time.Since(began); lived < readTimeout || lived > readTimeout+time.Second {
			t.Errorf("it was disconnected after %s", lived)
		}
		<-stopped
		<-s.h.events.ended()
	})
}

// A client that reads nothing is disconnected; what it held is free then.
func TestStreamSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := toldStream(t, 400, 0)
		began := time.Now()
		in := bufio.NewReader(client)
		nextRaw(t, in)
		<-s.h.events.ended() // It reads no more.
		if waited := time.Since(began); waited != streamWriteTimeout {
			t.Errorf("it was disconnected after %s", waited)
		}
		if n, used := s.h.events.count(), s.h.admission.used.Load(); n != 0 || used != 0 {
			t.Errorf("%d streams are open, %d bytes are charged", n, used)
		}
	})
}

// A client that reads nothing does not hold up the end of the daemon for long.
func TestStreamSlowReaderAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := toldStream(t, 400, 0)
		nextRaw(t, bufio.NewReader(client))
		synctest.Wait() // The commands are being written, and nobody reads them.
		began := time.Now()
		s.h.Close()
		s.h.Finish(t.Context())
		if waited := time.Since(began); waited != streamCloseTimeout {
			t.Errorf("it was waited for for %s", waited)
		}
	})
}

// A silent stream ends when its token expires.
func TestStreamEndsWithItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, client := toldStream(t, 1, 40*time.Second)
		began := time.Now()
		if reason := closedFor(t, client, bufio.NewReader(client)); !strings.Contains(reason, "token") {
			t.Error(reason)
		}
		if lived := time.Since(began); lived < 40*time.Second || lived > 40*time.Second+2*time.Millisecond {
			t.Errorf("it ended after %s", lived)
		}
		<-s.h.events.ended()
	})
}

// While a stream is busy neither reading nor deciding nor answering a batch allocates: what is left are the engine's
// groups, which many batches share.
func TestStreamDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	d := newGuardedDoor(t)
	d.serveInLoops()
	near, far := pair(t)
	conn, err := far.conn()
	d.must(err)
	s := newEventStream(d.handler, d.engine.Catalogue().Token("gateway"), nil)
	s.start(conn)
	defer func() { <-s.h.events.ended() }()
	defer near.Close()
	in := make([]byte, 4<<10)
	read := func(bytes int) {
		for bytes > 0 {
			n, err := near.Read(in[:min(bytes, len(in))])
			d.must(err)
			bytes -= n
		}
	}
	welcome := wire.Frame{Kind: wire.FrameWelcome, Body: wire.AppendWelcome(nil, &s.welcome)}
	read(2 + welcome.Bytes())
	var all []byte
	for range streamCredit {
		all = append(all, rawBatch(0, streamBatch("connect pa d1"))...)
	}
	answer := wire.Frame{Kind: wire.FrameAnswer, Body: []byte{8, 1}}
	exchange := func() {
		_, err := near.Write(all)
		d.must(err)
		read(streamCredit * (2 + answer.Bytes()))
	}
	for range 50 {
		exchange()
	}
	d.store.busy.Lock() // The ledger's work is none of the stream's, and comes when it comes.
	defer d.store.busy.Unlock()
	const runs, groupAllocations = 50, 20
	before := d.disk.groups.Load()
	n := testing.AllocsPerRun(runs, exchange)
	groups := float64(d.disk.groups.Load()-before) / (runs + 1)
	t.Logf("%v allocations for %d batches in %.1f groups", n, streamCredit, groups)
	if n > streamCredit/4+groupAllocations*groups {
		t.Errorf("%v allocations for %d batches in %.1f groups", n, streamCredit, groups)
	}
}
