package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// wire is a connection that never blocks, and what has come over it. It is not safe for concurrent use.
type wire struct {
	fd   int
	in   []byte
	have int // bytes of in that came
}

func dial(ctx context.Context, address string) (*wire, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	defer func() { _ = conn.Close() }() // What is kept is a descriptor of our own.
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
	return &wire{fd: fd, in: make([]byte, answerBytesStart)}, nil
}

// dialAll opens connections, all or none.
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

// room returns where the next bytes go.
func (w *wire) room() []byte {
	if w.have == len(w.in) {
		w.in = append(w.in, make([]byte, len(w.in))...)
	}
	return w.in[w.have:]
}

func (w *wire) Close() error { return unix.Close(w.fd) }

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

// seal returns the request whose body was appended to blank: the head is written to where it ends at the body, so that
// one write sends both.
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
