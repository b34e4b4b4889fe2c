package purge

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
)

// Stream is what is kept short.
type Stream interface {
	Size(ctx context.Context) (jetlog.Size, error)
	Purge(ctx context.Context, before uint64) error
}

// Options says which stream is kept short, and who has copies of it.
type Options struct {
	Stream    Stream
	Cell      int
	Node      string                  // this one
	Identity  func() board.Bytes16    // of the stream
	Copies    int                     // how many must have been heard of, the owner's among them
	Positions func() *board.Positions // how far the copies of other nodes are
	// Own returns the last message before which this node has every group in its segments, and whether it is the one
	// that keeps the stream short: the owner, or anybody while there is none and the stream is full (Full). Otherwise
	// nothing is purged.
	Own func() (uint64, bool)
	// Erase returns the change, durable, up to which what was erased is to leave the stream's files now; 0: nothing is,
	// or this node is no owner. Then Fill puts as much behind what the stream has as it takes for what follows to be in
	// other files, and returns its last message.
	Erase  func() (change uint64)
	Fill   func(ctx context.Context) (message uint64, err error)
	Logger *slog.Logger // nil: nobody is told
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	if o.Stream == nil || o.Identity == nil || o.Positions == nil || o.Own == nil || o.Erase == nil || o.Fill == nil ||
		o.Node == "" || o.Copies < 1 {
		return errors.New("a stream is kept short by an owner who knows how far the copies are")
	}
	return nil
}

// Purger keeps one stream short. Run belongs to one goroutine, everything else to any.
type Purger struct {
	o    Options
	left []string // who was told to be left behind
	turn turn
	size atomic.Pointer[jetlog.Size]
	full atomic.Bool

	mu     sync.Mutex
	erased erased // guarded by mu
}

// New returns a Purger that has seen nothing.
func New(o Options) (*Purger, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Purger{o: o}, nil
}

// Run looks at the stream again and again until ctx ends.
func (p *Purger) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	said := ""
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, keeps := p.o.Own(); !keeps && turn%othersEvery != 0 {
			continue
		}
		err := p.look(ctx)
		switch {
		case err == nil:
			said = ""
		case ctx.Err() == nil && err.Error() != said:
			said = err.Error()
			p.o.Logger.Warn("the stream cannot be kept short, it is tried again", "cell", p.o.Cell, "error", err)
		}
	}
}

// Full reports whether the stream runs full: events must stop.
func (p *Purger) Full() bool { return p.full.Load() }

// Size returns what the stream held when it was looked at last, zeroes before that.
func (p *Purger) Size() jetlog.Size {
	if s := p.size.Load(); s != nil {
		return *s
	}
	return jetlog.Size{}
}

func (p *Purger) look(ctx context.Context) error {
	identity := p.o.Identity()
	begun := p.begin(ctx, identity)
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	size, err := p.o.Stream.Size(ctx)
	if err != nil {
		return errors.Join(begun, err)
	}
	p.size.Store(&size)
	p.judge(size)
	p.end(identity, size)
	own, keeps := p.o.Own()
	if !keeps {
		return begun
	}
	list := slices.DeleteFunc(p.o.Positions().Of(p.o.Cell), func(c board.Position) bool {
		return c.Node == p.o.Node || c.Stream != identity
	})
	over := isOver(size)
	before, left := passed(own, list, p.o.Copies, over)
	p.tell(left)
	before = min(before, size.Last)
	worth := size.Bytes >= bytesMin || before >= size.First+messagesMin || p.turn.needs(before)
	if before <= size.First || !worth {
		return begun
	}
	return errors.Join(begun, p.o.Stream.Purge(ctx, before))
}

// isOver says that a stream has more than it should, so that slow copies are left behind.
func isOver(s jetlog.Size) bool { return s.BytesMax > 0 && s.Bytes > s.BytesMax/parts*boundPart }

// judge moves Full.
func (p *Purger) judge(s jetlog.Size) {
	if s.BytesMax == 0 {
		return
	}
	eighth := s.BytesMax / parts
	switch full := p.full.Load(); {
	case !full && s.Bytes >= eighth*stopPart:
		p.full.Store(true)
		p.o.Logger.Error("the stream runs full since other copies do not follow: the cell takes no events", "cell", p.o.Cell,
			"bytes", s.Bytes, "bytes_max", s.BytesMax)
	case full && s.Bytes < eighth*goPart:
		p.full.Store(false)
		p.o.Logger.Info("the stream has room again: the cell takes events", "cell", p.o.Cell, "bytes", s.Bytes)
	}
}

// tell says once of each node that it is left behind.
func (p *Purger) tell(left []string) {
	for _, node := range left {
		if !slices.Contains(p.left, node) {
			p.o.Logger.Error("a copy is so far behind that the stream goes on without it: it must be copied from another node",
				"cell", p.o.Cell, "node", node)
		}
	}
	p.left = left
}

// passed returns the message before which all can go, and who is left behind by it. `over` says that the stream has
// more than it should, so that only the fastest two count.
func passed(own uint64, list []board.Position, copies int, over bool) (before uint64, left []string) {
	slices.SortStableFunc(list, func(a, b board.Position) int { return cmp.Compare(b.Message, a.Message) })
	before = own
	switch {
	case over && len(list) > 0:
		before = min(own, list[0].Message)
		for _, c := range list[1:] {
			if c.Message < before {
				left = append(left, c.Node)
			}
		}
	case over && copies > 1 || len(list)+1 < copies:
		return 0, nil // Nobody else has it.
	default:
		for _, c := range list {
			before = min(before, c.Message)
		}
	}
	return before, left
}
