package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
)

// ticket is a batch's right to be counted once: its sequence, and the how many-th one it is of this client. Zero is
// none.
type ticket struct{ sequence, ordinal uint64 }

// sequences hands out the sequences of a producer, rising. meterd remembers the last 256 of a producer, so no ticket is
// handed out while one is unsettled that sequenceWindow others have followed: what is sent again would be forgotten.
type sequences struct {
	mu      sync.Mutex
	known   bool          // where to go on was learned
	next    uint64        // the sequence to come
	since   uint64        // the first one since that was learned last
	ordinal uint64        // of the last ticket
	out     []uint64      // ordinals of the unsettled tickets, rising: at most one a lane
	settled chan struct{} // closed when one is; nil when nobody waits for it
}

// errWindow is why a batch was not sent that had no sequence when its time was over.
var errWindow = errors.New("a batch that others have followed for long has no answer yet")

// errNoSequences is why a producer's name cannot be used any more.
var errNoSequences = errors.New("the sequences of this producer's name are used up; give the gateway another one")

// take returns the next ticket, when the window has room. settle must follow.
func (s *sequences) take(ctx context.Context) (ticket, error) {
	for {
		s.mu.Lock()
		if len(s.out) == 0 || s.ordinal-s.out[0] < sequenceWindow {
			s.ordinal++
			t := ticket{s.next, s.ordinal}
			s.next++
			s.out = append(s.out, t.ordinal)
			s.mu.Unlock()
			return t, nil
		}
		if s.settled == nil {
			s.settled = make(chan struct{})
		}
		settled := s.settled
		s.mu.Unlock()
		select {
		case <-settled:
		case <-ctx.Done():
			return ticket{}, errWindow
		}
	}
}

// settle says that t's batch will not be sent again. No ticket is none to settle.
func (s *sequences) settle(t ticket) {
	if t == (ticket{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, found := slices.BinarySearch(s.out, t.ordinal); found {
		s.out = slices.Delete(s.out, at, at+1)
	}
	if s.settled != nil {
		close(s.settled)
		s.settled = nil
	}
}

// isKnown reports whether tickets can be taken.
func (s *sequences) isKnown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// forget makes the client learn anew where to go on, because t's sequence was somebody else's. False when that was done
// since t was taken.
func (s *sequences) forget(t ticket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known || t.sequence < s.since {
		return false
	}
	s.known = false
	return true
}

// goOn makes the next sequence one far above last. How far is drawn: what a gateway of this name that was killed has
// still on its way lies below, and two clients that go on behind the same sequence by mistake do not use the same ones;
// a body that both send would be counted once.
func (s *sequences) goOn(last uint64) error {
	if last > math.MaxUint64-sequenceRoom {
		return errNoSequences
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = max(s.next, last+1) + sequenceGap + rand.Uint64N(sequenceSpread)
	s.since, s.known = s.next, true
	return nil
}

// learn asks meterd for this producer's last sequence and goes on behind it.
func (c *Client) learn(ctx context.Context) *UnavailableError {
	r, err := c.call(ctx, http.MethodGet, askedProducer, nil, 0, answerBytesMin)
	var last uint64
	if err == nil {
		if last, err = parseProducer(r.body); err != nil {
			return err
		}
	} else if !isNotFound(err) {
		err.Ambiguous = false // Whatever came of it, it was a question.
		return err
	}
	if err := c.sequences.goOn(last); err != nil {
		return &UnavailableError{Status: http.StatusOK, Err: err}
	}
	return nil
}

// isNotFound reports whether meterd says that it does not know what was asked for.
func isNotFound(err *UnavailableError) bool {
	var p *Problem
	return errors.As(err.Err, &p) && p.Status == http.StatusNotFound && p.Code == codeNotFound
}

// The codes of refusals that mean more than their status.
const (
	codeNotFound       = "not_found"
	codeSequenceTooOld = "sequence_too_old"
	codeSequenceReused = "sequence_reused"
)

// parseProducer returns the last sequence that meterd says it remembers, 0 for none.
func parseProducer(answer []byte) (uint64, *UnavailableError) {
	var a struct {
		Producer *string `json:"producer"`
		Last     *uint64 `json:"last_sequence"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Producer == nil {
		return 0, &UnavailableError{
			Status: http.StatusOK,
			Err:    fmt.Errorf("producer: the answer %.80q names no producer", answer),
		}
	}
	if a.Last == nil {
		return 0, nil
	}
	return *a.Last, nil
}
