package cells

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/route"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// overHTTP is a rig whose cells have servers of their own, and whose node has the router in front.
type overHTTP struct {
	*rig
	mu        sync.Mutex
	addresses [rigCells]string // "": the cell has no owner
	epochs    [rigCells]uint64
	stop      [rigCells]func()
}

// Owner implements route.Board.
func (o *overHTTP) Owner(cell int) (node, address string, epoch uint64, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return fmt.Sprint("n", o.epochs[cell]), o.addresses[cell], o.epochs[cell], o.addresses[cell] != ""
}

// LetGo implements route.Board: no cell of a test is handed over.
func (o *overHTTP) LetGo(int) time.Time { return time.Time{} }

// Changed implements route.Board.
func (o *overHTTP) Changed() <-chan struct{} { return nil }

// Route implements route.Names.
func (o *overHTTP) Route(_, _ []byte) func(*fasthttp.RequestCtx) { return nil }

// Find implements route.Names.
func (o *overHTTP) Find(_ context.Context, _ license.NameKind, name string) (int, bool, error) {
	cell, _, found := o.find(nil, name)
	return cell, found, nil
}

func newOverHTTP(t testing.TB) *overHTTP {
	o := &overHTTP{rig: newRig(t)}
	for cell := range rigCells {
		o.start(cell)
	}
	var gateways *ingest.Handler
	router, err := route.New(route.Options{
		Cells: rigCells, Board: o, Hop: "hop", Names: o,
		Catalogues: func(cell int) *license.Catalogue { return o.cells[cell].Catalogue() },
		Gateways:   func(ctx *fasthttp.RequestCtx) { gateways.Handle(ctx) },
		Documents:  func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNotFound) },
		Metrics:    func() []metric.Part { return nil }, Leaving: func() bool { return false },
	})
	o.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	go router.Run(ctx)
	t.Cleanup(cancel)
	engine, err := New(Options{
		Cells: rigCells, Owners: Link{router}, NowMs: o.clock.nowMs,
		Catalogues: func(cell int) *license.Catalogue { return o.cells[cell].Catalogue() },
	})
	o.must(err)
	t.Cleanup(engine.Close)
	o.engine = engine
	gateways, err = ingest.NewHandler(ingest.Options{Engine: engine, People: router.Handle})
	o.must(err)
	t.Cleanup(gateways.Close)
	o.at = o.listen(router.Handle)
	return o
}

// listen serves a handler until the test ends, and returns where.
func (o *overHTTP) listen(h fasthttp.RequestHandler) string {
	s, err := ingest.Listen("127.0.0.1:0", nil, h, slog.New(slog.DiscardHandler))
	o.must(err)
	o.Cleanup(func() { shut(s) })
	return "http://" + s.Address().String()
}

func shut(s *ingest.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = s.Shutdown(ctx) // What is cut is what the test wants.
}

// start gives a cell an owner: a server with the doors of a daemon and that of nodes.
func (o *overHTTP) start(cell int) {
	door, err := NewDoor(DoorOptions{Cell: o.cells[cell], Key: access.Hop("hop").Inner(), IsFirst: true, find: o.find})
	o.must(err)
	h, err := ingest.NewHandler(ingest.Options{Engine: o.cells[cell], People: func(ctx *fasthttp.RequestCtx) {
		switch {
		case door.Handle(ctx):
		case string(ctx.Path()) == route.WhosePath:
			answer, _ := route.Whose(o.cells[cell].Catalogue(), o.clock.nowMs(), ctx.PostBody())
			ctx.SetBody(answer)
		default:
			ctx.SetStatusCode(fasthttp.StatusNotFound)
		}
	}})
	o.must(err)
	s, err := ingest.Listen("127.0.0.1:0", nil, h.Handle, slog.New(slog.DiscardHandler))
	o.must(err)
	o.must(s.Open(h))
	o.mu.Lock()
	defer o.mu.Unlock()
	o.addresses[cell] = s.Address().String()
	o.epochs[cell]++
	var once sync.Once
	o.stop[cell] = func() {
		once.Do(func() {
			h.Close()
			door.Close()
			shut(s)
		})
	}
	o.Cleanup(o.stop[cell])
}

// kill takes a cell's owner away.
func (o *overHTTP) kill(cell int) {
	o.mu.Lock()
	stop := o.stop[cell]
	o.addresses[cell] = ""
	o.mu.Unlock()
	stop()
}

