package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// load is what gateways do with the devices of one cycle, and all that they were told.
type load struct {
	c       *trio
	limit   uint64
	devices []place
	began   time.Time
	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	history  []operation
	refused  map[string]bool // topics of which nothing may have been counted
	answers  []toldAt
	messages int
}

// toldAt is when a gateway was told a verdict, and of which product.
type toldAt struct {
	at      time.Duration
	product string
}

// place is a device.
type place struct{ product, device string }

func (p place) String() string { return p.product + "/" + p.device }

// path is where its view is.
func (p place) path() string { return "/v1/products/" + p.product + "/devices/" + p.device }

// gateways of a trio, which live as long as it does.
func (c *trio) gateways() []*client.Client {
	c.t.Helper()
	var list []*client.Client
	for i, o := range []client.Options{
		{Transport: client.OverStream, Timeout: time.Minute},
		{Transport: client.OverHTTP, Timeout: time.Minute},
		{Transport: client.OverStream, Timeout: 3 * time.Second}, // It gives up, and does not know.
		{Transport: client.OverHTTP, Timeout: 25 * time.Second},
	} {
		o.URL, o.Token, o.Producer = c.url(), c.token, fmt.Sprint("gw-", i)
		o.ProducerShared = func(err error) { c.t.Errorf("%s: %v", o.Producer, err) }
		g, err := client.New(o)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() {
			done, cancel := context.WithCancel(context.Background())
			cancel()
			_ = g.Close(done) // Nothing waits.
		})
		list = append(list, g)
	}
	return list
}

// newLoad connects devices that nobody has heard of.
func newLoad(c *trio, gateways []*client.Client, products []string, limit uint64, cycle int) *load {
	l := &load{c: c, limit: limit, began: time.Now(), refused: map[string]bool{}}
	var connects []client.Event
	for i := range 10 {
		p := place{products[i%len(products)], fmt.Sprintf("c%d-d%d", cycle, i)}
		l.devices = append(l.devices, p)
		connects = append(connects, client.Event{Type: event.Connect, Product: p.product, Device: p.device})
	}
	for i, r := range gateways[0].Submit(c.t.Context(), connects) {
		if r.Err != nil || !r.Verdict.Accepted {
			c.t.Fatalf("connect %s: %+v", l.devices[i], r)
		}
	}
	return l
}

// begin has gateways send and others read until end.
func (l *load) begin(gateways []*client.Client, dice func() *rand.Rand) {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.c.t.Cleanup(l.end) // Of a test that has failed.
	for _, g := range gateways {
		for range 3 {
			mine := dice()
			l.running.Go(func() { l.every(ctx, mine, 100*time.Millisecond, func() { l.send(g, mine) }) })
		}
	}
	for _, n := range l.c.nodes {
		mine := dice()
		l.running.Go(func() { l.every(ctx, mine, 100*time.Millisecond, func() { l.read(n, mine) }) })
	}
}

// end returns when everybody was told what there is to say.
func (l *load) end() {
	l.stop()
	l.running.Wait()
}

func (l *load) every(ctx context.Context, dice *rand.Rand, pace time.Duration, do func()) {
	for ctx.Err() == nil {
		do()
		select {
		case <-time.After(time.Duration(dice.Int64N(int64(2 * pace)))):
		case <-ctx.Done():
		}
	}
}

// next draws a device and names a message of it.
func (l *load) next(dice *rand.Rand) operation {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.messages++
	return operation{
		device: l.devices[dice.IntN(len(l.devices))], topic: fmt.Sprint("m", l.messages), begin: time.Since(l.began),
	}
}

func (l *load) send(g *client.Client, dice *rand.Rand) {
	op := l.next(dice)
	e := client.Event{Type: event.Up, Product: op.device.product, Device: op.device.device, Topic: op.topic, Size: 1}
	if dice.IntN(2) == 0 {
		e.Type = event.Down
	}
	v, err := g.Decide(context.Background(), e)
	var unavailable *client.UnavailableError
	switch {
	case err == nil:
		op.outcome = v.Code
	case errors.As(err, &unavailable) && unavailable.Ambiguous:
		op.outcome = opUnknown
	case errors.As(err, &unavailable):
		l.refuse(op)
		return
	default:
		l.c.t.Errorf("a gateway: %v", err)
		return
	}
	l.note(op)
}

// refuse notes that nothing was counted.
func (l *load) refuse(op operation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused[op.topic] = true
}

// note keeps an operation that has ended now.
func (l *load) note(op operation) {
	op.end = time.Since(l.began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, op)
	if op.outcome == opAccepted || op.outcome == opDenied {
		l.answers = append(l.answers, toldAt{op.end, op.device.product})
	}
}

// read asks a node for a device's view; what is not answered says nothing.
func (l *load) read(n *trioNode, dice *rand.Rand) {
	op := operation{
		device: l.devices[dice.IntN(len(l.devices))], outcome: opRead, begin: time.Since(l.began),
	}
	a, err := l.c.try(n, 5*time.Second, "GET", op.device.path(), "")
	if err != nil || a.status != 200 {
		return
	}
	var v deviceView
	if err := json.Unmarshal(a.body, &v); err != nil {
		l.c.t.Errorf("%s answered %q", n.name, a.body)
		return
	}
	op.used = v.Messages.Up + v.Messages.Down
	l.note(op)
}

