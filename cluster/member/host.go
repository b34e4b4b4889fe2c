package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/retention/disk"
	commitlog "github.com/meterd/meterd/retention/log"
)

// Options says of which cell a node is a member.
type Options struct {
	Cluster string
	Cell    int
	Node    string
	Conn    *nats.Conn // asks other nodes, and is asked; its caller's
	Board   *board.Board
	Stream  jetlog.Stream
	// Look says which stream is followed, before it is followed and before it is claimed: one that has lost something may
	// be replaced. Beside an error it may return the identity that was known last.
	Look    func(context.Context) (Followed, error)
	Copy    string // of the directory: board.CopyName
	Owned   string // file that remembers the last epoch that this node owned; empty: none does
	Records uint32 // version of the records that this node writes, and the newest one that it reads
	// Able says why this node must not own the cell although its copy is in order; nil: it may.
	Able func() error
	// Renew proves this node's copy, and begins a new stream behind it. nil: it cannot.
	Renew func(context.Context) error
	// Reseed is called, between Drop and Open, when this copy cannot go on: the stream no longer has what it lacks, or
	// something in it is damaged, which cause says. It replaces the copy by another node's, and returns its name
	// (board.CopyName). nil: it is tried again later.
	Reseed func(ctx context.Context, cause error) (copyName string, err error)
	// Changed is called when others should know Status at once. It must not wait. nil: nobody is told.
	Changed func()
	Logger  *slog.Logger
}

// Followed is the stream that is followed now.
type Followed struct {
	Identity jetlog.Identity
	Begins   bool // it goes on where this node's segments end
	Foreign  bool // it goes on where another node's segments end
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	if o.Cluster == "" || o.Node == "" || o.Cell < 0 {
		errs = append(errs, errors.New("a member has a cluster, a cell and a node"))
	}
	if o.Conn == nil || o.Board == nil || o.Stream == nil || o.Look == nil {
		errs = append(errs, errors.New("a member has a connection, a board and a stream, and looks at it"))
	}
	return errors.Join(errs...)
}

// Host makes a node a member of one cell. All methods are safe for concurrent use.
type Host struct {
	o    Options
	cell Cell

	mu       sync.Mutex
	now      board.CellStatus
	ownerMs  int64          // the owner's clock when it was heard last
	segments *commitlog.Log // nil while the cell is closed
	owned    *jetlog.Log    // nil unless this node owns the cell
	asked    chan request   // of the owner, by Yield
	renewed  chan struct{}  // the stream was replaced by this node
	renewing sync.Mutex     // held while it replaces it
	mend     mend           // mu guards its fault; the rest is Run's

	silenceMax time.Duration // as the limit; longer for most tests, whose nodes may stand still

	returns bool          // it asks for the cell when it is first in line; Run's
	last    lastEpoch     // Run's
	stuck   stuck         // Run's
	unasked jetlog.Seldom // of looks without an answer; Run's
}

// request asks the owner to let go.
type request struct {
	to   string
	done chan error
}

// New returns the host of a cell, which Run starts.
func New(o Options, cell Cell) (*Host, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Logger = o.Logger.With("cell", o.Cell)
	if o.Changed == nil {
		o.Changed = func() {}
	}
	if o.Able == nil {
		o.Able = func() error { return nil }
	}
	return &Host{
		o: o, cell: cell, asked: make(chan request), renewed: make(chan struct{}, 1), returns: true,
		last: readLastEpoch(o.Owned, o.Node), silenceMax: silenceMax,
		now: board.CellStatus{Cell: o.Cell, Role: board.Following, Why: starting, Copy: o.Copy},
	}, nil
}

// starting is why a copy is not ready when nothing is wrong with it.
const starting = "it is being opened"

// Status returns how this node's copy stands, for the board.
func (h *Host) Status() board.CellStatus {
	h.mu.Lock()
	s, segments, ownerMs, isSound := h.now, h.segments, h.ownerMs, h.mend.fault == nil
	if h.owned != nil {
		s.Message = h.owned.Message()
	}
	h.mu.Unlock()
	if segments == nil {
		s.Stream = board.Bytes16{} // A copy that is closed says nothing of how far it is.
		return s
	}
	group, lastMs, chain := segments.Last()
	s.Group, s.LastMs, s.Chain = group, lastMs, board.Bytes16(chain)
	if s.Role == board.Standby {
		s.Fit = isSound && h.o.Able() == nil && h.facts(s, segments, ownerMs).Fit()
	}
	return s
}

// facts are what this node knows when it asks whether it may own the cell.
func (h *Host) facts(s board.CellStatus, segments *commitlog.Log, ownerMs int64) *board.Facts {
	return h.o.Board.Facts(s, max(s.LastMs, ownerMs), func(group uint64) (board.Bytes16, bool) {
		chain, err := segments.ChainOf(group)
		return board.Bytes16(chain), err == nil
	})
}

// Owner reports whether this node owns the cell, as far as it knows.
func (h *Host) Owner() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.owned != nil
}

// stream returns the identity of the stream that is followed.
func (h *Host) stream() board.Bytes16 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now.Stream
}

// change applies fn to what is known of this copy, and tells if others should know at once.
func (h *Host) change(fn func(*board.CellStatus)) {
	h.mu.Lock()
	before := h.now
	fn(&h.now)
	changed := h.now.Role != before.Role || h.now.Epoch != before.Epoch || h.now.Why != before.Why
	h.mu.Unlock()
	if changed {
		h.o.Changed()
	}
}

