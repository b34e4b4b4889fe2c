package jetlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	commitlog "github.com/meterd/meterd/retention/log"
)

// locate sets the reader behind the last group of the segments. A stream that seems to be shorter is asked for a while:
// a replica that lags, or a leader that is none any more, looks just like that. One that does not answer is asked until
// ctx ends: a node that gave up would be missing in the majority that the stream needs to answer.
func (f *Follower) locate(ctx context.Context) error {
	var shorter time.Time // since when
	for pause := pauseMin; ; pause = min(2*pause, pauseMax) {
		err := f.find(ctx)
		switch {
		case err == nil || errors.Is(err, ErrLeftBehind) || errors.Is(err, ErrDamaged):
			return err
		case !errors.Is(err, ErrShorter) && !errors.Is(err, ErrGone):
			f.o.Logger.Warn("the stream does not answer, it is asked again", "node", f.o.Node, "error", err)
			shorter = time.Time{}
		case shorter.IsZero():
			shorter = time.Now()
		case time.Since(shorter) > settleMax:
			return err
		}
		if !rest(ctx, pause) {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

func (f *Follower) find(ctx context.Context) error {
	read, stop := context.WithTimeout(ctx, readWait)
	defer stop()
	size, err := f.o.Stream.Size(read)
	first, last := size.First, size.Last
	switch {
	case err != nil:
		return err
	case last < first && first > 1:
		return fmt.Errorf("%w: it is empty although it had %d messages: somebody purged it", ErrDamaged, last)
	case last < first && f.r.last == 0 && f.o.Foreign:
		return fmt.Errorf("%w: it begins behind another node's copy, and has no message yet", ErrLeftBehind)
	case last < first && (f.r.last == 0 || f.o.Begins):
		return nil
	case last < first:
		return fmt.Errorf("%w: it is empty", ErrShorter)
	}
	behind, err := f.search(ctx, first, last)
	if err != nil {
		return err
	}
	if behind == first {
		m, err := f.get(ctx, first)
		if err != nil {
			return err
		}
		if m.behind() > f.r.last {
			return fmt.Errorf("%w: it begins behind group %d", ErrLeftBehind, m.behind())
		}
	} else if err := f.joins(ctx, behind-1); err != nil {
		return err
	}
	f.r.at = behind - 1
	return nil
}

// search returns the first message from `first` to `last` before which the last group of the segments is whole, or
// last + 1.
func (f *Follower) search(ctx context.Context, first, last uint64) (uint64, error) {
	end := last + 1
	for first < end {
		middle := first + (end-first)/2
		m, err := f.get(ctx, middle)
		if err != nil {
			return 0, err
		}
		if m.behind() >= f.r.last {
			end = middle
		} else {
			first = middle + 1
		}
	}
	return first, nil
}

// joins proves that a message is the head of the last group of the segments.
func (f *Follower) joins(ctx context.Context, seq uint64) error {
	m, err := f.get(ctx, seq)
	if err != nil {
		return err
	}
	if m.kind != kindHead || m.group < f.r.last {
		return fmt.Errorf("%w: it ends with a %v of group %d", ErrShorter, m.kind, m.group)
	}
	group, chain, err := commitlog.HeaderChain(m.payload[:m.header])
	switch {
	case err != nil:
		return fmt.Errorf("%w: message %d: %w", ErrDamaged, seq, err)
	case group != f.r.last || chain != f.r.chain:
		return fmt.Errorf("%w: group %d of the stream has chain %x, that of this node has %x: one of them is another "+
			"history; empty this node's directory to have it copied anew", ErrDamaged, group, chain, f.r.chain)
	}
	f.r.epoch = m.epoch
	return nil
}

// get reads and proves one message, from any replica, or else from the one that leads.
func (f *Follower) get(ctx context.Context, seq uint64) (message, error) {
	read, stop := context.WithTimeout(ctx, readWait)
	defer stop()
	if list, err := f.o.Stream.Read(read, seq, 1); err == nil && len(list) > 0 && list[0].Seq == seq {
		if m, err := decodeMessage(list[0].Data); err == nil && m.stream == f.o.Identity {
			return m, nil
		}
	}
	s, err := f.o.Stream.Get(read, seq)
	if err != nil {
		return message{}, fmt.Errorf("message %d: %w", seq, err)
	}
	m, err := decodeMessage(s.Data)
	switch {
	case err != nil:
		return m, fmt.Errorf("%w: message %d: %w", ErrDamaged, seq, err)
	case m.stream != f.o.Identity:
		return m, fmt.Errorf("%w: message %d is of stream %x, not of %x", ErrDamaged, seq, m.stream, f.o.Identity)
	}
	return m, nil
}
