package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
)

// patience is when a test gives up waiting. It bounds a failure and measures nothing.
const patience = time.Minute

// sequenced sends a message of a device of pa under a sequence, and returns what was answered.
func (d *guardedDoor) sequenced(token, producer, sequence string) *fasthttp.RequestCtx {
	return d.posted("/v1/events", token, producer, sequence, `{"type":"up","product":"pa","device":"d"}`)
}

// posted posts an event under a sequence, and returns what was answered.
func (d *guardedDoor) posted(path, token, producer, sequence, body string) *fasthttp.RequestCtx {
	ctx := &fasthttp.RequestCtx{}
	near, far := net.Pipe()
	defer func() {
		if err := errors.Join(near.Close(), far.Close()); err != nil {
			d.Error(err)
		}
	}()
	ctx.Init2(near, nil, true)
	ctx.Request.Header.SetMethod(fasthttp.MethodPost)
	ctx.Request.SetRequestURI(path)
	ctx.Request.Header.SetContentType("application/json")
	ctx.Request.Header.Set("Authorization", "Bearer "+d.secrets[token])
	ctx.Request.Header.Set("Meterd-Producer", producer)
	if sequence != "" {
		ctx.Request.Header.Set("Meterd-Sequence", sequence)
	}
	ctx.Request.SetBodyStream(strings.NewReader(body), len(body))
	d.handler.Handle(ctx)
	return ctx
}

// answeredAs fails the test unless an answer has this status, and is or is no replay.
func (d *guardedDoor) answeredAs(ctx *fasthttp.RequestCtx, status int, isReplay bool) {
	d.Helper()
	replayed := string(ctx.Response.Header.Peek("Meterd-Replayed"))
	if ctx.Response.StatusCode() != status || (replayed == "true") != isReplay {
		d.Errorf("answered %s, Meterd-Replayed %q", said(ctx), replayed)
	}
}

// next waits for an answer.
func next(t *testing.T, answers <-chan *fasthttp.RequestCtx) *fasthttp.RequestCtx {
	t.Helper()
	select {
	case ctx := <-answers:
		return ctx
	case <-time.After(patience):
		t.Fatal("no answer came")
		return nil
	}
}

// At most 64 requests of a producer wait for answers at once. More are refused, and not remembered. Repeated sequences
// and other producers do not count.
func TestSixtyFourInFlight(t *testing.T) {
	const most, more = 64, 7
	d := newGuardedDoor(t)
	d.answeredAs(
		d.ask(d.handler, "gateway", `POST /v1/events {"type":"connect","product":"pa","device":"d"}`),
		200,
		false,
	)
	d.answeredAs(d.sequenced("gateway", "busy", "1"), 200, false)
	d.answeredAs(d.sequenced("gateway", "other", "1"), 200, false)

	// A view keeps the group from being sealed: no request is answered meanwhile.
	looking, release := make(chan struct{}), make(chan struct{})
	view := make(chan error, 1)
	go func() {
		view <- d.engine.View(func(*shard.View) {
			close(looking)
			<-release
		})
	}()
	<-looking
	freed := sync.OnceFunc(func() { close(release) })
	defer freed()
	type numbered struct {
		sequence int
		ctx      *fasthttp.RequestCtx
	}
	results := make(chan numbered, most+more)
	answers := make(chan *fasthttp.RequestCtx, 2*(most+more))
	for i := range most + more {
		go func() {
			ctx := d.sequenced("gateway", "busy", strconv.Itoa(100+i))
			results <- numbered{100 + i, ctx}
			answers <- ctx
		}()
	}
	refused := map[int]bool{}
	for range more {
		d.answeredAs(next(t, answers), 503, false)
		r := <-results
		refused[r.sequence] = true
		if wait, err := strconv.Atoi(string(r.ctx.Response.Header.Peek("Retry-After"))); err != nil || wait < 1 {
			t.Errorf("%s, without a Retry-After", said(r.ctx))
		}
		if !bytes.Contains(r.ctx.Response.Body(), []byte(`"code":"overloaded"`)) {
			t.Error(said(r.ctx))
		}
	}
	late := make(chan *fasthttp.RequestCtx, most+2)
	for i := range most + more { // Doubles of what is in flight wait for its answer.
		if !refused[100+i] {
			go func() { late <- d.sequenced("gateway", "busy", strconv.Itoa(100+i)) }()
		}
	}
	go func() { answers <- d.sequenced("gateway", "other", "2") }()
	freed()
	if err := <-view; err != nil {
		t.Fatal(err)
	}
	for range most + 1 {
		d.answeredAs(next(t, answers), 200, false)
	}
	for range most {
		d.answeredAs(next(t, late), 200, true)
	}
	for sequence := range refused {
		d.answeredAs(d.sequenced("gateway", "busy", strconv.Itoa(sequence)), 200, false)
	}
	for i := range most + more {
		d.answeredAs(d.sequenced("gateway", "busy", strconv.Itoa(100+i)), 200, true)
	}
}

