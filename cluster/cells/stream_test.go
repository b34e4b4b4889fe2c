package cells

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// stream is an event stream as a gateway has it.
type stream struct {
	*rig
	conn *websocket.Conn
}

func (g *rig) stream(at, producer, query string) *stream {
	g.Helper()
	header := http.Header{"Authorization": {"Bearer " + g.secrets["gw"]}}
	if producer != "" {
		header.Set("Meterd-Producer", producer)
	}
	dialer := websocket.Dialer{Subprotocols: []string{"meterd.v1"}}
	conn, response, err := dialer.Dial("ws"+strings.TrimPrefix(at, "http")+"/v1/stream"+query, header)
	g.must(err)
	_ = response.Body.Close()
	s := &stream{rig: g, conn: conn}
	g.Cleanup(func() { _ = conn.Close() })
	return s
}

func (s *stream) send(sequence uint64, body string) {
	s.Helper()
	f := wire.Frame{Sequence: sequence, Kind: wire.FrameBatch, Body: []byte(body)}
	s.must(s.conn.WriteMessage(websocket.BinaryMessage, wire.AppendFrame(nil, &f)))
}

// frame returns the next frame of a kind, and passes over those of others.
func (s *stream) frame(kinds ...wire.FrameKind) wire.Frame {
	s.Helper()
	for {
		_ = s.conn.SetReadDeadline(time.Now().Add(time.Minute))
		_, b, err := s.conn.ReadMessage()
		s.must(err)
		f, err := wire.DecodeFrame(b)
		s.must(err)
		for _, kind := range kinds {
			if f.Kind == kind {
				return f
			}
		}
	}
}

func up(product, device string) map[string]any {
	return map[string]any{"type": "up", "product": product, "device": device}
}

