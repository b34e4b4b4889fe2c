package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
)

func overStream(o *Options) { o.Transport = OverStream }

// All batches go over one stream, which answers pings, and a frame in fragments is one message.
func TestOneStreamCarriesEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Millisecond}
		c := newTestClient(t, f, overStream)
		var events []Event
		for i := range 500 {
			events = append(events, up(fmt.Sprint("d", i), 1))
		}
		for range 3 {
			for i, r := range c.Submit(t.Context(), events) {
				if r.Err != nil || !r.Verdict.Accepted {
					t.Fatalf("event %d: %+v", i, r)
				}
			}
		}
		synctest.Wait()
		f.streams[0].raw(websocket.AppendControl(nil, websocket.Ping, []byte("are you there")))
		welcomeless := wire.AppendFrame(nil, &wire.Frame{Kind: wire.FrameCredit, Body: wire.AppendCount(nil, 1)})
		f.streams[0].raw(append([]byte{byte(websocket.Binary), 1}, welcomeless[0]))
		f.streams[0].raw(websocket.AppendControl(nil, websocket.Ping, nil))
		f.streams[0].raw(append([]byte{0x80, byte(len(welcomeless) - 1)}, welcomeless[1:]...))
		synctest.Wait()
		conn := c.stream.current()
		conn.mu.Lock()
		if conn.credit != 1 {
			t.Errorf("the credit is %d", conn.credit)
		}
		conn.mu.Unlock()
		if v, err := c.Decide(t.Context(), up("d1", 1)); err != nil || !v.Accepted {
			t.Errorf("%+v, %v", v, err)
		}
		r := f.requests[0]
		if r.path != "/base/v1/events" || r.producer != "gw-1" || r.token != "Bearer secret" {
			t.Errorf("%+v", r)
		}
		if s := c.Stats(); s.Streams != 1 || s.Retries != 0 || len(f.pongs) != 2 || f.pongs[0] != "are you there" {
			t.Errorf("%+v, pongs %q", s, f.pongs)
		}
		closeClient(t, c)
	})
}

// A client never has more in flight than it is allowed to.
func TestStreamKeepsToItsCredit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Second}
		c := newTestClient(t, f, overStream)
		conn, err := c.stream.get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn.setCredit(2, 100)
		for sequence, bytes := range []int{60, 40} {
			if _, err := conn.enter(t.Context(), uint64(sequence+1), bytes); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := conn.enter(short, 3, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third batch: %v", err)
		}
		conn.setCredit(3, 0)
		if _, err := conn.enter(short, 3, 1); err == nil {
			t.Error("a third batch exceeds the bytes")
		}
		time.AfterFunc(time.Second, func() { conn.settle(&wire.Frame{Sequence: 1}, nil) })
		if _, err := conn.enter(t.Context(), 3, 1); err != nil {
			t.Error(err)
		}
		conn.end(errCut)
		if _, err := conn.enter(t.Context(), 4, 200); !errors.Is(err, errCut) {
			t.Errorf("after the end: %v", err)
		}
		closeClient(t, c)
	})
}

// Commands come on the stream, each is acknowledged when it was carried out, and a new stream goes on behind it.
func TestCommandsOnTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{}
		var states []error
		c := newTestClient(t, f, func(o *Options) {
			o.Transport, o.CommandStream = OverStream, func(err error) { states = append(states, err) }
		})
		heard := c.Commands()
		synctest.Wait()
		tell := func(m wire.Command) {
			s := f.streams[len(f.streams)-1]
			s.send(&wire.Frame{Kind: wire.FrameCommand, Body: wire.AppendCommand(nil, &m)})
		}
		tell(wire.Command{ID: "1-1", Type: wire.CommandDisconnect, Product: "p1", Device: "d1", Reason: "suspended"})
		tell(wire.Command{ID: "1-2", Type: "of the future"})
		want := Command{Kind: CommandDisconnect, Product: "p1", Device: "d1", Reason: "suspended"}
		if got := <-heard; got != want {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if f.acked != 2 {
			t.Errorf("%d commands were acknowledged", f.acked)
		}
		f.streams[0].raw(websocket.AppendClose(nil, websocket.CloseGoingAway, "meterd stops"))
		time.Sleep(time.Second)
		synctest.Wait()
		if len(f.streams) != 2 || f.streams[1].header.Get("Last-Event-ID") != "1-2" {
			t.Fatalf("%d streams, the last from %q", len(f.streams), f.streams[len(f.streams)-1].header.Get("Last-Event-ID"))
		}
		tell(wire.Command{ID: "1-3", Type: wire.CommandRefresh, Product: "p1"})
		if got := <-heard; got != (Command{Kind: CommandRefresh, Product: "p1"}) {
			t.Errorf("%+v", got)
		}
		synctest.Wait()
		if len(states) != 3 || states[1] == nil || !strings.Contains(states[1].Error(), "1001 meterd stops") {
			t.Errorf("%v", states)
		}
		if s := c.Stats(); s.Commands != 2 || s.CommandsIgnored != 1 || s.CommandStreams != 2 || s.CommandsOpen != 1 {
			t.Errorf("%+v", s)
		}
		closeClient(t, c)
		if _, isOpen := <-heard; isOpen {
			t.Error("the channel is open after Close")
		}
	})
}

