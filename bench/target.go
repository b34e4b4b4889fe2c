package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// target is the daemon that is measured, and what the loader knows about it.
type target struct {
	o      *Options
	daemon *daemon // nil if it is not ours
	folder string  // of its data and log; empty if it is not ours
	token  string
	admin  *admin

	empty    usage   // before the first device
	baseline Metrics // when this daemon process was first seen
	sent     uint64  // events answered since then
	active   int     // devices that were connected; all or none
	stages   int     // loads that drew messages, for their seeds
	tally    tally   // what each device was sent
}

// openTarget starts a daemon, or finds the one that it was told of, and creates a product with a licence for each device.
func openTarget(ctx context.Context, o *Options) (*target, error) {
	t := &target{o: o, token: o.Token, tally: newTally(o.Devices)}
	if err := t.open(ctx); err != nil {
		return nil, errors.Join(err, t.close(false))
	}
	return t, nil
}

func (t *target) open(ctx context.Context) error {
	o := t.o
	if o.URL != "" {
		t.admin = newAdmin(strings.TrimPrefix(o.URL, "http://"), t.token)
		if err := t.admin.ready(ctx); err != nil {
			return err
		}
	} else {
		dir, err := realDirectory(o.Dir)
		if err != nil {
			return err
		}
		if t.folder, err = os.MkdirTemp(dir, "meterd-bench-"); err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		t.daemon = &daemon{
			program: o.Program, data: filepath.Join(t.folder, "data"),
			flags: []string{"--checkpoint-every", o.CheckpointEvery.String()},
		}
		if _, err := t.start(ctx); err != nil {
			return err
		}
	}
	if err := t.admin.create(ctx, o.Product, zoneOfMorning(time.Now()), o.Devices); err != nil {
		return err
	}
	var err error
	if t.baseline, err = t.admin.metrics(ctx); err != nil {
		return err
	}
	t.empty, err = t.usage()
	return err
}

// start starts the daemon, on what its data directory holds, and returns how long it took to be ready.
func (t *target) start(ctx context.Context) (time.Duration, error) {
	took, err := t.daemon.start(ctx)
	if err != nil {
		return 0, err
	}
	if t.token == "" {
		secret, err := os.ReadFile(filepath.Join(t.daemon.data, "admin.token"))
		if err != nil {
			return 0, fmt.Errorf("the administrator's token: %w", err)
		}
		t.token = strings.TrimSpace(string(secret))
	}
	t.admin = newAdmin(t.daemon.address, t.token)
	t.sent = 0
	t.baseline, err = t.admin.metrics(ctx)
	return took, err
}

// usage returns what the daemon has used, zero if it is not ours.
func (t *target) usage() (usage, error) {
	if t.daemon == nil {
		return usage{}, nil
	}
	return readUsage(t.daemon.pid())
}

// close stops our daemon. Its directory is removed, unless it is to be kept: as evidence, or because it was asked for.
func (t *target) close(keep bool) error {
	var err error
	if t.daemon != nil && t.daemon.running() {
		_, err = t.daemon.stop()
	}
	if t.folder != "" && !keep && err == nil {
		err = os.RemoveAll(t.folder)
	}
	return err
}

// sources returns one source of messages a connection, and their draws, to be drawn again.
func (t *target) sources(c Case) (sources []source, drawn []draws) {
	t.stages++
	for i := range c.Connections {
		d := newDraws(t.o.Seed, 2*t.stages, i)
		drawn = append(drawn, d)
		sources = append(sources, &messages{
			lines: newLines(t.o.Product, c.Payload, newDraws(t.o.Seed, 2*t.stages+1, i)),
			draws: d, devices: t.o.Devices, batch: c.Batch,
		})
	}
	return sources, drawn
}
