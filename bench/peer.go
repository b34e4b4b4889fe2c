package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A peer is a server that a user might take instead of meterd: a yardstick. It runs on the same machine and disk, with
// the same loader, over TCP like meterd, while the daemon is stopped. It gets the settings that are best for it; its
// file explains them.

// peerPorts and peerPortMin are the ports on which a peer may listen: below those that the kernel gives to connections.
const peerPortMin, peerPorts = 10_000, 20_000

// peerTries is how many ports are tried.
const peerTries = 5

// errNotInstalled says how to install a peer.
var errNotInstalled = errors.New("is not installed: make bench-peers installs it")

// installed returns the path of a program.
func installed(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s %w", program, errNotInstalled)
	}
	return path, nil
}

// withoutDaemon stops the daemon, measures something else, and starts the daemon again.
func (r *run) withoutDaemon(ctx context.Context, measure func() error) error {
	t := r.target
	if t.daemon == nil {
		return measure()
	}
	if _, err := t.daemon.stop(); err != nil {
		return err
	}
	if err := measure(); err != nil {
		return err
	}
	_, err := t.start(ctx)
	return err
}

// peer is a running peer.
type peer struct {
	child
	folder string
	port   int
}

// startPeer starts a program in a fresh folder, on a free port. Its output is ready when it contains the text ready.
func (r *run) startPeer(
	ctx context.Context,
	program, ready string,
	args func(port int, folder string) []string,
) (*peer, error) {
	path, err := installed(program)
	if err != nil {
		return nil, err
	}
	dir, err := realDirectory(r.o.Dir)
	if err != nil {
		return nil, err
	}
	p := &peer{}
	if p.folder, err = os.MkdirTemp(dir, "meterd-bench-"+program+"-"); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	for range peerTries {
		p.port = peerPortMin + rand.IntN(peerPorts)
		p.child = child{
			name: program, program: path, args: args(p.port, p.folder), log: filepath.Join(p.folder, "log"),
			ready: func(line string) (string, bool) { return "", strings.Contains(line, ready) },
		}
		if _, err = p.start(ctx); err == nil {
			p.address = fmt.Sprintf("127.0.0.1:%d", p.port)
			return p, p.reach(ctx)
		}
	}
	return nil, err
}

// reach waits until the peer accepts connections. VictoriaMetrics says that it is ready a moment earlier.
func (p *peer) reach(ctx context.Context) error {
	again := time.NewTicker(peerReachEvery)
	defer again.Stop()
	for tries := 0; ; tries++ {
		w, err := dial(ctx, p.address)
		if err == nil {
			return w.Close()
		}
		if tries == peerReachTries {
			return errors.Join(err, p.kill())
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), p.kill())
		}
	}
}

// end stops the peer. It removes the data unless something failed.
func (p *peer) end(failed error) error {
	_, err := p.stop()
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	return os.RemoveAll(p.folder)
}

// probe returns a probe of the peer.
func (p *peer) probe() *probe {
	return &probe{
		usage:   func() (usage, error) { return readUsage(p.pid()) },
		metrics: func(context.Context) (Metrics, error) { return Metrics{}, nil },
	}
}

// peerWindow is the length of a peer's windows.
func (o *Options) peerWindow() time.Duration { return min(o.Duration, peerWindowMax) }

// peerResult is a result that is not verified yet.
type peerResult struct {
	Result
	each []uint64 // events that each connection had answered
}

// loadPeer runs a job against a peer and makes the result. open makes the session of a connection.
func (r *run) loadPeer(
	ctx context.Context,
	scenario string,
	p *peer,
	j *job,
	open func(*wire, source) session,
) (*peerResult, error) {
	wires, err := dialAll(ctx, p.address, len(j.sources))
	if err != nil {
		return nil, err
	}
	var sessions []session
	for i, w := range wires {
		sessions = append(sessions, open(w, j.sources[i]))
	}
	probe := p.probe()
	o, err := r.drive(ctx, j, sessions, probe)
	if err != nil {
		return nil, err
	}
	return &peerResult{Result: *o.result(scenario, &j.c, probe, nil), each: o.each}, nil
}
