package main_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What came back to an event that was no verdict.
const (
	unanswered = ""        // nobody knows: it counts or it does not
	turnedAway = "refused" // 503, or there was no connection: it must not count
)

// event is one event that was sent. Its topic names it, so that the log tells what became of it.
type sentEvent struct {
	typ, product, device string
	size                 int64
	request              int
	sentAt               time.Time
	code                 string
}

// order is a credit that was sent.
type order struct {
	product, kind string // lots or topups
	amount        uint64
	answered      bool
}

// traffic is what several gateways and an administrator do at once, and remembers all that was sent and all that was
// answered. It goes on over restarts of its daemon.
type traffic struct {
	d       *daemon
	seed    uint64
	writers int
	pace    time.Duration // of each writer and of the administrator, 0 for as fast as they can
	phase   uint64        // raised by begin: each phase has dice of its own
	// readable is how long an event can certainly be read in the log: the retention less a margin.
	readable time.Duration

	stop      context.CancelFunc
	running   sync.WaitGroup
	isEnding  atomic.Bool
	isRefused bool // 503 is expected
	answers   atomic.Int64

	mu       sync.Mutex
	requests int
	events   map[string]*sentEvent
	orders   map[string]*order
	sums     sums
}

// sums are the figures of a report.
type sums struct {
	checks, sent, acknowledged, denied, unanswered, refused, counted, lateRequests, orders, late int
}

// fleet is a product of the traffic.
type fleet struct {
	product string
	devices int // named d0 to dn
	lot     int
	plan    string
}

// fleets are one product whose licences suffice and whose quotas do not, and one whose licences do not.
func fleets() []fleet {
	return []fleet{
		{"plenty", 40, 100, `{"messages_per_day":2500,"ota_per_month":3}`},
		{"scarce", 60, 20, `{"messages_per_day":100000,"ota_per_month":1}`},
	}
}

func newTraffic(d *daemon, seed uint64) *traffic {
	return &traffic{
		d: d, seed: seed, writers: 6, readable: time.Hour, stop: func() {},
		events: map[string]*sentEvent{}, orders: map[string]*order{},
	}
}

// prepare creates the products.
func (tr *traffic) prepare() {
	tr.d.t.Helper()
	for _, f := range fleets() {
		tr.d.withProduct(f.product, f.plan)
		tr.d.credit(f.product, "FIRST", f.lot)
		tr.orders[f.product+" FIRST"] = &order{f.product, "lots", uint64(f.lot), true}
	}
}

// begin sends from now on.
func (tr *traffic) begin() {
	ctx, stop := context.WithCancel(context.Background())
	tr.stop = stop
	tr.phase++
	tr.isEnding.Store(false)
	for i := range tr.writers {
		dice := newDice(tr.seed, tr.phase<<8|uint64(i))
		tr.running.Go(func() { tr.write(ctx, i, dice) })
	}
	dice := newDice(tr.seed, tr.phase<<8|255)
	tr.running.Go(func() { tr.administer(ctx, dice) })
}

// answered returns when n more requests have been answered.
func (tr *traffic) answered(n int64) {
	tr.d.t.Helper()
	from := tr.answers.Load()
	await(tr.d.t, fmt.Sprintf("%d requests are answered", n), func() bool {
		return tr.answers.Load() >= from+n || tr.d.t.Failed() || !tr.d.run.alive()
	})
}

// ending says that the daemon's end is near: from now on a request may stay without an answer.
func (tr *traffic) ending() { tr.isEnding.Store(true) }

// wait returns when nobody sends any more.
func (tr *traffic) wait() {
	tr.stop()
	tr.running.Wait()
}

// write is one gateway: it sends until something stays unanswered or ctx ends.
func (tr *traffic) write(ctx context.Context, writer int, dice *rand.Rand) {
	producer := fmt.Sprintf("gw-%d", writer)
	pace, stop := tr.ticks()
	defer stop()
	for ctx.Err() == nil {
		single := dice.IntN(4) == 0
		n := 1
		if !single {
			n = 1 + dice.IntN(150)
		}
		lines, sent := tr.make(dice, n)
		body, kind := strings.Join(lines, "\n"), asNDJSON
		switch {
		case single:
			kind = asJSON
		case dice.IntN(3) == 0:
			body, kind = "["+strings.Join(lines, ",")+"]", asJSON
		}
		encoding := []string{"", "", "gzip", "zstd", "snappy"}[dice.IntN(5)]
		packed := compress(tr.d.t, encoding, []byte(body))
		a, err := tr.d.try(
			"POST",
			"/v1/events",
			packed,
			"Content-Type",
			kind,
			"Content-Encoding",
			encoding,
			"Meterd-Producer",
			producer,
		)
		if err != nil {
			tr.unanswered(err, sent)
			return
		}
		if !tr.note(a, sent, single) {
			return
		}
		if pace == nil {
			continue
		}
		select {
		case <-pace:
		case <-ctx.Done():
		}
	}
}

// ticks returns what each writer and the administrator keep to; nil if they are as fast as they can.
func (tr *traffic) ticks() (pace <-chan time.Time, stop func()) {
	if tr.pace == 0 {
		return nil, func() {}
	}
	tick := time.NewTicker(tr.pace)
	return tick.C, tick.Stop
}