// A gateway that does not receive its commands holds up nothing else, and what it had not received when the stream
// broke comes again.
func TestUnreadCommandsHoldUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{}
		c := newTestClient(t, f, overStream)
		heard := c.Commands()
		synctest.Wait()
		tell := func(stream int, id string) {
			body := wire.AppendCommand(nil, &wire.Command{ID: id, Type: wire.CommandRefresh, Product: "p" + id})
			f.streams[stream].send(&wire.Frame{Kind: wire.FrameCommand, Body: body})
		}
		tell(0, "1")
		tell(0, "2")
		for i := range 100 {
			if v, err := c.Decide(t.Context(), up("d1", int64(i+1))); err != nil || !v.Accepted {
				t.Fatalf("%+v, %v", v, err)
			}
		}
		if cmd := <-heard; cmd.Product != "p1" {
			t.Errorf("%+v", cmd)
		}
		synctest.Wait()
		f.mu.Lock()
		if f.acked != 1 {
			t.Errorf("%d commands were acknowledged, one was received", f.acked)
		}
		f.mu.Unlock()
		f.streams[0].raw(websocket.AppendClose(nil, websocket.CloseGoingAway, "meterd stops"))
		time.Sleep(time.Second)
		synctest.Wait()
		if place := f.streams[1].header.Get("Last-Event-ID"); place != "1" {
			t.Errorf("the next stream goes on behind %q", place)
		}
		tell(1, "2")
		if cmd := <-heard; cmd.Product != "p2" {
			t.Errorf("%+v", cmd)
		}
		closeClient(t, c)
	})
}

// What is no stream of meterd's is told, and counts nothing; a refusal that no retry mends is final.
func TestStreamIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		answer *http.Response
		part   string
	}{
		"a wrong token": {respond(401, `{"code":"unauthorized"}`), "unauthorized"},
		"an old meterd": {respond(404, `{"code":"not_found"}`), "not_found"},
		"no WebSocket":  {respond(200, "hello"), "status 200"},
		"another key": {
			&http.Response{StatusCode: 101, Header: http.Header{"Upgrade": {"websocket"}}, Body: &deafSocket{}},
			"does not speak",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeMeterd{handshake: c.answer}
				k := newTestClient(t, f, overStream)
				var unavailable *UnavailableError
				_, err := k.Decide(t.Context(), up("d1", 1))
				if !errors.As(err, &unavailable) || unavailable.Ambiguous || !strings.Contains(err.Error(), c.part) {
					t.Errorf("%v", err)
				}
				closeClient(t, k)
			})
		})
	}
}

// deafSocket is a connection whose other end says what is in it, and hears nothing.
type deafSocket struct{ bytes.Buffer }

func (*deafSocket) Write(p []byte) (int, error) { return len(p), nil }
func (*deafSocket) Close() error                { return nil }

// FuzzStream: whatever comes on a stream ends it or is taken, and nothing is taken for the answer to another batch.
func FuzzStream(f *testing.F) {
	welcome := wire.AppendWelcome(nil, &wire.Welcome{Credit: 64, CreditBytes: 1 << 20})
	var good []byte
	for _, frame := range []wire.Frame{
		{Kind: wire.FrameWelcome, Body: welcome},
		{Sequence: 7, Kind: wire.FrameAnswer, Body: []byte{8, 1}},
		{Sequence: 8, Kind: wire.FrameProblem, Body: appendAnswerUint(nil, 1, 503)},
		{Kind: wire.FrameCommand, Body: wire.AppendCommand(nil, &wire.Command{Type: "refresh", Product: "p"})},
	} {
		h := websocket.Header{Opcode: websocket.Binary, Final: true, Length: uint64(frame.Bytes())}
		good = wire.AppendFrame(websocket.AppendHeader(good, h), &frame)
	}
	f.Add(good)
	f.Add(
		websocket.AppendClose(websocket.AppendControl(nil, websocket.Ping, []byte("x")), websocket.CloseGoingAway, "bye"),
	)
	f.Add([]byte{0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		socket := &deafSocket{}
		socket.Buffer.Write(b)
		c := newStreamConn(socket, nil, &Options{HeartbeatTimeout: time.Minute})
		c.running.Wait()
		if c.err == nil || errors.Is(c.err, io.ErrNoProgress) {
			t.Fatalf("it ended with %v", c.err)
		}
	})
}
