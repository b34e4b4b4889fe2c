package api

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// watchClient calls gone when the client at the other end of conn has closed its side, and returns; it returns too when
// ctx is over. It asks the kernel and reads nothing: what the client sent may be its next request. Connections that no
// descriptor is behind are not watched.
func watchClient(ctx context.Context, conn net.Conn, gone context.CancelFunc) {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = over.NetConn()
	}
	described, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := described.SyscallConn()
	if err != nil {
		return
	}
	tick := time.NewTicker(goneEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if hasGone(raw) {
				gone()
				return
			}
		}
	}
}

// hasGone reports whether the other end of a connection sends nothing more, or the connection is closed.
func hasGone(raw syscall.RawConn) (isGone bool) {
	closed := raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0) // Interrupted by a signal, it says the same the next time.
		isGone = err == nil && n > 0
	})
	return isGone || closed != nil
}