// unanswered is a failure unless the daemon is ending. What found no connection was not sent, and must not count.
func (tr *traffic) unanswered(err error, sent []*sentEvent) {
	if !tr.isEnding.Load() {
		tr.d.t.Errorf("no answer: %v\n%s", err, tr.d.run.said())
	}
	var failed *net.OpError
	if !errors.As(err, &failed) || failed.Op != "dial" {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, e := range sent {
		e.code = turnedAway
	}
}

// note keeps the verdicts of a request; false ends the gateway.
func (tr *traffic) note(a answer, sent []*sentEvent, single bool) bool {
	codes := make([]string, len(sent))
	var err error
	switch {
	case a.status == 503 && (tr.isRefused || tr.isEnding.Load()):
		for i := range codes {
			codes[i] = turnedAway
		}
	case single && a.status == 200:
		codes[0] = "accepted"
	case single:
		codes[0] = a.problem(tr.d.t).Code
	case a.status == 200:
		codes, err = a.verdicts(len(sent))
	default:
		err = fmt.Errorf("%d %s", a.status, a.body)
	}
	if err != nil {
		tr.d.t.Errorf("a batch of %d: %v", len(sent), err)
		return false
	}
	tr.mu.Lock()
	for i, e := range sent {
		e.code = codes[i]
	}
	tr.mu.Unlock()
	tr.answers.Add(1)
	return a.status != 503
}

// make draws n events and keeps them as sent.
func (tr *traffic) make(dice *rand.Rand, n int) (lines []string, sent []*sentEvent) {
	all := fleets()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.requests++
	for i := range n {
		f := all[dice.IntN(len(all))]
		e := &sentEvent{
			product: f.product,
			device:  fmt.Sprintf("d%d", dice.IntN(f.devices)),
			request: tr.requests,
			sentAt:  time.Now(),
		}
		topic := fmt.Sprintf("%d.%d", tr.requests, i)
		rest := ""
		switch chance := dice.IntN(100); {
		case chance < 5:
			e.typ = "connect"
		case chance < 7:
			e.typ = "disconnect"
		case chance < 9:
			e.typ, e.size = "ota", 1+dice.Int64N(12<<20)
		case chance < 50:
			e.typ, e.size = "down", dice.Int64N(1000)
		default:
			payload := strings.Repeat("v", dice.IntN(200))
			e.typ, e.size = "up", int64(len(payload))
			rest = fmt.Sprintf(`,"payload":%q`, payload)
		}
		lines = append(
			lines,
			fmt.Sprintf(
				`{"type":%q,"product":%q,"device":%q,"size":%d,"topic":%q%s}`,
				e.typ,
				e.product,
				e.device,
				e.size,
				topic,
				rest,
			),
		)
		sent = append(sent, e)
		tr.events[topic] = e
	}
	return lines, sent
}

// administer credits lots and packs, and now and then the same again.
func (tr *traffic) administer(ctx context.Context, dice *rand.Rand) {
	pace, stop := tr.ticks()
	defer stop()
	for i := 0; ctx.Err() == nil; i++ {
		f := fleets()[dice.IntN(2)]
		o := &order{product: f.product, kind: []string{"lots", "topups"}[dice.IntN(2)], amount: 1 + dice.Uint64N(3)}
		name := fmt.Sprintf("PO-%d-%d", tr.phase, i)
		tr.mu.Lock()
		tr.orders[f.product+" "+name] = o
		tr.mu.Unlock()
		for range 1 + dice.IntN(2) {
			a, err := tr.send(name, o)
			if err != nil {
				tr.unanswered(err, nil)
				return
			}
			if a.status == 503 && (tr.isRefused || tr.isEnding.Load()) {
				return
			}
			if a.status/100 != 2 {
				tr.d.t.Errorf("order %s: %d %s", name, a.status, a.body)
				return
			}
			tr.mu.Lock()
			o.answered = true
			tr.mu.Unlock()
		}
		if pace == nil {
			continue
		}
		select {
		case <-pace:
		case <-ctx.Done():
		}
	}
}

// send sends an order.
func (tr *traffic) send(name string, o *order) (answer, error) {
	body := fmt.Sprintf(`{"order":%q,"quantity":%d}`, name, o.amount)
	if o.kind == "topups" {
		body = fmt.Sprintf(`{"order":%q,"kind":"ota","units":%d}`, name, o.amount)
	}
	return tr.d.try("POST", "/v1/products/"+o.product+"/"+o.kind, []byte(body))
}

// report prints the figures.
func (tr *traffic) report(t *testing.T) {
	t.Helper()
	s := tr.sums
	t.Logf(
		"%d checks: %d events sent, %d accepted and %d denied by answers, %d without an answer (of these %d requests had "+
			"been decided, whole), "+
			"%d refused; %d messages counted = logged; %d orders (%d answered only after a restart, each credited once); lost 0",
		s.checks,
		s.sent,
		s.acknowledged,
		s.denied,
		s.unanswered,
		s.lateRequests,
		s.refused,
		s.counted,
		s.orders,
		s.late,
	)
}
