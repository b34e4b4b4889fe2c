package ingest

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
)

// doorman accepts connections and gives them to loops, or to fasthttp while there are none: a daemon that starts has no
// engine that they could ask. To fasthttp he is a listener.
type doorman struct {
	listener net.Listener // holds the port
	acceptor *acceptor
	places   *places
	full     []byte // what is answered when there is no place
	handed   chan net.Conn
	closing  chan struct{}
	once     sync.Once
	loops    atomic.Pointer[[]*loop]
}

func newDoorman(ln *net.TCPListener, p *places) (*doorman, error) {
	a, err := newAcceptor(ln)
	if err != nil {
		return nil, err
	}
	d := &doorman{
		listener: ln,
		acceptor: a,
		places:   p,
		full:     full(),
		handed:   make(chan net.Conn, handedOver),
		closing:  make(chan struct{}),
	}
	go d.run()
	return d, nil
}

// open has loops answer plain requests for h from now on, one for every two processors: the other is for the groups.
func (d *doorman) open(h *Handler) error {
	loops := make([]*loop, (runtime.GOMAXPROCS(0)+1)/2)
	for i := range loops {
		l, err := newLoop(h, d)
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
		case err == nil && d.places.take():
			d.welcome(s, next)
		case err == nil:
			_, _ = s.write(d.full) // What it fails with says nothing: the connection is closed.
			s.close()
		case isAborted(err):
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
	d.hand(s, nil)
}

// hand gives a connection to fasthttp, with what was read of its next request. It is closed if fasthttp takes no more.
func (d *doorman) hand(s socket, read []byte) {
	conn, err := s.conn()
	if err != nil {
		d.places.giveBack()
		return
	}
	c := &connection{Conn: conn, places: d.places, early: append([]byte(nil), read...)}
	select {
	case d.handed <- c:
	case <-d.closing:
		_ = c.Close()
	}
}

// full returns the answer to a connection that has no place: 503, and when to come again.
func full() []byte {
	var r fasthttp.Response
	writeProblem(&r, &event.Problem{Code: event.Overloaded, Detail: "too many connections are open"})
	r.SetConnectionClose()
	r.Header.SetContentLength(len(r.Body()))
	return append(r.Header.Header(), r.Body()...)
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
		err = errors.Join(d.acceptor.close(), d.listener.Close())
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
			err = errors.Join(err, ctx.Err())
		}
	}
	return err
}
