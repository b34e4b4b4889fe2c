package verify

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	commitlog "github.com/meterd/meterd/retention/log"
)

// group is a decoded group. Its memory is used again.
type group struct {
	seq             uint64
	firstMs, lastMs int64
	chain           commitlog.Chain
	head            head
	bindings        []binding
	chunks          []lane
	err             error
}

// lane is what one chunk of a group says: events in their order, and their effects.
type lane struct {
	raw     []byte
	rows    []row
	effects effects
}

// inflater inflates chunks; it may be used by several goroutines.
type inflater struct{ dec *zstd.Decoder }

func newInflater() (*inflater, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(rawBytesMax))
	if err != nil {
		return nil, fmt.Errorf("open decompressor: %w", err)
	}
	return &inflater{dec: dec}, nil
}

// decode reads a group of the log. Nothing of g is kept.
func (to *group) decode(in *inflater, g *commitlog.Group) {
	to.seq, to.firstMs, to.lastMs, to.chain = g.Seq, g.FirstMs, g.LastMs, g.Chain
	to.bindings, to.err = to.bindings[:0], nil
	if err := to.content(in, g); err != nil {
		to.err = fmt.Errorf("group %d: %w", g.Seq, err)
	}
}

func (to *group) content(in *inflater, g *commitlog.Group) (err error) {
	if to.head, err = decodeHead(append([]byte(nil), g.Head...)); err != nil {
		return err
	}
	for cap(to.chunks) < len(g.Chunks) {
		to.chunks = append(to.chunks[:cap(to.chunks)], lane{})
	}
	to.chunks = to.chunks[:len(g.Chunks)]
	for i, stored := range g.Chunks {
		l := &to.chunks[i]
		if l.raw, err = in.dec.DecodeAll(stored, l.raw[:0]); err != nil {
			return fmt.Errorf("inflate chunk %d: %w", i+1, err)
		}
		c, err := decodeChunk(l.raw)
		if err != nil {
			return err
		}
		if cap(l.rows) > rowsKept {
			l.rows = nil
		}
		if l.rows, err = c.appendRows(l.rows[:0]); err != nil {
			return err
		}
		if to.bindings, err = c.appendBindings(to.bindings); err != nil {
			return err
		}
		if err := l.effects.decode(c.cols[colEffects]); err != nil {
			return err
		}
	}
	return nil
}

// follow decodes the log's groups from one on and calls fn for each, in their order: one goroutine reads and decodes,
// the caller's recounts.
func follow(log *commitlog.Log, from uint64, fn func(*group) error) error {
	in, err := newInflater()
	if err != nil {
		return err
	}
	defer in.dec.Close()
	full, free := make(chan *group, groupsAhead), make(chan *group, groupsAhead)
	for range groupsAhead {
		free <- &group{}
	}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(full)
		done <- log.Replay(from, func(g *commitlog.Group) error {
			select {
			case to := <-free:
				to.decode(in, g)
				full <- to // There is room: no more of them exist.
				return to.err
			case <-stop:
				return errStopped
			}
		})
	}()
	for g := range full {
		if err == nil {
			if err = g.err; err == nil {
				err = fn(g)
			}
			if err != nil {
				close(stop)
			}
		}
		free <- g
	}
	if end := <-done; err == nil {
		err = end
	}
	return err
}
