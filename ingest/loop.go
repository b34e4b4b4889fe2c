package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// loop answers plain requests of many connections with one goroutine. A goroutine a connection is parked and woken for every request and
// again for its group; here a request costs one read, one write, and its part of a wait for many and of one wake-up a group.
//
//	accept ──► add ──► ready ──► read ──► parse ─┬─ plain ──► Decide ──► waiting ──► durable: Settle, write ──┐
//	                     ▲                       └─ anything else ──► handOver: fasthttp has it for good      │
//	                     └────────────────────────────────────────────────────────────────────────────────────┘
//
// What a loop knows belongs to the goroutine of run, but for what mu guards and for what watch fills while it is armed.
type loop struct {
	h       *Handler
	doorman *doorman // has what a loop does not answer

	ready *readiness
	wake  chan struct{} // something is to be done
	arm   chan struct{} // watch is to say when a connection is ready
	armed atomic.Bool   // it has been told to and has not done so yet
	// watched are the events that watch has found; they are its own while it is armed.
	watched []happening

	mu       sync.Mutex
	incoming []socket // guarded by mu
	finished []*link  // guarded by mu: decided by a goroutine of their own

	stopping atomic.Bool
	stopped  chan struct{} // closed when nothing is in hand any more

	links    []*link // by descriptor
	open     atomic.Int64
	waiting  []*link // decided, in the order of their groups
	again    []*link // had their turn, and more to say
	events   []happening
	in       []byte // what was read of the connection in hand
	out      []byte
	response fasthttp.Response
	now      time.Time
	sweptAt  time.Time
}

func newLoop(h *Handler, d *doorman) (*loop, error) {
	ready, err := newReadiness()
	if err != nil {
		return nil, err
	}
	l := &loop{
		h: h, doorman: d, ready: ready,
		wake: make(chan struct{}, 1), arm: make(chan struct{}, 1), stopped: make(chan struct{}),
		events: make([]happening, loopEvents), in: make([]byte, plainBytesMax),
	}
	return l, nil
}

func (l *loop) start() {
	go l.watch()
	go l.run()
}

func (l *loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// add gives the loop a new connection.
func (l *loop) add(s socket) {
	l.open.Add(1)
	l.mu.Lock()
	l.incoming = append(l.incoming, s)
	l.mu.Unlock()
	l.signal()
}

// stop has the loop answer what it has decided, close everything and end; stopped is closed then.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.signal()
}

// watch waits for connections to become ready, each time it is armed.
func (l *loop) watch() {
	found := make([]happening, loopEvents)
	for range l.arm {
		n, open := l.ready.wait(found)
		l.watched = found[:n]
		l.armed.Store(false)
		l.signal()
		if !open {
			return
		}
	}
}

func (l *loop) run() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for !l.isDone() {
		if l.step() {
			continue
		}
		if !l.armed.Load() { // Then it stays so.
			if len(l.watched) > 0 {
				continue
			}
			l.armed.Store(true)
			l.arm <- struct{}{}
		}
		select {
		case <-l.wake:
		case <-tick.C:
		}
	}
	close(l.arm)
	l.ready.close() // It ends watch.
	close(l.stopped)
}

// isDone reports whether the loop was stopped and has answered everything.
func (l *loop) isDone() bool {
	if !l.stopping.Load() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open.Load() == 0 && len(l.incoming) == 0
}

// step does what is to be done now, and reports whether it was anything.
func (l *loop) step() bool {
	l.now = time.Now()
	isBusy := l.welcome()
	if !l.armed.Load() && len(l.watched) > 0 {
		l.handle(l.watched)
		l.watched = nil
		isBusy = true
	}
	if n := l.ready.now(l.events); n > 0 {
		l.handle(l.events[:n])
		isBusy = true
	}
	again := l.again
	l.again = nil
	for _, c := range again {
		isBusy = true
		l.advance(c)
	}
	if l.answerDurable() {
		isBusy = true
	}
	if l.stopping.Load() || l.now.Sub(l.sweptAt) >= sweepEvery {
		l.sweep()
	}
	return isBusy
}
