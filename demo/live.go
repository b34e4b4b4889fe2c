package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// LiveOptions say where the demo goes on.
type LiveOptions struct {
	URL    string // of the daemon
	Token  string // Options.Token of the week
	Seed   uint64
	Logger *slog.Logger // told of trouble
}

// Live goes on with the fleet in real time, through the daemon's own door, until ctx ends, or its token is refused.
// Each gateway is a client. What cannot be sent is lost, as it is of gateways that keep nothing.
func Live(ctx context.Context, o LiveOptions) error {
	l := &live{seed: o.Seed, logger: o.Logger}
	if err := l.begin(time.Now()); err != nil {
		return err
	}
	defer l.close()
	var err error
	for i, name := range gateways {
		l.gateways[i], err = client.New(client.Options{
			URL: o.URL, Token: o.Token, Producer: name, Transport: client.OverHTTP, InFlightMax: 1, Timeout: liveFor,
		})
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := l.look(ctx, now); err != nil {
				return err
			}
		}
	}
}

// live is the fleet with its gateways.
type live struct {
	seed     uint64
	fleet    *fleet
	lookedMs int64
	gateways [len(gateways)]*client.Client
	logger   *slog.Logger
	troubled bool // the last batch could not be sent
}

// begin has the fleet go on from now.
func (l *live) begin(now time.Time) (err error) {
	l.lookedMs = now.UnixMilli()
	l.fleet, err = newFleet(l.seed^uint64(l.lookedMs), now, Week, true)
	return err
}

// look sends what has happened since the last look. What a machine that slept has missed did not happen.
func (l *live) look(ctx context.Context, now time.Time) error {
	if now.UnixMilli()-l.lookedMs > missedMax.Milliseconds() {
		return l.begin(now)
	}
	l.lookedMs = now.UnixMilli()
	return l.send(ctx, l.lookedMs)
}

// close ends the gateways. They owe nothing.
func (l *live) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, g := range l.gateways {
		if g != nil {
			_ = g.Close(ctx) // What was in flight may be lost.
		}
	}
}

// send sends what has happened before nowMs. It fails if the token is refused.
func (l *live) send(ctx context.Context, nowMs int64) error {
	var batches [len(gateways)][]client.Event
	var devices [len(gateways)][]*device
	for _, m := range l.fleet.advance(nowMs) {
		at := m.device.model.gateway
		batches[at] = append(batches[at], client.Event{
			Type: m.kind, Product: m.device.model.product, Device: m.device.name, ID: m.id, Topic: m.topic, Size: m.size,
			Payload: m.payload, Time: time.UnixMilli(min(m.atMs, nowMs)),
		})
		devices[at] = append(devices[at], m.device)
	}
	for i, batch := range batches {
		if len(batch) == 0 {
			continue
		}
		for n, r := range l.gateways[i].Submit(ctx, batch) {
			if err := l.note(ctx, r.Err); err != nil {
				return err
			}
			if r.Err == nil && !r.Verdict.Accepted {
				l.fleet.denied(devices[i][n], nowMs, r.Verdict.Code)
			}
		}
	}
	return nil
}

// note logs trouble when it begins, and returns an error that another try will not mend.
func (l *live) note(ctx context.Context, err error) error {
	var refusal *client.UnavailableError
	if errors.As(err, &refusal) && (refusal.Status == event.Unauthorized.Status() ||
		refusal.Status == event.Forbidden.Status()) {
		return fmt.Errorf("the token %s is refused: %w", gatewayToken, err)
	}
	if err != nil && !l.troubled && ctx.Err() == nil {
		l.logger.Warn("the demo's gateways get no answer; they go on", "error", err)
	}
	l.troubled = err != nil
	return nil
}
