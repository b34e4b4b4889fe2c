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

// socket is the descriptor of a connection that the runtime does not watch: for each packet that comes it would wake a
// goroutine.
type socket int

// read reads what is there: 0 bytes are the end of what the client sends, EAGAIN says that there is nothing yet.
func (s socket) read(b []byte) (int, error) {
	return uninterrupted(func() (int, error) { return unix.Read(int(s), b) })
}

// write writes what there is room for. If that is less than b, epoll tells when there is more.
func (s socket) write(b []byte) (int, error) {
	return writeUntilFull(func(rest []byte) (int, error) { return unix.Write(int(s), rest) }, b)
}

// uninterrupted calls do until no signal interrupts it. Whoever took an interruption for "nothing to do yet" would wait
// for epoll to say so, which tells of a change only once, and there was none.
func uninterrupted(do func() (int, error)) (int, error) {
	for {
		if n, err := do(); err != unix.EINTR {
			return n, err
		}
	}
}

// writeUntilFull writes until b is written or the socket says that it takes no more: only then does epoll tell when it
// takes more again. A short write alone may have had another reason, say a signal.
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

// close closes s. What it fails with says nothing: the descriptor is gone.
func (s socket) close() { _ = unix.Close(int(s)) }

// conn makes a net.Conn of s, which owns s from now on. It needs no other descriptor, unlike net.FileConn: there may be
// none to have.
func (s socket) conn() (net.Conn, error) {
	c := stream{os.NewFile(uintptr(s), "connection")}
	if err := c.SetDeadline(time.Time{}); err != nil { // The runtime could not watch it.
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// stream is a socket that the runtime watches.
type stream struct{ *os.File }

// control calls do with the descriptor, which is not closed meanwhile.
func (c stream) control(do func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = do(int(fd)) })
	return errors.Join(err, failed)
}

// CloseWrite says that no more is written; what the client sends is still read.
func (c stream) CloseWrite() error {
	return c.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// LocalAddr implements net.Conn.
func (c stream) LocalAddr() net.Addr { return c.address(unix.Getsockname) }

// RemoteAddr implements net.Conn.
func (c stream) RemoteAddr() net.Addr { return c.address(unix.Getpeername) }

// address returns what get says of c; it is empty if that is none of TCP.
func (c stream) address(get func(fd int) (unix.Sockaddr, error)) net.Addr {
	var a unix.Sockaddr
	_ = c.control(func(fd int) (err error) { // A connection that is closed has none.
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

// accept waits for a connection. It is not open when the acceptor was closed.
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

// inherited sets options that Linux gives a connection from its listener; net would set them on each.
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

// readiness tells once for each change which sockets may be read or written again: an epoll descriptor. The runtime
// does not watch it: for each packet that comes it would wake a thread of its own, to find that nobody is waiting.
type readiness struct{ fd int }

// happening is what became of a socket.
type happening = unix.EpollEvent

func newReadiness() (*readiness, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	return &readiness{fd}, nil
}

func (r *readiness) add(s socket) error {
	e := happening{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(s)}
	return unix.EpollCtl(r.fd, unix.EPOLL_CTL_ADD, int(s), &e)
}

// remove ends watching s. It fails if s was not watched, which is as well.
func (r *readiness) remove(s socket) { _ = unix.EpollCtl(r.fd, unix.EPOLL_CTL_DEL, int(s), nil) }

// now returns how much has happened, without waiting.
func (r *readiness) now(into []happening) int { return r.wait(into, 0) }

// wait returns how much has happened, as soon as anything has; 0 after some time, to the millisecond. It blocks a thread.
// After a signal it waits for all of that time again.
func (r *readiness) wait(into []happening, atMost time.Duration) int {
	n, _ := uninterrupted(func() (int, error) { // It fails on nothing but a signal.
		return unix.EpollWait(r.fd, into, int(atMost.Milliseconds()))
	})
	return max(n, 0)
}

func (r *readiness) close() { _ = unix.Close(r.fd) }

// mayRead reports whether there may be something to read, hasHung whether reading will come to an end or fail.
func mayRead(h *happening) bool { return h.Events&^unix.EPOLLOUT != 0 }
func hasHung(h *happening) bool { return h.Events&^(unix.EPOLLOUT|unix.EPOLLIN) != 0 }

// isNothingYet and isAborted say what an error of a socket means.
func isNothingYet(err error) bool { return err == unix.EAGAIN }
func isAborted(err error) bool    { return err == unix.ECONNABORTED }
