package ingest

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// loop answers plain requests of many connections with one goroutine. A goroutine a connection is parked and woken for
// every request and again for its group; here a request costs one read, one write, and its part of a wait for many and
// of one wake-up a group. All that is there is decided before any of it is stored, and nothing more is read until the
// disk has it: so its groups are as large as they can be.
//
//	accept ──► add ──► ready ──► read ──► parse ─┬─ plain ──► Decide ──► store ──► rest ──► durable: Settle, write ──┐
//	                     ▲                       └─ anything else ──► handOver: fasthttp has it for good             │
//	                     └───────────────────────────────────────────────────────────────────────────────────────────┘
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

	links   []*link // by descriptor
	open    atomic.Int64
	waiting []*link // decided, in the order of their groups
	durable []*link // were waiting, and are being answered
	// unwatched is how many of waiting, the last ones, are not being stored yet; decidedAt is when the first of them was
	// decided, company how many requests of any kind came since.
	unwatched int
	decidedAt time.Time
	company   int
	// patience ends waiting for a group alone; isImpatient says that it has, and no group came since.
	patience    *time.Timer
	isImpatient bool
	again       []*link // had their turn, and more to say
	events      []happening
	in          []byte // what was read of the connection in hand
	out         []byte
	response    fasthttp.Response
	now         time.Time
	sweptAt     time.Time
}

func newLoop(h *Handler, d *doorman) (*loop, error) {
	ready, err := newReadiness()
	if err != nil {
		return nil, err
	}
	l := &loop{
		h: h, doorman: d, ready: ready,
		wake: make(chan struct{}, 1), arm: make(chan struct{}, 1), stopped: make(chan struct{}),
		patience: time.NewTimer(groupPatience), events: make([]happening, loopEvents), in: make([]byte, plainBytesMax),
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

// watch waits for connections to become ready, each time it is armed. It has the thread that the wait takes.
func (l *loop) watch() {
	defer l.ready.close()
	found := make([]happening, loopEvents)
	for range l.arm {
		n := 0
		for n == 0 && !l.hasStopped() {
			n = l.ready.wait(found, sweepEvery)
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
		if isBusy && l.now.Sub(l.decidedAt) < companyFor {
			continue
		}
		if !l.store() && !isBusy {
			l.rest(tick.C)
		}
	}
	close(l.stopped)
	close(l.arm) // It ends watch.
}

// rest waits until there is something to do. While the disk has a group of the loop's in hand, what comes is left where
// it is: it could be stored only after that group, and is read at one go then. So the next group is a large one, and
// nobody is woken for each of its requests. If the disk takes its time, the time is used.
func (l *loop) rest(tick <-chan time.Time) {
	if len(l.waiting) > 0 && !l.isImpatient {
		l.patience.Reset(groupPatience)
		select {
		case <-l.wake:
			l.patience.Stop()
			return
		case <-l.patience.C:
			l.isImpatient = true
		}
	}
	if !l.armed.Load() { // Then it stays so.
		if len(l.watched) > 0 {
			return
		}
		l.armed.Store(true)
		l.arm <- struct{}{}
	}
	select {
	case <-l.wake:
	case <-tick:
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
