package shard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/recovery"
	"github.com/meterd/meterd/shard/views"
)

// cutting says which cut is open.
type cutting struct {
	place chan struct{} // a semaphore of one: Cut takes the token, Close returns it
	// keep is the group behind which the log keeps everything, for a cut that is open.
	keep atomic.Uint64
}

func (c *cutting) init() {
	c.place = make(chan struct{}, 1)
	c.place <- struct{}{}
	c.keep.Store(math.MaxUint64)
}

func (c *cutting) keeps() uint64 { return c.keep.Load() }

// cutBounds is what tests make smaller; zeroes stand for the limits.
type cutBounds struct {
	open       time.Duration // how long a cut may be open
	imageBytes int64         // as recovery.CutOptions
}

func (b *cutBounds) fill() {
	if b.open == 0 {
		b.open = cutMax
	}
}

// Errors of Cut.
var (
	// ErrCutTooLong means that a cut was open for longer than the log may be held.
	ErrCutTooLong = errors.New("reading the state at one instant took too long")
	// ErrCutClosed means that the cut was closed.
	ErrCutClosed = errors.New("the cut is closed")
)

// Cut is the whole state as of the end of one group, beside an engine that goes on. While it is open the log keeps what
// it has not read yet, and the disk keeps a checkpoint more; so it must be closed, and closes itself after cutMax. One
// cut is open at a time. Its methods are safe for concurrent use.
type Cut struct {
	At views.Position
	e  *Engine
	*recovery.Cut

	ctx context.Context // ends when the cut is closed, with the reason
	end context.CancelCauseFunc

	reading sync.Mutex // held by make and Devices, for Close waits until nothing reads any more
	once    sync.Once
	err     error // of closing
}

// Cut makes a cut of the state at the last durable group: it makes a checkpoint, calls at when the ledger stands at
// exactly that group, and reads everything but the devices. A caller that finds another cut open waits until that is
// closed, or ctx ends. Requests do not notice but for what a checkpoint costs. ctx bounds the making alone.
func (e *Engine) Cut(ctx context.Context, at func(views.Position) error) (*Cut, error) {
	select {
	case <-e.cutting.place:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.stop:
		return nil, ErrStopped
	case <-e.failed:
		return nil, ErrStopped
	}
	c := e.newCut()
	err := c.make(ctx, at)
	if err == nil {
		return c, nil
	}
	err = errors.Join(err, c.Close())
	if e.Err() != nil || e.closed.Load() {
		err = ErrStopped
	}
	return nil, err
}

// make makes the cut, unless that is closed meanwhile. After an error it must still be closed.
func (c *Cut) make(ctx context.Context, at func(views.Position) error) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx) // It may be closed already: nobody would close what is opened now.
	}
	e := c.e
	if !e.join() {
		return ErrStopped
	}
	defer e.wg.Done() // Close waits: what follows reads the device table.
	ctx, done := c.bounded(ctx)
	defer done()
	if e.o.Guard.Low() {
		return ErrDiskFull
	}
	e.clock.seal() // The cut is of now, also if nothing was decided for long.
	checkpoint, err := e.heldCheckpoint()
	if err != nil {
		if !errors.Is(err, ErrStopped) {
			e.fail(err) // As for every checkpoint.
		}
		return err
	}
	o := recovery.CutOptions{
		Options: e.recoveryOptions(0), Checkpoint: checkpoint, Devices: e.table, HashSeed: e.o.HashSeed,
		ImageBytes: e.o.cuts.imageBytes,
	}
	o.Lanes = 1 // The other processors are the requests'.
	if o.Compressor, err = record.NewCompressor(1); err == nil {
		err = e.views.Pin(ctx, e.o.Ledger, func(p views.Position) error {
			c.At = p
			return at(p)
		})
	}
	if errors.Is(err, views.ErrLags) {
		err = ErrLedgerLags
	}
	if err != nil {
		return errors.Join(causeOf(ctx, err), checkpoint.Close())
	}
	o.Group = c.At.Seq
	if c.Cut, err = recovery.OpenCut(ctx, o); err == nil && c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return causeOf(ctx, err)
}

