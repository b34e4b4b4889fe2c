package rawlog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/shard/record"
)

// ProductPlace is a row's place among those of its product: by decided time, then by group, then by device, the
// unknown ones first. It stays the same for ever, wherever the row lies.
type ProductPlace = archive.ProductPlace

// Device is a device as the raw log numbers it.
type Device = archive.Device

// ErrNoRoom says that the disk has no room to sort a product's rows on.
var ErrNoRoom = archive.ErrNoRoom

// ErrBusy says that as many products are read in full as can be at once.
var ErrBusy = errors.New("as many products' logs are sorted already as can be at once")

// ProductQuery asks for the raw log of a product.
type ProductQuery struct {
	Filter
	Product uint32
	After   ProductPlace // go on behind this row; the zero ProductPlace: from the beginning
	Oldest  bool         // oldest first; else newest first
	// Rows is how many rows are wanted at most: these lie in memory while they are found. 0: all of them, which are sorted
	// on the disk; between AdmitSort and its leave alone.
	Rows int
	// LogDays are those of the product's plan as it is now, for events that are not gathered yet.
	LogDays uint32
	// Owners sets products to whose the devices with these ordinals are, of the same number, some thousands at a time.
	Owners func(ordinals []uint64, products []uint32) error
}

// AdmitSort lets a reader read all of a product, or says why it cannot: ErrBusy, ErrNoRoom. leave must be called.
func (v *View) AdmitSort() (leave func(), err error) {
	if err := v.o.Store.CanSort(); err != nil {
		return nil, err
	}
	select {
	case v.sorts <- struct{}{}:
		return func() { <-v.sorts }, nil
	default:
		return nil, ErrBusy
	}
}

// ProductLog calls fn for the rows of a product that q asks for, in the order of their places, until fn returns
// false. What was durable when it was called is there. A row is valid until fn returns. However slow fn is, it holds
// nothing of log or archive: a bounded part is copied and let go before, or sorted into a file that has no name. What
// is erased is in the rows: fn hides it by the names of devices, as late as it can, since a sorted row may wait for
// minutes.
func (v *View) ProductLog(ctx context.Context, q ProductQuery, fn func(*Row) bool) error {
	if len(q.Topic) > 0 {
		q.erased = v.Erasures()
	}
	p := &productLog{v: v, q: &q, fn: fn}
	p.reader = v.o.Store.ReadProduct(archive.ProductQuery{
		Product: q.Product, FromMs: q.FromMs, ToMs: q.ToMs, After: q.After, Oldest: q.Oldest, Rows: q.Rows,
		Wants:  func(r *Row) bool { return v.wants(&q.Filter, r) },
		Denied: q.ByVerdict && q.Verdict != event.Accepted, Topics: len(q.Topic) > 0, Owners: q.Owners,
	})
	if err := p.read(ctx); err != nil {
		return fmt.Errorf("read the raw log of a product: %w", err)
	}
	return nil
}

// productLog reads a product's rows from log and archive.
type productLog struct {
	v        *View
	q        *ProductQuery
	fn       func(*Row) bool
	reader   *archive.ProductReader
	ordinals []uint64
	products []uint32
}

func (p *productLog) read(ctx context.Context) error {
	if !p.q.Oldest {
		more, err := p.retry(func() (bool, error) {
			x := p.v.o.Store.Snapshot()
			return p.tail(x.Gathered, x.Ties).back(ctx)
		})
		if err != nil || !more {
			return err
		}
	}
	for {
		done := archive.Ended
		_, err := p.retry(func() (more bool, err error) {
			x := p.v.o.Store.Snapshot()
			gathered, ties := x.Gathered, x.Ties
			done, err = p.reader.Step(ctx, x, p.fn)
			if err == nil && done == archive.Ended && p.q.Oldest {
				more, err = p.tail(gathered, ties).forward(ctx)
			}
			return more, err
		})
		if err != nil || done != archive.GoOn {
			return err
		}
	}
}

// retry calls what again when the log or the archive has moved on under it.
func (p *productLog) retry(what func() (more bool, err error)) (more bool, err error) {
	for tries := 0; tries < snapshotsMax; tries++ {
		was := p.reader.After()
		more, err = what()
		if !errors.Is(err, archive.ErrGone) && !errors.Is(err, errMoved) {
			return more, err
		}
		if p.reader.After() != was {
			tries = 0 // Rows were given meanwhile.
		}
	}
	return false, errors.New("it moved on at every try")
}

// tail reads what the log has behind a group. It holds no Snapshot: that has rows in memory.
func (p *productLog) tail(gathered archive.Position, ties archive.Ties) *tail {
	return &tail{v: p.v, x: &archive.Snapshot{Gathered: gathered, Ties: ties}, q: p, fn: func(r *Row) bool {
		place := r.ProductPlace()
		more := p.fn(r)
		return p.reader.Given(place) && more
	}}
}

func (p *productLog) times() (fromMs, toMs int64) {
	fromMs, toMs = p.q.FromMs, p.q.ToMs
	switch after := p.reader.After(); {
	case after == (ProductPlace{}):
	case p.q.Oldest:
		fromMs = max(fromMs, after.DecidedMs)
	default:
		toMs = min(toMs, after.DecidedMs)
	}
	return fromMs, toMs
}

// chunk looks up whose the devices of a chunk are.
func (p *productLog) chunk(c *record.Chunk) error {
	p.ordinals = p.ordinals[:0]
	rows := c.Scan()
	for rows.Next() {
		p.ordinals = append(p.ordinals, rows.Row.Ordinal) // 0 of one without; it is not looked at.
	}
	p.products = slices.Grow(p.products[:0], len(p.ordinals))[:len(p.ordinals)]
	for at := 0; at < len(p.ordinals); at += ownersAtOnce {
		to := min(at+ownersAtOnce, len(p.ordinals))
		if err := p.q.Owners(p.ordinals[at:to], p.products[at:to]); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (p *productLog) device(i int, r *record.Row) (Device, bool) {
	if r.Named {
		return archive.Unknown(r.Product, r.Name), r.Product == p.q.Product
	}
	return archive.Known(p.q.Product, r.Ordinal), p.products[i] == p.q.Product
}

func (p *productLog) logDays() uint32 { return p.q.LogDays }

func (p *productLog) compare(a, b *Row) int { return archive.CompareInGroup(a, b) }

func (p *productLog) wants(r *Row) bool { return p.v.wants(&p.q.Filter, r) }

func (p *productLog) isBehind(r *Row) bool {
	after := p.reader.After()
	if after == (ProductPlace{}) {
		return true
	}
	c := r.ProductPlace().Compare(after)
	return p.q.Oldest && c > 0 || !p.q.Oldest && c < 0
}
