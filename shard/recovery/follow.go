package recovery

import (
	"context"
	"errors"
	"fmt"
	"math"

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// Group is a group of the log as it is joined. What it points to is used again for another one.
type Group struct {
	Seq             uint64
	FirstMs, LastMs int64 // decided times, Unix milliseconds
	Chain           commitlog.Chain
	Head            record.Head
	Chunks          []record.Chunk
	Rows            int
	Bytes           int // as it is stored
}

// Follow joins the groups behind the last one that was joined, up to group `to`, which the log has. It calls each for
// every group, in order, and each has it joined by calling join. The group is valid until each returns. After an error
// of join nothing more may be joined; ctx ends Follow between two groups.
func (j *Joiner) Follow(ctx context.Context, to uint64, each func(g *Group, join func() error) error) error {
	if j.ahead == nil {
		j.ahead = newAhead(followAhead)
	}
	from, join := j.seq, func(d *decoded) error {
		return each(&d.Group, func() error { return j.join(d) })
	}
	read := func(fn func(*commitlog.Group) error) error { return j.read(ctx, from, to, fn) }
	var err error
	if to > from+followAhead {
		err = pipeline(j.ahead, j.o.Compressor, allShards(), read, join)
	} else { // Another goroutine would take longer than the groups.
		err = read(func(g *commitlog.Group) error {
			d := j.ahead[0]
			d.err = d.decode(j.o.Compressor, g, allShards())
			return join(d)
		})
	}
	for i, d := range j.ahead {
		if d.isLarge() {
			j.ahead[i] = &decoded{}
		}
	}
	return err
}

// read calls fn for the groups behind `after`, up to `to`.
func (j *Joiner) read(ctx context.Context, after, to uint64, fn func(*commitlog.Group) error) error {
	for after < to {
		if err := j.o.Log.ReadForward(ctx, after, 0, math.MaxInt64, followBytes, &j.block); err != nil {
			return fmt.Errorf("read the log behind group %d: %w", after, err)
		}
		for i := range j.block.Groups {
			g := &j.block.Groups[i]
			switch {
			case after == to:
				return nil
			case g.Seq != after+1:
				return fmt.Errorf("group %d is gone from the log", after+1)
			}
			if err := fn(g); err != nil {
				return err
			}
			after = g.Seq
		}
		if len(j.block.Groups) == 0 {
			return errors.New("the log ends too early")
		}
	}
	return nil
}

// isLarge reports whether the memory of a group is not worth keeping for another one.
func (d *decoded) isLarge() bool {
	bytes := cap(d.stored) + cap(d.words)*joinWordBytes
	for _, raw := range d.raw {
		bytes += cap(raw)
	}
	return bytes > decodedBytesKept
}
