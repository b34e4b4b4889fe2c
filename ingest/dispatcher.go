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

// dispatcher accepts connections and gives each to a loop. While there are no loops, because the engine is still
// recovering, it gives them to fasthttp, which sees the dispatcher as its net.Listener.
type dispatcher struct {
	listener net.Listener // holds the port
	acceptor *acceptor
	limit    *connLimit
	refusal  []byte // the answer to a connection above the limit
	forHTTP  chan net.Conn
	closing  chan struct{}
	once     sync.Once
	loops    atomic.Pointer[[]*loop]
}

func newDispatcher(ln *net.TCPListener, limit *connLimit) (*dispatcher, error) {
	a, err := newAcceptor(ln)
	if err != nil {
		return nil, err
	}
	d := &dispatcher{
		listener: ln,
		acceptor: a,
		limit:    limit,
		refusal:  refusal(),
		forHTTP:  make(chan net.Conn, handedOver),
		closing:  make(chan struct{}),
	}
	go d.run()
	return d, nil
}

// open starts the loops: from now on they answer plain requests for h, and serve its event streams. There is one for
// every two processors; the other processor is left to the storing of groups.
func (d *dispatcher) open(h *Handler) error {
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
	h.events.serveWith(loops)
	return nil
}

// run accepts until the listener is closed.
func (d *dispatcher) run() {
	for next := 0; ; next++ {
		s, open, err := d.acceptor.accept()
		switch {
		case !open:
			return
		case err == nil && d.limit.acquire():
			d.assign(s, next)
		case err == nil:
			_, _ = s.write(d.refusal) // The connection is closed whether this works or not.
			s.close()
		case isAborted(err):
		default: // No descriptors or no memory: connections that are open continue.
			pause := time.NewTimer(acceptPause)
			select {
			case <-pause.C:
			case <-d.closing:
			}
			pause.Stop()
		}
	}
}

// assign gives a new connection to the next loop, or to fasthttp if there are no loops or that loop has too many
// connections.
func (d *dispatcher) assign(s socket, next int) {
	if loops := d.loops.Load(); loops != nil {
		l := (*loops)[next%len(*loops)]
		if l.open.Load() < int64(connectionsMax/len(*loops)) {
			l.add(s)
			return
		}
	}
	d.giveToHTTP(s, nil)
}

// giveToHTTP gives a connection to fasthttp, together with the bytes that were read of its next request. After Close it
// closes the connection instead.
func (d *dispatcher) giveToHTTP(s socket, read []byte) {
	conn, err := s.conn()
	if err != nil {
		d.limit.release()
		return
	}
	c := &connection{Conn: conn, limit: d.limit, early: append([]byte(nil), read...)}
	select {
	case d.forHTTP <- c:
	case <-d.closing:
		_ = c.Close()
	}
}

// refusal returns the answer to a connection above the limit: 503 with Retry-After.
func refusal() []byte {
	var r fasthttp.Response
	writeProblem(&r, &event.Problem{Code: event.Overloaded, Detail: "too many connections are open"})
	r.SetConnectionClose()
	r.Header.SetContentLength(len(r.Body()))
	return append(r.Header.Header(), r.Body()...)
}

// Accept implements net.Listener.
func (d *dispatcher) Accept() (net.Conn, error) {
	select {
	case c := <-d.forHTTP:
		return c, nil
	case <-d.closing:
		return nil, io.EOF
	}
}

// Addr implements net.Listener.
func (d *dispatcher) Addr() net.Addr { return d.listener.Addr() }

// Close implements net.Listener: no connection is accepted any more.
func (d *dispatcher) Close() error {
	var err error
	d.once.Do(func() {
		close(d.closing)
		err = errors.Join(d.acceptor.close(), d.listener.Close())
	})
	return err
}

// stop closes the listener and returns when the loops have answered every request that they decided, or ctx is done.
func (d *dispatcher) stop(ctx context.Context) error {
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
