package rawlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// Log is the commit log as it is read. It is copied: nothing of the log is held when a method has returned.
type Log interface {
	First() uint64
	Last() (seq uint64, lastMs int64, chain commitlog.Chain)
	ReadBack(ctx context.Context, before uint64, fromMs, toMs int64, bytesMax int, b *commitlog.Block) error
	ReadForward(ctx context.Context, after uint64, fromMs, toMs int64, bytesMax int, b *commitlog.Block) error
	ChainOf(seq uint64) (commitlog.Chain, error)
	Bytes() int64 // of all its files
	// BytesBehind is the length of the files that have a group behind one.
	BytesBehind(seq uint64) int64
}

// Options is what a View is made of.
type Options struct {
	Store *archive.Store
	Log   Log
	// Retention is how long the raw log is kept, as the Store's.
	Retention time.Duration
	Logger    *slog.Logger // told about upkeep that fails; nil: nobody is
}

// View is the view of the raw log. Reading methods are safe for concurrent use, also beside Follow.
type View struct {
	o         Options
	inflate   *record.Compressor
	sorts     chan struct{} // a value for each product that is read in full
	now       atomic.Pointer[func() int64]
	gather    atomic.Pointer[pace]  // Follow's
	tidy      atomic.Pointer[pace]  // Maintain's
	upkeep    atomic.Pointer[error] // why upkeep failed
	wrote     chan struct{}         // a run was written since Maintain looked
	followers *followers
	chunk     []byte          // Follow's
	messages  record.Messages // Follow's
	block     commitlog.Block // Follow's
	row       archive.Row     // Follow's
	erasing   erasing
	source    atomic.Pointer[source] // nil: the view archives by itself
	told      atomic.Uint64          // the last group that Follow was told
	turn      sync.Mutex             // held by whoever gathers, and while another archive is adopted
	lacks     int                    // Maintain's: how often nothing could be copied since it could be
	lacksTold time.Time              // Maintain's: when that was told last; zero: it was over since
	behind    int64                  // behindBytes, less for tests
}

