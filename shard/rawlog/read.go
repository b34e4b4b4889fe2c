package rawlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/archive"
)

// Place is a row's place among those of its device. It stays the same for ever, wherever the row lies.
type Place = archive.Place

// Row is one decided event.
type Row = archive.Row

// Query asks for the raw log of one device.
type Query struct {
	Product uint32
	Device  []byte
	Known   bool   // it has an ordinal
	Ordinal uint64 // if it is known
	// Decided times, both included, Unix milliseconds.
	FromMs, ToMs int64
	Type         event.Type // 0: all
	After        Place      // go on behind this row, in the direction of the query; the zero Place: from the beginning
	Oldest       bool       // oldest first; else newest first
	NowMs        int64      // what is over at this time is left out (R18)
	// LogDays are those of the product's plan as it is now, for events that are not gathered yet.
	LogDays uint32
}

// archived returns what the query asks the archive for.
func (v *View) archived(q *Query) *archive.Query {
	a := &archive.Query{
		Devices: []archive.Device{archive.Unknown(q.Product, q.Device)}, Name: q.Device,
		FromMs: q.FromMs, ToMs: q.ToMs, After: q.After, Oldest: q.Oldest,
		Wants: func(r *Row) bool { return v.wants(q, r) },
	}
	if q.Known {
		a.Devices = append(a.Devices, archive.Known(q.Product, q.Ordinal))
	}
	return a
}

// wants reports whether the row is one that the query asks for; its place is looked at elsewhere.
func (v *View) wants(q *Query, r *Row) bool {
	return (q.Type == 0 || r.Type == uint8(q.Type)) && !v.o.Store.IsOver(r, q.NowMs)
}

// errMoved says that the log or the archive has moved on: another Snapshot is needed.
var errMoved = errors.New("the log has moved on")

// DeviceLog calls fn for the rows of a device that q asks for, in their order, until fn returns false. What was durable
// when it was called is there. A row is valid until fn returns. A bounded part of log or archive is copied, let go, and
// then searched: however slow fn is, it holds nothing.
func (v *View) DeviceLog(ctx context.Context, q Query, fn func(*Row) bool) error {
	given := func(r *Row) bool {
		q.After = r.Place()
		return fn(r)
	}
	for range snapshotsMax {
		x := v.o.Store.Snapshot()
		err := v.read(ctx, x, q, given)
		if errors.Is(err, archive.ErrGone) || errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the raw log: %w", err)
		}
		return nil
	}
	return errors.New("read the raw log: it moved on at every try")
}

// read reads what one Snapshot has, and the tail of the log behind it.
func (v *View) read(ctx context.Context, x *archive.Snapshot, q Query, fn func(*Row) bool) error {
	t := &tail{v: v, x: x, q: &q, fn: fn}
	if q.Oldest {
		if more, err := x.Each(ctx, v.archived(&q), fn); err != nil || !more {
			return err
		}
		_, err := t.forward(ctx)
		return err
	}
	if more, err := t.back(ctx); err != nil || !more {
		return err
	}
	_, err := x.Each(ctx, v.archived(&q), fn)
	return err
}
