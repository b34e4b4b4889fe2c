package jetlog

import (
	"context"
	"errors"
)

// Stream is the replicated log below: NATS JetStream, or what tests put in its place.
type Stream interface {
	// Publish stores b behind the message with sequence after, which must be the last one of the whole stream. It
	// returns nil when b is stored as after + 1 on as many replicas as were promised. With an error nothing is known: b
	// may be stored, never be, or be later.
	Publish(ctx context.Context, after uint64, b []byte) error
	// Read returns messages from sequence `from` on, in order, about bytesMax bytes of them. What it returns is stored
	// for good. What it does not return may be there all the same.
	Read(ctx context.Context, from uint64, bytesMax int) ([]Stored, error)
	// Get returns one message from the replica that leads, which is asked when another one's is damaged.
	Get(ctx context.Context, seq uint64) (Stored, error)
	// Size returns how much is known to be stored, and where.
	Size(ctx context.Context) (Size, error)
	// News returns a channel on which the sequence of a new message may come, 0 if it is not known. Only the newest one
	// waits there.
	News() <-chan uint64
}

// Stored is a message of the stream.
type Stored struct {
	Seq  uint64
	Data []byte
}

var (
	// ErrFenced says that another node owns the cell. What was not answered must not be any more.
	ErrFenced = errors.New("another node owns this cell")
	// ErrUnsettled says that the outcome of an append could not be found out, and that the epoch was given up.
	ErrUnsettled = errors.New("it is not known whether the stream has what was appended")
	// ErrYielded says that this node has given the cell to another one.
	ErrYielded = errors.New("the cell was yielded to another node")
	// ErrOvertaken says that something was appended before the epoch could begin.
	ErrOvertaken = errors.New("the stream went on before the epoch could begin")
	// ErrLeftBehind says that the stream no longer has what this copy lacks.
	ErrLeftBehind = errors.New("the stream begins behind what this node has: it must be copied from another node")
	// ErrShorter says that the stream ends before this copy does: it has lost what was acknowledged.
	ErrShorter = errors.New("the stream ends before what this node has: acknowledged groups are missing in it")
	// ErrDamaged says that the stream is not a log that continues this copy.
	ErrDamaged = errors.New("the stream is damaged")
	// ErrNewer says that the owner writes records that this meterd cannot read.
	ErrNewer = errors.New("the owner writes newer records: install a newer meterd here")
	// ErrNotThere is Get's for a sequence that the leading replica does not have.
	ErrNotThere = errors.New("the stream has no such message")
)
