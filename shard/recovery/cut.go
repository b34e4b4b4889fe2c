package recovery

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
)

// CutOptions is what a Cut is read from. Of the Options it needs Log, Compressor, Region, Retention and Lanes.
type CutOptions struct {
	Options
	// Checkpoint is the cut's from now on; Close closes it.
	Checkpoint *disk.CheckpointReader
	// Group is where the cut is: not before the checkpoint's E, and durable. The log keeps the groups from the
	// checkpoint's B + 1 up to it until the cut is closed.
	Group uint64
	// Devices knows every device that the log up to Group has bound.
	Devices Devices
	// HashSeed is that of the data directory's device table.
	HashSeed uint64
	// ImageBytes bounds the images of the shards of which Devices makes one table, cutImageBytes by default. One shard may
	// be larger.
	ImageBytes int64
}

// Devices says which device an ordinal names.
type Devices interface {
	Name(counters.Ordinal) (product uint32, name []byte)
}

// Cut is the state at the end of one group, read from a checkpoint and the log behind it: catalogue, pools and totals
// at once, the devices a range of shards at a time, so that memory is bounded. It joins what recovery would join, in
// the same way. It is for one goroutine.
//
//	checkpoint ── places of sections ─► catalogue, pools, totals ─┐
//	    │                                                         ├─► join with the log (B, F]: once for these,
//	    └── some shards' images ─► a table of these shards ───────┘   once for each range of shards
type Cut struct {
	// Catalogue is what administration had said, with the pools as they were. Nobody changes it.
	Catalogue *license.Catalogue
	// Totals are the products' totals.
	Totals *Totals
	// LastMs is the last decided time, Unix milliseconds: everything of later groups was decided then or later.
	LastMs int64

	o      CutOptions
	images [shards]shardImage
}

// shardImage says where the image of a shard begins in the checkpoint, and how large it is.
type shardImage struct{ at, bytes int64 }

// OpenCut reads everything but the devices. After an error the checkpoint is closed.
func OpenCut(ctx context.Context, o CutOptions) (*Cut, error) {
	c := &Cut{o: o}
	if c.o.ImageBytes == 0 {
		c.o.ImageBytes = cutImageBytes
	}
	if err := c.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("cut the state at group %d: %w", o.Group, err), c.Close())
	}
	return c, nil
}

func (c *Cut) open(ctx context.Context) error {
	r := c.o.Checkpoint
	if c.o.Group < r.E() {
		return fmt.Errorf("the checkpoint reflects group %d", r.E())
	}
	s := New(nil, claims.New(claims.Options{}), commands.New(commands.Options{}))
	rest := restJoiner{j: NewJoiner(s, c.o.Options), devices: c.o.Devices}
	err := r.Places(func(at int64, kind uint16, data []byte) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case kind == sectionShard && len(data) > 0:
			image := &c.images[data[0]]
			if image.bytes == 0 {
				image.at = at
			}
			image.bytes += int64(len(data))
			return nil
		case kind == sectionProducers, kind == sectionCommands, kind == sectionRuns, kind == sectionUpgrades,
			kind == sectionDecided:
			return nil
		}
		return rest.j.section(kind, data)
	})
	if err == nil {
		err = rest.j.catalogueEnds()
	}
	if err == nil {
		err = c.replay(ctx, shardRange{}, rest.join)
	}
	c.Catalogue, c.Totals, c.LastMs = rest.j.cat, &s.Totals, rest.j.lastMs
	return err
}

// replay joins the log between the checkpoint and the cut.
func (c *Cut) replay(ctx context.Context, words shardRange, join func(*decoded) error) error {
	from := c.o.Checkpoint.B() + 1
	if from > c.o.Group {
		return nil
	}
	last := from - 1
	err := replay(&c.o.Options, from, c.o.Group, words, func(d *decoded) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		last = d.Seq
		if err := errors.Join(d.err, join(d)); err != nil {
			return fmt.Errorf("group %d: %w", d.Seq, err)
		}
		return nil
	})
	if err == nil && last != c.o.Group {
		return fmt.Errorf("the log ends with group %d", last)
	}
	return err
}

// Devices calls fn with a table of the devices of one range of shards after the other, first to before end, until all
// of them were there. The table is closed when fn returns.
func (c *Cut) Devices(ctx context.Context, fn func(t *counters.Table, first, end int) error) error {
	for words := (shardRange{}); words.end < shards; {
		words.first = words.end
		bytes := int64(0)
		for words.end < shards && (words.end == words.first || bytes+c.images[words.end].bytes <= c.o.ImageBytes) {
			bytes += c.images[words.end].bytes
			words.end++
		}
		if err := c.devices(ctx, words, fn); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cut) devices(
	ctx context.Context, words shardRange, fn func(t *counters.Table, first, end int) error,
) (err error) {
	t, err := counters.New(counters.Options{Seed: c.o.HashSeed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	j := deviceJoiner{j: NewJoiner(&State{Table: t}, c.o.Options), shards: words}
	defer func() { err = errors.Join(err, j.j.Close()) }()
	if err := c.load(ctx, t, words); err != nil {
		return fmt.Errorf("load shards %d to %d of the checkpoint: %w", words.first, words.end-1, err)
	}
	if err := c.replay(ctx, words, j.join); err != nil {
		return fmt.Errorf("join shards %d to %d: %w", words.first, words.end-1, err)
	}
	return fn(t, words.first, words.end)
}

// load loads some shards from the checkpoint.
func (c *Cut) load(ctx context.Context, t *counters.Table, words shardRange) error {
	loads := newShardLoader(t, c.o.Lanes)
	err := c.o.Checkpoint.From(c.images[words.first].at, func(kind uint16, data []byte) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case kind != sectionShard || len(data) > 0 && int(data[0]) >= words.end:
			return io.EOF
		}
		return loads.piece(data)
	})
	if err == nil {
		err = loads.flush()
	}
	if loaded := loads.wait(); err == nil {
		err = loaded
	}
	return err
}

// Close lets go of the checkpoint.
func (c *Cut) Close() error { return c.o.Checkpoint.Close() }
