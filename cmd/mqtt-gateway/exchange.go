package main

import (
	"context"
	"errors"
	"sync"
)

// exchanges are the QoS 2 messages that a session has received and its device has not released (PUBREL) yet, by packet
// id. They make sure that a message counts once and is delivered once, however often it is sent.
//
// The broker keeps a list of its own, which is not enough. It answers a message that is sent again with 0x91 (packet
// identifier in use). It has one list for both directions, so that acknowledging a delivery removes a message received
// under the same id. And it copies the list when a session is taken over, so that a message which the old connection
// is still asking about is missing from the copy.
//
// A session's connections share one exchanges.
type exchanges struct {
	mu   sync.Mutex
	open map[uint16]*exchange
}

// exchange is one message. Until settled is closed it belongs to the goroutine of the connection that received it, and
// is constant from then on.
type exchange struct {
	settled   chan struct{}
	decided   bool  // meterd is not asked again
	outcome   error // what OnPublish returns
	delivered bool  // what is sent again is only acknowledged
}

var errTooManyExchanges = errors.New("more messages are not released than a session may have")

func newExchanges() *exchanges { return &exchanges{open: map[uint16]*exchange{}} }

// begin opens the exchange of a message that was just received; its caller must settle it. It returns nil when the
// message was received before and needs nothing but an acknowledgement. When an earlier connection of the session is
// still asking about the message, begin waits for that, until ctx ends.
func (e *exchanges) begin(ctx context.Context, id uint16) (*exchange, error) {
	for {
		e.mu.Lock()
		earlier := e.open[id]
		if earlier == nil && len(e.open) >= exchangesMax {
			e.mu.Unlock()
			return nil, errTooManyExchanges
		}
		if earlier == nil || earlier.isSettled() && !earlier.delivered {
			x := &exchange{settled: make(chan struct{})}
			if earlier != nil {
				x.decided, x.outcome = earlier.decided, earlier.outcome
			}
			e.open[id] = x
			e.mu.Unlock()
			return x, nil
		}
		e.mu.Unlock()
		select {
		case <-earlier.settled:
			if earlier.delivered {
				return nil, nil
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (x *exchange) isSettled() bool {
	select {
	case <-x.settled:
		return true
	default:
		return false
	}
}

// settle ends what begin began. A message without a decision was refused or not decided about: sent again, it is a new
// one.
func (e *exchanges) settle(id uint16, x *exchange) {
	e.mu.Lock()
	if !x.decided && e.open[id] == x {
		delete(e.open, id)
	}
	e.mu.Unlock()
	close(x.settled)
}

// release forgets a message: its packet id now stands for another one.
func (e *exchanges) release(id uint16) {
	e.mu.Lock()
	delete(e.open, id)
	e.mu.Unlock()
}

// clear forgets all, when the session ends.
func (e *exchanges) clear() {
	e.mu.Lock()
	clear(e.open)
	e.mu.Unlock()
}
