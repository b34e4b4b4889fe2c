package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// Options say which week to make.
type Options struct {
	Seed       uint64
	Begin, End time.Time
	Zone       string // of the product that people try things with
	Token      string // secret of the gateways' token, which Live sends
	// Look, when not nil, is told at aligned instants what messages products have used before them: every ten seconds of
	// the last two days, every five minutes before. The engine stands as it did then; nothing of it is kept.
	Look func(atMs int64, used map[string]*Used)
	// Hour, when not nil, is called at the end of each hour of the week. Everything before it is durable.
	Hour func(context.Context) error
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	if !o.End.After(o.Begin) || o.End.Sub(o.Begin) > Week {
		errs = append(errs, fmt.Errorf("demo: a week from %v to %v", o.Begin, o.End))
	}
	if o.Token == "" || o.Zone == "" {
		errs = append(errs, errors.New("demo: Zone and Token are needed"))
	}
	return errors.Join(errs...)
}

// Clock is the engine's while a week is made. It stands still but for Make, so that the monotonic clock and the wall
// never part (R12).
type Clock struct {
	begin time.Time
	ms    atomic.Int64 // since begin
}

// NewClock returns a clock that stands at begin, whole milliseconds of it.
func NewClock(begin time.Time) *Clock { return &Clock{begin: begin.Truncate(time.Millisecond)} }

// Now implements shard.Clock.
func (c *Clock) Now() (wall time.Time, running time.Duration) {
	running = time.Duration(c.ms.Load()) * time.Millisecond
	return c.begin.Add(running), running
}

// move moves the clock to an instant, if that lies ahead.
func (c *Clock) move(ms int64) {
	if at := ms - c.begin.UnixMilli(); at > c.ms.Load() {
		c.ms.Store(at)
	}
}

// Made says what a week came to: events.
type Made struct {
	Accepted uint64
	Denied   [event.Codes]uint64
}

// DeniedAll returns how many were denied, for whatever reason.
func (m *Made) DeniedAll() (sum uint64) {
	for _, n := range m.Denied {
		sum += n
	}
	return sum
}

// Make makes the week in an engine on which nothing was decided but tokens, and whose clock is c. It returns when
// everything is durable, or soon after ctx ends, with its error.
func Make(ctx context.Context, e *shard.Engine, c *Clock, o Options) (Made, error) {
	if err := o.Validate(); err != nil {
		return Made{}, err
	}
	f, err := newFleet(o.Seed, o.Begin, o.End.Sub(o.Begin), false)
	if err != nil {
		return Made{}, err
	}
	m := &maker{engine: e, clock: c, fleet: f, dice: rand.New(rand.NewPCG(o.Seed, 0)), used: map[string]*Used{}}
	list := deeds(&o)
	endMs := o.End.UnixMilli()
	for now := o.Begin.UnixMilli(); now < endMs; {
		if err := ctx.Err(); err != nil {
			return m.made, err
		}
		before := now
		now += stepMin.Milliseconds() + m.dice.Int64N((stepMax - stepMin).Milliseconds())
		now = min(now, endMs)
		m.look(&o, before, now)
		for len(list) > 0 && list[0].at.UnixMilli() <= now {
			if err := m.do(list[0]); err != nil {
				return m.made, err
			}
			list = list[1:]
		}
		if err := m.step(now); err != nil {
			return m.made, err
		}
		if o.Hour == nil || now/hourMs == before/hourMs {
			continue
		}
		if err := errors.Join(m.settle(), o.Hour(ctx)); err != nil {
			return m.made, err
		}
	}
	return m.made, errors.Join(m.settle(), e.DurableInLedger())
}

const hourMs = int64(time.Hour / time.Millisecond)

// maker drives an engine through a week.
type maker struct {
	engine *shard.Engine
	clock  *Clock
	fleet  *fleet
	dice   *rand.Rand
	made   Made
	used   map[string]*Used // by product
	nextMs int64            // when the next licence ends

	sequences [len(gateways)]uint64
	pending   []*request // decided, and not known to be durable
	free      []*request
}

// request is a batch of one gateway, with whose device each event is.
type request struct {
	shard.Request
	claim   claims.Claim
	devices []*device
}

