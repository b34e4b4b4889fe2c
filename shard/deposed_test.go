package shard

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/meterd/meterd/cluster/jetlog"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
)

// cellNode is one of two nodes that own a cell in turn. Its ledger, checkpoints and segments outlive what it is.
type cellNode struct {
	*machine
	name     string
	follower *jetlog.Follower
	standby  *Standby
}

func newCellNode(t testing.TB, stream *memStream, name string, clock *handClock) *cellNode {
	n := &cellNode{name: name, machine: &machine{
		t: t, log: &memLog{cell: &cellLog{stream: stream, segments: openSegments(t)}}, store: newMemStore(),
		dir: t.TempDir(), disk: &wideDisk{}, clock: clock, lanes: 2,
	}}
	n.stand()
	t.Cleanup(func() {
		if n.standby.joiner != nil {
			n.Engine = nil
			if err := n.standby.Close(); err != nil {
				t.Error(err)
			}
		}
		n.kill()
	})
	return n
}

// stand makes the node a standby, which must find that all it has fits the stream.
func (n *cellNode) stand() {
	n.t.Helper()
	var err error
	n.log.cell.Log = nil
	n.follower, err = jetlog.Open(context.Background(), jetlog.Options{
		Stream: n.log.cell.stream, Identity: jetlog.Identity{7}, Segments: n.log.cell.segments, Node: n.name,
		Records: record.Version,
	})
	if err != nil {
		n.t.Fatal(err)
	}
	if n.standby, err = OpenStandby(n.options()); err != nil {
		n.t.Fatal(err)
	}
}

// follow joins what the stream has now.
func (n *cellNode) follow() {
	n.t.Helper()
	for steps := 1; steps > 0; {
		var err error
		if steps, err = n.follower.Step(context.Background()); err == nil {
			err = n.standby.Follow(context.Background())
		}
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

// takeOver claims the cell, however its owner goes on, and makes the standby the owner.
func (n *cellNode) takeOver() {
	n.t.Helper()
	for n.log.cell.Log == nil {
		n.follow()
		log, err := n.follower.Claim()
		if err != nil && !errors.Is(err, jetlog.ErrOvertaken) {
			n.t.Fatal(err)
		}
		n.log.cell.Log = log
	}
	n.log.groups = nil
	err := n.log.cell.segments.Replay(1, func(g *commitlog.Group) error {
		n.log.groups = append(n.log.groups, commitlog.Group{Seq: g.Seq, LastMs: g.LastMs, Chain: g.Chain})
		return nil
	})
	if err == nil {
		n.Engine, err = n.standby.Promote(n.log, n.log.cell.Barrier)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// TestDeposedOwnerFollows: two nodes take a cell from each other while it decides, makes checkpoints and answers. What
// was answered is answered alike by the next owner. The deposed one says nothing any more, and nothing that it keeps is
// ahead of the stream: it follows with the ledger and the checkpoints that it had, to the same state.
func TestDeposedOwnerFollows(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	clock, stream := &handClock{wall: testStart}, &memStream{}
	owner, other := newCellNode(t, stream, "n1", clock), newCellNode(t, stream, "n2", clock)
	owner.takeOver()
	owner.product("p", `{"messages_per_day":50,"ota_per_month":20}`, 0)
	owner.product("q", `{}`, 4)
	var mu sync.Mutex
	answered := map[*ask]string{}
	sequence := uint64(0)
	for range 12 {
		var wg sync.WaitGroup
		decided := make(chan struct{}, 60)
		for range 3 {
			asks := make([]*ask, 20)
			for i := range asks {
				sequence++
				asks[i] = randomAsk(r, sequence)
			}
			e := owner.Engine
			wg.Go(func() {
				for _, a := range asks {
					req := a.request(t)
					err := e.Submit(req)
					decided <- struct{}{}
					switch {
					case errors.Is(err, ErrStopped):
						return
					case err == nil && req.Claim != nil:
						mu.Lock()
						answered[a] = answerOf(req)
						mu.Unlock()
					}
				}
			})
		}
		wg.Go(func() {
			for owner.Checkpoint() == nil {
			}
		})
		for range r.IntN(40) {
			<-decided
		}
		other.takeOver()
		for owner.Durable() == nil { // It reads nothing any more, once it has asked whether it may.
			t.Error("a deposed owner says that what it has is the newest")
		}
		wg.Wait()
		<-owner.Failed()
		if err := owner.Close(); !errors.Is(err, jetlog.ErrFenced) {
			t.Fatal(err)
		}
		owner.Engine = nil
		owner.stand()
		owner, other = other, owner
		for a, want := range answered {
			req := a.request(t)
			switch err := owner.Submit(req); {
			case errors.Is(err, claims.ErrTooOld):
			case err != nil || !req.Replayed || answerOf(req) != want:
				t.Fatalf("%s\n%v, replayed %v: %s, was %s", a.lines, err, req.Replayed, answerOf(req), want)
			}
		}
	}
	want := owner.state()
	other.takeOver()
	if got := other.state(); got != want {
		t.Errorf("the other's state differs:\n%s", diff(want, got))
	}
}
