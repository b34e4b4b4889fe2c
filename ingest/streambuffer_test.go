package ingest

import (
	"testing"

	"github.com/meterd/meterd/event/wire"
)

// A stream that holds much of a message in fragments does not wait for memory: such streams would wait for each other.
func TestFragmentsDoNotWaitForMemory(t *testing.T) {
	m := newManualLoop(t)
	a := &m.handler.admission
	message := wire.AppendFrame(nil, &wire.Frame{Kind: wire.FrameBatch, Body: upsOf("d", 20_000)})
	last := len(message) - 1
	begin := func(free int64) *eventStream {
		s, _ := m.stream()
		if e := s.data(false, [4]byte{}, message[:last]); e != nil {
			t.Fatal(e)
		}
		s.finish(goingAway()) // What waits nevertheless is woken, and ends without a word.
		a.used.Store(a.most - free)
		return s
	}
	if e := begin(50_000).data(true, [4]byte{}, message[last:]); e == nil || e.code != closeTryAgain {
		t.Errorf("without memory for the batch: %+v", e)
	}
	s := begin(200_000)
	if e := s.data(true, [4]byte{}, message[last:]); e != nil || s.turn[0].decided.problem != errOverloaded {
		t.Errorf("without memory for its events: %+v, %+v", e, s.turn)
	}
	s = begin(costMin)
	s.isReadable, s.need = true, streamBufferFree+1
	if isMore, e := s.readMore(m.now, true); isMore || e == nil || e.code != closeTryAgain {
		t.Errorf("without memory for the buffer: %t, %+v", isMore, e)
	}
}

// An ack gives back what was taken ahead for the call of its message.
func TestAckHoldsNoMemory(t *testing.T) {
	m := newManualLoop(t)
	s, _ := m.stream()
	a := &m.handler.admission
	s.ahead = costMin
	before := a.used.Add(s.ahead)
	ack := wire.AppendFrame(nil, &wire.Frame{Kind: wire.FrameAck, Body: wire.AppendCount(nil, 1)})
	if e := s.decide(ack, true); e != nil || s.ahead != 0 || a.used.Load() != before-costMin {
		t.Errorf("%+v, %d are ahead, %d of %d bytes charged", e, s.ahead, a.used.Load(), before)
	}
}
