package board

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Options says whose board it is.
type Options struct {
	Conn    *nats.Conn // its caller's; it reconnects by itself
	Cluster string     // name of the cluster
	Node    string     // name of this node
	Server  Server     // of NATS in this process; without a name: it is the operator's
	Path    string     // the file of positions; empty: they are kept in memory only
	// Older is told, from another goroutine and perhaps again, that others remember a longer copy of this node's, or that
	// they have forgotten its server: ErrOlder, ErrForgotten.
	Older  func(error)
	Logger *slog.Logger // nil: nobody is told
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	if o.Conn == nil || o.Cluster == "" {
		errs = append(errs, errors.New("a board has a connection and a cluster"))
	}
	return errors.Join(append(errs, ValidName(o.Node))...)
}

// Board is what a node knows of all nodes of its cluster, itself among them. It is safe for concurrent use.
type Board struct {
	o    Options
	boot string
	subs []*nats.Subscription
	stop context.CancelFunc
	done sync.WaitGroup
	now  chan struct{} // something that others should know at once
	met  chan struct{} // a process that was not heard before

	writing   sync.Mutex // of the file; taken before mu
	mu        sync.Mutex
	table     table
	own       Status
	number    uint64
	positions *Positions
	dirty     bool          // positions that are not in the file
	changed   chan struct{} // closed at the next change

	owners atomic.Pointer[[cellsMax]owner]
	// confirmed is what this node's clock was before the monotonic clock when it was confirmed, in milliseconds
	confirmed atomic.Pointer[int64]
}

// Open begins to listen and to tell. Close it before the connection.
func Open(o Options) (*Board, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var random [8]byte
	rand.Read(random[:]) // It never fails: crypto/rand ends the process instead.
	b := &Board{
		o: o, boot: hex.EncodeToString(random[:]), now: make(chan struct{}, 1), met: make(chan struct{}, 1),
		changed:   make(chan struct{}),
		table:     table{nodes: map[string]*entry{}, begun: time.Now()},
		own:       Status{Node: o.Node, Server: o.Server, State: Starting},
		positions: readPositions(o.Path, o.Logger),
	}
	b.owners.Store(b.table.owners())
	for subject, fn := range map[string]nats.MsgHandler{
		statusSubject(o.Cluster): b.hear, recallSubject(o.Cluster): b.answer, notesSubject(o.Cluster): b.hearNotes,
	} {
		sub, err := o.Conn.Subscribe(subject, fn)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hear of the other nodes: %w", err), b.unsubscribe())
		}
		b.subs = append(b.subs, sub)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.done.Go(func() { b.run(ctx) })
	b.done.Go(func() { b.compare(ctx) })
	return b, nil
}

func statusSubject(cluster string) string { return "meterd.board." + cluster }
func recallSubject(cluster string) string { return "meterd.board." + cluster + ".recall" }
func notesSubject(cluster string) string  { return "meterd.board." + cluster + ".notes" }

// Close tells a last time how this node is, stops telling and listening, and writes the positions.
func (b *Board) Close() error {
	b.stop()
	b.done.Wait()
	b.tell()
	return errors.Join(b.unsubscribe(), b.write())
}

