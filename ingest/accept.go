package ingest

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// doorman accepts connections and gives them to loops, or to fasthttp while there are none: a daemon that starts has no engine that they
// could ask. To fasthttp he is a listener.
type doorman struct {
	listener net.Listener // holds the port
	acceptor *acceptor
	handed   chan net.Conn
	closing  chan struct{}
	once     sync.Once
	loops    atomic.Pointer[[]*loop]
}

func newDoorman(ln *net.TCPListener) (*doorman, error) {
	a, err := newAcceptor(ln)
	if err != nil {
		return nil, err
	}
	d := &doorman{listener: ln, acceptor: a, handed: make(chan net.Conn, handedOver), closing: make(chan struct{})}
	go d.run()
	return d, nil
}

// open has loops answer plain requests for h from now on, one for every two processors: the other is for the groups.
func (d *doorman) open(h *Handler) error {
	loops := make([]*loop, (runtime.GOMAXPROCS(0)+1)/2)
	for i := range loops {
		l, err := newLoop(h, d.hand)
		if err != nil {
			return err
		}
		l.start()
		loops[i] = l
	}
	d.loops.Store(&loops)
	return nil
}

// run accepts until the listener is closed.
func (d *doorman) run() {
	for next := 0; ; next++ {
		s, open, err := d.acceptor.accept()
		switch {
		case !open:
			return
		case err == nil:
			d.welcome(s, next)
		case isInterrupted(err), isAborted(err):
		default: // There are no descriptors, or no memory: what is open goes on.
			pause := time.NewTimer(acceptPause)
			select {
			case <-pause.C:
			case <-d.closing:
			}
			pause.Stop()
		}
	}
}

// welcome gives a new connection to the next loop, if there are any and they do not look after too many already.
func (d *doorman) welcome(s socket, next int) {
	if loops := d.loops.Load(); loops != nil {
		l := (*loops)[next%len(*loops)]
		if l.open.Load() < int64(connectionsMax/len(*loops)) {
			l.add(s)
			return
		}
	}
	conn, err := s.conn()
	if err == nil && !d.hand(&connection{Conn: conn}) {
		_ = conn.Close()
	}
}

// hand gives a connection to fasthttp; it returns false if fasthttp takes no more.
func (d *doorman) hand(c net.Conn) bool {
	select {
	case d.handed <- c:
		return true
	case <-d.closing:
		return false
	}
}

// Accept implements net.Listener.
func (d *doorman) Accept() (net.Conn, error) {
	select {
	case c := <-d.handed:
		return c, nil
	case <-d.closing:
		return nil, io.EOF
	}
}

// Addr implements net.Listener.
func (d *doorman) Addr() net.Addr { return d.listener.Addr() }

// Close implements net.Listener: no connection is accepted any more.
func (d *doorman) Close() error {
	var err error
	d.once.Do(func() {
		close(d.closing)
		err = d.acceptor.close()
		if e := d.listener.Close(); err == nil {
			err = e
		}
	})
	return err
}

// stop closes the listener and returns when the loops have answered what they had in hand, or ctx is over.
func (d *doorman) stop(ctx context.Context) error {
	err := d.Close()
	loops := d.loops.Load()
	if loops == nil {
		return err
	}
	for _, l := range *loops {
		l.stop()
	}
	for _, l := range *loops {
		select {
		case <-l.stopped:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}
