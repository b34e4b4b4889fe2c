package route

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// owner is where requests of a cell go.
type owner struct {
	cell          int
	node, address string
}

// links are the connections to owners, by owner. It is safe for concurrent use.
type links struct {
	peer   func(node string) *tls.Config // nil, or it returns nil: without TLS
	pieces sync.Pool                     // of *[]byte, to copy bodies with

	mu     sync.Mutex
	owners map[owner]*linksOf
}

// linksOf are the connections to one owner.
type linksOf struct {
	to     owner
	pieces *sync.Pool
	lost   time.Time // guarded by links.mu: since when nobody is known to own the cell; zero: somebody is

	mu   sync.Mutex
	idle [kinds][]*link     // guarded by mu: the one used last at the end
	open map[*link]struct{} // guarded by mu: idle ones, too
	gone bool               // guarded by mu: nothing is kept any more
}

// kind is what a connection is used for.
type kind int

const (
	forPlain  kind = iota // small requests of gateways, which the cell's loops answer
	forOthers             // all others
	kinds
)

// link is a connection to an owner. One exchange has it at a time.
type link struct {
	net.Conn
	of        *linksOf
	kind      kind
	in        *bufio.Reader
	out       *bufio.Writer
	request   fasthttp.RequestHeader
	response  fasthttp.Response
	raw       syscall.RawConn
	idleSince time.Time
	// client is that of a request that only reads, since it has the link; guarded by of.mu.
	client net.Conn
	since  time.Time
}

var (
	errTooMany  = errors.New("too many requests wait for this cell")
	errReplaced = errors.New("another node owns this cell now")
)

// take returns a connection to an owner, which is alive as far as the kernel knows. A new one must be there before
// until.
func (ls *links) take(ctx context.Context, to owner, k kind, until time.Time) (*link, error) {
	of := ls.of(to)
	for {
		l, err := of.takeIdle(k)
		switch {
		case err != nil:
			return nil, err
		case l == nil:
			return of.dial(ctx, ls.peer, k, until)
		case l.isQuiet():
			return l, nil
		}
		l.end()
	}
}

func (ls *links) of(to owner) *linksOf {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	of := ls.owners[to]
	if of == nil {
		of = &linksOf{to: to, pieces: &ls.pieces, open: map[*link]struct{}{}}
		ls.owners[to] = of
	}
	return of
}

func (of *linksOf) takeIdle(k kind) (*link, error) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if n := len(of.idle[k]); n > 0 {
		l := of.idle[k][n-1]
		of.idle[k] = of.idle[k][:n-1]
		return l, nil
	}
	if len(of.open) >= linksMax {
		return nil, errTooMany
	}
	return nil, nil
}

func (of *linksOf) dial(
	ctx context.Context, peer func(string) *tls.Config, k kind, until time.Time,
) (*link, error) {
	dialer := net.Dialer{Timeout: dialTimeout, Deadline: until}
	conn, err := dialer.DialContext(ctx, "tcp", of.to.address)
	if err != nil {
		return nil, fmt.Errorf("reach node %s: %w", of.to.node, err)
	}
	l := &link{Conn: conn, of: of, kind: k}
	if described, ok := conn.(syscall.Conn); ok {
		if l.raw, err = described.SyscallConn(); err != nil {
			return nil, errors.Join(fmt.Errorf("reach node %s: %w", of.to.node, err), conn.Close())
		}
	}
	if peer != nil {
		if config := peer(of.to.node); config != nil {
			over := tls.Client(conn, config)
			shaking, cancel := context.WithTimeout(ctx, min(dialTimeout, time.Until(until)))
			defer cancel()
			if err := over.HandshakeContext(shaking); err != nil {
				return nil, errors.Join(fmt.Errorf("reach node %s: %w", of.to.node, err), conn.Close())
			}
			l.Conn = over
		}
	}
	l.in, l.out = bufio.NewReaderSize(endless{l.Conn}, headerBytesMax), bufio.NewWriterSize(l.Conn, sendBufferBytes)
	l.response.Header.SetNoDefaultContentType(true)
	of.mu.Lock()
	isGone := of.gone
	of.open[l] = struct{}{}
	of.mu.Unlock()
	if isGone {
		l.end()
		return nil, errReplaced
	}
	return l, nil
}

