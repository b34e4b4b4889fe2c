package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/prometheus/procfs"
)

// clusterLoad is the connections of one window, to all accounts of an ensemble.
type clusterLoad struct {
	sessions []session
	parts    []loadPart
}

// loadPart is what one account gets of it.
type loadPart struct {
	t        *target
	gateways []producing
	begins   []drawn
}

// open opens the connections of a case, shared evenly among the accounts; each has one at least.
func (e *ensemble) open(ctx context.Context, c Case) (*clusterLoad, error) {
	l := &clusterLoad{}
	for i, t := range e.targets {
		share, n := c, len(e.targets)
		share.Connections = max(1, (i+1)*c.Connections/n-i*c.Connections/n)
		p := loadPart{t: t}
		j := &job{c: share}
		j.sources, p.begins = t.sources(t.main.devices, share, t.main.encoder(share))
		var err error
		if p.gateways, err = t.dial(ctx, j); err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.parts = append(l.parts, p)
		for _, g := range p.gateways {
			l.sessions = append(l.sessions, g)
		}
	}
	return l, nil
}

func (l *clusterLoad) close() (err error) {
	for _, s := range l.sessions {
		err = errors.Join(err, s.line().Close())
	}
	return err
}

// settle notes what each account was sent, by the events that each connection had answered.
func (l *clusterLoad) settle(each []uint64) {
	for _, p := range l.parts {
		p.t.quiet = time.Now()
		for i, g := range p.gateways {
			p.t.sequences[p.t.producer(i)] = g.last()
			p.t.accepted += each[i]
			p.t.main.stage.tally.add(p.begins[i], each[i])
		}
		each = each[len(p.gateways):]
		p.t.main.settle()
	}
}

// usage returns what all processes together have used.
func (e *ensemble) usage() (sum usage, err error) {
	for _, d := range e.daemons {
		u, err := readUsage(d.pid())
		if err != nil {
			return sum, err
		}
		sum.cpuSeconds += u.cpuSeconds
		sum.writeBytes += u.writeBytes
		sum.rssBytes += u.rssBytes
		sum.hwmBytes += u.hwmBytes
		sum.anonBytes += u.anonBytes
		sum.fileBytes += u.fileBytes
	}
	return sum, nil
}

// metrics adds up what the accounts' servers say. The ages of checkpoints are left out.
func (e *ensemble) metrics(ctx context.Context) (sum Metrics, err error) {
	for _, t := range e.targets {
		m, err := t.admin.metrics(ctx)
		if err != nil {
			return sum, err
		}
		sum.Accepted += m.Accepted
		sum.Denied += m.Denied
		sum.LogRows += m.LogRows
		sum.CommitBytes += m.CommitBytes
		sum.Groups += m.Groups
		sum.TableBytes += m.TableBytes
	}
	return sum, nil
}

// quiet returns when the processes have finished what they put off: copies lack nothing, views do not work any more. It
// returns what each process uses then, in cores, and reports false if that is not so after quietWithin.
func (e *ensemble) quiet(ctx context.Context) (idle []float64, quiet bool, err error) {
	before, err := e.used()
	if err != nil {
		return nil, false, err
	}
	for range quietWithin / quietEvery {
		select {
		case <-time.After(quietEvery):
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
		now, err := e.used()
		if err != nil {
			return nil, false, err
		}
		idle = now.coresSince(before)
		before = now
		if slices.Max(idle) > quietCores {
			continue
		}
		if e.caughtUp == nil {
			return idle, true, nil
		}
		if yes, err := e.caughtUp(ctx); yes || err != nil {
			return idle, yes, err
		}
	}
	return idle, false, nil
}

// used is what each process has used so far, and the loader.
type used struct {
	at       time.Time
	daemons  []usage
	loader   float64 // CPU seconds
	loopback uint64  // bytes over the loopback interface, of whatever process
}

func (e *ensemble) used() (u used, err error) {
	u.at = time.Now()
	for _, d := range e.daemons {
		one, err := readUsage(d.pid())
		if err != nil {
			return u, err
		}
		u.daemons = append(u.daemons, one)
	}
	loader, err := readUsage(os.Getpid())
	if err != nil {
		return u, err
	}
	u.loader = loader.cpuSeconds
	u.loopback, err = readLoopback()
	return u, err
}

// readLoopback returns the bytes that went over the loopback interface so far.
func readLoopback() (uint64, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, fmt.Errorf("what went over loopback: %w", err)
	}
	lines, err := fs.NetDev()
	if err != nil {
		return 0, fmt.Errorf("what went over loopback: %w", err)
	}
	return lines["lo"].RxBytes, nil
}

// coresSince returns how many cores each process used on average since earlier.
func (u used) coresSince(earlier used) (list []float64) {
	for i, d := range u.daemons {
		list = append(list, (d.cpuSeconds-earlier.daemons[i].cpuSeconds)/u.at.Sub(earlier.at).Seconds())
	}
	return list
}

// minus returns what so many events have cost since earlier, beside what idle processes use, in cores.
func (u used) minus(earlier used, idle []float64, events uint64) *Cluster {
	millions := float64(events) / 1e6
	c := &Cluster{
		LoaderSecondsPerMillion: (u.loader - earlier.loader) / millions,
		LoopbackBytesPerEvent:   float64(u.loopback-earlier.loopback) / float64(events),
	}
	seconds := u.at.Sub(earlier.at).Seconds()
	for i, cores := range u.coresSince(earlier) {
		written := u.daemons[i].writeBytes - earlier.daemons[i].writeBytes
		c.Nodes = append(c.Nodes, NodeCost{
			IdleCores: idle[i], SecondsPerMillion: max(0, cores-idle[i]) * seconds / millions,
			WrittenBytesPerEvent: float64(written) / float64(events),
		})
	}
	return c
}
