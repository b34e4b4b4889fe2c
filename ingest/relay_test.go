package ingest

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// lastConn is a connection whose last bytes come together with its end, as with TLS.
type lastConn struct{ net.Conn }

func (lastConn) Read(b []byte) (int, error) { return copy(b, "last"), io.EOF }

// The loop hears of an end that comes together with bytes when it has taken these.
func TestRelayEndsBehindItsLastBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int32
		r := newRelay(lastConn{}, nil, func() { posts.Add(1) })
		go r.pull()
		b := make([]byte, 10)
		for i, want := range []string{"last", ""} {
			if synctest.Wait(); int(posts.Load()) != i+1 {
				t.Fatalf("the loop has heard %d times, want %d", posts.Load(), i+1)
			}
			if n, err := r.read(b); err != nil || string(b[:n]) != want {
				t.Errorf("%q, %v, want %q", b[:n], err, want)
			}
		}
	})
}
