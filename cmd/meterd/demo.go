package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/demo"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/usage/history"
)

// A directory of a demo has DIR/DEMO, from before it counts as a data directory. It says whether the week is being made
// or is made: a start that finds it half made begins anew, since nobody has seen any of it.

const (
	demoTitle  = "demo"
	demoMaking = "making"
	demoMade   = "made"
	// demoSeed is the week's: of two demos that begin at the same instant both have the same events.
	demoSeed = 1
)

// errDemoStopped means that the daemon was told to stop while it made the demo's week.
var errDemoStopped = errors.New("stopped while the demo was made: the next start with --demo begins it anew")

// runningDemo is the demo while the daemon runs.
type runningDemo struct {
	token string // of its gateways; "": the directory is no demo's
	// past is what the history shows of a week that was just made.
	past []history.Past
	end  context.CancelFunc
	wg   sync.WaitGroup
}

// demoWeek returns how long the history of a demo is: no longer than the raw log is kept.
func (o *serveOptions) demoWeek() time.Duration { return min(demo.Week, o.retention) }

// demoOptions has a new directory be a demo's, which began a week ago.
func (o *serveOptions) demoOptions(dir *disk.DirOptions) {
	if !o.demo {
		return
	}
	begin := time.Now().Add(-o.demoWeek())
	dir.Now = func() time.Time { return begin }
	dir.First = func() error { return o.noteDemo(demoMaking, access.NewSecret()) }
}

// noteDemo writes DIR/DEMO.
func (o *serveOptions) noteDemo(state, token string) error {
	fields := [][2]string{{"state", state}, {"seed", strconv.Itoa(demoSeed)}, {"token", token}}
	if err := disk.WriteSynced(disk.DemoPath(o.data), disk.EncodeSealed(demoTitle, fields)); err != nil {
		return fmt.Errorf("note the demo: %w", err)
	}
	return nil
}

// prepareDemo makes the week of a demo's directory that has none. The state is not open.
func (d *daemon) prepareDemo(ctx context.Context) error {
	fields, err := disk.ReadSealed(disk.DemoPath(d.o.data), demoTitle)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case fields["state"] == demoMade:
	case !d.o.demo:
		return fmt.Errorf("data directory %q has half of a demo: start with --demo, which begins it anew, "+
			"or name another --data", d.o.data)
	default:
		if err := d.makeDemo(ctx, fields["token"]); err != nil {
			return err
		}
	}
	d.demo.token = fields["token"]
	return nil
}

// makeDemo makes the week in an emptied directory, and closes it for the machine's clock to go on: a start takes the
// wall clock for right, whatever lies behind it, so no clock leaps (R12).
func (d *daemon) makeDemo(ctx context.Context, token string) (err error) {
	began := time.Now()
	if err := d.dir.Empty(); err != nil {
		return err
	}
	o := demo.Options{Seed: demoSeed, Begin: began.Add(-d.o.demoWeek()), End: began, Zone: d.o.zone, Token: token}
	d.logger.Info("making a week of history for the demo", "from", o.Begin.UTC(), "to", o.End.UTC())
	clock := demo.NewClock(o.Begin)
	// Each day that ends would be told, and each snapshot.
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	more := stateOptions{clock: clock, archiveRunAge: demo.Week, failed: d.failWith}
	s, err := openState(d.o, d.dir, more, quiet)
	if err != nil {
		return err
	}
	made, err := d.fillDemo(ctx, s, clock, o, quiet)
	if err = errors.Join(err, s.close()); err != nil {
		if ctx.Err() != nil {
			return errDemoStopped
		}
		return fmt.Errorf("make the demo: %w", err)
	}
	if err := d.o.noteDemo(demoMade, token); err != nil {
		return err
	}
	d.logger.Info("the demo's history is made", "events_accepted", made.Accepted, "events_denied", made.DeniedAll(),
		"seconds", time.Since(began).Seconds())
	return nil
}

func (d *daemon) fillDemo(
	ctx context.Context, s *state, clock *demo.Clock, o demo.Options, logger *slog.Logger,
) (demo.Made, error) {
	if err := firstToken(s.engine, d.tokenPath, logger); err != nil {
		return demo.Made{}, err
	}
	n, err := openSnapshots(d.o, d.dir, api.Cell{}, nil, s, logger, nil)
	if err != nil {
		return demo.Made{}, err
	}
	defer n.close()
	if d.o.usageHistory {
		o.Look = func(atMs int64, used map[string]*demo.Used) {
			d.demo.past = append(d.demo.past, history.Past{AtMs: atMs, Products: demoPast(s, used)})
		}
	}
	o.Hour = func(ctx context.Context) error { return n.MakeDue(ctx, n.schedule, o.Begin) }
	return demo.Make(ctx, s.engine, clock, o)
}

