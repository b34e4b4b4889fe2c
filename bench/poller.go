package bench

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Hot path: one goroutine serves all connections of a load with epoll. A goroutine a connection took twice the CPU time
// for single events: it is parked and woken for every answer, and mostly reads before anything has arrived. Here a
// batch costs one write, one read, and its share of one epoll_wait.

// pollWaitMs bounds one epoll_wait, so that the end of the load is seen.
const pollWaitMs = 50

// poller is the epoll loop of a load.
type poller struct {
	load   *load
	epoll  int
	active int // callers that have not ended

	// Of a load with a fixed rate: batches that were sent, and whose turn is next.
	begun int64
	next  int
}

// newPoller makes an epoll instance with the connections of all callers.
func newPoller(l *load) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	p := &poller{load: l, epoll: fd}
	for i, c := range l.callers {
		if err := unix.EpollCtl(fd,
			unix.EPOLL_CTL_ADD, c.session.line().fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			return nil, errors.Join(fmt.Errorf("watch a connection: %w", err), p.close())
		}
	}
	return p, nil
}

func (p *poller) close() error { return unix.Close(p.epoll) }

// run sends the callers' batches until there are no more or the load stops. After an error it sends no new batch.
func (p *poller) run() {
	for i := range p.load.callers {
		p.active++
		p.begin(i)
	}
	events := make([]unix.EpollEvent, len(p.load.callers))
	for p.active > 0 {
		wait := pollWaitMs
		if p.load.rate > 0 {
			p.pace()
			wait = int(paceEvery.Milliseconds())
		}
		n, err := unix.EpollWait(p.epoll, events, wait)
		if err != nil && err != unix.EINTR {
			p.giveUp(fmt.Errorf("wait for answers: %w", err))
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Events&unix.EPOLLOUT != 0 && !p.load.callers[e.Fd].hasEnded {
				p.send(int(e.Fd))
			}
			if e.Events&^unix.EPOLLOUT != 0 {
				p.receive(int(e.Fd))
			}
		}
		if p.load.cut.Load() {
			p.giveUp(errors.New("the connection was cut: no answer came"))
			return
		}
	}
}

// giveUp ends all callers that still wait.
func (p *poller) giveUp(err error) {
	for i, c := range p.load.callers {
		if c.inFlight > 0 {
			p.end(i, err)
		}
	}
}

// end ends a caller.
func (p *poller) end(i int, err error) {
	c := p.load.callers[i]
	c.inFlight, c.err, c.hasEnded = 0, err, true
	p.active--
	if err != nil {
		p.load.phase.Store(phaseStop)
	}
	// Bytes that are received from now on must not wake the loop.
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, c.session.line().fd, nil)
}

// begin sends the next batch of a caller, if there is one.
func (p *poller) begin(i int) {
	c := p.load.callers[i]
	if c.many != nil {
		if p.load.rate == 0 {
			p.fill(i, streamDepth)
		}
		return
	}
	if p.load.phase.Load() == phaseStop {
		p.end(i, nil)
		return
	}
	if c.inFlight = c.session.prepare(); c.inFlight == 0 {
		p.end(i, nil)
		return
	}
	c.rest, c.sentAt = c.session.request(), time.Now()
	p.send(i)
}

// send writes as much as the socket buffer takes. If that is not all, it asks epoll when there is room.
func (p *poller) send(i int) {
	c := p.load.callers[i]
	n, err := unix.Write(c.session.line().fd, c.rest)
	if err != nil && err != unix.EAGAIN {
		p.end(i, fmt.Errorf("send a batch: %w", err))
		return
	}
	c.rest = c.rest[max(n, 0):]
	if isBlocked := len(c.rest) > 0; isBlocked != c.isBlocked {
		c.isBlocked = isBlocked
		e := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
		if isBlocked {
			e.Events |= unix.EPOLLOUT
		}
		if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, c.session.line().fd, &e); err != nil {
			p.end(i, fmt.Errorf("watch a connection: %w", err))
		}
	}
}

// receive reads what has arrived. When the answer is whole, it sends the next batch.
func (p *poller) receive(i int) {
	c := p.load.callers[i]
	if c.many != nil && !c.hasEnded {
		p.takeAnswers(i)
		return
	}
	if c.inFlight == 0 {
		return
	}
	w := c.session.line()
	if !p.read(i) {
		return
	}
	isWhole, err := c.session.receive(w.in[:w.have])
	switch {
	case err != nil:
		p.end(i, err)
	case isWhole && len(c.rest) > 0:
		p.end(i, errors.New("a batch was answered before all of it was sent"))
	case isWhole:
		w.have = 0
		c.answer(time.Now())
		p.begin(i)
	}
}

// read reads what has arrived at a caller, and reports whether that is anything.
func (p *poller) read(i int) bool {
	w := p.load.callers[i].session.line()
	n, err := unix.Read(w.fd, w.room())
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false
	case err == nil && n == 0:
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		p.end(i, fmt.Errorf("read an answer: %w", err))
		return false
	}
	w.have += n
	return true
}
