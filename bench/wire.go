package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// wire is a non-blocking connection and its receive buffer. It is not safe for concurrent use.
type wire struct {
	fd   int
	in   []byte
	have int // bytes that were received
}

func dial(ctx context.Context, address string) (*wire, error) {
	return dialGreeted(ctx, address, func(net.Conn) ([]byte, error) { return nil, nil })
}

// dialGreeted opens a connection on which greet says something first. greet returns what it has read beyond that.
func dialGreeted(ctx context.Context, address string, greet func(net.Conn) (early []byte, err error)) (*wire, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }() // The duplicate of its descriptor stays open.
	early, err := greet(conn)
	if err != nil {
		return nil, err
	}
	f, err := conn.(*net.TCPConn).File()
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	defer func() { _ = f.Close() }()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &wire{fd: fd, in: append(early, make([]byte, answerBytesStart)...), have: len(early)}, nil
}

// dialAll opens connections: all or none.
func dialAll(ctx context.Context, address string, connections int) (wires []*wire, err error) {
	for range connections {
		w, err := dial(ctx, address)
		if err != nil {
			for _, w := range wires {
				err = errors.Join(err, w.Close())
			}
			return nil, err
		}
		wires = append(wires, w)
	}
	return wires, nil
}

// room returns the free part of the receive buffer.
func (w *wire) room() []byte {
	if w.have == len(w.in) {
		w.in = append(w.in, make([]byte, len(w.in))...)
	}
	return w.in[w.have:]
}

func (w *wire) Close() error { return unix.Close(w.fd) }

// post is an HTTP request of which only body, sequence and length change.
type post struct {
	head     []byte // up to the sequence
	sequence bool   // whether it has one
	room     int    // bytes before the body that are kept free for the head
	text     []byte // the room, then the body
}

const (
	// lengthDigits is enough for any body that the daemon accepts.
	lengthDigits = 8
	// sequenceDigits is enough for any sequence.
	sequenceDigits = 20

	sequenceHeader = "\r\nMeterd-Sequence: "
	lengthHeader   = "\r\nContent-Length: "
)

// newPost returns a request of a producer. Without a producer it has no sequence.
func newPost(path, host, token, contentType, producer string) *post {
	p := &post{
		head:     []byte("POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: " + contentType),
		sequence: producer != "",
	}
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

// seal returns the request whose body was appended to blank. It writes the head directly before the body, so that one
// write sends both.
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