// open says which segments this copy has now; nil: it is closed.
func (h *Host) open(segments *commitlog.Log) {
	h.mu.Lock()
	h.segments, h.owned = segments, nil
	h.mu.Unlock()
	if segments == nil {
		h.change(func(s *board.CellStatus) { s.Role, s.Why, s.Address = board.Following, starting, "" })
	}
}

// Run makes the node a member until ctx ends, and then hands the cell over if it owns it. It returns nil then, and an
// error if the node cannot go on.
func (h *Host) Run(ctx context.Context) error {
	asks, err := h.o.Conn.Subscribe(moveOf(h.o.Cluster, h.o.Cell), h.answerMove)
	if err != nil {
		return fmt.Errorf("hear what is asked of cell %d: %w", h.o.Cell, err)
	}
	defer func() { _ = asks.Unsubscribe() }() // The connection is closed, then.
	repairs, err := h.o.Conn.Subscribe(repairOf(h.o.Cluster, h.o.Cell), h.answerRepair)
	if err != nil {
		return fmt.Errorf("hear what is asked of cell %d: %w", h.o.Cell, err)
	}
	defer func() { _ = repairs.Unsubscribe() }()
	for ctx.Err() == nil {
		if err := h.once(ctx); err != nil {
			return fmt.Errorf("cell %d: %w", h.o.Cell, err)
		}
	}
	return nil
}

// once is from Open to Drop or Close.
func (h *Host) once(ctx context.Context) error {
	segments, err := h.cell.Open(ctx)
	if h.isLost(err) && ctx.Err() == nil {
		return h.reseed(ctx, err)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = nil
		}
		return errors.Join(err, h.cell.Drop())
	}
	if fault := h.fault(); fault != nil && !errors.Is(fault, disk.ErrDamaged) {
		h.sound() // What had failed was opened again.
	}
	h.open(segments)
	log, err := h.standBy(ctx, segments)
	for h.isRefused(ctx, err) {
		log, err = h.standBy(ctx, segments)
	}
	if err == nil {
		err = h.own(ctx, log)
	}
	if err == nil {
		return nil
	}
	h.open(nil)
	switch {
	case ctx.Err() != nil:
		return h.cell.Close()
	case errors.Is(err, errFaulty):
		return h.reopen(ctx, err)
	case h.isLost(err):
		return h.reseed(ctx, err)
	}
	return errors.Join(err, h.cell.Drop())
}

// isLost reports whether an error says that this copy must be replaced by another node's.
func (h *Host) isLost(err error) bool {
	return h.o.Reseed != nil && (errors.Is(err, jetlog.ErrLeftBehind) || errors.Is(err, disk.ErrDamaged))
}

// isRefused waits if stream and copy do not fit: nothing is wrong with this node's disk, and its copy is what may be
// looked at. It reports whether it is worth trying again.
func (h *Host) isRefused(ctx context.Context, err error) bool {
	switch {
	case err == nil || ctx.Err() != nil || h.isLost(err) || errors.Is(err, errFaulty):
		return false
	case errors.Is(err, errReplaced):
		h.o.Logger.Warn("the stream was replaced by another one")
		return true
	case errors.Is(err, errNoLook):
		if h.unasked.Says(err.Error(), time.Now()) {
			h.o.Logger.Warn("the stream does not answer, it is asked again", "error", err)
		}
		h.rest(ctx, lookRest)
		return true
	}
	for _, of := range []error{
		jetlog.ErrShorter, jetlog.ErrLeftBehind, jetlog.ErrDamaged, jetlog.ErrNewer, jetlog.ErrGone,
		jetlog.ErrRefused,
	} {
		if errors.Is(err, of) {
			h.refused(ctx, err)
			return true
		}
	}
	return false
}

// refused waits for somebody to repair what is wrong.
func (h *Host) refused(ctx context.Context, err error) {
	h.o.Logger.Error("this node's copy cannot follow the cell", "error", err)
	h.change(func(s *board.CellStatus) { s.Role, s.Why = board.Damaged, board.Sentence(err.Error()) })
	h.rest(ctx, refusedRest)
}

// reseed has the copy replaced. One that cannot be closed is left to the next start: it may still write to its files.
func (h *Host) reseed(ctx context.Context, cause error) error {
	if err := h.cell.Drop(); err != nil {
		return errors.Join(cause, err)
	}
	if errors.Is(cause, disk.ErrDamaged) && !h.mend.copied.IsZero() && time.Since(h.mend.copied) < mendAgain {
		h.refused(ctx, fmt.Errorf("it was made anew a moment ago, and is damaged again: %w", cause))
		return nil
	}
	level := slog.LevelWarn // That the stream went on without this node is nobody's fault, and mended by itself.
	if errors.Is(cause, disk.ErrDamaged) {
		level = slog.LevelError
	}
	h.o.Logger.Log(ctx, level, "this node's copy is made anew from another node's", "reason", cause)
	h.change(func(s *board.CellStatus) { s.Role, s.Why = board.Reseeding, board.Sentence(cause.Error()) })
	name, err := h.o.Reseed(ctx, cause)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		h.refused(ctx, fmt.Errorf("make it anew: %w; %w", err, cause))
	default:
		h.sound()
		if errors.Is(cause, disk.ErrDamaged) {
			h.mend.copied = time.Now()
		}
		h.change(func(s *board.CellStatus) { s.Role, s.Why, s.Copy = board.Following, starting, name })
	}
	return nil
}

// rest waits, or until ctx ends or the stream is replaced.
func (h *Host) rest(ctx context.Context, pause time.Duration) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-h.renewed:
	case <-ctx.Done():
	}
}
