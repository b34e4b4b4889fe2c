package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// Options is what an Exporter is made of.
type Options struct {
	Store *sealed.Store
	Place Place
	Name  string       // of the place, as --export-to has it; the store keeps how far it is under this name
	NowMs func() int64 // for the age of what waits
	// Logger is told when the export begins to fail, and when it goes on; nil: nobody is.
	Logger *slog.Logger
}

// Validate reports every fault of the options at once.
func (o Options) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("export: "+what+" is needed"))
		}
	}
	need(o.Store != nil, "Store")
	need(o.Place != nil, "Place")
	need(o.Name != "", "Name")
	need(o.NowMs != nil, "NowMs")
	return errors.Join(errs...)
}

// Exporter brings snapshots to a place, one after the other.
type Exporter struct {
	o              Options
	done, failures atomic.Uint64
	failing        atomic.Bool
}

// New returns an Exporter.
func New(o Options) (*Exporter, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Exporter{o: o}, nil
}

// Run exports what there is, and what comes, until ctx ends.
func (e *Exporter) Run(ctx context.Context) {
	wait := retryMin
	for ctx.Err() == nil {
		m, _, changed := e.o.Store.Next(e.o.Name)
		if m == nil {
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		if e.step(ctx, m) {
			wait = retryMin
			continue
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		wait = min(2*wait, retryMax)
	}
}

// step exports one snapshot and reports whether that is done.
func (e *Exporter) step(ctx context.Context, m *sealed.Manifest) bool {
	began := time.Now()
	err := e.export(ctx, m)
	if err == nil {
		err = e.o.Store.Exported(e.o.Name, m.Sequence)
	}
	switch {
	case ctx.Err() != nil:
		return false
	case err != nil:
		e.failures.Add(1)
		if !e.failing.Swap(true) {
			e.o.Logger.Error("a snapshot cannot be exported; it is tried again until it is", "snapshot", m.ID, "to", e.o.Name,
				"error", err)
		}
		return false
	}
	e.failing.Store(false)
	e.done.Add(1)
	e.o.Logger.Info("a snapshot is exported", "snapshot", m.ID, "to", e.o.Name, "seconds", time.Since(began).Seconds())
	return true
}

// export brings one snapshot to the place, the manifest last.
func (e *Exporter) export(ctx context.Context, m *sealed.Manifest) error {
	manifest, err := m.Encode()
	if err != nil {
		return err
	}
	name := m.ID + "/" + sealed.ManifestName
	there, err := e.o.Place.Get(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case bytes.Equal(there, manifest):
		return nil // The daemon ended before it could note this.
	default:
		return fmt.Errorf("the place has another snapshot %s: give each daemon a place of its own with --export-to", m.ID)
	}
	names := make([]string, 0, len(m.Files)+1)
	for _, f := range m.Files {
		names = append(names, f.Name)
	}
	for _, name := range append(names, sealed.SumsName) {
		if err := e.exportFile(ctx, m, name); err != nil {
			return err
		}
	}
	return e.put(ctx, name, bytes.NewReader(manifest), int64(len(manifest)))
}

// exportFile brings one file to the place, after it was hashed.
func (e *Exporter) exportFile(ctx context.Context, m *sealed.Manifest, name string) error {
	content, file, err := e.o.Store.Open(m, name)
	if err != nil {
		return err
	}
	defer content.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, &untilDone{ctx: ctx, r: content}); err != nil {
		return fmt.Errorf("read %s of snapshot %s: %w", name, m.ID, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != file.SHA256 {
		return disk.Damage(m.ID+"/"+name, "its checksum is %s, and was %s when it was sealed", sum, file.SHA256)
	}
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s of snapshot %s: %w", name, m.ID, err)
	}
	return e.put(ctx, m.ID+"/"+name, content, file.Bytes)
}

func (e *Exporter) put(ctx context.Context, name string, content Content, size int64) error {
	ctx, cancel := context.WithTimeout(ctx, putMin+time.Duration(size)*putAByte)
	defer cancel()
	return e.o.Place.Put(ctx, name, sealed.ContentType(name), content, size)
}

// RegisterMetrics adds what is known of the export to a set, once.
func (e *Exporter) RegisterMetrics(set *metric.Set) {
	set.Counters("meterd_snapshots_exported_total", "Snapshots brought to the place of --export-to since the start.").
		Func(func() float64 { return float64(e.done.Load()) })
	set.Counters("meterd_snapshot_export_failures_total", "Attempts since the start that failed; each is tried again.").
		Func(func() float64 { return float64(e.failures.Load()) })
	set.Gauges("meterd_snapshot_export_pending", "Snapshots that the place of --export-to does not have yet.").
		Func(func() float64 {
			_, pending, _ := e.o.Store.Next(e.o.Name)
			return float64(pending)
		})
	set.Gauges("meterd_snapshot_export_lag_seconds", "Age of the oldest snapshot that waits for its export, 0 without.").
		Func(func() float64 {
			m, _, _ := e.o.Store.Next(e.o.Name)
			if m == nil {
				return 0
			}
			return max(0, float64(e.o.NowMs()-int64(m.SealedAt))/1000)
		})
}
