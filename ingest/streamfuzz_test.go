package ingest

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// agreeing is an engine that accepts everything, and notes what that was.
type agreeing struct {
	toldEngine
	decided []string
}

func (e *agreeing) Decide(r *shard.Request) error {
	sequence := uint64(0)
	if r.Claim != nil {
		sequence = r.Claim.Sequence
	}
	e.decided = append(e.decided, fmt.Sprint(sequence, " ", len(r.Batch.Events)))
	return nil
}

func (e *agreeing) Watch(*shard.Request, chan<- struct{}) bool { return true }
func (e *agreeing) Settle(*shard.Request) error                { return nil }

// pieces carries bytes to a stream, a few at a time, and then ends; whatever is written to it is taken.
type pieces struct {
	left []byte
	size int
}

func (p *pieces) read(b []byte) (int, error) {
	n := copy(b, p.left[:min(p.size, len(p.left))])
	p.left = p.left[n:]
	return n, nil
}

func (p *pieces) write(b []byte) (int, error) { return len(b), nil }
func (p *pieces) close()                      {}

// FuzzStream reads whatever comes on an event stream: in one piece and in pieces it decides the same batches and ends
// alike, and then all memory was given back.
func FuzzStream(f *testing.F) {
	batch := rawBatch(1, streamBatch("connect pa d1", "up pa d1"))
	f.Add(batch, uint8(1))
	f.Add(slices.Concat(batch, rawBatch(2, nil), []byte("\x89\x80\x00\x00\x00\x00\x88\x80\x00\x00\x00\x00")), uint8(7))
	f.Add(slices.Concat([]byte{0x02, 0x81, 0, 0, 0, 0}, batch[6:7], []byte{0x80, 0x80, 0, 0, 0, 0}), uint8(3))
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0}, uint8(5))
	f.Add(wire.AppendFrame([]byte{0x82, 0x84, 0, 0, 0, 0}, &wire.Frame{Kind: wire.FrameAck, Body: []byte{8, 1}}), uint8(2))
	cat, _, err := license.New("default", time.Hour).CreateToken(
		license.Actor{}, access.Token{Name: "gw", Role: access.RoleGateway},
	)
	if err != nil {
		f.Fatal(err)
	}
	run := func(t *testing.T, b []byte, size int) (decided []string, end ending) {
		e := &agreeing{toldEngine: toldEngine{cat: cat}}
		h := &Handler{engine: e}
		h.calls.New = func() any { return newCall(h) }
		h.admission.most = admissionBytesDefault
		h.streams.closing = make(chan struct{})
		h.events.open = 1
		l := newLoopOf(h, nil) // It is not started: the test does its steps.
		l.now = time.Now()
		s := newEventStream(h, cat.Token("gw"), []byte("gw"))
		s.loop, s.in, s.isOpen, s.carrier = l, s.idle[:], true, &pieces{slices.Clone(b), size}
		for steps := 0; !s.isGone; steps++ {
			if steps > 100_000_000 {
				t.Fatal("it does not end")
			}
			s.mayRead()
			s.run()
			l.mu.Lock()
			posted := l.streams.posted
			l.streams.posted = nil
			l.mu.Unlock()
			l.takePosted(posted)
			if s.isAside {
				runtime.Gosched()
			}
		}
		if used := h.admission.used.Load(); used != 0 {
			t.Fatalf("%d bytes are charged in the end", used)
		}
		return e.decided, *s.ending
	}
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		whole, end := run(t, b, max(1, len(b)))
		parts, otherEnd := run(t, b, 1+int(size))
		// How many wait for their answers depends on what comes together.
		if len(whole) < streamCredit && (!slices.Equal(whole, parts) || end != otherEnd) {
			t.Fatalf("in one piece %q, %+v; in pieces %q, %+v", whole, end, parts, otherEnd)
		}
	})
}
