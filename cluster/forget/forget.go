package forget

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/meterd/meterd/cluster/board"
)

// Board is what is known of the nodes; *board.Board is one.
type Board interface {
	Nodes() []board.Status
	Positions() *board.Positions
	Forgotten() []board.Forgotten
	Forget(ctx context.Context, list []board.Forgotten, nodes []string) error
}

// Options says whose cluster it is.
type Options struct {
	Node  string // this one
	Board Board
	// Servers returns all servers, by the word of the one that leads them; nil: they are the operator's.
	Servers func(context.Context) ([]Peer, error)
	// Remove removes a server, by its ID.
	Remove func(ctx context.Context, id string) error
	// Streams returns those of all cells that have one.
	Streams func(context.Context) ([]Stream, error)
	Logger  *slog.Logger // nil: nobody is told
}

// Validate reports every fault of the options at once.
func (o *Options) Validate() error {
	if o.Node == "" || o.Board == nil || o.Streams == nil || (o.Servers == nil) != (o.Remove == nil) {
		return errors.New("a node is forgotten by another one, with a board, streams, and servers if they are its own")
	}
	return nil
}

// Forgetter forgets nodes, one at a time. It is safe for concurrent use.
type Forgetter struct {
	o    Options
	busy sync.Mutex
}

// New returns a Forgetter.
func New(o Options) (*Forgetter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Forgetter{o: o}, nil
}

// Answer says what was forgotten.
type Answer struct {
	Node   string `json:"node"`
	Server string `json:"server"` // of NATS; empty: none was removed
	Said   string `json:"said"`
}

// facts looks once.
func (f *Forgetter) facts(ctx context.Context, node string) (*Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	b := f.o.Board
	facts := &Facts{Node: node, Nodes: b.Nodes(), Positions: b.Positions(), Notes: b.Forgotten()}
	if f.o.Servers == nil {
		return facts, nil
	}
	var err error
	if facts.Servers, err = f.o.Servers(ctx); err == nil {
		facts.Streams, err = f.o.Streams(ctx)
	}
	if err != nil {
		return nil, refuseYet("the servers of NATS do not answer: %w", err)
	}
	facts.named()
	return facts, nil
}

// Forget forgets a node, or the server that it had before. It returns an error with ErrRefused if nothing was done.
func (f *Forgetter) Forget(ctx context.Context, node string) (Answer, error) {
	if err := board.ValidName(node); err != nil {
		return Answer{}, refuse("%w", err)
	}
	if !f.busy.TryLock() {
		return Answer{}, refuse("this node is forgetting another one: wait until it has")
	}
	defer f.busy.Unlock()
	facts, dead, found, err := f.await(ctx, node)
	if err != nil {
		return Answer{}, err
	}
	what := facts.toNote(dead, found, time.Now().UnixMilli())
	others := slices.DeleteFunc(facts.Others(), func(other string) bool { return other == f.o.Node })
	if err := f.o.Board.Forget(ctx, []board.Forgotten{what}, others); err != nil {
		return Answer{}, fmt.Errorf("have all nodes write down that %q is forgotten: %w", node, err)
	}
	answer := Answer{Node: node}
	switch {
	case f.o.Servers == nil:
		answer.Said = fmt.Sprintf("node %q is forgotten here; servers of NATS are yours, and none was removed", node)
		return answer, nil
	case what.Removed && !found:
		answer.Server = what.Name
		answer.Said = fmt.Sprintf("server %s of node %q is removed", Peer{ID: what.ID, Name: what.Name}.name(), node)
		return answer, nil
	case !found:
		answer.Said = fmt.Sprintf("node %q is forgotten; no server of NATS was its own", node)
		return answer, nil
	}
	if err := f.remove(ctx, dead); err != nil {
		return Answer{}, err
	}
	what.Removed = true
	if err := f.o.Board.Forget(ctx, []board.Forgotten{what}, others); err != nil {
		f.o.Logger.Warn("a server is removed, and not all nodes have written that down: they learn it from the others",
			"server", dead.Name, "error", err)
	}
	answer.Server, answer.Said = dead.Name, f.placed(ctx, node, dead)
	return answer, nil
}