// A header that is empty, or occurs twice, is not a valid sequence.
func TestSequenceThatIsNone(t *testing.T) {
	d := newGuardedDoor(t)
	for _, values := range [][]string{{""}, {"1", "1"}, {"1", "2"}, {"", "2"}} {
		ctx := &fasthttp.RequestCtx{}
		ctx.Request.Header.SetMethod(fasthttp.MethodPost)
		ctx.Request.SetRequestURI("/v1/events")
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.Header.Set("Authorization", "Bearer "+d.secrets["gateway"])
		ctx.Request.Header.Set("Meterd-Producer", "gw")
		for _, v := range values {
			ctx.Request.Header.Add("Meterd-Sequence", v)
		}
		ctx.Request.SetBodyString(`{"type":"up","product":"pa","device":"d"}`)
		d.handler.Handle(ctx)
		if got := said(
			ctx,
		); ctx.Response.StatusCode() != 400 ||
			!bytes.Contains(ctx.Response.Body(), []byte(`"field":"Meterd-Sequence"`)) {
			t.Errorf("%q: %s", values, got)
		}
	}
}

// An account has at most 10,000 producers: one more is refused whole, those that are there go on, and other accounts
// have their own.
func TestTooManyProducers(t *testing.T) {
	d := newGuardedDoor(t)
	var all sync.WaitGroup
	names := make(chan int)
	for range 64 {
		all.Go(func() {
			for i := range names {
				d.answeredAs(
					d.sequenced("gateway-of-acme", fmt.Sprint("gw-", i), "1"),
					403,
					false,
				) // The device never connected.
			}
		})
	}
	for i := range event.ProducersPerAccountMax {
		names <- i
	}
	close(names)
	all.Wait()
	for _, sequence := range []string{"1", ""} {
		ctx := d.sequenced("gateway-of-acme", "one-more", sequence)
		d.answeredAs(ctx, 409, false)
		if !bytes.Contains(ctx.Response.Body(), []byte(`"code":"too_many_producers"`)) {
			t.Error(said(ctx))
		}
	}
	if ctx := d.ask(d.handler, "gateway-of-acme", "GET /v1/producers/one-more"); ctx.Response.StatusCode() != 404 {
		t.Errorf("a refused producer is known: %s", said(ctx))
	}
	d.answeredAs(d.sequenced("gateway-of-acme", "gw-0", "1"), 403, true)
	d.answeredAs(d.sequenced("gateway-of-acme", "gw-9999", "2"), 403, false)
	d.answeredAs(d.sequenced("gateway", "one-more", "1"), 403, false)
	d.answeredAs(d.ask(d.handler, "gateway-of-acme", "DELETE /v1/producers/gw-7"), 204, false)
	d.answeredAs(d.sequenced("gateway-of-acme", "one-more", "1"), 403, false)
	d.answeredAs(d.sequenced("gateway-of-acme", "gw-7", "1"), 409, false)
}
