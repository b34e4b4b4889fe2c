package jetlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
)

// sender appends messages to the stream in one epoch, one at a time. After its first error it sends nothing any more.
// It belongs to one goroutine.
//
// A message is sent only when the one before it is known to be stored. Otherwise the sequence that it expects could
// become somebody else's: if the one before is lost and another epoch takes its place, a late message would follow that
// epoch.
type sender struct {
	stream Stream
	at     uint64 // sequence of the last message that is known to be stored, and of this epoch
	err    error  // why nothing is sent any more
}

// send stores messages, in order, or finds out that it cannot.
func (s *sender) send(messages [][]byte) error {
	for _, b := range messages {
		if s.err != nil {
			break
		}
		if s.publish(context.Background(), b) != nil {
			s.err = s.settle(b)
		}
		if s.err == nil {
			s.at++
		}
	}
	return s.err
}

// end stores the last message of the epoch.
func (s *sender) end(b []byte) error {
	err := s.send([][]byte{b})
	if err == nil {
		s.err = ErrYielded
	}
	return err
}

func (s *sender) publish(ctx context.Context, b []byte) error {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	return s.stream.Publish(ctx, s.at, b)
}

// settle finds out what became of a message. It reads what the stream has in its place, and sends it again if nothing
// is found: it is stored once, since it says where it belongs.
func (s *sender) settle(b []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleMax)
	defer cancel()
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		stored, err := s.readBack(ctx, b)
		if stored || err != nil {
			return err
		}
		cause := s.publish(ctx, b)
		if cause == nil {
			return nil
		}
		if !rest(ctx, pause) {
			return fmt.Errorf("%w, for %v: %w", ErrUnsettled, settleMax, cause)
		}
	}
}

// rest waits and reports whether ctx goes on.
func rest(ctx context.Context, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// readBack reports whether a message is found in its place. An error says that something else is.
func (s *sender) readBack(ctx context.Context, b []byte) (stored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	list, err := s.stream.Read(ctx, s.at+1, 1)
	if err != nil || len(list) == 0 {
		return false, nil // Nothing is known: it is asked again.
	}
	m := list[0]
	if m.Seq != s.at+1 { // The replica has lost it: the one that leads may have it.
		if m, err = s.stream.Get(ctx, s.at+1); err != nil {
			return false, nil
		}
	}
	if bytes.Equal(m.Data, b) {
		return true, nil
	}
	return false, other(m)
}

// other says what it means that a message is where one of ours was to be.
func other(m Stored) error {
	found, err := decodeMessage(m.Data)
	if err != nil {
		return fmt.Errorf("%w: message %d: %w", ErrDamaged, m.Seq, err)
	}
	if found.kind != kindEpoch {
		return fmt.Errorf("%w: message %d is a %v of epoch %d and of group %d",
			ErrUnsettled, m.Seq, found.kind, found.epoch, found.group)
	}
	e, err := decodeEpoch(found.payload)
	if err != nil {
		return fmt.Errorf("%w: message %d: %w", ErrDamaged, m.Seq, err)
	}
	return fmt.Errorf("%w: node %q began epoch %d", ErrFenced, e.node, found.epoch)
}

// isOvertaken reports whether an epoch could not begin since something else came first.
func isOvertaken(err error) bool { return errors.Is(err, ErrFenced) || errors.Is(err, ErrUnsettled) }
