package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// loop answers plain requests of many connections with one goroutine: an epoll loop. With a goroutine a connection,
// each goroutine is parked and woken for every request and again for its group. Here a request costs one read and one
// write, and a wake-up is shared by all requests of a group.
//
// The loop batches: it decides every request that has arrived before it has any of them stored, and reads nothing more
// until the disk has that group. So its groups are as large as they can be.
//
//	accept ──► add ──► epoll ──► read ──► parse ─┬─ plain ──► Decide ──► store ──► idle ──► durable: Settle, write ──┐
//	                     ▲                       └─ anything else ──► handOver: fasthttp serves it from now on       │
//	                     └───────────────────────────────────────────────────────────────────────────────────────────┘
//
// Event streams are served in the same steps (streamloop.go): a group has their batches, too.
//
// The goroutine of run owns the fields. Exceptions: mu guards incoming, finished and streams.posted; watch owns watched
// while armed is true.
type loop struct {
	h          *Handler
	dispatcher *dispatcher // takes connections that a loop cannot serve; nil if there are only streams

	poller *poller       // nil if there are no sockets
	wake   chan struct{} // there is something to do
	arm    chan struct{} // tells watch to wait for events
	armed  atomic.Bool   // watch is waiting
	// watched are the events that watch found; watch owns them while armed is true.
	watched []epollEvent

	mu       sync.Mutex
	incoming []socket    // guarded by mu
	finished []*loopConn // guarded by mu: their request was decided by a goroutine of its own

	stopping atomic.Bool
	stopped  chan struct{} // closed when run has ended

	conns   []*loopConn // by descriptor
	open    atomic.Int64
	streams streamsOfLoop
	waiting []pending // decided and not durable yet, in the order of groups
	durable []pending // scratch of answerDurable
	// The last unwatched ones of waiting are not being stored yet. The first of them was decided at decidedAt, and
	// sinceFirst requests of any kind were read since then.
	unwatched  int
	decidedAt  time.Time
	sinceFirst int
	// groupTimer bounds the time in which idle waits for a group alone; hasTimedOut says that it fired, and that no
	// group was durable since.
	groupTimer  *time.Timer
	hasTimedOut bool
	again       []*loopConn // have used up their turn and may have more requests
	events      []epollEvent
	in          []byte // read buffer
	out         []byte // write buffer
	response    fasthttp.Response
	now         time.Time
	sweptAt     time.Time
}

// pending is a request that is decided and not durable yet: one of a connection, or a batch of a stream.
type pending struct {
	call   *call
	conn   *loopConn
	stream *eventStream
}

// newLoop returns a loop for the connections that d accepts.
func newLoop(h *Handler, d *dispatcher) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := newLoopOf(h, p)
	l.dispatcher = d
	return l, nil
}

// newLoopOf returns a loop without a dispatcher, for streams alone.
func newLoopOf(h *Handler, p *poller) *loop {
	return &loop{
		h: h, poller: p,
		wake: make(chan struct{}, 1), arm: make(chan struct{}, 1), stopped: make(chan struct{}),
		streams:    streamsOfLoop{open: map[*eventStream]struct{}{}, closing: h.streams.closing},
		groupTimer: time.NewTimer(groupWait), events: make([]epollEvent, loopEvents), in: make([]byte, plainBytesMax),
	}
}

func (l *loop) start() {
	if l.poller != nil {
		go l.watch()
	}
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

// stop makes the loop answer what it has decided, close its connections and end. Then it closes stopped.
func (l *loop) stop() {
	l.stopping.Store(true)
	l.signal()
}

// watch waits for epoll events each time it is armed. The wait blocks a thread, so it has a goroutine of its own.
func (l *loop) watch() {
	defer l.poller.close()
	found := make([]epollEvent, loopEvents)
	for range l.arm {
		n := 0
		for n == 0 && !l.hasStopped() {
			n = l.poller.wait(found, sweepEvery)
		}
		l.watched = found[:n]
		l.armed.Store(false)
		l.signal()
	}
}

func (l *loop) run() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for !l.isDone() {
		isBusy := l.step()
		if isBusy && l.now.Sub(l.decidedAt) < batchWait {
			continue
		}
		if !l.store() && !isBusy {
			l.idle(tick.C)
		}
	}
	close(l.stopped)
	close(l.arm) // This ends watch.
}

// idle waits until there is something to do. While a group of this loop is being written to disk, new requests are left
// in their sockets: they could be stored only after that group. They are read together when it is durable, so the next
// group is large and no request wakes the loop by itself. If the disk takes longer than groupWait, the loop reads on.
func (l *loop) idle(tick <-chan time.Time) {
	if len(l.waiting) > 0 && !l.hasTimedOut && l.streams.asides == 0 {
		l.groupTimer.Reset(groupWait)
		select {
		case <-l.wake:
			l.groupTimer.Stop()
			return
		case <-l.groupTimer.C:
			l.hasTimedOut = true
		}
	}
	if l.poller != nil && !l.armed.Load() { // Only this goroutine arms it.
		if len(l.watched) > 0 {
			return
		}
		l.armed.Store(true)
		l.arm <- struct{}{}
	}
	select {
	case <-l.wake:
	case <-tick:
	case <-l.streams.closing:
	}
}

func (l *loop) hasStopped() bool {
	select {
	case <-l.stopped:
		return true
	default:
		return false
	}
}

// isDone reports whether the loop was stopped and has answered everything. A loop without a dispatcher stops with the
// handler.
func (l *loop) isDone() bool {
	if !l.stopping.Load() && (l.dispatcher != nil || l.streams.closing != nil) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open.Load() == 0 && len(l.incoming) == 0
}

// step does all that can be done without waiting, and reports whether there was anything.
func (l *loop) step() bool {
	l.now = time.Now()
	isBusy := l.takeIncoming()
	if !l.armed.Load() && len(l.watched) > 0 {
		l.handle(l.watched)
		l.watched = nil
		isBusy = true
	}
	if l.poller != nil {
		if n := l.poller.now(l.events); n > 0 {
			l.handle(l.events[:n])
			isBusy = true
		}
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
	if l.streams.closing != nil && l.isClosing() {
		l.endStreams()
		isBusy = true
	}
	if l.runStreams() {
		isBusy = true
	}
	if l.stopping.Load() || l.now.Sub(l.sweptAt) >= sweepEvery {
		l.sweep()
	}
	return isBusy || len(l.streams.listed) > 0
}

// isClosing reports whether the streams have to end.
func (l *loop) isClosing() bool {
	select {
	case <-l.streams.closing:
		return true
	default:
		return l.stopping.Load()
	}
}
