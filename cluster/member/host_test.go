package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/embedded"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/retention/disk"
	commitlog "github.com/meterd/meterd/retention/log"
)

// patience bounds a failure and measures nothing.
const patience = 2 * time.Minute

// patient is a test's context with a deadline: without one a client of NATS gives an answer 5 s, and a machine may
// stand still for longer.
func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	t.Cleanup(stop)
	return ctx
}

// beatEvery is how often an owner appends a barrier: as an engine does, and more often, since a test's machine is slow.
const beatEvery = 200 * time.Millisecond

// keeper is a cell that does nothing but append. Its owner is never silent, as that of an engine is not.
type keeper struct {
	dir string
	end chan struct{}

	mu       sync.Mutex
	segments *commitlog.Log
	log      *jetlog.Log // of the owner
	err      error
	rested   bool
	follows  int
	dropped  int
	closed   int
	broken   error // what Open fails with
	faults   chan error
}

func (k *keeper) Open(context.Context) (l *commitlog.Log, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.broken != nil {
		return nil, k.broken
	}
	k.segments, err = commitlog.Open(commitlog.Options{
		Path: k.dir, SegmentBytes: commitlog.SegmentBytesMin, Retention: time.Hour,
	})
	k.end, k.err, k.rested = make(chan struct{}), nil, false
	return k.segments, err
}

func (k *keeper) Follow(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.follows++
	return nil
}

func (k *keeper) Own(_ context.Context, log *jetlog.Log) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := log.Barrier(); err != nil {
		return err
	}
	k.log = log
	go k.beat(log)
	return nil
}

// beat appends barriers until the cell is closed, rests, or has failed.
func (k *keeper) beat(log *jetlog.Log) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for range tick.C {
		k.mu.Lock()
		goesOn := k.log == log && !k.rested && k.fails(log.Barrier()) == nil
		k.mu.Unlock()
		if !goesOn {
			return
		}
	}
}

// fails takes an error as an engine does, and returns it. mu is held.
func (k *keeper) fails(err error) error {
	if err != nil && k.err == nil {
		k.err = err
		close(k.end)
	}
	return err
}

// append appends a group, and fails as an engine does.
func (k *keeper) append() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.log == nil || k.rested {
		return errNotOwner
	}
	last, _, _ := k.log.Last()
	g := &commitlog.Group{Seq: last + 1, FirstMs: 1, LastMs: 1, Head: []byte{1}}
	return k.fails(k.log.Append(g))
}

// did returns how often the cell followed, was dropped and was closed.
func (k *keeper) did() (follows, dropped, closed int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.follows, k.dropped, k.closed
}

func (k *keeper) Failed() <-chan struct{} { return k.end }
func (k *keeper) Err() error              { return k.err }
func (k *keeper) Address() string         { return "127.0.0.1:1" }
func (k *keeper) Faults() <-chan error    { return k.faults }

func (k *keeper) Rest() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rested = true
}

func (k *keeper) Drop() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dropped++
	k.log = nil
	return k.segments.Close()
}

func (k *keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed++
	k.log = nil
	return k.segments.Close()
}

// member1 is one node of a test.
type member1 struct {
	name  string
	cell  *keeper
	host  *Host
	board *board.Board
	leave context.CancelFunc
	ended chan error
	said  *said
	// silenceMax is as good as never: a machine that stands still deposes no owner. A test of silence sets it.
	silenceMax time.Duration
}