// adminName is who does what people do.
const adminName = "admin"

// do does what somebody did.
func (m *maker) do(d deed) error {
	if err := m.goTo(d.at.UnixMilli()); err != nil {
		return err
	}
	if d.rollOut != nil {
		d.rollOut(m.fleet)
		return nil
	}
	if err := m.engine.Administer(adminName, nil, d.change); err != nil {
		return fmt.Errorf("demo, at %v: %w", d.at, err)
	}
	return nil
}

// goTo moves the clock, and has the engine do what time alone decides, each licence's end to the second.
func (m *maker) goTo(ms int64) (err error) {
	for m.nextMs > 0 && m.nextMs < ms {
		m.clock.move(m.nextMs)
		before := m.nextMs
		if m.nextMs, err = m.engine.CatchUp(); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		if m.nextMs <= before {
			break // It is tried again at ms.
		}
	}
	m.clock.move(ms)
	if m.nextMs, err = m.engine.CatchUp(); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// step has the gateways send what has happened before nowMs.
func (m *maker) step(nowMs int64) error {
	if err := m.goTo(nowMs); err != nil {
		return err
	}
	var batches [len(gateways)]*request
	for _, msg := range m.fleet.advance(nowMs) {
		at := msg.device.model.gateway
		if batches[at] == nil {
			batches[at] = m.take()
		}
		batches[at].add(&msg, nowMs)
	}
	for gateway, r := range batches {
		if r == nil {
			continue
		}
		if err := m.decide(gateway, r, nowMs); err != nil {
			return err
		}
	}
	if len(m.pending) < batchesAGroup {
		return nil
	}
	return m.settle()
}

// decide has one batch decided. Its devices are told at once: nobody else is before it is durable.
func (m *maker) decide(gateway int, r *request, nowMs int64) error {
	m.sequences[gateway]++
	r.claim = claims.Claim{Sequence: m.sequences[gateway], Hash: xxh3.Hash128(r.Batch.Data).Bytes()}
	r.Producer, r.Claim = []byte(gateways[gateway]), &r.claim
	if r.Token = m.engine.Catalogue().Token(gatewayToken); r.Token == nil {
		return errors.New("demo: the gateways have no token")
	}
	if err := m.engine.Decide(&r.Request); err != nil {
		return fmt.Errorf("demo, at %v: %w", time.UnixMilli(nowMs).UTC(), err)
	}
	m.pending = append(m.pending, r)
	m.made.Accepted += uint64(r.Result.Accepted)
	m.count(r)
	for _, d := range r.Result.Denials {
		m.made.Denied[d.Verdict.Code]++
		m.fleet.denied(r.devices[d.Index], nowMs, d.Verdict.Code.String())
	}
	return nil
}

// settle waits until all batches are durable.
func (m *maker) settle() error {
	for _, r := range m.pending {
		if err := m.engine.Settle(&r.Request); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	m.free = append(m.free, m.pending...)
	m.pending = m.pending[:0]
	return nil
}

// take returns an empty batch.
func (m *maker) take() *request {
	n := len(m.free)
	if n == 0 {
		r := &request{}
		r.Batch = &event.Batch{}
		return r
	}
	r := m.free[n-1]
	m.free = m.free[:n-1]
	r.Batch.Reset()
	r.devices = r.devices[:0]
	return r
}

// add adds an event. What a gateway says of its time is no later than that of its batch.
func (r *request) add(msg *message, nowMs int64) {
	b := r.Batch
	text := func(s string) event.Ref {
		if s == "" {
			return event.Ref{}
		}
		return b.Append([]byte(s))
	}
	e := event.Event{
		Type: msg.kind, Product: text(msg.device.model.product), Device: text(msg.device.name),
		ID: text(msg.id), Topic: text(msg.topic), TimeMs: min(msg.atMs, nowMs), Size: msg.size,
	}
	if len(msg.payload) > 0 {
		e.Payload, e.Size = b.Append(msg.payload), int64(len(msg.payload))
	}
	b.Events = append(b.Events, e)
	r.devices = append(r.devices, msg.device)
}
