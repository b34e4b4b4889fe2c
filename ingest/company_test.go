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

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
)

// slowDisk is a log that counts its groups, and takes the next one only when a test lets it.
type slowDisk struct {
	*commitlog.Log
	groups atomic.Int64
	busy   sync.Mutex // held by a test, it holds up who appends
}

func (d *slowDisk) Append(g *commitlog.Group) error {
	d.groups.Add(1)
	d.busy.Lock()
	defer d.busy.Unlock()
	return d.Log.Append(g)
}

// loop returns a loop that runs when a test says so, step by step.
func (d *loopDoor) loop() *loop {
	l, err := newLoop(d.handler, &doorman{places: &places{most: connectionsMax}})
	d.must(err)
	d.Cleanup(func() {
		for _, c := range l.links {
			if c != nil {
				l.close(c)
			}
		}
		l.ready.close()
	})
	return l
}

// All that has come when a loop looks waits to be stored until the loop has seen the last of it, or companyMax; and it
// is one group, read while the disk has the one before.
func TestLoopStoresTogether(t *testing.T) {
	for _, c := range []struct{ clients, unwatched int }{{1, 1}, {40, 40}, {companyMax + 10, 10}} {
		t.Run(strconv.Itoa(c.clients), func(t *testing.T) {
			d := &loopDoor{guardedDoor: newGuardedDoor(t)}
			d.ask(d.handler, "gateway", connect("pa"))
			l := d.loop()
			d.disk.busy.Lock()
			before := d.disk.groups.Load()
			first := make(chan *fasthttp.RequestCtx)
			go func() { first <- d.ask(d.handler, "gateway", "POST /v1/events "+upOfPa) }()
			for d.disk.groups.Load() == before { // Until the disk has it nothing else is sealed.
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

// decider tells of each request that is decided.
type decider struct {
	*shard.Engine
	decided chan struct{}
}

func (d decider) Decide(r *shard.Request) error {
	defer func() { d.decided <- struct{}{} }()
	return d.Engine.Decide(r)
}

// While the disk takes its time over a group, a loop decides what comes.
func TestLoopIsImpatient(t *testing.T) {
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

// Who keeps a loop busy with requests that are answered at once does not keep it from storing what others sent.
func TestLoopStoresBesideAFlood(t *testing.T) {
	const flooders = 20
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	d.ask(d.handler, "gateway", connect("pa"))
	for refused, unwatched := range map[int]int{companyMax/flooders - 1: 1, companyMax/flooders + 1: 0} {
		l := d.loop()
		d.disk.busy.Lock() // Nobody is answered.
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

// Requests that came in one go are decided while their predecessors are answered; what is no longer waited for is not
// stored again.
func TestLoopStoresWhileItAnswers(t *testing.T) {
	d := &loopDoor{guardedDoor: newGuardedDoor(t)}
	d.ask(d.handler, "gateway", connect("pa"))
	l := d.loop()
	var clients []*client
	for i := range companyMax * 4 / 5 {
		near, far := pair(t)
		_, err := io.WriteString(near, strings.Repeat(d.up(), 1+i%2))
		d.must(err)
		l.add(far)
		clients = append(clients, &client{d, near, bufio.NewReader(near)})
	}
	l.step()
	d.must(d.engine.View(func(*shard.View) {})) // Who looks has everything stored.
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
