package bench

import (
	"context"
	"fmt"
	"net"
	"strconv"
)

// wire is a connection to the daemon that is kept alive, with one request in flight. It is not safe for concurrent use, except Close.
type wire struct {
	conn net.Conn
	in   []byte
}

func dial(ctx context.Context, address string) (*wire, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &wire{conn: conn, in: make([]byte, answerBytesStart)}, nil
}

// ask writes a request and reads its answer, whose body is valid until the next ask.
func (w *wire) ask(request []byte) (response, error) {
	if _, err := w.conn.Write(request); err != nil {
		return response{}, fmt.Errorf("send a batch: %w", err)
	}
	for have := 0; ; {
		if have == len(w.in) {
			w.in = append(w.in, make([]byte, len(w.in))...)
		}
		n, err := w.conn.Read(w.in[have:])
		have += n
		r, used, malformed := parseResponse(w.in[:have])
		switch {
		case malformed != nil:
			return response{}, malformed
		case used == have && used > 0:
			return r, nil
		case used > 0:
			return response{}, fmt.Errorf("%d bytes follow the answer", have-used)
		case err != nil:
			return response{}, fmt.Errorf("read an answer: %w", err)
		}
	}
}

func (w *wire) Close() error { return w.conn.Close() }

// post is a request whose body changes and whose head does not, but for its sequence and its length.
type post struct {
	head     []byte // up to the numbers
	sequence bool   // whether there is one
	room     int    // what is kept free before the body for the head
	text     []byte // room, then the body
}

const (
	// lengthDigits is enough for any body that the daemon takes.
	lengthDigits = 8
	// sequenceDigits is enough for any sequence.
	sequenceDigits = 20

	sequenceHeader = "\r\nMeterd-Sequence: "
	lengthHeader   = "\r\nContent-Length: "
)

// newPost returns a request of one producer; without one it has no sequences.
func newPost(path, host, token, contentType, producer string) *post {
	p := &post{head: []byte("POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: " + contentType), sequence: producer != ""}
	if token != "" {
		p.head = append(p.head, "\r\nAuthorization: Bearer "+token...)
	}
	if p.sequence {
		p.head = append(p.head, "\r\nMeterd-Producer: "+producer...)
	}
	p.room = len(p.head) + len(sequenceHeader) + sequenceDigits + len(lengthHeader) + lengthDigits + len(headEnd)
	p.text = make([]byte, p.room)
	return p
}

// blank returns the buffer to append a body to, for seal.
func (p *post) blank() []byte { return p.text[:p.room] }

// seal returns the request whose body was appended to blank: the head is written to where it ends at the body, so that one write
// sends both.
func (p *post) seal(text []byte, sequence uint64) []byte {
	p.text = text
	var room [len(sequenceHeader) + sequenceDigits + len(lengthHeader) + lengthDigits + 4]byte
	tail := room[:0]
	if p.sequence {
		tail = strconv.AppendUint(append(tail, sequenceHeader...), sequence, 10)
	}
	tail = strconv.AppendInt(append(tail, lengthHeader...), int64(len(text)-p.room), 10)
	tail = append(tail, headEnd...)
	from := p.room - len(tail) - len(p.head)
	copy(text[from+copy(text[from:], p.head):], tail)
	return text[from:]
}