// ask sends one message to a node without any retry, as nobody's gateway.
func (l *load) ask(n *trioNode, dice *rand.Rand) {
	op := l.next(dice)
	a, err := l.c.try(n, 20*time.Second, "POST", "/v1/events", fmt.Sprintf(
		`{"type":"up","product":%q,"device":%q,"topic":%q,"size":1}`, op.device.product, op.device.device, op.topic))
	var p problem
	switch {
	case err == nil && a.status == 200:
		op.outcome = opAccepted
	case err == nil && a.status == 429 && json.Unmarshal(a.body, &p) == nil && p.Code == opDenied:
		op.outcome = opDenied
	case err == nil && a.status == 503:
		l.refuse(op)
		return
	case err == nil:
		l.c.t.Errorf("%s answered %d %s", n.name, a.status, a.body)
		return
	}
	l.note(op)
}

// answered returns when gateways were told n more verdicts.
func (l *load) answered(n int) {
	l.c.t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.answers)
	}
	from := count()
	await(l.c.t, fmt.Sprintf("%d events are answered", n), func() bool { return count() >= from+n || l.c.t.Failed() })
}

// gap returns the longest time behind an instant in which no gateway was told anything of a product, "" for any.
func (l *load) gap(from time.Duration, product string) (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := from
	for _, a := range l.answers { // In their order.
		if a.at > from && (product == "" || a.product == product) {
			longest, last = max(longest, a.at-last), a.at
		}
	}
	return longest
}

// late returns of how many products nothing was told for a second, and for how long on the average of all.
func (l *load) late(from time.Duration, products []string) (late int, mean time.Duration) {
	for _, p := range products {
		gap := l.gap(from, p)
		if mean += gap; gap > time.Second {
			late++
		}
	}
	return late, mean / time.Duration(len(products))
}

// sums are what a check found.
type loadSums struct{ accepted, denied, unknown, counted, refused, reads int }

// check holds what was answered against what is counted and what is logged, for each device.
func (l *load) check(t testing.TB) (s loadSums) {
	t.Helper()
	byTopic := map[string]*operation{}
	byDevice := map[place]*loadSums{}
	for _, d := range l.devices {
		byDevice[d] = &loadSums{}
	}
	for i := range l.history {
		op := &l.history[i]
		d := byDevice[op.device]
		switch op.outcome {
		case opRead:
			d.reads++
			continue
		case opAccepted:
			d.accepted++
		case opDenied:
			d.denied++
		case opUnknown:
			d.unknown++
		default:
			t.Errorf("%s of %s was answered %s", op.topic, op.device, op.outcome)
		}
		byTopic[op.topic] = op
	}
	for device, d := range byDevice {
		var v deviceView
		l.c.must("GET", device.path(), "", &v)
		logged := l.logged(t, device, byTopic)
		used := int(v.Messages.Up + v.Messages.Down)
		if used != logged.accepted || used < d.accepted || used > d.accepted+d.unknown || used > int(l.limit) {
			t.Errorf("%s: %d accepted, %d unknown, %d are counted, %d logged", device, d.accepted, d.unknown, used,
				logged.accepted)
		}
		if denied := int(v.Messages.Denied); denied != logged.denied || denied < d.denied || denied > d.denied+d.unknown {
			t.Errorf("%s: %d denied, %d unknown, %d are counted, %d logged", device, d.denied, d.unknown, denied,
				logged.denied)
		}
		s.accepted, s.denied, s.unknown = s.accepted+d.accepted, s.denied+d.denied, s.unknown+d.unknown
		s.counted, s.reads = s.counted+used, s.reads+d.reads
	}
	s.refused = len(l.refused)
	linearizable(t, l.limit, l.history)
	return s
}

// logged reads the log of a device: each message is in it at most once, each that was answered with its answer.
func (l *load) logged(t testing.TB, device place, byTopic map[string]*operation) (s loadSums) {
	t.Helper()
	seen := map[string]bool{}
	path := device.path() + "/logs?limit=1000"
	for cursor := ""; ; {
		var page struct {
			Logs []logView
			Next *string
		}
		l.c.must("GET", path+cursor, "", &page)
		for _, e := range page.Logs {
			if e.Topic == nil {
				continue // The connect.
			}
			op := byTopic[*e.Topic]
			switch {
			case seen[*e.Topic]:
				t.Errorf("%s: %s is logged twice", device, *e.Topic)
			case op == nil:
				t.Errorf("%s: %s is logged as %s, and was refused: %t", device, *e.Topic, e.Verdict, l.refused[*e.Topic])
			case op.device != device || op.outcome != opUnknown && op.outcome != e.Verdict:
				t.Errorf("%s: %s is logged as %s, answered as %s of %s", device, *e.Topic, e.Verdict, op.outcome, op.device)
			}
			seen[*e.Topic] = true
			if e.Verdict == opAccepted {
				s.accepted++
			} else {
				s.denied++
			}
		}
		if page.Next == nil || *page.Next == "" {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	for topic, op := range byTopic {
		if op.device == device && op.outcome != opUnknown && !seen[topic] {
			t.Errorf("%s: %s was answered %s and is not logged", device, topic, op.outcome)
		}
	}
	return s
}
