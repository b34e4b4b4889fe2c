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

// A peer is a server that a user might take instead of meterd, as a yardstick: it runs on the same machine and disk,
// beside the same loader, over TCP like meterd, while our daemon is stopped. It gets the settings that are best for it,
// which its file explains.

// peerPorts and peerPortMin are where a peer may listen: below the ports that the kernel gives to connections.
const peerPortMin, peerPorts = 10_000, 20_000

// peerTries is how many ports are tried.
const peerTries = 5

// errNotInstalled says what to do about a peer that is missing.
var errNotInstalled = errors.New("is not installed: make bench-peers installs it")

// installed returns the path of a program.
func installed(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("%s %w", program, errNotInstalled)
	}
	return path, nil
}

// aside stops our daemon, runs what is measured instead, and starts the daemon again.
func (r *run) aside(ctx context.Context, measure func() error) error {
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

// peer is one that runs.
type peer struct {
	child
	folder string
	port   int
}

// startPeer starts a program in a fresh folder, at a port that is free; args and ready are about that port and folder.
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

// reach waits until the peer takes connections: VictoriaMetrics says that it is ready a moment before.
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

// end stops the peer; its data goes unless something failed.
func (p *peer) end(failed error) error {
	_, err := p.stop()
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	return os.RemoveAll(p.folder)
}

// probe returns one of the peer.
func (p *peer) probe() *probe {
	return &probe{
		usage:   func() (usage, error) { return readUsage(p.pid()) },
		metrics: func(context.Context) (Metrics, error) { return Metrics{}, nil },
	}
}

// window is the length of a peer's windows.
func (o *Options) peerWindow() time.Duration { return min(o.Duration, peerWindowMax) }

// peerResult is a result that is not verified yet.
type peerResult struct {
	Result
	each []uint64 // events that each connection had answered, to draw them again
}

// loadPeer runs a job against a peer and makes the result. speak makes the speaker of a connection.
func (r *run) loadPeer(
	ctx context.Context,
	scenario string,
	p *peer,
	j *job,
	speak func(*wire, source) speaker,
) (*peerResult, error) {
	wires, err := dialAll(ctx, p.address, len(j.sources))
	if err != nil {
		return nil, err
	}
	var speakers []speaker
	for i, w := range wires {
		speakers = append(speakers, speak(w, j.sources[i]))
	}
	probe := p.probe()
	o, err := r.drive(ctx, j, speakers, probe)
	if err != nil {
		return nil, err
	}
	return &peerResult{Result: *o.result(scenario, &j.c, probe, nil), each: o.each}, nil
}
