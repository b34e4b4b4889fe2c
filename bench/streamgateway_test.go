package bench

import (
	"strings"
	"testing"

	"github.com/meterd/meterd/event/websocket"
	eventwire "github.com/meterd/meterd/event/wire"
)

// streamMessage makes a message of the daemon.
func streamMessage(f eventwire.Frame) []byte {
	head := websocket.AppendHeader(
		nil, websocket.Header{Opcode: websocket.Binary, Final: true, Length: uint64(f.Bytes())},
	)
	return eventwire.AppendFrame(head, &f)
}

// A stream's batches are masked frames with rising sequences, its answers are taken one by one in their order, and all
// that is not the one right answer is an error.
func TestStreamGateway(t *testing.T) {
	open := func() *streamGateway {
		source := roundOf(
			100,
			Case{Batch: 3, Connections: 1},
			up,
			newFleet("p", 100, "UTC").encoder(Case{Format: FormatProtobuf}),
		)
		g := newStreamGateway(nil, source[0], answer{format: FormatProtobuf}, 4, 7)
		for n := range uint64(4) {
			if events := g.prepare(); events != 3 {
				t.Fatalf("%d events", events)
			}
			b := g.request()
			h, size, err := websocket.ParseHeader(b)
			if err != nil || !h.Masked || size+int(h.Length) != len(b) {
				t.Fatalf("%+v, %v", h, err)
			}
			f, err := eventwire.DecodeFrame(b[size:])
			if err != nil || f.Sequence != 8+n || f.Kind != eventwire.FrameBatch {
				t.Fatalf("%+v, %v", f, err)
			}
		}
		return g
	}
	right := eventwire.Frame{Sequence: 8, Kind: eventwire.FrameAnswer, Body: []byte{8, 3}}
	g := open()
	if n := g.depth(); n != 4 || g.last() != 11 {
		t.Errorf("depth %d, last sequence %d", n, g.last())
	}
	in := streamMessage(eventwire.Frame{Kind: eventwire.FrameWelcome, Body: []byte{24, 64}})
	in = append(in, streamMessage(eventwire.Frame{Kind: eventwire.FrameCredit, Body: eventwire.AppendCount(nil, 2)})...)
	in = websocket.AppendControl(in, websocket.Ping, nil)
	in = append(in, streamMessage(right)...)
	second := right
	second.Sequence = 9
	in = append(in, streamMessage(second)...)
	answers := 0
	for len(in) > 0 {
		used, isAnswer, err := g.take(in)
		if err != nil || used == 0 {
			t.Fatal(used, err)
		}
		for cut := range used {
			if n, _, err := g.take(in[:cut]); n != 0 || err != nil {
				t.Fatalf("%d bytes of %x are %d, %v", cut, in, n, err)
			}
		}
		if in = in[used:]; isAnswer {
			answers++
		}
	}
	if answers != 2 || g.depth() != 2 {
		t.Errorf("%d answers, depth %d", answers, g.depth())
	}

	twice, late, short, denied := right, right, right, right
	twice.Replayed, late.Sequence, short.Body = true, 9, []byte{8, 2}
	denied.Kind, denied.Body = eventwire.FrameProblem, []byte{8, 144, 3, 18, 1, 'x'}
	for part, message := range map[string][]byte{
		"9 came":          streamMessage(late),
		"8 came":          streamMessage(twice),
		"the whole batch": streamMessage(short),
		"400 x":           streamMessage(denied),
		"why not":         websocket.AppendClose(nil, websocket.ClosePolicy, "why not"),
		"a frame":         {0x82, 1, 0},
	} {
		if _, _, err := open().take(message); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v", part, err)
		}
	}
}
