package client

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
)

// fakeSocket is the fake's end of an event stream. What the fake would answer a request, it answers the frame: an error
// and an answer without a code cut the stream.
type fakeSocket struct {
	f      *fakeMeterd
	socket net.Conn
	header http.Header
	path   string

	mu sync.Mutex // of the writer
}

// upgrade answers a handshake.
func (f *fakeMeterd) upgrade(hr *http.Request) (*http.Response, error) {
	near, far := net.Pipe()
	sum := sha1.Sum([]byte(hr.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	s := &fakeSocket{f: f, socket: far, header: hr.Header, path: strings.TrimSuffix(hr.URL.Path, "stream") + "events"}
	f.mu.Lock()
	f.streams = append(f.streams, s)
	f.mu.Unlock()
	go s.serve()
	return &http.Response{
		StatusCode: http.StatusSwitchingProtocols, Body: near,
		Header: http.Header{
			"Upgrade": {"WebSocket"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])},
			"Sec-Websocket-Protocol": {streamProtocol},
		},
	}, nil
}

// serve welcomes, and answers until the stream is cut. Batches are decided one after the other.
func (s *fakeSocket) serve() {
	defer s.socket.Close()
	welcome := wire.Welcome{Credit: 64, CreditBytes: 64 << 20, CommandsCredit: 2}
	s.send(&wire.Frame{Kind: wire.FrameWelcome, Body: wire.AppendWelcome(nil, &welcome)})
	r := bufio.NewReader(s.socket)
	for {
		f, ok := s.next(r)
		if !ok {
			return
		}
		if f.Kind == wire.FrameAck {
			n, _ := wire.DecodeCount(f.Body) // The client's own encoding.
			s.f.mu.Lock()
			s.f.acked += int(n)
			s.f.mu.Unlock()
			continue
		}
		lines, err := readBatch(f.Body)
		if err != nil {
			return
		}
		resp, err := s.f.decide(request{
			path: s.path, producer: s.header.Get("Meterd-Producer"), sequence: strconv.FormatUint(f.Sequence, 10),
			token: s.header.Get("Authorization"), body: string(f.Body), lines: lines,
		}, nil)
		if err != nil || !s.answer(f.Sequence, resp) {
			return
		}
	}
}

// next reads a message; false when there is none.
func (s *fakeSocket) next(r *bufio.Reader) (wire.Frame, bool) {
	h, n := websocket.Header{}, 0
	for need := 2; n == 0; need++ {
		b, err := r.Peek(need)
		if err != nil {
			return wire.Frame{}, false
		}
		if h, n, err = websocket.ParseHeader(b); err != nil || n > 0 && !h.Masked {
			return wire.Frame{}, false
		}
	}
	message := make([]byte, n+int(h.Length))
	if _, err := io.ReadFull(r, message); err != nil {
		return wire.Frame{}, false
	}
	websocket.Mask(message[n:], h.Mask)
	if h.Opcode == websocket.Pong {
		s.f.mu.Lock()
		s.f.pongs = append(s.f.pongs, string(message[n:]))
		s.f.mu.Unlock()
		return s.next(r)
	}
	f, err := wire.DecodeFrame(message[n:])
	return f, err == nil
}

// answer sends what resp stands for; false when it stands for a cut.
func (s *fakeSocket) answer(sequence uint64, resp *http.Response) bool {
	body, _ := io.ReadAll(resp.Body) // It is a string.
	if resp.StatusCode == http.StatusOK {
		s.send(&wire.Frame{
			Sequence: sequence, Kind: wire.FrameAnswer, Body: body, Replayed: resp.Header.Get("Meterd-Replayed") == "true",
		})
		return true
	}
	p := problemOf(resp, body)
	if p.Code == "" {
		return false
	}
	problem := appendAnswerUint(nil, 1, uint64(p.Status))
	problem = appendField(appendField(problem, 2, p.Code), 4, p.Detail)
	problem = appendAnswerUint(problem, 5, uint64(p.RetryAfter.Milliseconds()))
	s.send(&wire.Frame{Sequence: sequence, Kind: wire.FrameProblem, Body: problem})
	return true
}

func (s *fakeSocket) send(f *wire.Frame) {
	h := websocket.Header{Opcode: websocket.Binary, Final: true, Length: uint64(f.Bytes())}
	s.raw(wire.AppendFrame(websocket.AppendHeader(nil, h), f))
}

func (s *fakeSocket) raw(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.socket.Write(b) // A cut is noticed by whoever reads.
}