// Through router, links and servers of cells the answers are those of one node, to the largest batches, too. Nobody but
// a node opens the inner doors.
func TestOverHTTP(t *testing.T) {
	o := newOverHTTP(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		o.product(name, cell, `{"messages_per_day":200000}`, 1000)
	}
	o.same(batch("gw", 1, ndjson, line2("connect", "p0", "d")+line2("connect", "p1", "d")+line2("connect", "p2", "d")))
	var large strings.Builder
	for i := range 60_000 {
		large.WriteString(`{"type":"up","product":"p` + fmt.Sprint(i%3) + `","device":"d","payload":"` +
			strings.Repeat("x", 900) + "\"}\n")
	}
	large.WriteString(line2("up", "nobody", "d"))
	for range 2 {
		o.same(batch("gw", 2, ndjson, large.String()))
	}
	var packed bytes.Buffer // Who is refused unread has 3 s to send the rest: it must be small on its way.
	w := gzip.NewWriter(&packed)
	_, err := io.WriteString(w, large.String()+large.String())
	o.must(errors.Join(err, w.Close()))
	refused := batch("gw", 3, ndjson, packed.String())
	refused.header["Content-Encoding"] = "gzip"
	if a := o.same(refused); a.status != 413 {
		t.Fatalf("a batch that is too large: %+v", a)
	}
	for i := range uint64(2) { // Without an event, with a sequence and without.
		o.same(batch("gw", 4*i, "application/json", "[]"))
		o.same(batch("", 0, "application/cloudevents-batch+json", "[]"))
	}
	o.same(&request{method: "GET", path: "/v1/producers/gw"})
	o.same(&request{method: "POST", path: "/v1/producers/gw/offline"})
	o.same(&request{method: "GET", path: "/v1/events"}) // 405
	o.secrets["right"] = o.secrets["gw"]
	o.secrets["gw"] = "wrong"
	if a := o.send(o.at, batch("gw", 5, ndjson, line2("up", "p0", "d"))); a.status != 401 {
		t.Fatalf("a wrong token: %+v", a)
	}
	o.secrets["gw"] = o.secrets["right"]
	for _, at := range []string{o.at, "http://" + o.addresses[1]} {
		inner := &request{method: "POST", path: Path + callDecide, header: map[string]string{access.HeaderHop: "hop"}}
		if a := o.send(at, inner); a.status != 404 {
			t.Fatalf("%s opens its inner door: %+v", at, a)
		}
	}
	for _, call := range []string{callDecide, callRemember, callNames, callProducer, callCommands, "none"} {
		junk := &request{method: "POST", path: Path + call, body: "junk", header: map[string]string{
			access.HeaderHop: string(access.Hop("hop").Inner()),
		}}
		if a := o.send("http://"+o.addresses[1], junk); !a.closed {
			t.Fatalf("junk for %s: %+v", call, a)
		}
	}
	s := o.stream(o.at, "gw", "")
	s.frame(wire.FrameWelcome)
	s.send(5, protobuf([]map[string]any{up("p0", "d"), up("p1", "d")}))
	if f := s.frame(wire.FrameAnswer, wire.FrameProblem); f.Kind != wire.FrameAnswer {
		t.Fatalf("%+v", f)
	}
	o.credit("p2", 2, "A")
	if got, _ := s.hears(1); got[0] != "p2" {
		t.Fatal(got)
	}
}

// Owners are killed under traffic, and others take their cells. Gateways send again what was not answered; each of
// their batches is counted once.
func TestOwnersAreKilled(t *testing.T) {
	o := newOverHTTP(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		o.product(name, cell, `{}`, 1000)
	}
	const gateways, batches = 4, 60
	for i := range gateways {
		device := fmt.Sprint("d", i)
		o.persist(batch("", 0, ndjson, line2("connect", "p0", device)+line2("connect", "p1", device)+
			line2("connect", "p2", device)))
	}
	answers := make(chan struct{}, gateways*batches)
	var killer sync.WaitGroup
	killer.Go(func() {
		n := 0
		for range answers {
			if n++; n%5 == 0 {
				o.kill(n / 5 % rigCells)
				o.start(n / 5 % rigCells)
			}
		}
	})
	var all sync.WaitGroup
	for i := range gateways {
		all.Go(func() {
			device, producer := fmt.Sprint("d", i), fmt.Sprint("gw-", i)
			for n := range batches {
				body := line2("up", fmt.Sprint("p", n%3), device) + line2("down", fmt.Sprint("p", (n+1)%3), device)
				if n%4 == 0 {
					body = line2("up", fmt.Sprint("p", n%3), device)
				}
				if a := o.persist(batch(producer, uint64(n+1), ndjson, body)); a.status != 200 {
					t.Errorf("%+v", a)
				}
				answers <- struct{}{}
			}
		})
	}
	all.Wait()
	close(answers)
	killer.Wait()
	for i := range gateways {
		var ups, downs uint32
		for cell := range rigCells {
			up, down := o.used(o.cells[cell], fmt.Sprint("p", cell), fmt.Sprint("d", i))
			ups, downs = ups+up, downs+down
		}
		if ups != batches || downs != batches-batches/4 {
			t.Errorf("gateway %d has sent %d up and %d down, counted are %d and %d", i, batches, batches-batches/4, ups, downs)
		}
	}
	if s := &o.engine.stats; s.closed.Load() == 0 {
		t.Log("no connection was closed")
	}
}
