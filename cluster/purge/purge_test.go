package purge

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
)

func at(node string, message uint64) board.Position {
	return board.Position{Node: node, Message: message}
}

func TestWhatMayGo(t *testing.T) {
	for name, c := range map[string]struct {
		own    uint64
		list   []board.Position
		copies int
		over   bool
		before uint64
		left   []string
	}{
		"behind the slowest": {
			own: 90, list: []board.Position{at("b", 40), at("c", 80)}, copies: 3, before: 40,
		},
		"the owner is the slowest": {
			own: 30, list: []board.Position{at("b", 40), at("c", 80)}, copies: 3, before: 30,
		},
		"a node is new":               {own: 90, list: []board.Position{at("b", 80), at("c", 0)}, copies: 3},
		"a node was not heard of yet": {own: 90, list: []board.Position{at("b", 80)}, copies: 3},
		"one node":                    {own: 90, copies: 1, before: 90},
		"four nodes, three replicas": {
			own: 9, list: []board.Position{at("b", 8), at("c", 7), at("d", 2)}, copies: 3, before: 2,
		},
		"too much: behind the fastest two": {90, []board.Position{at("b", 40), at("c", 80)}, 3, true, 80, []string{"b"}},
		"too much, two are as fast": {
			own: 90, list: []board.Position{at("b", 80), at("c", 80)}, copies: 3, over: true, before: 80,
		},
		"too much, nobody else":       {own: 90, copies: 3, over: true},
		"too much, one is new":        {90, []board.Position{at("b", 40)}, 3, true, 40, nil},
		"too much, one node":          {own: 90, copies: 1, over: true, before: 90},
		"too much, the owner is slow": {10, []board.Position{at("b", 40), at("c", 5)}, 3, true, 10, []string{"c"}},
	} {
		before, left := passed(c.own, c.list, c.copies, c.over)
		if before != c.before || !slices.Equal(left, c.left) {
			t.Errorf("%s: before %d, left behind %v; not %d, %v", name, before, left, c.before, c.left)
		}
	}
}

// fake is a stream that says what it is told to, and remembers what was purged.
type fake struct {
	size   jetlog.Size
	err    error
	before uint64
}

func (f *fake) Size(context.Context) (jetlog.Size, error) { return f.size, f.err }

func (f *fake) Purge(_ context.Context, before uint64) error {
	f.before = before
	return nil
}

func TestPurger(t *testing.T) {
	s := &fake{size: jetlog.Size{Bytes: 1 << 20, BytesMax: 1 << 30, First: 1, Last: 100}}
	owns := true
	positions := &board.Positions{}
	p, err := New(Options{
		Stream:    s,
		Node:      "a",
		Identity:  func() board.Bytes16 { return board.Bytes16{} },
		Copies:    1,
		Positions: func() *board.Positions { return positions },
		Own:       func() (uint64, bool) { return 200, owns },
		Erase:     func() uint64 { return 0 },
		Fill:      func(context.Context) (uint64, error) { return 0, errors.New("nothing is erased") },
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(bytes uint64) uint64 {
		t.Helper()
		s.size.Bytes, s.before = bytes, 0
		if err := p.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.before
	}
	if before := look(1 << 20); before != 0 {
		t.Fatal("it was not worth it", before)
	}
	if before := look(20 << 20); before != 100 {
		t.Fatal("the last message does not stay", before)
	}
	owns = false
	if before := look(20 << 20); before != 0 {
		t.Fatal("a standby purges", before)
	}
	for _, c := range []struct {
		bytes uint64
		full  bool
	}{{700 << 20, false}, {768 << 20, true}, {700 << 20, true}, {639 << 20, false}, {700 << 20, false}} {
		if look(c.bytes); p.Full() != c.full || p.Size().Bytes != c.bytes {
			t.Fatalf("%d MiB: full is %t", c.bytes>>20, p.Full())
		}
	}
	s.err = errors.New("no leader")
	if err := p.look(t.Context()); err == nil {
		t.Fatal("a stream that does not answer is one")
	}
	if _, err := New(Options{}); err == nil {
		t.Fatal("it is nobody's")
	}
}
