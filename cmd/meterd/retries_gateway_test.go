package main_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterd/meterd/docs/contract"
)

// What a gateway of the contract keeps to.
const (
	inFlightMost = 64
	// spreadMost is how far its sequences may be apart while the lowest is unanswered: the daemon remembers 256 at least.
	spreadMost = 256
	// aheadMost is how many requests are drawn before the first of them is sent, so that they go in any order.
	aheadMost = 24
)

// pausesMost is how long a gateway waits at most before it tries again.
const pausesMost = 100 * time.Millisecond

// countedEvent is an event of a request, and its verdict.
type countedEvent struct {
	typ, product, device, id string
	size                     int64
	code                     string
}

// numbered is a request under a sequence.
type numbered struct {
	sequence uint64
	kind     string // content type
	body     []byte
	isSingle bool
	events   []*countedEvent
	answered bool
}

// newGateway returns a gateway of a name that does what draw says, once it runs.
func newGateway(
	ctx context.Context,
	t testing.TB,
	name string,
	inFlight int,
	dice *rand.Rand,
	url, token string,
) *gateway {
	g := &gateway{t: t, ctx: ctx, name: name, inFlight: inFlight, dice: dice, url: url, token: token}
	g.moved = sync.NewCond(&g.mu)
	g.http = &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: inFlight, DisableCompression: true},
		Timeout:   patience,
	}
	t.Cleanup(g.http.CloseIdleConnections)
	return g
}

// gateway sends each request under its sequence, over a bad network and to a daemon that is killed, until it is
// answered.
type gateway struct {
	t        testing.TB
	name     string
	inFlight int
	url      string
	token    string
	http     *http.Client
	ctx      context.Context
	answers  atomic.Int64 // sequences answered
	replayed atomic.Int64 // answers that said so
	refused  atomic.Int64 // 503
	broken   atomic.Int64 // attempts without an answer

	mu       sync.Mutex
	moved    *sync.Cond
	dice     *rand.Rand
	all      []*numbered // by sequence
	ready    []*numbered // drawn, and not sent yet
	lowest   int         // index of the lowest that is unanswered
	isEnding bool
}

// run sends until end is called and everything that was drawn is answered.
func (g *gateway) run() {
	defer context.AfterFunc(g.ctx, g.end)()
	var slots sync.WaitGroup
	for range g.inFlight {
		slots.Go(func() {
			for r := g.take(); r != nil; r = g.take() {
				g.insist(r)
			}
		})
	}
	slots.Wait()
}

// end lets nothing more be drawn.
func (g *gateway) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isEnding = true
	g.moved.Broadcast()
}

// take returns any of the next requests, nil at the end.
func (g *gateway) take() *numbered {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		for !g.isEnding && len(g.ready) < aheadMost && len(g.all)-g.lowest < spreadMost {
			r := &numbered{sequence: 1}
			if n := len(g.all); n > 0 {
				r.sequence = g.all[n-1].sequence + 1 + g.dice.Uint64N(3)
			}
			r.draw(g.dice, g.name)
			g.all, g.ready = append(g.all, r), append(g.ready, r)
		}
		if n := len(g.ready); n > 0 {
			i := g.dice.IntN(n)
			r := g.ready[i]
			g.ready[i] = g.ready[n-1]
			g.ready = g.ready[:n-1]
			return r
		}
		if g.isEnding {
			return nil
		}
		g.moved.Wait()
	}
}

// insist sends a request until it is answered.
func (g *gateway) insist(r *numbered) {
	for wait := time.Millisecond; g.ctx.Err() == nil; wait = min(2*wait, pausesMost) {
		a, err := g.attempt(r)
		switch {
		case err != nil:
			g.broken.Add(1)
		case a.status == http.StatusServiceUnavailable:
			g.refused.Add(1)
		default:
			g.settle(r, a)
			return
		}
		g.mu.Lock()
		jittered := wait/2 + time.Duration(g.dice.Int64N(int64(wait)))
		g.mu.Unlock()
		timer := time.NewTimer(jittered)
		select {
		case <-timer.C:
		case <-g.ctx.Done():
			timer.Stop()
		}
	}
}

// attempt sends a request once: the same body, each time in whatever encoding.
func (g *gateway) attempt(r *numbered) (answer, error) {
	g.mu.Lock()
	encoding := "" // Mostly, for the others cost the test a lot.
	if chance := g.dice.IntN(16); chance < 3 {
		encoding = []string{"gzip", "zstd", "snappy"}[chance]
	}
	isChunked := g.dice.IntN(4) == 0
	g.mu.Unlock()
	var body io.Reader = bytes.NewReader(compress(g.t, encoding, r.body))
	if isChunked {
		body = io.MultiReader(body) // Of no length that is known.
	}
	req, err := http.NewRequestWithContext(g.ctx, http.MethodPost, g.url+"/v1/events", body)
	if err != nil {
		return answer{}, err
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + g.token, "Content-Type": r.kind, "Content-Encoding": encoding,
		"Meterd-Producer": g.name, "Meterd-Sequence": strconv.FormatUint(r.sequence, 10),
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	resp, err := g.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	req.Body = http.NoBody // It was read.
	checkContract(g.t, &contract.Exchange{Request: req, Sent: r.body, Status: a.status, Header: a.header, Body: a.body})
	return a, nil
}

// settle keeps the verdicts of an answer.
func (g *gateway) settle(r *numbered, a answer) {
	codes, err := r.verdicts(a)
	if err != nil {
		g.t.Errorf("%s, sequence %d: %v", g.name, r.sequence, err)
	}
	for i, code := range codes {
		r.events[i].code = code
	}
	if a.header.Get("Meterd-Replayed") != "" {
		g.replayed.Add(1)
	}
	g.answers.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	r.answered = true
	for g.lowest < len(g.all) && g.all[g.lowest].answered {
		g.lowest++
	}
	g.moved.Broadcast()
}

// verdicts reads an answer: one code an event.
func (r *numbered) verdicts(a answer) ([]string, error) {
	switch {
	case !r.isSingle && a.status == http.StatusOK:
		return a.verdicts(len(r.events))
	case r.isSingle && a.status == http.StatusOK && string(a.body) == `{"accepted":1}`:
		return []string{"accepted"}, nil
	case r.isSingle && a.status != http.StatusOK:
		for code, status := range deniedSingly() {
			if a.status == status && strings.Contains(string(a.body), fmt.Sprintf(`"code":%q`, code)) {
				return []string{code}, nil
			}
		}
	}
	return nil, fmt.Errorf("%d %s", a.status, a.body)
}

// deniedSingly are the denials of the contract that the traffic can meet, with the status of a single one.
func deniedSingly() map[string]int {
	return map[string]int{
		"message_quota_exceeded": 429, "ota_quota_exceeded": 429, "license_exhausted": 403, "not_activated": 403,
		"unknown_product": 404, "unknown_ota": 409, "already_voided": 409, "ota_id_reused": 409, "invalid_event": 400,
	}
}
