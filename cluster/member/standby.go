package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
	commitlog "github.com/meterd/meterd/retention/log"
)

// standBy follows the stream until this node has claimed the cell, and returns the owner's log.
func (h *Host) standBy(ctx context.Context, segments *commitlog.Log) (*jetlog.Log, error) {
	now, err := h.look(ctx)
	if errors.Is(err, jetlog.ErrGone) || errors.Is(err, jetlog.ErrRefused) {
		h.lacks(now, err)
	}
	if err != nil {
		return nil, err
	}
	h.unasked.Forget()
	h.change(func(s *board.CellStatus) { s.Stream = board.Bytes16(now.Identity) })
	f, err := jetlog.Open(ctx, jetlog.Options{
		Stream: h.o.Stream, Identity: now.Identity, Segments: segments, Node: h.o.Node, Records: h.o.Records,
		Begins: now.Begins, Foreign: now.Foreign, Logger: h.o.Logger,
	})
	if err != nil {
		return nil, err
	}
	w := h.warm(ctx)
	log, err := h.follow(ctx, f, w)
	return log, errors.Join(err, w.stop())
}

var (
	errReplaced = errors.New("another stream is there")
	errNoLook   = errors.New("the stream cannot be looked at")
)

// look asks which stream is to be followed. An error without errNoLook is a refusal.
func (h *Host) look(ctx context.Context) (Followed, error) {
	ask, stop := context.WithTimeout(ctx, lookMax)
	defer stop()
	now, err := h.o.Look(ask)
	switch {
	case err == nil || errors.Is(err, jetlog.ErrGone) || errors.Is(err, jetlog.ErrRefused):
		return now, err
	case ctx.Err() != nil:
		return now, ctx.Err()
	}
	return now, fmt.Errorf("%w: %w", errNoLook, err)
}

// lacks tells which stream this copy is of although that cannot be followed: whoever repairs the cell looks for the
// longest copy of it. The role changes in the same step, so that nobody takes this for a position in a stream.
func (h *Host) lacks(known Followed, err error) {
	if known.Identity == (jetlog.Identity{}) {
		return
	}
	h.change(func(s *board.CellStatus) {
		s.Stream, s.Role, s.Why = board.Bytes16(known.Identity), board.Damaged, board.Sentence(err.Error())
	})
}

// same says whether the stream that is followed is the one that is there. No answer says nothing: its leader may just
// have died, and a claim finds out.
func (h *Host) same(ctx context.Context) error {
	following := h.stream()
	switch now, err := h.look(ctx); {
	case errors.Is(err, errNoLook):
		return nil
	case err != nil:
		return err
	case board.Bytes16(now.Identity) != following:
		return errReplaced
	}
	return nil
}

// follow reads and claims.
func (h *Host) follow(ctx context.Context, f *jetlog.Follower, w *warmer) (*jetlog.Log, error) {
	poll := time.NewTimer(0)
	defer poll.Stop()
	pause := pollEvery
	quiet := &silence{since: time.Now(), max: h.silenceMax}
	var since time.Time // when it was a standby first
	var told uint64     // the newest message that this node was told of; 0: none
	for {
		n, err := f.Step(ctx)
		isEnd := n == 0 || told > 0 && f.Message() >= told // as far as anybody knows
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, err
		case n > 0:
			_, epoch := f.At()
			quiet.hear(epoch, time.Now())
			h.note(f)
			w.grown()
			if !isEnd && f.Yielded() != h.o.Node {
				continue
			}
			pause = pollEvery
		}
		if isEnd && since.IsZero() {
			since = time.Now()
			h.change(func(s *board.CellStatus) { s.Role, s.Why = board.Standby, h.mend.why() })
		}
		if isAsked := n == 0 || f.Yielded() == h.o.Node; isAsked && h.mayClaim(f, quiet.lasts(time.Now())) {
			if err := h.same(ctx); err != nil {
				return nil, err
			}
			log, err := f.Claim()
			if err == nil {
				return log, nil
			}
			if !errors.Is(err, jetlog.ErrOvertaken) {
				return nil, err
			}
			h.o.Logger.Info("another node was first", "error", err)
			_, epoch := f.At()
			quiet.overtaken(epoch, time.Now())
			continue
		}
		if err := h.mustMend(); err != nil {
			return nil, err
		}
		h.askBack(ctx, since)
		poll.Reset(pause)
		pause = min(2*pause, pollEvery)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-w.failed:
			return nil, err
		case <-h.cell.Failed():
			return nil, h.cell.Err()
		case fault := <-h.cell.Faults():
			h.find(fault)
		case <-h.renewed:
			return nil, errReplaced
		case told = <-h.o.Stream.News():
			pause = newsEvery // The replica that is asked may lag a little.
		case <-poll.C:
		}
	}
}

