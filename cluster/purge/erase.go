package purge

import (
	"context"
	"fmt"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
)

// turn is about to empty the files of a stream. Its zero value is none.
type turn struct {
	stream board.Bytes16
	change uint64 // what was erased up to it leaves the files
	before uint64 // last message of the filling: all before it is to be purged
	whole  int    // looks that found all of it purged at every replica
}

// needs reports whether a purge ends the turn that is on.
func (t *turn) needs(before uint64) bool { return t.change > 0 && before >= t.before }

// erased says that what was erased up to a change is out of the files of a stream.
type erased struct {
	stream board.Bytes16
	change uint64
}

// Erased returns the change up to which all that was erased is out of the files of a stream, 0 if nothing is known. It
// is safe for concurrent use.
func (p *Purger) Erased(stream board.Bytes16) (change uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.erased.stream != stream {
		return 0
	}
	return p.erased.change
}

// Learn takes what another node's Erased said of the stream that there is now, or this one's. It is safe for concurrent
// use.
func (p *Purger) Learn(stream board.Bytes16, change uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.erased.stream != stream {
		p.erased = erased{stream: stream}
	}
	p.erased.change = max(p.erased.change, change)
}

// begin begins a turn if something is to leave the files, and there is room for what it takes.
func (p *Purger) begin(ctx context.Context, stream board.Bytes16) error {
	if p.turn.stream != stream || p.turn.change <= p.Erased(stream) { // Another owner was faster.
		p.turn = turn{}
	}
	if _, keeps := p.o.Own(); !keeps || p.turn.change > 0 || isOver(p.Size()) {
		return nil
	}
	change := p.o.Erase()
	if change == 0 {
		return nil
	}
	last, err := p.o.Fill(ctx)
	if err != nil {
		return fmt.Errorf("what was erased is to leave its files: %w", err)
	}
	p.turn = turn{stream: stream, change: change, before: last}
	return nil
}

// end looks how far the turn is.
func (p *Purger) end(stream board.Bytes16, size jetlog.Size) {
	t := &p.turn
	switch {
	case t.change == 0 || t.stream != stream:
	case size.First < t.before || !size.Whole:
		t.whole = 0
	default:
		if t.whole++; t.whole >= wholeLooks {
			p.Learn(stream, t.change)
		}
	}
}
