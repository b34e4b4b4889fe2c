package ingest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// socket is the descriptor of a non-blocking connection that is not in the runtime's own poller: the runtime would wake
// a goroutine for every packet.
type socket int

// read reads the bytes that have arrived. 0 bytes mean that the client sends nothing more, EAGAIN that none have
// arrived.
func (s socket) read(b []byte) (int, error) {
	return uninterrupted(func() (int, error) { return unix.Read(int(s), b) })
}

// write writes as much of b as the socket takes. If that is not all, epoll reports when the socket takes more.
func (s socket) write(b []byte) (int, error) {
	return writeUntilFull(func(rest []byte) (int, error) { return unix.Write(int(s), rest) }, b)
}

// uninterrupted calls do again while it fails with EINTR. EINTR must not be treated like EAGAIN: epoll is
// edge-triggered here, so it reports nothing for a socket that was never full or empty.
func uninterrupted(do func() (int, error)) (int, error) {
	for {
		if n, err := do(); err != unix.EINTR {
			return n, err
		}
	}
}

// writeUntilFull writes until all of b is written or write fails with EAGAIN. A short write is not enough: it may have
// another reason, for example a signal, and only after EAGAIN is epoll sure to report that the socket takes more.
func writeUntilFull(write func([]byte) (int, error), b []byte) (done int, err error) {
	for done < len(b) {
		n, err := uninterrupted(func() (int, error) { return write(b[done:]) })
		if err == unix.EAGAIN {
			return done, nil
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

// close closes s. Its error is ignored: the descriptor is closed in any case.
func (s socket) close() { _ = unix.Close(int(s)) }

// conn returns a net.Conn that owns s. Unlike net.FileConn it needs no second descriptor, of which there may be none
// left.
func (s socket) conn() (net.Conn, error) {
	c := stream{os.NewFile(uintptr(s), "connection")}
	if err := c.SetDeadline(time.Time{}); err != nil { // It is not in the runtime's poller.
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// stream is a socket in the runtime's poller.
type stream struct{ *os.File }

// control calls do with the descriptor. It is not closed while do runs.
func (c stream) control(do func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	return errors.Join(err, failed)
}

// CloseWrite closes the writing side; reading continues.
func (c stream) CloseWrite() error {
	return c.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// LocalAddr implements net.Conn.
func (c stream) LocalAddr() net.Addr { return c.address(unix.Getsockname) }

// RemoteAddr implements net.Conn.
func (c stream) RemoteAddr() net.Addr { return c.address(unix.Getpeername) }

// address returns the TCP address that get returns for c, or an empty one.
func (c stream) address(get func(fd int) (unix.Sockaddr, error)) net.Addr {
	var a unix.Sockaddr
	_ = c.control(func(fd int) (err error) { // A closed connection has no address.
		a, err = get(fd)
		return err
	})
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *unix.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	}
	return &net.TCPAddr{}
}

// acceptor accepts sockets from a listener.
type acceptor struct {
	file *os.File
	raw  syscall.RawConn
}

func newAcceptor(ln *net.TCPListener) (*acceptor, error) {
	f, err := ln.File()
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", ln.Addr(), err)
	}
	raw, err := f.SyscallConn()
	return &acceptor{f, raw}, err
}

// accept waits for a connection. open is false when the acceptor was closed.
func (a *acceptor) accept() (s socket, open bool, err error) {
	closed := a.raw.Read(func(ln uintptr) bool {
		var fd int
		fd, err = uninterrupted(func() (int, error) {
			fd, _, err := unix.Accept4(int(ln), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return fd, err
		})
		s = socket(fd)
		return err != unix.EAGAIN
	})
	return s, closed == nil, err
}

func (a *acceptor) close() error { return a.file.Close() }

// inherited sets socket options on the listener. On Linux its connections inherit them, so nothing has to be set for
// each connection.
func inherited(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		for _, o := range [][3]int{
			{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
			{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		} {
			if err := unix.SetsockoptInt(int(fd), o[0], o[1], o[2]); err != nil {
				failed = err
			}
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// poller is an edge-triggered epoll descriptor: it reports each change of a socket once. It is not in the runtime's own
// poller, which would wake a thread for every packet.
type poller struct{ fd int }

// epollEvent says which socket changed, and how.
type epollEvent = unix.EpollEvent

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll descriptor: %w", err)
	}
	return &poller{fd}, nil
}

func (r *poller) add(s socket) error {
	e := epollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(s)}
	return unix.EpollCtl(r.fd, unix.EPOLL_CTL_ADD, int(s), &e)
}

// remove stops watching s. Its error is ignored: s may not have been watched.
func (r *poller) remove(s socket) { _ = unix.EpollCtl(r.fd, unix.EPOLL_CTL_DEL, int(s), nil) }

// now stores events that are there already and returns their number, without waiting.
func (r *poller) now(into []epollEvent) int { return r.wait(into, 0) }

// wait waits for events, at most for some milliseconds, stores them and returns their number. It blocks a thread. After
// a signal the time begins anew.
func (r *poller) wait(into []epollEvent, atMost time.Duration) int {
	n, _ := uninterrupted(func() (int, error) { // EINTR is its only possible error.
		return unix.EpollWait(r.fd, into, int(atMost.Milliseconds()))
	})
	return max(n, 0)
}

func (r *poller) close() { _ = unix.Close(r.fd) }

// mayRead reports whether there may be something to read, hasHung whether reading will end or fail.
func mayRead(h *epollEvent) bool { return h.Events&^unix.EPOLLOUT != 0 }
func hasHung(h *epollEvent) bool { return h.Events&^(unix.EPOLLOUT|unix.EPOLLIN) != 0 }

// isNothingYet: no bytes have arrived. isAborted: the client closed the connection before it was accepted.
func isNothingYet(err error) bool { return err == unix.EAGAIN }
func isAborted(err error) bool    { return err == unix.ECONNABORTED }