// New returns the view that o.Store keeps.
func New(o Options) (*View, error) {
	if o.Store == nil || o.Log == nil || o.Retention <= 0 {
		return nil, errors.New("rawlog: Store, Log and Retention are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	inflate, err := record.NewCompressor(0) // 0: as many at once as there are processors.
	if err != nil {
		return nil, err
	}
	v := &View{
		o:       o,
		inflate: inflate,
		sorts:   make(chan struct{}, sortsMax),
		wrote:   make(chan struct{}, 1),
		behind:  behindBytes,
	}
	v.messages.Bare = true
	v.followers = newFollowers(v)
	o.Store.SetRest(func() { step(&v.gather) }, func() { step(&v.tidy) })
	return v, nil
}

// step is a step of a pace that Maintain has set.
func step(at *atomic.Pointer[pace]) {
	if p := at.Load(); p != nil {
		p.step()
	}
}

// Name implements views.View.
func (v *View) Name() string { return "archive" }

// Position implements views.View.
func (v *View) Position() views.Position { return views.Position(v.o.Store.Position()) }

// PositionMs implements views.LogReader.
func (v *View) PositionMs() int64 { return v.o.Store.PositionMs() }

// AvailableFromMs implements views.Gapped.
func (v *View) AvailableFromMs() (int64, error) { return v.o.Store.AvailableFromMs(), nil }

// Skip implements views.View. What plans said of log days is lost with the groups: 0, the retention, until a plan is
// changed, so that nothing is gone too early.
func (v *View) Skip(to views.Position, availableFromMs int64) error {
	return v.o.Store.Skip(archive.Position(to), availableFromMs, map[uint32]uint32{})
}

// Close implements views.View.
func (v *View) Close() error { return v.o.Store.Close() }

// Follow implements views.LogReader.
func (v *View) Follow(ctx context.Context, last uint64, devices views.Devices) error {
	v.turn.Lock()
	defer v.turn.Unlock()
	v.told.Store(last)
	s := v.o.Store
	s.SetProducts(func(ordinal uint64) uint32 {
		product, _ := devices.Name(counters.Ordinal(ordinal))
		return product
	})
	for ctx.Err() == nil && !v.leaves() {
		if s.Due(s.GatheredMs()) {
			if err := v.writeRun(); err != nil {
				return err
			}
			continue
		}
		at := s.Gathered().Seq
		if at >= last {
			break
		}
		if err := v.o.Log.ReadForward(ctx, at, 0, math.MaxInt64, followBytes, &v.block); err != nil {
			return fmt.Errorf("read the log behind group %d: %w", at, err)
		}
		if len(v.block.Groups) == 0 || v.block.Groups[0].Seq != at+1 {
			return fmt.Errorf("group %d is gone from the log", at+1)
		}
		if err := v.gatherBlock(last); err != nil {
			return err
		}
	}
	if now := v.now.Load(); ctx.Err() == nil && now != nil && !v.leaves() && s.Due((*now)()) {
		if err := v.writeRun(); err != nil {
			return err
		}
	}
	if err := v.upkeep.Load(); err != nil {
		return *err
	}
	return nil
}

// writeRun writes what was gathered, without what is erased, and has Maintain look: there may be too much now.
func (v *View) writeRun() error {
	v.learn()
	if err := v.o.Store.WriteRun(); err != nil {
		return err
	}
	select {
	case v.wrote <- struct{}{}:
	default:
	}
	return nil
}

// gatherBlock takes the groups that were read, up to group last, until a run is due.
func (v *View) gatherBlock(last uint64) error {
	s := v.o.Store
	for i := range v.block.Groups {
		g := &v.block.Groups[i]
		if g.Seq > last || i > 0 && s.Due(s.GatheredMs()) {
			return nil
		}
		if err := v.group(g); err != nil {
			return fmt.Errorf("group %d: %w", g.Seq, err)
		}
	}
	return nil
}

func (v *View) group(g *commitlog.Group) error {
	s := v.o.Store
	head, err := record.DecodeHead(g.Head)
	if err != nil {
		return err
	}
	if err := s.Group(g.Seq, g.FirstMs, g.LastMs); err != nil {
		return err
	}
	for _, stored := range g.Chunks {
		if v.chunk, err = v.inflate.Decompress(v.chunk[:0], stored); err != nil {
			return err
		}
		c, err := record.Open(v.chunk)
		if err != nil {
			return err
		}
		if err := v.chunkRows(&c); err != nil {
			return err
		}
		step(&v.gather)
	}
	// The events were decided under the plans as they stood before the group's changes.
	for _, encoded := range head.Changes {
		ch, err := license.DecodeChange(encoded)
		if err != nil {
			return err
		}
		if err := ch.LogDays(s.SetLogDays); err != nil {
			return err
		}
	}
	s.End(archive.Position{Seq: g.Seq, Chain: g.Chain}, g.LastMs)
	return nil
}

// chunkRows adds the rows of a chunk, which most often are messages that have nothing but numbers.
func (v *View) chunkRows(c *record.Chunk) error {
	s := v.o.Store
	taken, err := v.messages.Each(c, func(run *record.MessageRun) error {
		s.AddMessages(&archive.Messages{
			DecidedMs: run.DecidedMs, Day: run.Day, Types: run.Types, Ordinals: run.Ordinals, Sizes: run.Sizes,
			Ups: run.Ups, Downs: run.Downs,
		})
		return nil
	})
	if taken || err != nil {
		return err
	}
	rows := c.Scan()
	for rows.Next() {
		rowOf(&v.row, &rows.Row)
		s.Add(&v.row)
	}
	return rows.Err()
}

// rowOf sets to to a row of the log. Its product is set if the device is not known, its Tie and Order are not.
func rowOf(to *archive.Row, r *record.Row) {
	*to = archive.Row{
		DecidedMs: r.DecidedMs, Type: uint8(r.Type), Code: uint8(r.Code), Counted: r.Counted, Size: r.Size, Day: r.Day,
		Up: r.Up, Down: r.Down, Used: r.Used, Denied: r.Denied, TimeMs: r.TimeMs, ID: r.ID, Topic: r.Topic,
		Payload: r.Payload, IsCut: r.IsCut, WouldDeny: uint8(r.WouldDeny), Quota: archive.Quota(r.Quota),
		Requested: r.Requested, TopupAvailable: r.TopupAvailable,
	}
	if r.Named {
		to.Device, to.Name = archive.Unknown(r.Product, r.Name), r.Name
	} else {
		to.Device = archive.Known(0, r.Ordinal)
	}
}

// Upkeep is what Maintain goes by.
type Upkeep struct {
	Now func() int64 // the time that meterd decides by (R12), Unix milliseconds
	// Rows is how many events were logged in all: while they are many the view keeps to a part of the machine, unless Low
	// says that the disk runs short.
	Rows func() uint64
	Low  func() bool
	// CountedMs is the instant before which the ledger has counted every event: those may go early.
	CountedMs func() int64
}

// Maintain adopts another archive (SetSource), merges directories, removes those that are over, or too much, and
// rewrites those with what is erased, until ctx ends. What fails is tried again, and fails the view until it succeeds.
func (v *View) Maintain(ctx context.Context, u Upkeep) {
	v.now.Store(&u.Now)
	v.gather.Store(&pace{rows: u.Rows, low: u.Low, done: ctx.Done()})
	v.tidy.Store(&pace{rows: u.Rows, low: u.Low, done: ctx.Done()})
	v.o.Store.SetCounted(u.CountedMs)
	timer := time.NewTimer(v.every())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-v.wrote:
		}
		v.adopt(ctx, u.Now())
		err := v.o.Store.Tidy(ctx, u.Now())
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			v.o.Logger.Error("the archive cannot be merged or freed; it is tried again", "error", err)
			v.upkeep.Store(&err)
			timer.Reset(retryAfter)
		default:
			v.upkeep.Store(nil)
			timer.Reset(v.every())
		}
	}
}

// every is how long the archive is left alone.
func (v *View) every() time.Duration {
	longest := tidyAge
	if v.source.Load() != nil {
		longest = pullEvery
	}
	return min(max(min(v.o.Retention/tidyPart, v.o.Store.EraseAfter()/tidyErasePart), tidyAgeMin), longest)
}