// bounded returns a context that ends with ctx, or when the cut ends, with the reason of that.
func (c *Cut) bounded(ctx context.Context) (both context.Context, done func()) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.ctx, func() { cancel(context.Cause(c.ctx)) })
	return both, func() {
		stop()
		cancel(nil)
	}
}

// causeOf returns err, or why ctx has ended if that is what err came from.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// newCut returns a cut that holds the log and watches its own end.
func (e *Engine) newCut() *Cut {
	e.cutting.keep.Store(e.sealedSeq.Load())
	ctx, end := context.WithCancelCause(context.Background())
	limited, cancel := context.WithTimeoutCause(ctx, e.o.cuts.open, ErrCutTooLong)
	c := &Cut{e: e, ctx: limited, end: end}
	context.AfterFunc(limited, func() {
		cancel()
		_ = c.Close() // Whoever closes it gets the error, too.
	})
	go c.watch()
	return c
}

// watch ends the cut with the engine.
func (c *Cut) watch() {
	select {
	case <-c.e.stop:
	case <-c.e.failed:
	case <-c.ctx.Done():
		return
	}
	c.end(ErrStopped)
}

// join has Close wait for the caller until it says e.wg.Done; false if the engine is closed.
func (e *Engine) join() bool {
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	if e.closed.Load() {
		return false
	}
	e.wg.Add(1)
	return true
}

// Devices calls fn with a table of the devices of one range of shards after the other, first to before end, until all
// of them were there; the table is closed when fn returns. Each call reads what lies in the log behind the checkpoint
// once more for each range. It ends early, with an error, when ctx ends, the cut is closed or the engine stops.
func (c *Cut) Devices(ctx context.Context, fn func(t *counters.Table, first, end int) error) error {
	c.reading.Lock()
	defer c.reading.Unlock()
	ctx, done := c.bounded(ctx)
	defer done()
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return causeOf(ctx, c.Cut.Devices(ctx, func(t *counters.Table, first, end int) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case c.e.o.Guard.Low():
			return fmt.Errorf("%w, and the cut keeps a checkpoint", ErrDiskFull)
		}
		return fn(t, first, end)
	}))
}

// KeyOf returns what Ordinals looks a device up by.
func (c *Cut) KeyOf(product uint32, device []byte) counters.Key {
	return c.e.table.KeyOf(product, device)
}

// Ordinals sets found[i] to the ordinal of the device of keys[i], above counters.OrdinalMax if the engine, which knows
// more than the cut, knows none. A seal waits for a look-up of findBatch of them at most.
func (c *Cut) Ordinals(keys []counters.Key, found []counters.Ordinal) error {
	var slots [findBatch]*counters.Slot
	for len(keys) > 0 {
		n := min(len(keys), len(slots))
		if err := c.ordinals(keys[:n], slots[:n], found[:n]); err != nil {
			return err
		}
		keys, found = keys[n:], found[n:]
	}
	return nil
}

func (c *Cut) ordinals(keys []counters.Key, slots []*counters.Slot, found []counters.Ordinal) error {
	c.e.gate.mu.RLock()
	defer c.e.gate.mu.RUnlock()
	if c.e.closed.Load() {
		return ErrStopped
	}
	c.e.table.FindBatch(keys, slots)
	for i, s := range slots {
		if found[i] = counters.OrdinalMax + 1; s != nil {
			found[i] = s.Ordinal()
		}
	}
	return nil
}

// Close lets the log and the checkpoint go, and waits for Devices to return. It may be called again, but not by what
// Devices calls.
func (c *Cut) Close() error {
	c.once.Do(func() {
		c.end(ErrCutClosed)
		c.e.cutting.keep.Store(math.MaxUint64)
		c.reading.Lock()
		defer c.reading.Unlock()
		if c.Cut != nil {
			c.err = c.Cut.Close()
		}
		c.e.cutting.place <- struct{}{}
	})
	return c.err
}
