package ingest

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
)

// slowDisk is a log that counts its groups and writes one only when the test allows it.
type slowDisk struct {
	*commitlog.Log
	groups atomic.Int64
	busy   sync.Mutex // while a test holds it, Append waits
}

func (d *slowDisk) Append(g *commitlog.Group) error {
	d.groups.Add(1)
	d.busy.Lock()
	defer d.busy.Unlock()
	return d.Log.Append(g)
}

// slowStore is a ledger's store that takes something only when the test allows it.
type slowStore struct {
	*ledger.Store
	busy sync.Mutex // while a test holds it, Write waits
}

func (s *slowStore) Write(entries []ledger.Entry, to ledger.Position) error {
	s.busy.Lock()
	defer s.busy.Unlock()
	return s.Store.Write(entries, to)
}

// loop returns a loop whose steps the test calls.
func (d *loopDoor) loop() *loop {
	l, err := newLoop(d.handler, &dispatcher{limit: &connLimit{max: connectionsMax}})
	d.must(err)
	d.Cleanup(func() {
		for _, c := range l.conns {
			if c != nil {
				l.close(c)
			}
		}
		l.poller.close()
	})
	return l
}

// A loop decides all requests that have arrived, or batchRequestsMax of them, before it has them stored. They become
// one group, also while the disk is busy with the group before.
func TestLoopBatches(t *testing.T) {
	for _, c := range []struct{ clients, unwatched int }{{1, 1}, {40, 40}, {batchRequestsMax + 10, 10}} {
		t.Run(strconv.Itoa(c.clients), func(t *testing.T) {
			d := &loopDoor{guardedDoor: newGuardedDoor(t)}
			d.ask(d.handler, "gateway", connect("pa"))
			l := d.loop()
			d.disk.busy.Lock()
			before := d.disk.groups.Load()
			first := make(chan *fasthttp.RequestCtx)
			go func() { first <- d.ask(d.handler, "gateway", "POST /v1/events "+upOfPa) }()
			for d.disk.groups.Load() == before { // Until the disk writes it no other group is sealed.
				runtime.Gosched()
			}
			var clients []*client
			for range c.clients {
				near, far := pair(t)
				_, err := io.WriteString(near, d.up())
				d.must(err)
				l.add(far)
				clients = append(clients, &client{d, near, bufio.NewReader(near)})
			}
			l.step()
			if len(l.waiting) != c.clients || l.unwatched != c.unwatched {
				t.Fatalf("%d decided, %d of them not being stored", len(l.waiting), l.unwatched)
			}
			l.store()
			d.disk.busy.Unlock()
			<-first
			for len(l.waiting) > 0 {
				<-l.wake
				l.step()
			}
			for _, one := range clients {
				left(t, one.hear())
			}
			if n := d.disk.groups.Load() - before; n != 2 {
				t.Errorf("%d groups, want the first and one more", n)
			}
		})
	}
}

// decider reports each request that was decided.
type decider struct {
	*shard.Engine
	decided chan struct{}
}

func (d decider) Decide(r *shard.Request) error {
	defer func() { d.decided <- struct{}{} }()
	return d.Engine.Decide(r)
}

// While the disk is slow with a group, a loop decides requests that arrive.
func TestLoopDecidesWhileTheDiskIsSlow(t *testing.T) {
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	d.ask(d.handler, "gateway", connect("pa"))
	engine := decider{d.engine, make(chan struct{}, 10)}
	var err error
	d.server, err = Listen("127.0.0.1:0", nil, Starting, slog.New(slog.DiscardHandler))
	d.must(err)
	d.must(d.server.Open(d.newHandlerOf(engine)))
	d.Cleanup(func() { d.must(d.server.Shutdown(context.Background())) })
	d.disk.busy.Lock()
	var clients []*client
	for range 3 {
		one := d.client()
		one.send(d.up())
		<-engine.decided
		clients = append(clients, one)
	}
	d.disk.busy.Unlock()
	for _, one := range clients {
		left(t, one.hear())
	}
}

// Clients that flood a loop with requests that it refuses do not delay the storing of other requests.
func TestLoopStoresDuringAFlood(t *testing.T) {
	const flooders = 20
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	d.ask(d.handler, "gateway", connect("pa"))
	for refused, unwatched := range map[int]int{batchRequestsMax/flooders - 1: 1, batchRequestsMax/flooders + 1: 0} {
		l := d.loop()
		d.disk.busy.Lock() // No request is answered.
		add := func(text string) {
			near, far := pair(t)
			_, err := io.WriteString(near, text)
			d.must(err)
			l.add(far)
		}
		add(d.up())
		for range flooders {
			add(strings.Repeat(d.request("application/json", "{"), refused))
		}
		l.step()
		if l.unwatched != unwatched {
			t.Errorf("with %d requests beside it, %d are not being stored", refused*flooders, l.unwatched)
		}
		d.disk.busy.Unlock()
	}
}

// While a loop answers requests it decides the ones pipelined behind them, and its count of requests to be stored stays
// right.
func TestLoopDecidesWhileItAnswers(t *testing.T) {
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	d.ask(d.handler, "gateway", connect("pa"))
	l := d.loop()
	var clients []*client
	for i := range batchRequestsMax * 4 / 5 {
		near, far := pair(t)
		_, err := io.WriteString(near, strings.Repeat(d.up(), 1+i%2))
		d.must(err)
		l.add(far)
		clients = append(clients, &client{d, near, bufio.NewReader(near)})
	}
	l.step()
	d.must(d.engine.View(func(*shard.View) {})) // A view has everything stored.
	for l.step() || l.store() || len(l.waiting) > 0 {
		if l.unwatched == 0 && len(l.waiting) > 0 && !l.step() {
			<-l.wake
		}
	}
	for i, one := range clients {
		for range 1 + i%2 {
			left(t, one.hear())
		}
	}
}