// await looks until a server may be removed, for a while: under load a replica lacks the last message now and then.
func (f *Forgetter) await(ctx context.Context, node string) (facts *Facts, dead Peer, found bool, err error) {
	for until := time.Now().Add(wellWithin); ; {
		if facts, err = f.facts(ctx, node); err == nil {
			dead, found, err = facts.Dead()
		}
		if !errors.Is(err, errNotYet) || time.Now().After(until) {
			return facts, dead, found, err
		}
		if err := pause(ctx, lookEvery); err != nil {
			return nil, dead, false, err
		}
	}
}

func (f *Forgetter) remove(ctx context.Context, dead Peer) error {
	ctx, cancel := context.WithTimeout(ctx, removeMax)
	defer cancel()
	f.o.Logger.Warn("a server of NATS that does not come back is removed", "server", dead.Name, "id", dead.ID)
	if err := f.o.Remove(ctx, dead.ID); err != nil {
		return fmt.Errorf("%w; nothing is lost: look at meterd ctl cluster, and try again", err)
	}
	return nil
}

// placed waits until all streams have their replicas, and returns what to say.
func (f *Forgetter) placed(ctx context.Context, node string, dead Peer) string {
	begun := fmt.Sprintf("server %s of node %q is removed", dead.name(), node)
	for until := time.Now().Add(placedWithin); time.Now().Before(until); {
		if pause(ctx, lookEvery) != nil {
			break
		}
		facts, err := f.facts(ctx, node)
		if err != nil || facts.Whole() > 0 {
			continue
		}
		if n := facts.onDead(); n > 0 {
			return fmt.Sprintf("%s; %d cells have a replica on another server that is dead: forget its node, too", begun, n)
		}
		if n := facts.Short(); n > 0 {
			return fmt.Sprintf("%s; %d cells have a replica too few, and stop when one more server dies: start a new node, "+
				"it gets them by itself", begun, n)
		}
		return begun + "; all cells have their replicas again"
	}
	return begun + "; new replicas are still being made: forget nothing else until they are there"
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return fmt.Errorf("forget a node: %w", ctx.Err())
	}
}

// ForgetOwn has the server forgotten that this node had before its directory was emptied, if there is one, until none
// is left or ctx ends. ready says whether this node's copies are in order.
//
// It is safe without asking anybody: the node whose server it was is this one, and has another server now, so nobody
// waits for what lay in that directory. Forget itself looks at all others.
func (f *Forgetter) ForgetOwn(ctx context.Context, ready func() bool) {
	if f.o.Servers == nil {
		return
	}
	for looks, none, said := 0, 0, ""; pause(ctx, ownEvery) == nil; {
		facts, err := f.facts(ctx, f.o.Node)
		if err != nil {
			continue
		}
		if !facts.hasFormer() { // Others may not have told yet whose servers there are.
			if none++; none == ownLooks {
				return
			}
			continue
		}
		none = 0
		facts, _, _, err = f.await(ctx, f.o.Node)
		if err == nil && facts.othersDead() {
			err = errors.New("another server is dead, too: forget its node first")
		}
		if err == nil && !ready() {
			err = errors.New("the copies of this node are not in order yet")
		}
		if err != nil {
			if err.Error() != said {
				said = err.Error()
				f.o.Logger.Warn("the server that this node had before is still one of the cluster", "why", err)
			}
			looks = 0
			continue
		}
		if looks++; looks < ownLooks {
			continue
		}
		answer, err := f.Forget(ctx, f.o.Node)
		f.o.Logger.Warn("the server that this node had before its directory was emptied", "said", answer.Said, "error", err)
		looks = 0
	}
}

// hasFormer reports whether another server than the node's own was its, as far as names say so.
func (f *Facts) hasFormer() bool {
	now, _ := f.heard()
	for _, p := range f.Servers {
		if p.ID != now.Server.ID && !p.unnamed() && f.isOf(p) {
			return true
		}
	}
	return false
}
