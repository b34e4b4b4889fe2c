package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// target is the daemon that is measured, and what it was sent.
type target struct {
	o       *Options
	daemon  *daemon // nil if bench did not start it
	folder  string  // of its data and log; empty if bench did not start it
	token   string
	bound   string // the token of gateways; empty: the same
	admin   admin
	address string

	empty     usage             // before the first device
	baseline  Metrics           // when this daemon process began
	accepted  uint64            // events that were accepted since then
	denied    uint64            // events that were denied since then
	stages    int               // loads that drew messages, for their seeds
	sequences map[string]uint64 // the last one of each producer
	quiet     time.Time         // when the last batch was answered
	connected int               // number of devices of all fleets that were connected
	main      *fleet            // that most scenarios use
}

// openTarget starts a daemon, or connects to a running one, and creates a product with a licence for each device.
func openTarget(ctx context.Context, o *Options) (*target, error) {
	t := &target{
		o:         o,
		quiet:     time.Now(),
		token:     o.Token,
		sequences: map[string]uint64{},
		main:      newFleet(o.Product, o.Devices, zoneOfMorning(time.Now())),
	}
	if err := t.open(ctx); err != nil {
		return nil, errors.Join(err, t.close(false))
	}
	return t, nil
}

func (t *target) open(ctx context.Context) error {
	o := t.o
	if o.URL != "" {
		if err := t.reach(ctx, strings.TrimPrefix(o.URL, "http://")); err != nil {
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
			binary: o.Program, data: filepath.Join(t.folder, "data"), checkpointEvery: o.CheckpointEvery,
		}
		if _, err := t.start(ctx); err != nil {
			return err
		}
	}
	if err := t.admin.create(ctx, o.Product, t.main); err != nil {
		return err
	}
	var err error
	t.empty, err = t.usage()
	return err
}

// start starts the daemon on its data directory, and returns how long it took until /readyz answered 200.
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
	said := time.Now()
	if err := t.reach(ctx, t.daemon.address); err != nil {
		return 0, err
	}
	return took + time.Since(said), nil
}

// reach makes sure that the daemon at an address is ready, and starts counting what it is sent.
func (t *target) reach(ctx context.Context, address string) (err error) {
	t.address, t.accepted, t.denied = address, 0, 0
	if t.admin, err = newAdmin(address, t.token); err != nil {
		return err
	}
	if err := t.admin.ready(ctx); err != nil {
		return err
	}
	t.baseline, err = t.admin.metrics(ctx)
	return err
}

// usage returns what the daemon has used, zero if bench did not start it.
func (t *target) usage() (usage, error) {
	if t.daemon == nil {
		return usage{}, nil
	}
	return readUsage(t.daemon.pid())
}

// close stops the daemon that bench started, and removes its directory unless keep says otherwise.
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

// again stops the daemon, lets set change how it is run, and starts it.
func (t *target) again(ctx context.Context, set func(*daemon)) error {
	if t.daemon == nil {
		return errNotOurs
	}
	if _, err := t.daemon.stop(); err != nil {
		return err
	}
	set(t.daemon)
	_, err := t.start(ctx)
	return err
}

var errNotOurs = errors.New("only a daemon of our own can be restarted")

// sources returns a source of messages for each connection of a case, and the state with which the same messages can be
// drawn again. encode makes an encoder that takes its payload from the given draws.
func (t *target) sources(devices int, c Case, encode func(payload draws) encoder) (sources []source, begins []drawn) {
	t.stages++
	for i := range c.Connections {
		d := drawn{draws: newDraws(t.o.Seed, 2*t.stages, i), chooser: newChooser(devices, c, t.stages)}
		begins = append(begins, d)
		sources = append(sources, &messages{
			encoder: encode(newDraws(t.o.Seed, 2*t.stages+1, i)),
			draws:   d.draws, chooser: d.chooser, batch: make([]message, c.Batch),
		})
	}
	return sources, begins
}

// gateways returns the token of gateways.
func (t *target) gateways() string { return cmp.Or(t.bound, t.token) }

// producer returns the name of a producer. Each connection is a producer of its own.
func (t *target) producer(number int) string { return fmt.Sprintf("%s-%d", t.o.Product, number) }

// dial opens a connection for each source of a job.
func (t *target) dial(ctx context.Context, j *job) (gateways []producing, err error) {
	if j.c.Stream {
		return t.dialStreams(ctx, j)
	}
	wires, err := dialAll(ctx, t.address, len(j.sources))
	if err != nil {
		return nil, err
	}
	for i, w := range wires {
		producer := t.producer(j.producers + i)
		gateways = append(gateways, &gateway{
			poster: poster{
				exchange: exchange{wire: w, source: j.sources[i]}, sequence: t.sequences[producer],
				post: newPost("/v1/events", t.address, t.gateways(), contentType(j.c.Format), producer),
			},
			answer: answer{format: j.c.Format, code: j.deny},
		})
	}
	return gateways, nil
}

// dialStreams is dial for streams.
func (t *target) dialStreams(ctx context.Context, j *job) (gateways []producing, err error) {
	for i, s := range j.sources {
		producer := t.producer(j.producers + i)
		w, err := dialStream(ctx, t.address, t.gateways(), producer)
		if err != nil {
			for _, g := range gateways {
				err = errors.Join(err, g.line().Close())
			}
			return nil, err
		}
		judge := answer{format: FormatProtobuf, code: j.deny}
		gateways = append(gateways, newStreamGateway(w, s, judge, j.c.InFlight, t.sequences[producer]))
	}
	return gateways, nil
}
