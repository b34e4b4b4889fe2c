package board

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// connections returns two connections to a server of NATS in this process. All of it is in the test's bubble: its time
// stands still while anybody is busy, so that no answer comes too late on a slow machine.
func connections(t *testing.T) (a, b *nats.Conn) {
	t.Helper()
	ns, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	dial := func() *nats.Conn {
		c, err := nats.Connect("", nats.InProcessServer(ns))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	return dial(), dial()
}

func open(t *testing.T, o Options) *Board {
	t.Helper()
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// await waits for something to be true of a board.
func await(t *testing.T, b *Board, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		changed := b.Changed()
		if is() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal(what)
		}
	}
}

func TestNodesHearEachOther(t *testing.T) { synctest.Test(t, testNodesHearEachOther) }

func testNodesHearEachOther(t *testing.T) {
	c1, c2 := connections(t)
	path := filepath.Join(t.TempDir(), "positions")
	b1 := open(t, Options{Conn: c1, Cluster: "c", Node: "n1"})
	b2 := open(t, Options{Conn: c2, Cluster: "c", Node: "n2", Path: path})
	other := open(t, Options{Conn: c2, Cluster: "d", Node: "n1"})
	b1.Tell(Status{State: Ready, Address: "h:1", Cells: []CellStatus{{
		Cell: 0, Role: Owner, Stream: Bytes16{1}, Copy: "c", Epoch: 3, Group: 12, Address: "h:2",
	}}})
	await(t, b2, "n2 does not hear of the owner", func() bool { _, _, _, ok := b2.Owner(0); return ok })
	if node, address, epoch, _ := b2.Owner(0); node != "n1" || address != "h:2" || epoch != 3 {
		t.Fatal(node, address, epoch)
	}
	await(t, b1, "n1 does not know itself", func() bool { _, _, _, ok := b1.Owner(0); return ok })
	if _, _, _, ok := other.Owner(0); ok {
		t.Fatal("another cluster hears it")
	}
	if _, _, _, ok := b2.Owner(cellsMax); ok {
		t.Fatal("a cell that cannot be has an owner")
	}
	await(t, b2, "n2 does not know both", func() bool { return len(b2.Nodes()) == 2 })
	if clock, ok := b2.clocks()["n1"]; !ok || max(clock-time.Now().UnixMilli(), time.Now().UnixMilli()-clock) > 60_000 {
		t.Fatal(clock, ok)
	}
	f := b2.Facts(CellStatus{Cell: 0, Stream: Bytes16{1}, Group: 11}, 0, nil)
	if err := f.MayOwn(); !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	if f.Confirmed {
		t.Fatal("nobody has confirmed a clock")
	}
	b2.ConfirmClock()
	if !b2.Facts(f.Own, 0, nil).Confirmed {
		t.Fatal("the clock was confirmed")
	}
	for _, b := range []*Board{b1, b2, other} {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, Options{Conn: c2, Cluster: "c", Node: "n2", Path: path})
	if p, ok := again.Positions().Longest(0, Bytes16{1}); !ok || p.Group != 12 || p.Node != "n1" {
		t.Fatal("positions do not outlive the process", p, ok)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

// A node with a long sentence is heard all the same.
func TestLongSentenceIsTold(t *testing.T) { synctest.Test(t, testLongSentenceIsTold) }

func testLongSentenceIsTold(t *testing.T) {
	c1, c2 := connections(t)
	b1 := open(t, Options{Conn: c1, Cluster: "c", Node: "n1"})
	b2 := open(t, Options{Conn: c2, Cluster: "c", Node: "n2"})
	b1.Tell(Status{State: Ready, Cells: []CellStatus{
		{Role: Owner, Epoch: 1, Address: "h:2", Why: strings.Repeat("w", 600)},
	}})
	await(t, b2, "n2 does not hear of the owner", func() bool { _, _, _, ok := b2.Owner(0); return ok })
	if err := errors.Join(b1.Close(), b2.Close()); err != nil {
		t.Fatal(err)
	}
}

// Positions that could not be written are written later.
func TestPositionsAreWrittenAgain(t *testing.T) { synctest.Test(t, testPositionsAreWrittenAgain) }

func testPositionsAreWrittenAgain(t *testing.T) {
	c1, _ := connections(t)
	dir := filepath.Join(t.TempDir(), "later")
	b := open(t, Options{Conn: c1, Cluster: "c", Node: "n1", Path: filepath.Join(dir, "positions")})
	b.mu.Lock()
	b.dirty = b.positions.take("n2", at(12))
	b.mu.Unlock()
	if err := b.write(); err == nil {
		t.Fatal("they are written to no directory")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if p, ok := readPositions(b.o.Path, b.o.Logger).Longest(1, Bytes16{7}); !ok || p.Group != 12 {
		t.Fatal(p, ok)
	}
}

// What the others remember of a node refuses a copy that was put back, before it tells anything and after.
func TestOlderSelfIsTold(t *testing.T) { synctest.Test(t, testOlderSelfIsTold) }

func testOlderSelfIsTold(t *testing.T) {
	c1, c2 := connections(t)
	was := CellStatus{Cell: 0, Role: Standby, Stream: Bytes16{1}, Copy: "c", Group: 12, Chain: Bytes16{5}}
	b1 := open(t, Options{Conn: c1, Cluster: "c", Node: "n1"})
	b1.mu.Lock()
	b1.positions.take("n2", &was)
	b1.mu.Unlock()
	told := make(chan error, 8)
	b2 := open(t, Options{Conn: c2, Cluster: "c", Node: "n2", Older: func(err error) { told <- err }})
	now, emptied := was, was
	now.Group = 7
	emptied.Copy, emptied.Group = "d", 0
	for _, c := range []struct {
		cell CellStatus
		want error
	}{{was, nil}, {now, ErrOlder}, {emptied, nil}} {
		if err := b2.Recall(t.Context(), []CellStatus{c.cell}); !errors.Is(err, c.want) {
			t.Fatalf("%+v: %v, not %v", c.cell, err, c.want)
		}
	}
	b2.Tell(Status{Cells: []CellStatus{now}})
	b3 := open(t, Options{Conn: c1, Cluster: "c", Node: "n3"}) // It is new: n2 asks.
	b3.Tell(Status{State: Ready})
	select {
	case err := <-told:
		if !errors.Is(err, ErrOlder) {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("nobody told that n2 is older")
	}
	for _, b := range []*Board{b1, b2, b3} {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
