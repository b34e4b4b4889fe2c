package jetlog

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	commitlog "github.com/meterd/meterd/retention/log"
)

// Options says what is followed, and by whom.
type Options struct {
	Stream   Stream
	Identity Identity       // of the stream
	Segments *commitlog.Log // this node's copy; nobody else appends to it
	Node     string         // this node's name
	Records  uint32         // version of the records that this node writes, and the newest one that it reads
	// Begins says that the stream is new and goes on where the segments end: those of a node that was alone, or the
	// longest copy of a stream that is gone.
	Begins bool
	// Foreign says that the stream goes on where another node's copy ends.
	Foreign bool
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: nobody is told
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	if o.Stream == nil || o.Segments == nil {
		errs = append(errs, errors.New("a follower has a stream and segments"))
	}
	if o.Identity == (Identity{}) {
		errs = append(errs, errors.New("a stream has an identity"))
	}
	if o.Node == "" || len(o.Node) > nodeBytesMax {
		errs = append(errs, fmt.Errorf("a node's name has 1 to %d bytes, %q has not", nodeBytesMax, o.Node))
	}
	return errors.Join(errs...)
}

// Follower copies a stream to a node's segments, group by group, until the node claims the cell. It belongs to one
// goroutine.
type Follower struct {
	o      Options
	r      reader
	unread Seldom // of reads that failed
}

// Open finds the place in the stream where a node's segments end, and proves that the two fit together. ErrShorter,
// ErrLeftBehind and ErrDamaged say that they do not.
func Open(ctx context.Context, o Options) (*Follower, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Follower{o: o, r: reader{stream: o.Identity}}
	f.r.last, _, f.r.chain = o.Segments.Last()
	if err := f.locate(ctx); err != nil {
		return nil, fmt.Errorf("find group %d in the stream: %w", f.r.last, err)
	}
	return f, nil
}

// At returns the last group that is in the segments, and the epoch of the last message that was read.
func (f *Follower) At() (group, epoch uint64) { return f.r.last, f.r.epoch }

// Message returns the sequence of the last message in the stream that is not one of a group which is not whole yet: all
// groups up to it are in the segments, and this copy needs nothing before it.
func (f *Follower) Message() uint64 { return f.r.at - uint64(len(f.r.parts)) }

// Yielded returns the node that the owner has yielded the cell to, if that is the last that was read; otherwise "".
func (f *Follower) Yielded() string { return f.r.yields }

// OwnerClock returns the owner's clock when it wrote the last epoch or barrier that was read, in Unix milliseconds;
// 0 if none was read.
func (f *Follower) OwnerClock() int64 { return f.r.wallMs }

// Step takes what one read of the stream returns, and says how many messages that were. None proves nothing.
func (f *Follower) Step(ctx context.Context) (n int, err error) {
	read, stop := context.WithTimeout(ctx, readWait)
	defer stop()
	list, err := f.o.Stream.Read(read, f.r.at+1, readBytes)
	if err != nil {
		if f.unread.Says(err.Error(), f.o.Now()) {
			f.o.Logger.Warn("the stream cannot be read, it is tried again", "node", f.o.Node, "error", err)
		}
		return 0, nil
	}
	for _, m := range list {
		if err := f.take(read, m); err != nil {
			if errors.Is(err, errNoAnswer) {
				if f.unread.Says(err.Error(), f.o.Now()) {
					f.o.Logger.Warn("the stream does not answer, it is asked again", "node", f.o.Node, "error", err)
				}
				return n, nil
			}
			return n, err
		}
		n++
	}
	f.unread.Forget()
	return n, nil
}

// errNoAnswer says that the replica that leads cannot be asked now.
var errNoAnswer = errors.New("the leading replica does not answer")

// take takes one message. If it does not fit, the replica that leads is asked before that counts as damage: the one
// that answered may have lost or damaged what it had.
func (f *Follower) take(ctx context.Context, m Stored) error {
	g, err := f.r.take(m)
	if err != nil {
		again, failed := f.o.Stream.Get(ctx, f.r.at+1)
		switch {
		case errors.Is(failed, ErrNotThere):
			return errors.Join(f.leftBehind(ctx), err)
		case failed != nil:
			return fmt.Errorf("%w: %w; %w", errNoAnswer, failed, err)
		}
		first := err
		if g, err = f.r.take(again); err != nil {
			return err
		}
		f.o.Logger.Error("a replica of the stream is damaged; another one has what it lost",
			"node", f.o.Node, "message", again.Seq, "error", first)
	}
	if f.r.begins != nil && f.r.begins.records > f.o.Records {
		return fmt.Errorf("%w: node %q writes version %d, this one reads version %d", ErrNewer,
			f.r.begins.node, f.r.begins.records, f.o.Records)
	}
	if g == nil {
		return nil
	}
	return f.o.Segments.Append(g)
}

// leftBehind returns ErrLeftBehind if the stream has been purged beyond the place where this copy ends.
func (f *Follower) leftBehind(ctx context.Context) error {
	if size, err := f.o.Stream.Size(ctx); err == nil && size.First > f.r.at+1 {
		return ErrLeftBehind
	}
	return nil
}

// Claim begins an epoch behind what this follower has read, and returns the log that appends in it. ErrOvertaken says
// that something came first: read on, and think again. Any other error says that nothing is known but by reading on.
// The follower must not be used after Claim returned a log.
func (f *Follower) Claim() (*Log, error) {
	var nonce [8]byte
	rand.Read(nonce[:])                            // It never fails: crypto/rand ends the process instead.
	begun, since := f.o.Now().Round(0), time.Now() // Round: by the wall clock alone.
	e := epochBegin{
		nonce: binary.LittleEndian.Uint64(nonce[:]), atMs: begun.UnixMilli(),
		records: f.o.Records, chain: f.r.chain, node: f.o.Node,
	}
	m := message{kind: kindEpoch, stream: f.o.Identity, epoch: f.r.epoch + 1, group: f.r.last, payload: e.append(nil)}
	s := &sender{stream: f.o.Stream, at: f.r.at}
	if err := s.send([][]byte{m.append(nil)}); err != nil {
		if isOvertaken(err) {
			err = fmt.Errorf("%w: %w", ErrOvertaken, err)
		}
		return nil, fmt.Errorf("begin epoch %d behind group %d: %w", m.epoch, m.group, err)
	}
	l := &Log{
		Log: f.o.Segments, sender: s, stream: f.o.Identity, epoch: m.epoch, now: f.o.Now, begun: begun, since: since,
	}
	l.copied.Store(s.at)
	return l, nil
}
