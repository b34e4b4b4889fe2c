package bench

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"
)

// Hot path: all connections of a load on one thread. A goroutine a connection took twice the time of the loader's cores
// for single events: it is parked and woken for every answer, and mostly reads before there is anything. Here an event
// costs one write, one read, and its part of a wait for many.

// pollWaitMs is how long a wait for answers lasts at most, so that the end of the load is seen.
const pollWaitMs = 50

// poller lets the callers of a load speak.
type poller struct {
	load     *load
	epoll    int
	speaking int // callers with a batch in flight
}

// newPoller watches the connections of all callers.
func newPoller(l *load) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	p := &poller{load: l, epoll: fd}
	for i, c := range l.callers {
		if err := unix.EpollCtl(
			fd,
			unix.EPOLL_CTL_ADD,
			c.speaker.line().fd,
			&unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)},
		); err != nil {
			return nil, errors.Join(fmt.Errorf("watch a connection: %w", err), p.close())
		}
	}
	return p, nil
}

func (p *poller) close() error { return unix.Close(p.epoll) }

// run lets all callers speak until their batches end or the load stops. After an error of one nothing more is begun.
func (p *poller) run() {
	for i := range p.load.callers {
		p.speaking++
		p.begin(i)
	}
	events := make([]unix.EpollEvent, len(p.load.callers))
	for p.speaking > 0 {
		n, err := unix.EpollWait(p.epoll, events, pollWaitMs)
		if err != nil && err != unix.EINTR {
			p.giveUp(fmt.Errorf("wait for answers: %w", err))
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Events&unix.EPOLLOUT != 0 {
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

// giveUp ends all who still wait.
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
	c.inFlight, c.err = 0, err
	p.speaking--
	if err != nil {
		p.load.phase.Store(phaseStop)
	}
	// What comes on its connection from now on must wake nobody.
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, c.speaker.line().fd, nil)
}

// begin sends the next batch of a caller, if there is one.
func (p *poller) begin(i int) {
	c := p.load.callers[i]
	if p.load.phase.Load() == phaseStop {
		p.end(i, nil)
		return
	}
	if c.inFlight = c.speaker.prepare(); c.inFlight == 0 {
		p.end(i, nil)
		return
	}
	c.rest, c.sentAt = c.speaker.request(), time.Now()
	p.send(i)
}

// send writes what the connection takes, and watches for room if that is not all.
func (p *poller) send(i int) {
	c := p.load.callers[i]
	n, err := unix.Write(c.speaker.line().fd, c.rest)
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
		if err := unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, c.speaker.line().fd, &e); err != nil {
			p.end(i, fmt.Errorf("watch a connection: %w", err))
		}
	}
}

// receive reads what came, and goes on with the next batch when it is the whole answer.
func (p *poller) receive(i int) {
	c := p.load.callers[i]
	if c.inFlight == 0 {
		return
	}
	w := c.speaker.line()
	n, err := unix.Read(w.fd, w.room())
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		p.end(i, fmt.Errorf("read an answer: %w", err))
		return
	}
	w.have += n
	isWhole, err := c.speaker.hear(w.in[:w.have])
	switch {
	case err != nil:
		p.end(i, err)
	case isWhole && len(c.rest) > 0:
		p.end(i, errors.New("a batch was answered before all of it was sent"))
	case isWhole:
		w.have = 0
		c.answer(time.Now())
		p.begin(i)
	case n == 0:
		p.end(i, fmt.Errorf("read an answer: %w", io.ErrUnexpectedEOF))
	}
}