func (b *Board) unsubscribe() error {
	var errs []error
	for _, sub := range b.subs {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			errs = append(errs, fmt.Errorf("hear no more of the other nodes: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (b *Board) run(ctx context.Context) {
	tick, write := time.NewTicker(tellEvery), time.NewTicker(writeEvery)
	defer tick.Stop()
	defer write.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.now:
		case <-tick.C:
		case <-write.C:
			if err := b.write(); err != nil {
				b.o.Logger.Error("how far the other nodes are cannot be written", "error", err)
			}
			continue
		}
		b.tell()
	}
}

// Tell sets what this node tells from now on, at once if something happened in it. The board keeps s.Cells, and cuts
// sentences that are too long: a node that told nothing would count as silent.
func (b *Board) Tell(s Status) {
	s.Node, s.Server = b.o.Node, b.o.Server
	for i := range s.Cells {
		s.Cells[i].Why = Sentence(s.Cells[i].Why)
	}
	b.mu.Lock()
	news := changed(&b.own, &s)
	b.own = s
	b.mu.Unlock()
	if news {
		wake(b.now)
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tell sends the status, and takes it as the others do.
func (b *Board) tell() {
	b.mu.Lock()
	b.number++
	s := b.own
	now := time.Now()
	s.Boot, s.Told, s.WallMs = b.boot, b.number, now.UnixMilli()
	b.take(s, now)
	b.mu.Unlock()
	message, err := s.encode()
	if err == nil {
		err = b.o.Conn.Publish(statusSubject(b.o.Cluster), message)
	}
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		b.o.Logger.Error("the other nodes are not told how this one is", "error", err)
	}
}

// hear takes what a node told.
func (b *Board) hear(m *nats.Msg) {
	s, err := decodeStatus(m.Data)
	if err != nil {
		b.o.Logger.Warn("what a node tells is not understood: has it another version of meterd?", "error", err)
		return
	}
	if s.Node == b.o.Node {
		if s.Boot != b.boot {
			b.o.Logger.Error("another process has this node's name: give each node its own --node", "node", s.Node,
				"its_address", s.Address)
		}
		return
	}
	b.mu.Lock()
	gone := b.positions.forgets(s.Server)
	boot := !gone && b.take(s, time.Now())
	b.mu.Unlock()
	if gone { // It was paused or cut off meanwhile, and does not know.
		b.tellNotes()
	}
	if boot { // It may remember more of this node than this node has.
		wake(b.met)
	}
}

// take is called with the lock held, and says whether a process told something for the first time.
func (b *Board) take(s Status, now time.Time) (boot bool) {
	news, boot := b.table.take(s, now)
	b.dirty = b.positions.meet(s.Server) || b.dirty
	for i := range s.Cells {
		b.dirty = b.positions.take(s.Node, &s.Cells[i]) || b.dirty
	}
	b.publish(now)
	if news {
		close(b.changed)
		b.changed = make(chan struct{})
	}
	return boot
}

// publish is called with the lock held.
func (b *Board) publish(now time.Time) {
	list, before := b.table.owners(), b.owners.Load()
	for cell := range list {
		switch o, was := &list[cell], &before[cell]; {
		case o.node != "":
		case was.node != "":
			o.letGo = now
		default:
			o.letGo = was.letGo
		}
	}
	b.owners.Store(list)
}

// write writes the positions if they have changed. What could not be written is tried again at the next call. One call
// at a time: without an error, what was known when it was called is in the file.
func (b *Board) write() error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.mu.Lock()
	dirty := b.dirty
	b.dirty = false
	content, err := b.positions.encode()
	b.mu.Unlock()
	if !dirty || b.o.Path == "" {
		return err
	}
	if err == nil {
		err = writePositions(b.o.Path, content)
	}
	if err != nil {
		b.mu.Lock()
		b.dirty = true
		b.mu.Unlock()
	}
	return err
}

// Nodes returns all nodes that were heard, by name, this one among them. What it returns must not be changed.
func (b *Board) Nodes() []Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.table.list(time.Now())
}

// Changed returns a channel that is closed when something happens: another owner, role, address or state, or a node
// that is heard again. Nothing happens when a node falls silent.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Owner returns who owns a cell, the address of the cell's server there, and the epoch. It is false while nobody does,
// or while the owner is silent.
func (b *Board) Owner(cell int) (node, address string, epoch uint64, ok bool) {
	if cell < 0 || cell >= cellsMax {
		return "", "", 0, false
	}
	o := &b.owners.Load()[cell]
	if o.node == "" || time.Since(o.heard) > silentAfter {
		return "", "", 0, false
	}
	return o.node, o.address, o.epoch, true
}

// LetGo returns when it was told that a cell's owner owns it no longer. It is zero while the cell has an owner, and if
// its last one fell silent instead.
func (b *Board) LetGo(cell int) time.Time {
	if cell < 0 || cell >= cellsMax {
		return time.Time{}
	}
	return b.owners.Load()[cell].letGo
}

// Positions returns how far every copy was when it was last heard, as it is known here.
func (b *Board) Positions() *Positions {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.positions.clone()
}

// clocks returns what the clocks of the other nodes show now, as far as they were heard since this process began,
// silent ones too. It is in Unix milliseconds by node.
func (b *Board) clocks() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := map[string]int64{}
	for name, e := range b.table.nodes {
		if ms, ok := e.clock.at(time.Since(b.table.begun)); ok && name != b.o.Node {
			list[name] = ms
		}
	}
	return list
}