// A stream of a token for all accounts is answered as by one node, in order, however many batches are in flight and
// wherever they go; and a batch of it that is sent again over HTTP gets its answer.
func TestStreams(t *testing.T) {
	g := newRig(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{"messages_per_day":20}`, 1000)
		g.same(batch("", 0, ndjson, line2("connect", name, "d")+line2("connect", name, "e")))
	}
	const batches = 200
	var bodies []string
	for i := range batches {
		events := []map[string]any{up(fmt.Sprint("p", i%3), "d")}
		switch i % 7 {
		case 3:
			events = append(events, up("p1", "e"), up("p2", "e"))
		case 5:
			events = append(events, up("nobody", "e"), map[string]any{"type": "none", "product": "p0", "device": "d"})
		}
		bodies = append(bodies, protobuf(events))
	}
	ask := func(at, producer string) (answers []wire.Frame) {
		s := g.stream(at, producer, "")
		if f := s.frame(wire.FrameWelcome); len(f.Body) == 0 {
			t.Fatal("no welcome")
		}
		const inFlight = 60
		for i, body := range bodies {
			if i >= inFlight {
				answers = append(answers, s.frame(wire.FrameAnswer, wire.FrameProblem))
			}
			s.send(uint64(i+1), body)
		}
		for len(answers) < batches {
			answers = append(answers, s.frame(wire.FrameAnswer, wire.FrameProblem))
		}
		return answers
	}
	for range 2 {
		want, got := ask(g.aloneAt, "gw"), ask(g.at, "gw")
		for i := range want {
			w, a := want[i], got[i]
			if string(w.Body) != string(a.Body) || w.Sequence != a.Sequence || w.Replayed != a.Replayed || w.Kind != a.Kind {
				t.Fatalf("batch %d: the cluster answers\n%+v\none node\n%+v", i, a, w)
			}
		}
	}
	for i, body := range bodies {
		g.same(batch("gw", uint64(i+1), "application/x-protobuf", body))
	}
	for _, producer := range []string{"", "gw"} {
		s := g.stream(g.at, producer, "")
		s.frame(wire.FrameWelcome)
		s.send(0, protobuf([]map[string]any{up("p1", "d"), up("p2", "d")}))
		if f := s.frame(wire.FrameAnswer, wire.FrameProblem); f.Kind != wire.FrameAnswer || f.Sequence != 0 {
			t.Fatalf("without a sequence: %+v", f)
		}
	}
	g.engine.lines.mu.Lock()
	defer g.engine.lines.mu.Unlock()
	if n := len(g.engine.lines.open); n != 0 {
		t.Fatal("lines without batches are kept:", n)
	}
}

// TestCallOfOneToken: what two tokens send under one producer's name is asked for apart, since the cell refuses a whole
// call when its token is deleted.
func TestCallOfOneToken(t *testing.T) {
	queued := func(token string) *share {
		return &share{task: &task{r: &shard.Request{Token: &access.Token{Hash: sha256.Sum256([]byte(token))}}}}
	}
	q := &queue{waiting: []*share{queued("a"), queued("a"), queued("b"), queued("a")}}
	var calls []int
	l := &line{}
	for list := l.take(q); len(list) > 0; list = l.take(q) {
		calls = append(calls, len(list))
	}
	if !slices.Equal(calls, []int{2, 1, 1}) {
		t.Error(calls)
	}
}

// A cell that cannot be asked has its own batches refused; the stream and the batches of others go on.
func TestStreamWithoutACell(t *testing.T) {
	g := newRig(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 1000)
	}
	s := g.stream(g.at, "gw", "")
	s.frame(wire.FrameWelcome)
	g.lose(1, true)
	for i, name := range []string{"p0", "p1", "p2", "p1", "p0"} {
		s.send(uint64(i+1), protobuf([]map[string]any{up(name, "d")}))
	}
	for i, want := range []wire.FrameKind{
		wire.FrameAnswer, wire.FrameProblem, wire.FrameAnswer, wire.FrameProblem, wire.FrameAnswer,
	} {
		if f := s.frame(wire.FrameAnswer, wire.FrameProblem); f.Kind != want || f.Sequence != uint64(i+1) {
			t.Fatalf("batch %d: %+v", i+1, f)
		}
	}
}

// change does something to a product that its gateways are told.
func (g *rig) credit(product string, cell int, order string) {
	g.administer(g.cells[cell], func(c *license.Catalogue, by license.Actor) (
		*license.Catalogue, *license.Change, error,
	) {
		next, ch, _, err := c.ApplyCredit(by, product, license.Credit{Order: order, Quantity: 1})
		return next, ch, err
	})
}

// hears returns the products of the refreshes that come next, and the id of the last one.
func (s *stream) hears(n int) (products []string, id string) {
	s.Helper()
	for range n {
		f := s.frame(wire.FrameCommand)
		c, err := wire.DecodeCommand(f.Body)
		s.must(err)
		products, id = append(products, c.Product), c.ID
	}
	return products, id
}

// A listener hears the commands of all cells, and goes on from where it was in each, through another node and under new
// owners. A cell without an owner has its commands heard later.
func TestCommandsOfAllCells(t *testing.T) {
	g := newRig(t)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 0)
	}
	s := g.stream(g.at, "", "")
	s.frame(wire.FrameWelcome)
	var last string
	for cell, name := range []string{"p0", "p1", "p2", "p0"} {
		g.credit(name, cell%rigCells, fmt.Sprint("A-", cell))
		var got []string
		if got, last = s.hears(1); got[0] != name {
			t.Fatal(got)
		}
	}
	_ = s.conn.Close()
	for cell := range rigCells {
		g.credit(fmt.Sprint("p", cell), cell, "B")
		g.own(cell, false)
	}
	g.lose(1, true)
	other, err := New(Options{
		Cells: rigCells, Owners: g, NowMs: g.clock.nowMs,
		Catalogues: func(cell int) *license.Catalogue { return g.cells[cell].Catalogue() },
	})
	g.must(err)
	t.Cleanup(other.Close)
	at := g.serve(other)
	s = g.stream(at, "", "?last_command="+last)
	got, id := s.hears(2)
	if g.credit("p1", 1, "C"); strings.Join(got, "") != "p0p2" && strings.Join(got, "") != "p2p0" {
		t.Fatal("while cell 1 has no owner:", got)
	}
	g.lose(1, false)
	if got, _ := s.hears(1); got[0] != "p1" {
		t.Fatal(got)
	}
	_ = s.conn.Close()
	s = g.stream(at, "", "?last_command="+id)
	if got, _ := s.hears(1); got[0] != "p1" {
		t.Fatal("again from the last one that another stream heard:", got)
	}
}

// Disconnects are told to who holds the device, whatever cell it is in, and kept ones come without an id.
func TestDisconnectsOfAllCells(t *testing.T) {
	g := newRig(t)
	holder := g.stream(g.at, "gw", "")
	holder.frame(wire.FrameWelcome)
	for cell, name := range []string{"p0", "p1", "p2"} {
		g.product(name, cell, `{}`, 10)
		g.persist(batch("gw", 0, ndjson, line2("connect", name, "d")))
		g.persist(batch("other", 0, ndjson, line2("connect", name, "e")))
	}
	for cell := range rigCells {
		for _, device := range []string{"e", "d"} {
			g.administer(g.cells[cell], func(c *license.Catalogue, by license.Actor) (
				*license.Catalogue, *license.Change, error,
			) {
				return c.SuspendDevice(by, fmt.Sprint("p", cell), device, true)
			})
		}
	}
	disconnects := func(s *stream) map[string]bool {
		got := map[string]bool{}
		for len(got) < rigCells {
			c, err := wire.DecodeCommand(s.frame(wire.FrameCommand).Body)
			g.must(err)
			if c.Type != wire.CommandDisconnect {
				continue
			}
			if c.Device != "d" || c.Reason != "suspended" || got[c.Product] {
				t.Fatalf("%+v after %v", c, got)
			}
			got[c.Product] = true
		}
		return got
	}
	disconnects(holder)
	late := g.stream(g.at, "gw", "")
	late.frame(wire.FrameWelcome)
	disconnects(late)
}
