package purge

import (
	"context"
	"errors"
	"testing"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
)

// What was erased is out of the files when all before the filling's end is purged and every replica knows for a time.
func TestErasedLeavesTheFiles(t *testing.T) {
	s := &fake{size: jetlog.Size{Bytes: 1 << 20, BytesMax: 1 << 30, First: 1, Last: 100, Whole: true}}
	here, owns, change, fills := board.Bytes16{1}, true, uint64(0), 0
	own, full := uint64(100), errors.New("deposed")
	p, err := New(Options{
		Stream: s, Node: "a", Copies: 1,
		Identity:  func() board.Bytes16 { return here },
		Positions: func() *board.Positions { return &board.Positions{} },
		Own:       func() (uint64, bool) { return own, owns },
		Erase:     func() uint64 { return change },
		Fill: func(context.Context) (uint64, error) {
			fills++
			return 400, full
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(wantPurge, wantErased uint64, wantFills int, what string) {
		t.Helper()
		s.before = 0
		if err := p.look(t.Context()); !errors.Is(err, full) && (err != nil || fills > 0 && full != nil) {
			t.Fatalf("%s: %v", what, err)
		}
		if erased := p.Erased(here); s.before != wantPurge || erased != wantErased || fills != wantFills {
			t.Fatalf("%s: purged before %d, not %d; erased up to %d, not %d; filled %d times, not %d", what, s.before,
				wantPurge, erased, wantErased, fills, wantFills)
		}
	}
	look(0, 0, 0, "nothing was erased")
	change, owns = 7, false
	look(0, 0, 0, "no owner fills")
	owns = true
	s.size.Bytes = 20 << 20
	look(100, 0, 1, "it cannot be filled, and is kept short all the same")
	full, s.size.Bytes, change = nil, 600<<20, 0
	look(100, 0, 1, "the stream has too much")
	s.size.Bytes, change = 2<<20, 7
	look(0, 0, 1, "what had too much is not filled")
	s.size.Last = 410
	look(0, 0, 2, "a copy is not beyond the filling")
	own = 405
	look(405, 0, 2, "all copies are")
	s.size.First, s.size.Whole = 405, false
	for range wholeLooks {
		look(0, 0, 2, "a replica is away")
	}
	s.size.Whole = true
	for range wholeLooks - 1 {
		look(0, 0, 2, "the replicas may be about to")
	}
	s.size.Whole = false
	look(0, 0, 2, "one is away again")
	s.size.Whole = true
	for range wholeLooks - 1 {
		look(0, 0, 2, "it begins anew")
	}
	look(0, 7, 2, "all know")
	change = 0
	look(0, 7, 2, "and nothing more is to be done")

	change = 9
	look(0, 7, 3, "something else was erased")
	p.Learn(here, 9)
	change = 0
	look(0, 9, 3, "another owner was faster")
	if p.turn != (turn{}) {
		t.Fatalf("%+v", p.turn)
	}
	p.Learn(here, 8)
	look(0, 9, 3, "an older word counts for nothing")
	p.Learn(board.Bytes16{2}, 3)
	here = board.Bytes16{2}
	look(0, 3, 3, "another stream's changes say nothing")
}
