package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/meterd/meterd/event/websocket"
	eventwire "github.com/meterd/meterd/event/wire"
)

// streamHeadMax is how many bytes come before a batch on a stream.
const streamHeadMax = websocket.HeaderBytesMax + eventwire.FrameOverheadMax

// streamGateway is one producer on a WebSocket, with several batches in flight.
type streamGateway struct {
	exchange
	answer   answer
	sequence uint64 // of the last batch
	first    uint64 // the oldest sequence in flight
	sizes    []int  // events of the batches in flight, by sequence
	credit   int    // what the daemon allows at the moment
	head     []byte
}

func newStreamGateway(w *wire, s source, a answer, inFlight int, last uint64) *streamGateway {
	return &streamGateway{
		exchange: exchange{wire: w, source: s, text: make([]byte, streamHeadMax)}, answer: a,
		sequence: last, first: last + 1, sizes: make([]int, inFlight), credit: inFlight,
	}
}

// last returns the sequence of the last batch.
func (g *streamGateway) last() uint64 { return g.sequence }

func (g *streamGateway) depth() int { return min(g.credit, len(g.sizes)) }

func (g *streamGateway) prepare() int {
	text, events := g.source.fill(g.text[:streamHeadMax])
	if events == 0 {
		return 0
	}
	g.text = text
	g.sequence++
	g.events = events
	g.sizes[g.sequence%uint64(len(g.sizes))] = events
	return events
}

// request returns the batch as a message. Its mask is 0: the daemon takes it off like any other.
func (g *streamGateway) request() []byte {
	f := eventwire.Frame{Sequence: g.sequence, Kind: eventwire.FrameBatch, Body: g.text[streamHeadMax:]}
	h := websocket.Header{Opcode: websocket.Binary, Final: true, Masked: true, Length: uint64(f.Bytes())}
	g.head = eventwire.AppendFrameHead(websocket.AppendHeader(g.head[:0], h), &f)
	from := streamHeadMax - len(g.head)
	copy(g.text[from:], g.head)
	return g.text[from:]
}

// receive is not used: many answers may come at once.
func (g *streamGateway) receive(in []byte) (bool, error) {
	used, _, err := g.take(in)
	return used > 0, err
}

func (g *streamGateway) take(in []byte) (used int, isAnswer bool, err error) {
	h, n, err := websocket.ParseHeader(in)
	if err != nil || n == 0 || uint64(len(in)-n) < h.Length {
		if h.Length > answerBytesMax {
			err = errResponseLong
		}
		return 0, false, err
	}
	used = n + int(h.Length)
	payload := in[n:used]
	switch h.Opcode {
	case websocket.Close:
		_, reason, err := websocket.ParseClose(payload)
		if err == nil {
			err = fmt.Errorf("the daemon closes the stream: %s", reason)
		}
		return 0, false, err
	case websocket.Binary:
	default:
		return used, false, nil
	}
	f, err := eventwire.DecodeFrame(payload)
	if err != nil {
		return 0, false, fmt.Errorf("read a frame: %w", err)
	}
	switch f.Kind {
	case eventwire.FrameAnswer:
		events := g.sizes[g.first%uint64(len(g.sizes))]
		if f.Sequence != g.first || f.Replayed {
			return 0, false, fmt.Errorf("an answer to sequence %d came, %d is due", f.Sequence, g.first)
		}
		if err := g.answer.judge(f.Body, events); err != nil {
			return 0, false, fmt.Errorf("a batch of %d: %w: %.400q", events, err, f.Body)
		}
		g.first++
		return used, true, nil
	case eventwire.FrameCredit:
		n, err := eventwire.DecodeCount(f.Body)
		g.credit = int(n)
		return used, false, err
	case eventwire.FrameProblem:
		p, err := eventwire.DecodeRefusal(f.Body)
		if err == nil {
			err = fmt.Errorf("a batch was refused: %d %s: %s", p.Status, p.Code, p.Detail)
		}
		return 0, false, err
	}
	return used, false, nil // A welcome, or a command.
}

// dialStream opens a stream of a producer.
func dialStream(ctx context.Context, address, token, producer string) (*wire, error) {
	return dialGreeted(ctx, address, func(conn net.Conn) (early []byte, err error) {
		_, err = fmt.Fprintf(conn, "GET /v1/stream HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
			"Meterd-Producer: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: bWV0ZXJkIGJlbmNoISEhIQ==\r\nSec-WebSocket-Protocol: meterd.v1\r\n\r\n",
			address, token, producer)
		if err != nil {
			return nil, fmt.Errorf("open a stream: %w", err)
		}
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return nil, fmt.Errorf("open a stream: %w", err)
		}
		if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusSwitchingProtocols ||
			!strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") {
			return nil, errors.Join(fmt.Errorf("the daemon opens no stream: %s", resp.Status), err)
		}
		early, err = in.Peek(in.Buffered())
		return append([]byte(nil), early...), err
	})
}
