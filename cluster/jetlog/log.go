package jetlog

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	commitlog "github.com/meterd/meterd/retention/log"
)

// Log is the commit log of a cell at its owner: what is appended is stored in the stream, and then in segments, from
// which everything is read. Append and Barrier belong to one goroutine, everything else to any.
type Log struct {
	*commitlog.Log
	sender *sender
	stream Identity
	epoch  uint64
	now    func() time.Time
	// begun is what the clock showed when the epoch was claimed, since the same moment by the monotonic clock.
	begun, since time.Time
	copied       atomic.Uint64 // sequence of a message: all groups up to it are in the segments
}

// Append returns nil when the group is stored by the stream, on as many replicas as were promised, and is synced in the
// segments. It sets g.Chain and keeps nothing of g. After an error the group may be in the stream or not, every later
// call fails, and nothing that was decided in it may leave: with ErrFenced or ErrUnsettled the cell's state is dropped,
// with any other the process must end. That takes settleMax at most.
func (l *Log) Append(g *commitlog.Group) error {
	if err := l.store(g); err != nil {
		return fmt.Errorf("append group %d in epoch %d: %w", g.Seq, l.epoch, err)
	}
	if err := l.Log.Append(g); err != nil {
		return err
	}
	l.copied.Store(l.sender.at)
	return nil
}

func (l *Log) store(g *commitlog.Group) error {
	last, _, before := l.Last()
	if g.Seq != last+1 {
		return fmt.Errorf("it does not follow group %d", last)
	}
	messages, err := messagesOf(g, before, l.stream, l.epoch)
	if err != nil {
		return err
	}
	return l.sender.send(messages)
}

// Barrier returns nil when it is proved that this node owned the cell at a moment after the call: a message of its
// epoch was stored that was sent after it. It stands for a group without records: what was decided or read in it leaves
// no trace, and may leave only then. Its errors are those of Append.
func (l *Log) Barrier() error {
	last, _, _ := l.Last()
	clock := binary.LittleEndian.AppendUint64(nil, uint64(l.clock().UnixMilli()))
	m := message{kind: kindBarrier, stream: l.stream, epoch: l.epoch, group: last, payload: clock}
	if err := l.sender.send([][]byte{m.append(nil)}); err != nil {
		return fmt.Errorf("barrier behind group %d in epoch %d: %w", last, l.epoch, err)
	}
	l.copied.Store(l.sender.at)
	return nil
}

// clock returns the wall clock, or where it should be if it has leapt ahead in this epoch by more than an hour: no
// event is decided at such a time (R12), and a standby must not be taken for one whose clock is behind.
func (l *Log) clock() time.Time {
	now, right := l.now().Round(0), l.begun.Add(time.Since(l.since))
	if now.Sub(right) > leapMax {
		return right
	}
	return now
}

// Yield ends the epoch: nothing is appended any more, whatever it returns, and node `to`, which follows, shall own the
// cell at once. It must not be called beside Append or Barrier, and their errors are its own.
func (l *Log) Yield(to string) error {
	if to == "" || len(to) > nodeBytesMax {
		return fmt.Errorf("yield to %q: a node's name has 1 to %d bytes", to, nodeBytesMax)
	}
	last, _, _ := l.Last()
	m := message{kind: kindYield, stream: l.stream, epoch: l.epoch, group: last, payload: []byte(to)}
	if err := l.sender.end(m.append(nil)); err != nil {
		return fmt.Errorf("yield to node %q behind group %d in epoch %d: %w", to, last, l.epoch, err)
	}
	return nil
}

// Message returns the sequence of a message in the stream: all groups up to it are synced in the segments. It is safe
// for concurrent use.
func (l *Log) Message() uint64 { return l.copied.Load() }

// Epoch returns the epoch that this log appends in.
func (l *Log) Epoch() uint64 { return l.epoch }