// said is what a host logs.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// newServer starts a server and makes the stream of a cell.
func newServer(t *testing.T) (*embedded.Server, jetlog.Made) {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Options{Node: "s", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	made, err := jetlog.Make(patient(t), s.Conn(), jetlog.Settings{Cluster: "test", Servers: 1, BytesMax: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return s, made
}

// join makes a node a member of the cell until it is told to leave.
func join(t *testing.T, s *embedded.Server, made jetlog.Made, name string) *member1 {
	t.Helper()
	return joinWith(t, s, made, name, func(*member1, *Options) {})
}

// joinWith is join with other options.
func joinWith(
	t *testing.T, s *embedded.Server, made jetlog.Made, name string, with func(*member1, *Options),
) *member1 {
	t.Helper()
	m := &member1{
		name:  name,
		cell:  &keeper{dir: filepath.Join(t.TempDir(), "log"), faults: make(chan error, 1)},
		ended: make(chan error, 1),
		said:  &said{},

		silenceMax: time.Hour,
	}
	var err error
	if m.board, err = board.Open(board.Options{Conn: s.Conn(), Cluster: "test", Node: name}); err != nil {
		t.Fatal(err)
	}
	stream, err := jetlog.Connect(s.Conn(), jetlog.Settings{Cluster: "test"}.StreamName())
	if err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	o := Options{
		Cluster: "test", Node: name, Conn: s.Conn(), Board: m.board, Stream: stream, Copy: name, Records: 1,
		Logger: slog.New(slog.NewTextHandler(m.said, nil)),
		Look: func(ctx context.Context) (Followed, error) {
			now, _, err := jetlog.Look(ctx, s.Conn(), jetlog.Settings{Cluster: "test", Origin: made.Origin})
			return Followed{Identity: now.Identity, Begins: now.Begins == name}, err
		},
		Renew: func(ctx context.Context) error {
			settings := jetlog.Settings{Cluster: "test", BytesMax: 64 << 20}
			_, err := jetlog.Renew(ctx, s.Conn(), settings, made, name, func() (uint64, error) {
				last, _, _ := m.cell.segments.Last()
				return last, nil
			})
			return err
		},
		Changed: func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		},
	}
	with(m, &o)
	m.host, err = New(o, m.cell)
	if err != nil {
		t.Fatal(err)
	}
	m.host.silenceMax = m.silenceMax
	ctx, leave := context.WithCancel(context.Background())
	m.leave = leave
	told, quiet := context.WithCancel(context.Background())
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for told.Err() == nil {
			m.board.Tell(board.Status{State: board.Ready, Cells: []board.CellStatus{m.host.Status()}})
			select {
			case <-changed:
			case <-tick.C:
			case <-told.Done():
			}
		}
	})
	var running sync.WaitGroup
	running.Go(func() { m.ended <- m.host.Run(ctx) })
	t.Cleanup(func() {
		leave()
		running.Wait() // It writes to a directory that is removed next.
		quiet()
		telling.Wait()
		if err := errors.Join(m.board.Close(), stream.Close()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// await returns when ok does.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it does not come: %s", what)
		}
	}
}

// A cell goes from node to node, by an operator's move and when its owner leaves, and nothing of it is lost.
func TestHandedOver(t *testing.T) {
	s, made := newServer(t)
	first := join(t, s, made, "n1")
	await(t, "the first owner", first.host.Owner)
	second := join(t, s, made, "n2")
	for range 3 {
		if err := first.cell.append(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "a standby", func() bool { return first.host.canOwn("n2") == nil })
	for to, want := range map[string]string{"n1": "owns it", "n9": "there is no node"} {
		if err := Move(t.Context(), s.Conn(), "test", 0, to); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("moved to %s: %v, not %s", to, err, want)
		}
	}
	if err := first.cell.append(); err != nil {
		t.Fatalf("refused moves change nothing: %v", err)
	}
	if err := Move(t.Context(), s.Conn(), "test", 0, "n2"); err != nil {
		t.Fatal(err)
	}
	await(t, "the second owner", second.host.Owner)
	if err := first.cell.append(); err == nil {
		t.Fatal("the first owner appends")
	}
	if err := second.cell.append(); err != nil {
		t.Fatal(err)
	}
	await(t, "the first one follows", func() bool {
		return second.host.canOwn("n1") == nil && first.host.Status().Group == 5 && first.host.Status().Epoch == 2
	})
	second.leave()
	if err := <-second.ended; err != nil {
		t.Fatal(err)
	}
	await(t, "the first owner again", first.host.Owner)
	if epoch := first.host.Status().Epoch; epoch != 3 {
		t.Fatalf("epoch %d", epoch)
	}
	first.leave() // There is nobody else.
	err := <-first.ended
	if _, _, closed := first.cell.did(); err != nil || closed != 1 {
		t.Fatal(err, closed)
	}
	if last, _, _ := first.cell.segments.Last(); last != 5 {
		t.Fatalf("group %d", last)
	}
}

// An owner that is deposed follows again in the same process, and has what its successor appended.
func TestDeposed(t *testing.T) {
	s, made := newServer(t)
	var waits atomic.Bool // The successor has not appended yet, and a machine may stand still meanwhile.
	m := joinWith(t, s, made, "n1", func(m *member1, o *Options) {
		m.silenceMax = silenceMax
		o.Able = func() error {
			if waits.Load() {
				return errors.New("it waits for its successor")
			}
			return nil
		}
	})
	await(t, "the owner", m.host.Owner)
	if err := m.cell.append(); err != nil {
		t.Fatal(err)
	}
	waits.Store(true)
	stream, err := jetlog.Connect(s.Conn(), jetlog.Settings{Cluster: "test"}.StreamName())
	if err != nil {
		t.Fatal(err)
	}
	other, err := commitlog.Open(commitlog.Options{Path: t.TempDir(), Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f, err := jetlog.Open(t.Context(), jetlog.Options{
		Stream: stream, Identity: made.Identity, Segments: other, Node: "n2", Records: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := f.Claim()
	for errors.Is(err, jetlog.ErrOvertaken) { // The owner has appended meanwhile.
		if _, err = f.Step(t.Context()); err == nil {
			l, err = f.Claim()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cell.append(); !errors.Is(err, jetlog.ErrFenced) && !errors.Is(err, errNotOwner) {
		t.Fatalf("a deposed owner appends: %v", err)
	}
	if err := l.Append(&commitlog.Group{Seq: 2, FirstMs: 1, LastMs: 1, Head: []byte{2}}); err != nil {
		t.Fatal(err)
	}
	waits.Store(false)
	await(t, "it follows", func() bool {
		follows, _, _ := m.cell.did()
		return m.host.Status().Group == 2 && follows > 0
	})
	await(t, "silence", m.host.Owner)
	err = m.cell.append()
	if _, dropped, _ := m.cell.did(); err != nil || m.host.Status().Epoch != 3 || dropped != 1 {
		t.Fatal(err, m.host.Status().Epoch, dropped)
	}
	if err := errors.Join(stream.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// Cells of a node that died go to all others in turn, and each cell has a first node.
func TestLine(t *testing.T) {
	s, _ := newServer(t)
	hosts := map[string]*Host{}
	var boards []*board.Board
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		b, err := board.Open(board.Options{Conn: s.Conn(), Cluster: "line", Node: name})
		if err != nil {
			t.Fatal(err)
		}
		b.Tell(board.Status{State: board.Ready})
		boards = append(boards, b)
		hosts[name] = &Host{o: Options{Node: name, Board: b}}
	}
	for _, b := range boards {
		await(t, "all nodes", func() bool { return len(b.Nodes()) == 3 })
	}
	first, second := map[string]int{}, map[string]int{}
	for cell := range 12 {
		seen := map[int]bool{}
		for name, h := range hosts {
			h.o.Cell = cell
			place := h.line()
			seen[place] = true
			switch {
			case place == 0:
				first[name]++
			case place == 1 && cell%3 == 0:
				second[name]++
			}
		}
		if len(seen) != 3 {
			t.Errorf("cell %d: places %v", cell, seen)
		}
	}
	if first["n1"] != 4 || first["n2"] != 4 || first["n3"] != 4 || second["n2"] != 2 || second["n3"] != 2 {
		t.Errorf("first %v, then of the first node's cells %v", first, second)
	}
	boards[0].Tell(board.Status{State: board.Leaving}) // It would own a cell for as long as it drains.
	leaves := hosts["n1"]
	for leaves.o.Cell = range 12 {
		await(t, "a node that leaves is behind all others", func() bool { return leaves.line() >= 3 })
	}
	for _, b := range boards {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A copy that the stream has left behind, and one that is damaged, is replaced by another node's, told under its new
// name, and follows. While it is closed nothing is told of how far it is.
func TestReseeded(t *testing.T) {
	s, made := newServer(t)
	first := join(t, s, made, "n1")
	await(t, "the owner", first.host.Owner)
	for range 4 {
		if err := first.cell.append(); err != nil {
			t.Fatal(err)
		}
	}
	js, err := jetstream.New(s.Conn())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(patient(t), jetlog.Settings{Cluster: "test"}.StreamName())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(patient(t), jetstream.WithPurgeSequence(first.host.Status().Message)); err != nil {
		t.Fatal(err)
	}
	var causes []error
	second := joinWith(t, s, made, "n2", func(m *member1, o *Options) {
		o.Reseed = func(_ context.Context, cause error) (string, error) {
			if told := m.host.Status(); told.Role != board.Reseeding || told.Stream != (board.Bytes16{}) {
				t.Errorf("while it is replaced it is told as %+v", told)
			}
			causes = append(causes, cause)
			m.cell.dir = filepath.Join(t.TempDir(), "log")
			m.cell.broken = nil
			return fmt.Sprintf("copy-%d", len(causes)), os.CopyFS(m.cell.dir, os.DirFS(first.cell.dir))
		}
	})
	await(t, "it follows", func() bool { return first.host.canOwn("n2") == nil })
	if err := first.cell.append(); err != nil {
		t.Fatal(err)
	}
	await(t, "it has the newest group", func() bool { return second.host.Status().Group == 5 })
	second.leave()
	if err := <-second.ended; err != nil {
		t.Fatal(err)
	}
	second.cell.broken = disk.Damage("segment-7", "a bit of it is flipped")
	ctx, leave := context.WithCancel(t.Context())
	go func() { second.ended <- second.host.Run(ctx) }()
	await(t, "it follows again", func() bool { s := second.host.Status(); return s.Copy == "copy-2" && s.Group == 5 })
	leave()
	if err := <-second.ended; err != nil {
		t.Fatal(err)
	}
	if len(causes) != 2 || !errors.Is(causes[0], jetlog.ErrLeftBehind) || !errors.Is(causes[1], disk.ErrDamaged) {
		t.Errorf("it was replaced for %v", causes)
	}
}

// A node that finds the stream in its own last epoch waits for no silence, unless it has yielded.
func TestOwnsAgainAtOnce(t *testing.T) {
	s, made := newServer(t)
	path := filepath.Join(t.TempDir(), "owned")
	remembers := func(_ *member1, o *Options) { o.Owned = path }
	m := joinWith(t, s, made, "n1", remembers)
	await(t, "the owner", m.host.Owner)
	m.leave()
	if err := <-m.ended; err != nil {
		t.Fatal(err)
	}
	if o := readLastEpoch(path, "n2"); o.epoch != 0 {
		t.Fatalf("another node's epoch %d", o.epoch)
	}
	again := joinWith(t, s, made, "n1", remembers)
	await(t, "the owner again", again.host.Owner)
	if epoch, log := again.host.Status().Epoch, again.said.String(); epoch != 2 ||
		!strings.Contains(log, "this node was the last to own it") {
		t.Fatalf("epoch %d:\n%s", epoch, log)
	}
	bad := path + "-bad" // The owner may still be writing the other one.
	if err := os.WriteFile(bad, []byte("x n1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := readLastEpoch(bad, "n1"); o.epoch != 0 {
		t.Fatalf("epoch %d of what is none", o.epoch)
	}
}