// endless reads a connection whose end is an error: no answer of an owner ends with it, and fasthttp would take an end
// between two chunks for that of the body.
type endless struct{ net.Conn }

// Read implements io.Reader.
func (e endless) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// isQuiet reports whether nothing has come on an idle connection: neither bytes nor its end.
func (l *link) isQuiet() bool {
	return l.in.Buffered() == 0 && !hasEvent(l.raw, unix.POLLIN|unix.POLLRDHUP)
}

// hasEvent asks the kernel about a socket, without waiting. A socket that cannot be asked has none.
func hasEvent(raw syscall.RawConn, events int16) (has bool) {
	if raw == nil {
		return false
	}
	closed := raw.Control(func(fd uintptr) {
		p := [1]unix.PollFd{{Fd: int32(fd), Events: events}}
		n, err := unix.Poll(p[:], 0)
		has = err == nil && n > 0
	})
	return has || closed != nil
}

// keep gives the connection back for the next request.
func (l *link) keep() {
	of := l.of
	of.mu.Lock()
	isKept := !of.gone && len(of.idle[l.kind]) < linksIdleMax
	l.client = nil
	if isKept {
		l.idleSince = time.Now()
		of.idle[l.kind] = append(of.idle[l.kind], l)
	}
	of.mu.Unlock()
	if !isKept {
		l.end()
	}
}

// end closes the connection. It may be called more than once, and by others than whoever has the link.
func (l *link) end() {
	l.of.mu.Lock()
	delete(l.of.open, l)
	l.client = nil
	l.of.mu.Unlock()
	_ = l.Conn.Close() // It fails on a closed connection.
}

// watch has the connection closed when the client of a request that only reads has gone. The link is kept or ended.
func (l *link) watch(client net.Conn) {
	l.of.mu.Lock()
	l.client, l.since = client, time.Now()
	l.of.mu.Unlock()
}

// standing is what is known of whoever has owned a cell.
type standing int

const (
	owns     standing = iota
	lost              // nobody is known to own the cell: its last owner may come back
	replaced          // another node owns it
)

// sweep closes the connections to owners that were replaced, or lost for too long, those that were idle for too long,
// and those whose client has gone.
func (ls *links) sweep(now time.Time, stands func(owner) standing) {
	ls.mu.Lock()
	var all []*linksOf
	for to, of := range ls.owners {
		is := stands(to)
		switch {
		case is == owns:
			of.lost = time.Time{}
		case of.lost.IsZero():
			of.lost = now
		}
		if is == replaced || is == lost && now.Sub(of.lost) > lostMax {
			of.mu.Lock()
			of.gone = true
			of.mu.Unlock()
			delete(ls.owners, to)
		}
		all = append(all, of)
	}
	ls.mu.Unlock()
	for _, of := range all {
		for _, l := range of.over(now) {
			l.end()
		}
	}
}

// over returns the connections that are of no use any more.
func (of *linksOf) over(now time.Time) (list []*link) {
	of.mu.Lock()
	defer of.mu.Unlock()
	if of.gone {
		for l := range of.open {
			list = append(list, l)
		}
		of.idle = [kinds][]*link{}
		return list
	}
	for k := range of.idle {
		old := 0
		for old < len(of.idle[k]) && now.Sub(of.idle[k][old].idleSince) > idleFor {
			old++
		}
		list = append(list, of.idle[k][:old]...)
		of.idle[k] = append(of.idle[k][:0], of.idle[k][old:]...)
	}
	for l := range of.open {
		if l.client != nil && now.Sub(l.since) > goneAfter && hasGone(l.client) {
			list = append(list, l)
		}
	}
	return list
}

// hasGone reports whether a client sends nothing more.
func hasGone(client net.Conn) bool {
	described, ok := client.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := described.SyscallConn()
	return err != nil || hasEvent(raw, unix.POLLRDHUP)
}

// close ends all connections.
func (ls *links) close() { ls.sweep(time.Now(), func(owner) standing { return replaced }) }

// count returns how many connections there are.
func (ls *links) count() (n int) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, of := range ls.owners {
		of.mu.Lock()
		n += len(of.open)
		of.mu.Unlock()
	}
	return n
}
