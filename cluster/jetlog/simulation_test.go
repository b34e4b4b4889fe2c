package jetlog

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	commitlog "github.com/meterd/meterd/retention/log"
)

// history is what the world has seen: which group was answered with which content, and what reads behind a barrier
// have returned.
type history struct {
	mu       sync.Mutex
	next     uint64            // content of the next group
	answered map[uint64]uint64 // content → group
	newest   uint64            // group that was answered
	epochs   int
	reads    int
	yields   int // that were heard by whom they name
	faults   []error
}

func (h *history) content() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	return h.next
}

func (h *history) answer(content, group uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered[content] = group
	h.newest = max(h.newest, group)
}

func (h *history) newestAnswer() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.newest
}

func (h *history) fail(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, fmt.Errorf(format, args...))
}

// node is one of several that own the cell in turns, and believe for too long that they do.
type node struct {
	name     string
	stream   *fakeStream
	segments *commitlog.Log
	rng      *rand.Rand
	history  *history
}

func openSegments(t testing.TB) *commitlog.Log {
	t.Helper()
	l, err := commitlog.Open(commitlog.Options{
		Path: t.TempDir(), SegmentBytes: commitlog.SegmentBytesMin, Retention: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func optionsOf(s Stream, l *commitlog.Log, name string) Options {
	return Options{Stream: s, Identity: Identity{7}, Segments: l, Node: name, Records: 1}
}

// live follows, owns, is fenced, and follows again.
func (n *node) live(ctx context.Context) {
	for ctx.Err() == nil {
		f, err := Open(ctx, optionsOf(n.stream, n.segments, n.name))
		if err != nil { // Nobody answers, or a replica lags for long.
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err := n.follow(ctx, f); err != nil {
			n.history.fail("node %s follows: %w", n.name, err)
			return
		}
		l, err := f.Claim()
		if err != nil {
			continue
		}
		n.own(ctx, l)
	}
}

// follow returns when the node thinks that nobody owns the cell.
func (n *node) follow(ctx context.Context, f *Follower) error {
	lapse, cancel := context.WithTimeout(ctx, time.Duration(300+n.rng.IntN(300))*time.Millisecond)
	defer cancel()
	if err := untilSilent(lapse, f, time.Duration(20+n.rng.IntN(300))*time.Millisecond); err != nil && lapse.Err() == nil {
		return err
	}
	if f.Yielded() == n.name {
		n.history.mu.Lock()
		n.history.yields++
		n.history.mu.Unlock()
	}
	return nil
}

// untilSilent follows until nothing new was in the stream for a time, or the cell was yielded to this node.
func untilSilent(ctx context.Context, f *Follower, silence time.Duration) error {
	tick := time.NewTicker(250 * time.Millisecond) // News may be lost.
	defer tick.Stop()
	heard := time.Now()
	for time.Since(heard) < silence {
		n, err := f.Step(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case f.Yielded() == f.o.Node:
			return nil
		case n > 0:
			heard = time.Now()
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.o.Stream.News():
		case <-tick.C:
		}
	}
	return nil
}

// own appends and reads until it is fenced or has had enough; now and then it is paused for so long that others own
// the cell.
func (n *node) own(ctx context.Context, l *Log) {
	n.history.mu.Lock()
	n.history.epochs++
	n.history.mu.Unlock()
	for range 1 + n.rng.IntN(20) {
		if ctx.Err() != nil {
			return
		}
		last, _, _ := l.Last()
		if n.rng.IntN(8) == 0 {
			time.Sleep(time.Duration(n.rng.IntN(900)) * time.Millisecond)
		}
		if n.rng.IntN(3) == 0 {
			before := n.history.newestAnswer()
			if l.Barrier() != nil {
				return
			}
			n.history.mu.Lock()
			n.history.reads++
			n.history.mu.Unlock()
			if last < before {
				n.history.fail("node %s reads group %d behind a barrier, group %d was answered before", n.name, last, before)
			}
			continue
		}
		content := n.history.content()
		g := testGroup(last+1, byte(content), 0, 1+n.rng.IntN(300))
		if n.rng.IntN(12) == 0 {
			g = testGroup(last+1, byte(content), 0, n.rng.IntN(3*MessageBytesMax)+1)
		}
		g.Head = binary.LittleEndian.AppendUint64(nil, content)
		if err := l.Append(g); err != nil {
			if !errors.Is(err, ErrFenced) && !errors.Is(err, ErrUnsettled) {
				n.history.fail("node %s appends: %w", n.name, err)
			}
			return
		}
		n.history.answer(content, g.Seq)
	}
	if n.rng.IntN(3) == 0 {
		_ = l.Yield(fmt.Sprintf("n%d", n.rng.IntN(3))) // Or it is fenced.
		if l.Barrier() == nil {
			n.history.fail("node %s proves that it owns what it has yielded", n.name)
		}
	}
}

// simulate lets three nodes fight for a cell, and returns what is wrong with what came of it.
func simulate(t *testing.T, seed uint64, noFence bool) (h *history, problems []error) {
	stream := newFakeStream(seed, 0.15)
	stream.noFence = noFence
	h = &history{answered: map[uint64]uint64{}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	var nodes []*node
	for i := range 3 {
		n := &node{
			name: fmt.Sprintf("n%d", i), stream: stream, segments: openSegments(t), history: h,
			rng: rand.New(rand.NewPCG(seed, uint64(i)+100)),
		}
		nodes = append(nodes, n)
		wg.Go(func() { n.live(ctx) })
	}
	wg.Wait()
	stream.heal()
	problems = append(problems, h.faults...)
	problems = append(problems, h.compare(t, stream, nodes)...)
	for _, n := range nodes {
		if err := n.segments.Close(); err != nil {
			problems = append(problems, err)
		}
	}
	return h, problems
}

// compare reads the stream anew: what was answered is in it once, at its place, and each node has a part of it.
func (h *history) compare(t *testing.T, stream *fakeStream, nodes []*node) (problems []error) {
	whole := openSegments(t)
	defer func() { _ = whole.Close() }()
	f, err := Open(t.Context(), optionsOf(stream, whole, "check"))
	if err != nil {
		return []error{err}
	}
	for n := 1; n > 0; {
		if n, err = f.Step(t.Context()); err != nil {
			return []error{err}
		}
	}
	at := map[uint64]uint64{}
	err = whole.Replay(1, func(g *commitlog.Group) error {
		content := binary.LittleEndian.Uint64(g.Head)
		if was, again := at[content]; again {
			return fmt.Errorf("content %d is in groups %d and %d", content, was, g.Seq)
		}
		at[content] = g.Seq
		return nil
	})
	if err != nil {
		problems = append(problems, err)
	}
	for content, group := range h.answered {
		if at[content] != group {
			problems = append(problems, fmt.Errorf("content %d was answered in group %d and is in group %d", content, group,
				at[content]))
		}
	}
	for _, n := range nodes {
		last, _, chain := n.segments.Last()
		if last == 0 {
			continue
		}
		if want, err := whole.ChainOf(last); err != nil || want != chain {
			problems = append(problems, fmt.Errorf("node %s has another group %d: %w", n.name, last, err))
		}
	}
	return problems
}

// Whatever a network does, what was answered is in the log once, and a deposed owner answers nothing.
func TestOwnersInTurns(t *testing.T) {
	yields := 0
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			h, problems := simulate(t, seed, false)
			for _, p := range problems {
				t.Errorf("seed %d: %v", seed, p)
			}
			if h.epochs < 10 || len(h.answered) < 30 || h.reads < 10 {
				t.Fatalf("seed %d: %d epochs, %d answers and %d reads prove nothing", seed, h.epochs, len(h.answered), h.reads)
			}
			yields += h.yields
		})
	}
	if yields < 10 {
		t.Fatalf("%d yields were heard", yields)
	}
}

// The counter-proof: without the compare-and-swap such histories are found wrong. Not each one: goroutines that are
// ready together run in any order.
func TestOwnersInTurnsWithoutFence(t *testing.T) {
	noticed := 0
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			_, problems := simulate(t, seed, true)
			noticed += len(problems)
		})
		if noticed > 0 {
			return
		}
	}
	t.Error("nothing is noticed")
}
