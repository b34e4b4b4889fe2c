package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// load is the gateways and what they were told.
type load struct {
	admin *client.Admin
	fleet []*gateway

	mu      sync.Mutex
	answers int           // since the last line
	slowest time.Duration // of them
	lastAt  time.Time     // when somebody was told something
	silence time.Duration // the longest time in which nobody was
}

// gateway is one gateway with its account, its product and its devices.
type gateway struct {
	name     string
	client   *client.Client
	accepted [devices]uint64
	unknown  [devices]uint64 // what was given up
	before   [devices]uint64 // what an earlier start counted
}

func (g *gateway) device(i int) string { return fmt.Sprint("d", i+1) }

// newLoad makes what is not there yet.
func newLoad(ctx context.Context, urls, token string) (*load, error) {
	admin, err := client.NewAdmin(client.AdminOptions{URL: urls, Token: token, Timeout: askFor})
	if err != nil {
		return nil, err
	}
	l := &load{admin: admin, lastAt: time.Now()}
	for i := range gateways {
		g := &gateway{name: fmt.Sprint("demo-", i+1)}
		if err := l.prepareSoon(ctx, g, urls); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", g.name, err)
		}
		l.fleet = append(l.fleet, g)
	}
	return l, nil
}

// prepareSoon is prepare as soon as its cell has an owner.
func (l *load) prepareSoon(ctx context.Context, g *gateway, urls string) error {
	for last := time.Now().Add(askFor); ; {
		err := l.prepare(ctx, g, urls)
		var p *client.Problem
		if !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || time.Now().After(last) {
			return err
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// prepare makes a gateway's account, product and token, unless an earlier start did, and its client.
func (l *load) prepare(ctx context.Context, g *gateway, urls string) error {
	type fields map[string]any
	product := client.Path("v1", "products", g.name)
	for _, c := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/v1/accounts", fields{"account": g.name, "kind": "enterprise"}},
		{http.MethodPost, "/v1/products", fields{
			"product": g.name, "account": g.name, "plan": fields{"messages_per_day": nil},
		}},
		{http.MethodPost, product + "/lots", fields{"order": "PO-1", "quantity": devices}},
		{http.MethodDelete, client.Path("v1", "tokens", g.name), nil},
	} {
		if err := l.admin.Call(ctx, c.method, c.path, nil, c.body, nil); err != nil && !isThere(err) {
			return err
		}
	}
	var made struct{ Token string }
	body := fields{"name": g.name, "role": "gateway", "account": g.name, "expires_in": "P1D"}
	err := l.admin.Call(ctx, http.MethodPost, "/v1/tokens", nil, body, &made)
	if err != nil {
		return err
	}
	g.client, err = client.New(client.Options{URL: urls, Token: made.Token, Producer: g.name, Timeout: askFor})
	if err != nil {
		return err
	}
	for i := range devices {
		v, err := g.client.Decide(ctx, client.Event{Type: event.Connect, Product: g.name, Device: g.device(i)})
		if err != nil {
			return err
		}
		if !v.Accepted {
			return fmt.Errorf("device %s may not connect: %s", g.device(i), v.Code)
		}
		if g.before[i], err = l.counted(ctx, g, i); err != nil {
			return err
		}
	}
	return nil
}

// isThere reports a refusal that an earlier start explains.
func isThere(err error) bool {
	var p *client.Problem
	return errors.As(err, &p) && (p.Status == http.StatusConflict || p.Status == http.StatusNotFound)
}

// counted asks how many messages of a device are counted today.
func (l *load) counted(ctx context.Context, g *gateway, i int) (uint64, error) {
	var v struct {
		Messages struct{ Up, Down uint64 }
	}
	path := client.Path("v1", "products", g.name, "devices", g.device(i))
	err := l.admin.Call(ctx, http.MethodGet, path, nil, nil, &v)
	return v.Messages.Up + v.Messages.Down, err
}

// run has all devices send until ctx ends, and returns when each message was answered or given up.
func (l *load) run(ctx context.Context) {
	var sending sync.WaitGroup
	for _, g := range l.fleet {
		for i := range devices {
			sending.Go(func() { l.send(ctx, g, i) })
		}
	}
	looking := time.NewTicker(lookEvery)
	defer looking.Stop()
	for {
		select {
		case <-looking.C:
			l.look()
		case <-ctx.Done():
			fmt.Println("waiting for what is on its way")
			sending.Wait()
			return
		}
	}
}

// send is one device.
func (l *load) send(ctx context.Context, g *gateway, i int) {
	tick := time.NewTicker(messageEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		begun := time.Now()
		v, err := g.client.Decide(context.Background(), client.Event{
			Type: event.Up, Product: g.name, Device: g.device(i), Topic: "demo", Size: 1,
		})
		var unavailable *client.UnavailableError
		switch {
		case err == nil && v.Accepted:
			g.accepted[i]++
			l.note(time.Since(begun))
		case errors.As(err, &unavailable) && unavailable.Ambiguous:
			g.unknown[i]++
			fmt.Printf("%s: a message of %s was given up: %v\n", g.name, g.device(i), err)
		default:
			fmt.Printf("%s: a message of %s: %s %v\n", g.name, g.device(i), v.Code, err)
		}
	}
}

// note counts an answer.
func (l *load) note(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silence = max(l.silence, time.Since(l.lastAt))
	l.answers, l.slowest, l.lastAt = l.answers+1, max(l.slowest, took), time.Now()
}

// look prints a line about the last second.
func (l *load) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	silence := max(l.silence, time.Since(l.lastAt)).Round(10 * time.Millisecond)
	line := fmt.Sprintf("%s  %4d events answered, the slowest after %v", time.Now().Format(time.TimeOnly), l.answers,
		l.slowest.Round(time.Millisecond))
	if silence >= lookEvery {
		line += fmt.Sprintf("; nobody was answered for %v", silence)
	}
	fmt.Println(line)
	l.answers, l.slowest, l.silence = 0, 0, 0
}

// compare holds what was answered against what is counted.
func (l *load) compare() error {
	defer l.admin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), askFor)
	defer cancel()
	var answered, unknown, counted uint64
	for _, g := range l.fleet {
		if err := g.client.Close(ctx); err != nil {
			return err
		}
		for i := range devices {
			n, err := l.counted(ctx, g, i)
			if err != nil {
				return fmt.Errorf("nobody says what was counted: %w", err)
			}
			n -= g.before[i]
			if n < g.accepted[i] || n > g.accepted[i]+g.unknown[i] {
				return fmt.Errorf("%s of %s: %d messages were answered, %d are counted", g.device(i), g.name, g.accepted[i], n)
			}
			answered, unknown, counted = answered+g.accepted[i], unknown+g.unknown[i], counted+n
		}
	}
	fmt.Printf("%d messages were answered, %d given up, %d are counted: each one once\n", answered, unknown, counted)
	return nil
}
