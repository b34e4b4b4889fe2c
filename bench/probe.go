package bench

import (
	"context"
	"os"
	"runtime"
	"time"
)

// probe measures the server, the loader and the machine at both ends of a window, and reads metrics within it.
type probe struct {
	usage   func() (usage, error)
	metrics func(context.Context) (Metrics, error)
	remote  bool // the daemon's usage is not known

	from, to    snapshot
	checkpoints int
	age         float64 // of the last checkpoint, at the last reading
}

// probe returns a probe of the daemon.
func (t *target) probe() *probe {
	return &probe{usage: t.usage, metrics: t.admin.metrics, remote: t.daemon == nil}
}

// snapshot is everything that a probe measures, at one instant.
type snapshot struct {
	at           time.Time
	daemon       usage
	loader       usage
	busy, stolen float64 // CPU seconds of the machine
	metrics      Metrics
}

func (p *probe) snapshot(ctx context.Context) (l snapshot, err error) {
	l.at = time.Now()
	if l.daemon, err = p.usage(); err != nil {
		return l, err
	}
	if l.loader, err = readUsage(os.Getpid()); err != nil {
		return l, err
	}
	if l.busy, l.stolen, err = readMachineCPU(); err != nil {
		return l, err
	}
	l.metrics, err = p.metrics(ctx)
	return l, err
}

func (p *probe) begin(ctx context.Context) (err error) {
	p.from, err = p.snapshot(ctx)
	p.age = p.from.metrics.CheckpointAgeSeconds
	return err
}

func (p *probe) end(ctx context.Context) (err error) {
	p.to, err = p.snapshot(ctx)
	p.countCheckpoint(p.to.metrics.CheckpointAgeSeconds)
	return err
}

func (p *probe) watch(ctx context.Context) error {
	m, err := p.metrics(ctx)
	p.countCheckpoint(m.CheckpointAgeSeconds)
	return err
}

// countCheckpoint counts a checkpoint when the age of the last one falls, or when there is a first one.
func (p *probe) countCheckpoint(age float64) {
	if age > 0 && (age < p.age || p.age == 0) {
		p.checkpoints++
	}
	p.age = age
}

// fill adds the measured differences to a result. The shares of a remote daemon are not known and left out.
func (p *probe) fill(r *Result, logged Metrics) {
	millions := float64(r.Events) / 1e6
	seconds := p.to.at.Sub(p.from.at).Seconds()
	loader := p.to.loader.cpuSeconds - p.from.loader.cpuSeconds
	r.CPU = &CPU{LoaderSecondsPerMillion: loader / millions, LoaderCores: loader / seconds}
	r.Disk = &Disk{Checkpoints: p.checkpoints, LoggedBytes: p.to.metrics.CommitBytes}
	if logged.LogRows > 0 {
		r.Disk.LogBytesPerEvent = float64(logged.CommitBytes) / float64(logged.LogRows)
	}
	if logged.Groups > 0 {
		r.Disk.EventsPerGroup = float64(logged.LogRows) / float64(logged.Groups)
	}
	if p.remote {
		return
	}
	daemon := p.to.daemon.cpuSeconds - p.from.daemon.cpuSeconds
	r.CPU.DaemonSecondsPerMillion = daemon / millions
	r.CPU.DaemonCores = daemon / seconds
	r.CPU.OtherShare = max(0, p.to.busy-p.from.busy-daemon-loader) / seconds / float64(runtime.NumCPU())
	r.CPU.StolenShare = (p.to.stolen - p.from.stolen) / seconds / float64(runtime.NumCPU())
	written := p.to.daemon.writeBytes - p.from.daemon.writeBytes
	rows := logged.LogRows // As the daemon counts them: batches in flight at the ends of the window differ.
	if rows == 0 {
		rows = r.Events
	}
	if rows > 0 {
		r.Disk.WrittenBytesPerEvent = float64(written) / float64(rows)
	}
	r.Memory = memoryOf(p.to)
}

func memoryOf(l snapshot) *Memory {
	return &Memory{
		RSSBytes: l.daemon.rssBytes, HighWaterBytes: l.daemon.hwmBytes, AnonymousBytes: l.daemon.anonBytes,
		FileBytes: l.daemon.fileBytes, TableBytes: l.metrics.TableBytes,
	}
}
