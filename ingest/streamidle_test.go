package ingest

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"github.com/meterd/meterd/event/wire"
)

// An idle stream takes no more than limits.go and docs/stream.md say, also after it was busy.
func TestIdleStreamsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory for each goroutine")
	}
	const streams, bytesMax = 300, 12 << 10
	d := newGuardedDoor(t)
	d.serveInLoops()
	token := d.engine.Catalogue().Token("gateway")
	taken := func() int64 {
		runtime.GC()
		runtime.GC() // The first one leaves stacks and pools to the second.
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	var ends []net.Conn
	var all []*eventStream
	before := taken()
	for range streams {
		near, far := pair(t)
		conn, err := far.conn()
		d.must(err)
		s := newEventStream(d.handler, token, []byte("gw"))
		s.start(conn)
		ends, all = append(ends, near), append(all, s)
	}
	read := func(near net.Conn, f wire.Frame) {
		_, err := io.ReadFull(near, make([]byte, 2+f.Bytes()))
		d.must(err)
	}
	for i, near := range ends {
		read(near, wire.Frame{Kind: wire.FrameWelcome, Body: wire.AppendWelcome(nil, &all[i].welcome)})
		_, err := near.Write(rawBatch(uint64(1+i), streamBatch("connect pa d1")))
		d.must(err)
		read(near, wire.Frame{Sequence: uint64(1 + i), Kind: wire.FrameAnswer, Body: []byte{8, 1}})
	}
	each := (taken() - before) / streams
	if t.Logf("an idle stream takes %d bytes", each); each > bytesMax {
		t.Errorf("an idle stream takes %d bytes, more than %d", each, bytesMax)
	}
	for _, near := range ends {
		d.must(near.Close())
	}
	<-d.handler.events.ended()
	if n, used := d.handler.events.count(), d.handler.admission.used.Load(); n != 0 || used != 0 {
		t.Errorf("%d streams are open, %d bytes are charged", n, used)
	}
}

// One stream more than there may be is refused, and counted.
func TestTooManyStreams(t *testing.T) {
	d := newGuardedDoor(t)
	base := d.serve()
	e := &d.handler.events
	opened := func(n int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.open = n
	}
	opened(eventStreamsMax)
	ask := func() int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/v1/stream", http.NoBody)
		d.must(err)
		r.Header.Set("Authorization", "Bearer "+d.secrets["gateway"])
		r.Header.Set("Sec-WebSocket-Protocol", streamProtocol)
		a, err := http.DefaultClient.Do(r)
		d.must(err)
		d.must(a.Body.Close())
		return a.StatusCode
	}
	if status := ask(); status != http.StatusServiceUnavailable || e.refused.Load() != 1 {
		t.Errorf("answered %d, %d are refused", status, e.refused.Load())
	}
	opened(eventStreamsMax - 1)
	if status := ask(); status != http.StatusBadRequest { // There is room, and it is no WebSocket.
		t.Errorf("with room for one answered %d", status)
	}
	opened(0)
}
