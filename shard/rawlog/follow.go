package rawlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/views"
)

// Following says how a log is followed.
type Following struct {
	// Now returns the time that meterd decides by, Unix milliseconds.
	Now func() int64
	// Find looks the ordinal of the query's device up, until it is known. It must know devices whose rows are durable. Of
	// a product it is not called.
	Find func() (ordinal uint64, isKnown bool, err error)
	// Named runs a short function with the names of devices. Those whose rows are durable must be known.
	Named func(func(views.Devices)) error
	// Pause, when not nil, is called when no row is at hand, before more are waited or searched for: fn need gather none
	// any longer. It reports whether more are wanted.
	Pause func() (more bool)
	// Idle, when not nil, is called now and then while no row comes: all rows up to a place were handed over.
	Idle func(ProductPlace)
}

// FollowDevice calls fn for the rows of a device that q asks for, oldest first, and then for those that become durable,
// until fn returns false or ctx ends; then it returns nil. None is missed and none comes twice. A row is valid until fn
// returns. However slow fn is, it holds nothing of the log: what it does not take in time is searched for later. ToMs,
// NowMs and Oldest of the query, and whether its device is known, are not looked at.
func (v *View) FollowDevice(ctx context.Context, q Query, o Following, fn func(*Row) bool) error {
	q.Oldest, q.ToMs, q.NowMs, q.Known = true, math.MaxInt64, 0, false
	f := &follower{
		v: v, product: q.Product, device: q.Device, fromMs: q.FromMs, after: ProductPlace{Place: q.After}, fn: fn, o: o,
		wants:   func(r *Row) bool { return v.wants(&q.Filter, r) },
		compare: func(p, q ProductPlace) int { return p.Place.Compare(q.Place) },
	}
	f.search = func(ctx context.Context, fn func(*Row) bool) (err error) {
		if !f.isKnown {
			if f.ordinal, f.isKnown, err = o.Find(); err != nil {
				return err
			}
		}
		q := q
		q.Known, q.Ordinal, q.NowMs, q.FromMs, q.After = f.isKnown, f.ordinal, o.Now(), f.fromMs, f.after.Place
		return v.DeviceLog(ctx, q, fn)
	}
	if err := f.follow(ctx); err != nil {
		return fmt.Errorf("follow the log of a device: %w", err)
	}
	return nil
}

// FollowProduct is FollowDevice for all devices of a product.
func (v *View) FollowProduct(ctx context.Context, q ProductQuery, o Following, fn func(*Row) bool) error {
	q.Oldest, q.ToMs, q.NowMs = true, math.MaxInt64, 0
	f := &follower{
		v: v, product: q.Product, fromMs: q.FromMs, after: q.After, fn: fn, o: o,
		wants:   func(r *Row) bool { return v.wants(&q.Filter, r) },
		compare: ProductPlace.Compare,
	}
	read := func(ctx context.Context, rows int, fn func(*Row) bool) error {
		q := q
		q.Rows, q.NowMs, q.FromMs, q.After = rows, o.Now(), f.fromMs, f.after
		return v.ProductLog(ctx, q, fn)
	}
	f.search = func(ctx context.Context, fn func(*Row) bool) error { return read(ctx, v.followers.pageRows, fn) }
	f.sorted = func(ctx context.Context, fn func(*Row) bool) error { return read(ctx, 0, fn) }
	if err := f.follow(ctx); err != nil {
		return fmt.Errorf("follow the log of a product: %w", err)
	}
	return nil
}

// follower is one who follows the raw log. It searches for what there is behind its last row, takes a seat, reads what
// has become durable before that, and then what comes to its seat. When it loses the seat it goes on in the log, where
// what it lacks lies together, or, if that has gone, searches again.
type follower struct {
	v       *View
	product uint32
	device  []byte // nil: all of the product
	ordinal uint64 // of the device, if it is known
	isKnown bool
	// wants reports whether a row is asked for; its place is looked at elsewhere. The reader of the log calls it too.
	wants   func(*Row) bool
	compare func(p, q ProductPlace) int
	// search calls fn for the rows behind after, decided at or after fromMs, oldest first, catchUpRows at least. They must
	// be those that were durable when it was called, and may be more.
	search func(ctx context.Context, fn func(*Row) bool) error
	// sorted is search for all rows. Each search of a product reads whole directories, so many rows are sorted instead.
	// nil: search is as good.
	sorted func(ctx context.Context, fn func(*Row) bool) error
	fn     func(*Row) bool
	o      Following

	fromMs int64
	after  ProductPlace // of the last row
	// log is where the follower is in the log; nil: rows that it lacks may be gone from there.
	log *logPlace
}

// errEnough says that fn needs no more.
var errEnough = errors.New("no more is needed")

func (f *follower) follow(ctx context.Context) error {
	for {
		err := f.once(ctx)
		switch {
		case errors.Is(err, errBehind):
		case ctx.Err() != nil, errors.Is(err, errEnough):
			return nil
		default:
			return err
		}
	}
}

// once catches up, and follows until the seat is lost.
func (f *follower) once(ctx context.Context) error {
	// This may take long, and would fill a seat meanwhile.
	if err := f.catchUp(ctx); err != nil {
		return err
	}
	f.v.followers.at("caught up")
	s := f.v.followers.join(f)
	defer s.leave()
	f.v.followers.at("joined")
	// What the seat lacks is durable by now. What is in both comes once, since places tell.
	if err := f.catchUp(ctx); err != nil {
		return err
	}
	f.v.followers.at("follows")
	for {
		rows, passed, err := s.take(ctx, idleAfter)
		if err != nil {
			f.log = passed
			return err
		}
		if err := f.hand(rows); err != nil {
			return err
		}
		if len(rows) == 0 && passed != nil && f.o.Idle != nil {
			if p := passed.rowPlace(f.product); f.compare(p, f.after) > 0 {
				f.o.Idle(p)
			}
		}
	}
}