// note records what a step has read.
func (h *Host) note(f *jetlog.Follower) {
	_, epoch := f.At()
	h.stuck = stuck{}
	h.mu.Lock()
	h.ownerMs = f.OwnerClock()
	h.now.Message = f.Message()
	h.mu.Unlock()
	h.change(func(s *board.CellStatus) {
		s.Epoch = epoch
		if s.Role == board.Damaged { // It was not the end yet.
			s.Role = board.Standby
		}
		if s.Role == board.Standby && h.mend.fault == nil { // h.mu is held.
			s.Why = ""
		}
	})
}

// patience returns how long nothing new must come before this node tries to own the cell, and why.
func (h *Host) patience(f *jetlog.Follower) (wait time.Duration, why string) {
	line := time.Duration(h.line()) * lineWait
	switch _, epoch := f.At(); {
	case f.Yielded() == h.o.Node:
		return 0, "it was yielded to this node"
	case epoch == 0:
		return newWait + line, "nobody ever owned it"
	case f.Yielded() == "" && epoch == h.last.epoch && h.stream() == h.last.stream:
		return 0, "this node was the last to own it"
	default:
		return h.silenceMax + line, "its owner is silent"
	}
}

// mayClaim reports whether this node may try to own the cell after a silence.
func (h *Host) mayClaim(f *jetlog.Follower, silence time.Duration) bool {
	wait, why := h.patience(f)
	if silence < wait {
		return false
	}
	h.mu.Lock()
	s, segments, ownerMs := h.now, h.segments, h.ownerMs
	h.mu.Unlock()
	group, lastMs, chain := segments.Last()
	s.Group, s.LastMs, s.Chain = group, lastMs, board.Bytes16(chain)
	facts := h.facts(s, segments, ownerMs)
	err := facts.MayOwn()
	if err == nil && !facts.Near() && silence < wait+clockWait {
		return false
	}
	if err == nil {
		err = h.o.Able()
	}
	if err == nil {
		h.stuck = stuck{}
		h.o.Logger.Info("this node tries to own the cell", "why", why)
		return true
	}
	role := board.Standby
	if errors.Is(err, board.ErrDamaged) {
		role = board.Damaged
	}
	if h.stuck.says(err.Error(), role == board.Damaged, time.Now()) {
		h.o.Logger.Log(context.Background(), levelOf(err), "the cell has no owner, and this node does not take it over",
			"reason", err)
	}
	h.change(func(s *board.CellStatus) { s.Role, s.Why = role, board.Sentence(err.Error()) })
	return false
}

// levelOf returns how loud it is said why this node does not take a cell over: somebody must repair what is damaged and
// should look at a clock or at the servers of NATS, but need not know who takes it over instead.
func levelOf(err error) slog.Level {
	switch {
	case errors.Is(err, board.ErrDamaged):
		return slog.LevelError
	case errors.Is(err, board.ErrOthers):
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// line returns this node's place among those who take the cell over, 0: it is the first. Cells begin with each node in
// turn, and go on to the next one or the one before, so that the cells of a node that died go to several others.
func (h *Host) line() int {
	nodes := h.o.Board.Nodes()
	n := len(nodes)
	own := slices.IndexFunc(nodes, func(s board.Status) bool { return s.Node == h.o.Node })
	if own < 0 {
		return 0
	}
	steps := (own - h.o.Cell%n + n) % n
	if h.o.Cell/n%2 == 1 {
		steps = (n - steps) % n
	}
	if nodes[own].State == board.Leaving { // It would hand the cell over as soon as it has drained.
		steps += n
	}
	return steps
}

// askBack asks for the cell that this node is first in line for, once, when it has followed for a while: after a
// failure cells are spread evenly again. An operator's move of later is not undone.
func (h *Host) askBack(ctx context.Context, since time.Time) {
	if !h.returns || since.IsZero() || time.Since(since) < returnAfter || h.line() != 0 {
		return
	}
	h.returns = false
	go func() { // The answer comes when the cell is let go of, and this node must follow meanwhile.
		if err := Move(ctx, h.o.Conn, h.o.Cluster, h.o.Cell, h.o.Node); err != nil {
			h.o.Logger.Info("the owner keeps the cell that this node is first in line for", "reason", err)
		}
	}()
}

// warmer calls Follow beside the follower, so that what is stored is told at once and joined as fast as it can be.
type warmer struct {
	news   chan struct{}
	failed chan error
	end    context.CancelFunc
	done   chan struct{}
}

func (h *Host) warm(ctx context.Context) *warmer {
	ctx, end := context.WithCancel(ctx)
	w := &warmer{news: make(chan struct{}, 1), failed: make(chan error, 1), end: end, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.news:
			}
			if err := h.cell.Follow(ctx); err != nil && ctx.Err() == nil {
				w.failed <- fmt.Errorf("join what the log has gained: %w", err)
				return
			}
		}
	}()
	return w
}

func (w *warmer) grown() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// stop returns when Follow has returned, with its error if nobody took it.
func (w *warmer) stop() error {
	w.end()
	<-w.done
	select {
	case err := <-w.failed:
		return err
	default:
		return nil
	}
}
