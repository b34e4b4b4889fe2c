package rawlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/shard/record"
)

// Place is a row's place among those of its device. It stays the same for ever, wherever the row lies.
type Place = archive.Place

// Row is one decided event.
type Row = archive.Row

// Filter says which rows are wanted. All of it is looked at before a payload is read.
type Filter struct {
	// Decided times, both included, Unix milliseconds.
	FromMs, ToMs int64
	NowMs        int64      // what is over at this time is left out (R18)
	Type         event.Type // 0: all
	ByVerdict    bool       // Verdict alone
	Verdict      event.Code
	Topic        []byte // this topic alone; empty: all; what is erased has none

	erased        *archive.Erasures // of all devices, if there is a Topic
	erasedUntilMs int64             // of the one device that is read
}

// wants reports whether the filter takes a row.
func (v *View) wants(f *Filter, r *Row) bool {
	switch {
	case r.DecidedMs < f.FromMs || r.DecidedMs > f.ToMs,
		f.Type != 0 && r.Type != uint8(f.Type),
		f.ByVerdict && r.Code != uint8(f.Verdict),
		len(f.Topic) > 0 && (!bytes.Equal(r.Topic, f.Topic) || r.DecidedMs <= f.erasedUntilMs || f.erased.Covers(r)):
		return false
	}
	return !v.o.Store.IsOver(r, f.NowMs)
}

// Query asks for the raw log of one device.
type Query struct {
	Filter
	Product uint32
	Device  []byte
	Known   bool   // it has an ordinal
	Ordinal uint64 // if it is known
	After   Place  // go on behind this row, in the direction of the query; the zero Place: from the beginning
	Oldest  bool   // oldest first; else newest first
	// LogDays are those of the product's plan as it is now, for events that are not gathered yet.
	LogDays uint32
}

// archived returns what the query asks the archive for.
func (v *View) archived(q *Query) *archive.Query {
	a := &archive.Query{
		Devices: []archive.Device{archive.Unknown(q.Product, q.Device)}, Name: q.Device,
		FromMs: q.FromMs, ToMs: q.ToMs, After: q.After, Oldest: q.Oldest,
		Wants: func(r *Row) bool { return v.wants(&q.Filter, r) },
	}
	if q.Known {
		a.Devices = append(a.Devices, archive.Known(q.Product, q.Ordinal))
	}
	return a
}

// errMoved says that the log or the archive has moved on: another Snapshot is needed.
var errMoved = errors.New("the log has moved on")

// DeviceLog calls fn for the rows of a device that q asks for, in their order, until fn returns false. What was durable
// when it was called is there. A row is valid until fn returns. A bounded part of log or archive is copied, let go, and
// then searched: however slow fn is, it holds nothing.
func (v *View) DeviceLog(ctx context.Context, q Query, fn func(*Row) bool) error {
	q.erasedUntilMs = v.erasedUntilMs(q.Product, q.Device)
	given := func(r *Row) bool {
		q.After = r.Place()
		if r.DecidedMs <= q.erasedUntilMs {
			r.Erase()
		}
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
	t := &tail{v: v, x: x, q: &deviceAsked{v, &q}, fn: fn}
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

// deviceAsked is what a Query asks the log for.
type deviceAsked struct {
	v *View
	q *Query
}

func (d *deviceAsked) times() (fromMs, toMs int64) {
	fromMs, toMs = d.q.FromMs, d.q.ToMs
	switch {
	case d.q.After == (Place{}):
	case d.q.Oldest:
		fromMs = max(fromMs, d.q.After.DecidedMs)
	default:
		toMs = min(toMs, d.q.After.DecidedMs)
	}
	return fromMs, toMs
}

func (d *deviceAsked) chunk(*record.Chunk) error { return nil }

func (d *deviceAsked) device(_ int, r *record.Row) (archive.Device, bool) {
	if r.Named {
		return archive.Unknown(r.Product, r.Name), r.Product == d.q.Product && bytes.Equal(r.Name, d.q.Device)
	}
	return archive.Known(d.q.Product, r.Ordinal), d.q.Known && r.Ordinal == d.q.Ordinal
}

func (d *deviceAsked) logDays() uint32 { return d.q.LogDays }

func (d *deviceAsked) compare(a, b *Row) int { return archive.CompareInGroup(a, b) }

func (d *deviceAsked) wants(r *Row) bool { return d.v.wants(&d.q.Filter, r) }

func (d *deviceAsked) isBehind(r *Row) bool {
	if d.q.After == (Place{}) {
		return true
	}
	c := r.Place().Compare(d.q.After)
	return d.q.Oldest && c > 0 || !d.q.Oldest && c < 0
}