// demoPast returns how products stand: what their messages came to is said, the rest is the engine's. The ledger, which
// the history goes by as a rule, would have to be waited for each time.
func demoPast(s *state, used map[string]*demo.Used) []history.Product {
	list := historySource{s}.stock()
	for i := range list {
		u := used[list[i].Name]
		if u == nil {
			continue
		}
		list[i].Usage = history.Usage{Up: u.Up, Down: u.Down}
		for t, denied := range map[event.Type]*[event.Codes]uint64{event.Up: &u.DeniedUp, event.Down: &u.DeniedDown} {
			for code, n := range denied {
				if n > 0 {
					d := history.Denied{Type: t, Code: event.Code(code), Count: n}
					list[i].Usage.Denied = append(list[i].Usage.Denied, d)
				}
			}
		}
		slices.SortFunc(list[i].Usage.Denied, func(a, b history.Denied) int {
			return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Code, b.Code))
		})
	}
	return list
}

// showDemo gives the history what it cannot have seen of a week that was just made. A daemon that ends before leaves it
// with what the ledger has, a sample a quarter of an hour.
func (d *daemon) showDemo(ctx context.Context) {
	past := d.demo.past
	if d.demo.past = nil; len(past) == 0 || d.history == nil {
		return
	}
	d.demo.wg.Go(func() {
		if err := d.history.AddPast(ctx, past); err != nil && ctx.Err() == nil {
			d.logger.Error("the history lacks the demo's past between quarters of an hour", "error", err)
		}
	})
}

// startDemo tells what to look at, and has the demo's devices go on.
func (d *daemon) startDemo(out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	d.demo.end = cancel
	if !d.o.demo {
		return nil
	}
	d.showDemo(ctx)
	url := d.scheme() + "://" + d.server.Address().String()
	if err := d.tellDemo(out, url); err != nil || d.demo.token == "" {
		return err
	}
	if d.o.tlsCert != "" { // Whose certificate this is, is not for the demo to say.
		d.logger.Info("with TLS the demo's devices rest")
		return nil
	}
	o := demo.LiveOptions{URL: url, Token: d.demo.token, Seed: demoSeed, Logger: d.logger}
	d.demo.wg.Go(func() {
		if err := demo.Live(ctx, o); err != nil {
			d.logger.Error("the demo's devices rest", "error", err)
		}
	})
	return nil
}

// endDemo ends what startDemo began.
func (d *daemon) endDemo() {
	if d.demo.end != nil {
		d.demo.end()
	}
	d.demo.wg.Wait()
}

func (d *daemon) tellDemo(out io.Writer, url string) error {
	history := "This directory was not made by --demo: it has no history of it."
	if d.demo.token != "" {
		history = "It has a week of history, and its devices go on. What they used, by day:"
	}
	code, err := d.people.InviteAdmin(demoTitle)
	if err != nil {
		return fmt.Errorf("make a link to sign in: %w", err)
	}
	_, err = fmt.Fprintf(out, `
meterd is ready at %[1]s
Sign in to the console, once and within 15 minutes: %[4]s
The administrator's token is in %[2]s
A first batch, to paste into another shell:

  curl -s %[1]s/v1/events -H "Authorization: Bearer $(cat %[2]s)" -H 'Content-Type: application/json' \
    -d '[{"type":"connect","product":"demo","device":"d1"},
         {"type":"up","product":"demo","device":"d1","payload":"21.5 C"}]'

and what it did:

  curl -s %[1]s/v1/products/demo/devices/d1 -H "Authorization: Bearer $(cat %[2]s)"

%[3]s

`, url, d.tokenPath, history, signInLink(url, code))
	if err != nil || d.demo.token == "" {
		return err
	}
	_, err = fmt.Fprintf(out, `  curl -s '%[1]s/v1/usage?account=huaxin-energy&window=day' -H 'Accept: text/csv' \
    -H "Authorization: Bearer $(cat %[2]s)"

`, url, d.tokenPath)
	return err
}

func (d *daemon) scheme() string {
	if d.o.tlsCert != "" {
		return "https"
	}
	return "http"
}
