package jetlog

import (
	"fmt"

	commitlog "github.com/meterd/meterd/retention/log"
)

// reader makes groups of messages. It has no clock and no connection, and proves all that it takes.
type reader struct {
	stream Identity
	at     uint64 // sequence of the last message taken
	epoch  uint64 // of the last message; 0 before the first
	last   uint64 // group
	chain  commitlog.Chain

	// parts of the group that comes next, without a head so far
	parts  [][]byte
	bytes  int
	stray  bool // a message of this epoch does not fit: only another epoch may follow
	begins *epochBegin
	yields string // whom the epoch was yielded to: only another epoch may follow
	wallMs int64  // clock of the owner when it wrote the last epoch or barrier
}

// take takes the next message. It returns a group if the message is its head; the group has memory of its own.
func (r *reader) take(s Stored) (*commitlog.Group, error) {
	if s.Seq != r.at+1 {
		return nil, fmt.Errorf("%w: message %d comes where message %d must come", ErrDamaged, s.Seq, r.at+1)
	}
	m, err := decodeMessage(s.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: message %d: %w", ErrDamaged, s.Seq, err)
	}
	g, err := r.message(&m)
	if err != nil {
		return nil, fmt.Errorf("%w: message %d, a %v of epoch %d: %w", ErrDamaged, s.Seq, m.kind, m.epoch, err)
	}
	r.at = s.Seq
	return g, nil
}

func (r *reader) message(m *message) (*commitlog.Group, error) {
	if m.stream != r.stream {
		return nil, fmt.Errorf("it is of stream %x, not of %x", m.stream, r.stream)
	}
	if m.kind == kindEpoch {
		return nil, r.begin(m)
	}
	switch {
	case r.epoch == 0: // Reading begins within an epoch.
		r.epoch = m.epoch
	case m.epoch != r.epoch:
		return nil, fmt.Errorf("epoch %d has begun", r.epoch)
	case r.yields != "":
		return nil, fmt.Errorf("epoch %d was yielded to node %q", r.epoch, r.yields)
	}
	if m.kind == kindBarrier || m.kind == kindYield {
		return nil, r.mark(m)
	}
	if m.group != r.last+1 {
		return nil, fmt.Errorf("it is of group %d, the last one is group %d", m.group, r.last)
	}
	if r.stray || int(m.part) != len(r.parts) {
		r.stray, r.parts, r.bytes = true, nil, 0
		return nil, nil
	}
	n := r.bytes + len(m.payload)
	if n > commitlog.GroupBytesMax+commitlog.HeaderBytesMax {
		return nil, fmt.Errorf("group %d has over %d bytes", m.group, commitlog.GroupBytesMax)
	}
	if m.kind == kindPart {
		r.parts, r.bytes = append(r.parts, m.payload), n
		return nil, nil
	}
	return r.join(m)
}

// mark takes what stands between groups.
func (r *reader) mark(m *message) (err error) {
	if !r.stray && m.group != r.last {
		return fmt.Errorf("it stands behind group %d, the last one is group %d", m.group, r.last)
	}
	if m.kind == kindBarrier {
		r.wallMs, err = decodeBarrier(m.payload)
		return err
	}
	r.yields, err = decodeYield(m.payload)
	return err
}

// begin ends what the epoch before left without a head.
func (r *reader) begin(m *message) error {
	e, err := decodeEpoch(m.payload)
	switch {
	case err != nil:
		return err
	case r.epoch != 0 && m.epoch != r.epoch+1:
		return fmt.Errorf("it follows epoch %d", r.epoch)
	case m.group != r.last || e.chain != r.chain:
		return fmt.Errorf("it stands behind group %d with chain %x, the last one is group %d with chain %x",
			m.group, e.chain, r.last, r.chain)
	}
	r.epoch, r.parts, r.bytes, r.stray, r.begins = m.epoch, nil, 0, false, &e
	r.yields, r.wallMs = "", e.atMs
	return nil
}

// join makes a group of its parts and its head.
func (r *reader) join(m *message) (*commitlog.Group, error) {
	frame := make([]byte, 0, r.bytes+len(m.payload))
	frame = append(frame, m.payload[:m.header]...)
	for _, p := range r.parts {
		frame = append(frame, p...)
	}
	frame = append(frame, m.payload[m.header:]...)
	var g commitlog.Group
	before, err := commitlog.DecodeFrame(frame, &g)
	switch {
	case err != nil:
		return nil, err
	case g.Seq != m.group:
		return nil, fmt.Errorf("its frame is of group %d", g.Seq)
	case before != r.chain:
		return nil, fmt.Errorf("group %d does not continue group %d: the hash chain is broken", g.Seq, r.last)
	}
	r.last, r.chain, r.parts, r.bytes = g.Seq, g.Chain, nil, 0
	return &g, nil
}