// catchUp hands over the rows that are durable now.
func (f *follower) catchUp(ctx context.Context) error {
	for more := true; more; {
		if f.log == nil {
			if err := f.searchOn(ctx); err != nil {
				return err
			}
			continue
		}
		var rows []*Row
		var err error
		if rows, more, err = f.logPage(ctx); errors.Is(err, errMoved) {
			f.fromMs, f.log, more = max(f.fromMs, f.log.ms), nil, true
			continue
		}
		if err != nil {
			return err
		}
		if err := f.hand(rows); err != nil {
			return err
		}
	}
	return nil
}

// searchOn hands over the rows up to the end of the log, wherever they are.
func (f *follower) searchOn(ctx context.Context) error {
	gathered, end := f.v.logEnd()
	err := f.v.countTies(ctx, gathered, &end, &commitlog.Block{})
	if errors.Is(err, errMoved) {
		return ctx.Err() // It has another end by now.
	}
	for isCut := true; isCut && err == nil; {
		var rows []*Row
		if rows, isCut, err = f.page(ctx); err != nil {
			return err
		}
		if err := f.hand(rows); err != nil {
			return err
		}
		if isCut && f.sorted != nil {
			isCut, err = f.rest(ctx)
		}
	}
	if err == nil {
		f.log = &end
	}
	return err
}

// enter returns what a follower needs to search; leave must be called.
func (f *follower) enter(ctx context.Context) (x *searcher, leave func(), err error) {
	select {
	case x = <-f.v.followers.searching:
		return x, func() { f.v.followers.searching <- x }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

// logPage returns the next rows of the log, and whether there may be more. They are copied, and nothing is held while
// they are handed over.
func (f *follower) logPage(ctx context.Context) (rows []*Row, more bool, err error) {
	x, leave, err := f.enter(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	if err := f.v.readBehind(ctx, f.log.seq, catchUpBytes, &x.block); err != nil {
		return nil, false, err
	}
	x.groups.learn = func(_ *deviceSeats, ordinal uint64) { f.ordinal, f.isKnown = ordinal, true }
	alone := newAudience(nil, []*seat{{f: f, ordinal: f.ordinal, isKnown: f.isKnown}})
	size := 0
	for i := range x.block.Groups {
		at := *f.log
		found, err := x.groups.read(&x.block.Groups[i], &at, alone)
		if err != nil {
			return nil, false, err
		}
		if f.device != nil { // Rows of before and after it was known come in the order of a device.
			slices.SortFunc(found, func(a, b foundRow) int {
				return f.compare(a.row.ProductPlace(), b.row.ProductPlace())
			})
		}
		for _, r := range found {
			if !f.wants(r.row) || !f.isBehind(r.row) {
				continue
			}
			if size >= catchUpBytes {
				return rows, true, nil // The group is read again, for the rest of its rows.
			}
			rows, size = append(rows, r.row), size+rowBytes(r.row)
		}
		clear(found)
		f.log = &at
	}
	return rows, len(x.block.Groups) > 0, nil
}

// page returns the next rows of what is searched, and whether there may be more, likewise.
func (f *follower) page(ctx context.Context) (rows []*Row, isCut bool, err error) {
	_, leave, err := f.enter(ctx)
	if err != nil {
		return nil, false, err
	}
	defer leave()
	size := 0
	err = f.search(ctx, func(r *Row) bool {
		copied := *r
		own(&copied)
		rows = append(rows, &copied)
		size += rowBytes(r)
		isCut = size >= catchUpBytes || len(rows) == f.v.followers.pageRows
		return !isCut
	})
	return rows, isCut, err
}

// rest hands over what is left, sorted, if that can be had: few can at once, for so long.
func (f *follower) rest(ctx context.Context) (isCut bool, err error) {
	leave, err := f.v.AdmitSort()
	switch {
	case errors.Is(err, ErrBusy), errors.Is(err, ErrNoRoom):
		return true, nil
	case err != nil:
		return true, err
	}
	defer leave()
	within, cancel := context.WithTimeout(ctx, sortedWithin)
	defer cancel()
	isEnough := false
	err = f.sorted(within, func(r *Row) bool {
		isEnough = !f.give(r)
		return !isEnough && within.Err() == nil
	})
	isEnough = isEnough || !f.pause()
	switch {
	case isEnough:
		return false, errEnough
	case within.Err() != nil && ctx.Err() == nil, errors.Is(err, ErrNoRoom):
		return true, nil // It goes on by pages.
	}
	return false, err
}

// isBehind reports whether a row was not handed over yet.
func (f *follower) isBehind(r *Row) bool {
	return r.DecidedMs >= f.fromMs && (f.after == (ProductPlace{}) || f.compare(r.ProductPlace(), f.after) > 0)
}

// hand hands over the rows at hand, but for those that were. errEnough says that no more are wanted.
func (f *follower) hand(rows []*Row) error {
	for _, r := range rows {
		if !f.give(r) {
			return errEnough
		}
	}
	if !f.pause() {
		return errEnough
	}
	return nil
}

func (f *follower) pause() (more bool) { return f.o.Pause == nil || f.o.Pause() }

// give hands a row over, unless it was.
func (f *follower) give(r *Row) (more bool) {
	if !f.isBehind(r) {
		return true
	}
	f.after = r.ProductPlace()
	return f.fn(r)
}
