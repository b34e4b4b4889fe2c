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
		return nil, fmt.Errorf("connect to the daemon: %w", err)
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

// post is a request whose body changes and whose head does not, but for its length.
type post struct {
	head []byte // up to the value of Content-Length
	room int    // what is kept free before the body for the head
	text []byte // room, then the body
}

// lengthDigits is enough for any body that the daemon takes.
const lengthDigits = 8

func newPost(path, host, token, contentType string) *post {
	p := &post{head: []byte("POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Bearer " + token +
		"\r\nContent-Type: " + contentType + "\r\nMeterd-Producer: bench\r\nContent-Length: ")}
	p.room = len(p.head) + lengthDigits + len(headEnd)
	p.text = make([]byte, p.room)
	return p
}

// blank returns the buffer to append a body to, for seal.
func (p *post) blank() []byte { return p.text[:p.room] }

// seal returns the request whose body was appended to blank: the head is written to where it ends at the body, so that one write
// sends both.
func (p *post) seal(text []byte) []byte {
	p.text = text
	var number [lengthDigits]byte
	length := strconv.AppendInt(number[:0], int64(len(text)-p.room), 10)
	from := p.room - len(headEnd) - len(length) - len(p.head)
	at := from + copy(text[from:], p.head)
	at += copy(text[at:], length)
	copy(text[at:], headEnd)
	return text[from:]
}
