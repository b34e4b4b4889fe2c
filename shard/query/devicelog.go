package query

import (
	"bytes"
	"context"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/rawlog"
	"github.com/meterd/meterd/shard/record"
)

// RawLog is the raw log of devices: rawlog.View.
type RawLog interface {
	DeviceLog(ctx context.Context, q rawlog.Query, fn func(*rawlog.Row) bool) error
	ProductLog(ctx context.Context, q rawlog.ProductQuery, fn func(*rawlog.Row) bool) error
	// AdmitSort must come before ProductLog reads all of a product.
	AdmitSort() (leave func(), err error)
	FollowDevice(ctx context.Context, q rawlog.Query, o rawlog.Following, fn func(*rawlog.Row) bool) error
	FollowProduct(ctx context.Context, q rawlog.ProductQuery, o rawlog.Following, fn func(*rawlog.Row) bool) error
	// AvailableFromMs returns the instant before which events are missing, Unix milliseconds, 0 if none are.
	AvailableFromMs() (int64, error)
}

// LogFilter says which entries of a raw log are wanted (R18), and in which direction.
type LogFilter struct {
	FromMs    int64 // decided at or after; Unix milliseconds, 0 for the oldest
	ToMs      int64 // decided before; 0: up to the present
	Type      event.Type
	ByVerdict bool // Verdict alone
	Verdict   event.Code
	Topic     []byte // this topic alone; empty: all
	Oldest    bool   // oldest first; else newest first
}

// LogQuery asks for the raw log of one device (R18).
type LogQuery struct {
	LogFilter
	Product *license.Product
	Device  []byte
	After   LogPlace // go on behind this entry; the zero LogPlace starts with the newest, or with the oldest
}

// LogPlace is an entry's place among those of its device: it stays the same for ever.
type LogPlace = rawlog.Place

// LogEntry is one decided event. Slices belong to the entry.
type LogEntry struct {
	Place  ProductPlace // among those of its product; its LogPlace is a part of it
	Device []byte       // its name, in the log of a product
	Row    record.Row
}

// DeviceLog calls fn for the device's log entries that q asks for, until fn returns false. Devices that were never
// active have one too: their events stand in it under their names. A bounded part of the log is copied, let go, and
// then searched: however slow fn is, it holds nothing of the log.
func (r *Reader) DeviceLog(ctx context.Context, q LogQuery, fn func(*LogEntry) bool) error {
	raw := rawlog.Query{
		Filter: r.filter(&q.LogFilter), Product: q.Product.ID, Device: q.Device, After: q.After, Oldest: q.Oldest,
		LogDays: q.Product.Plan.LogDays,
	}
	if raw.FromMs > raw.ToMs {
		return nil
	}
	err := r.View(func(v *View) { raw.Ordinal, raw.Known = v.ordinal(q.Product, q.Device) })
	if err != nil {
		return err
	}
	return r.raw.DeviceLog(ctx, raw, func(row *rawlog.Row) bool { return fn(entryOf(row)) })
}

// filter returns what f asks of the raw log at this instant: what is over, or not yet there, is not asked for.
func (r *Reader) filter(f *LogFilter) rawlog.Filter {
	nowMs := r.engine.NowMs()
	raw := rawlog.Filter{
		FromMs: max(f.FromMs, nowMs-r.retention.Milliseconds()), ToMs: nowMs, NowMs: nowMs,
		Type: f.Type, ByVerdict: f.ByVerdict, Verdict: f.Verdict, Topic: f.Topic,
	}
	if f.ToMs != 0 {
		raw.ToMs = min(raw.ToMs, f.ToMs-1)
	}
	return raw
}

// LogAvailableFromMs returns where a product's raw log begins if that is later than fromMs, although what is missing is
// not over: it went early, or is lost (R18). Unix milliseconds; 0 if nothing is missing.
func (r *Reader) LogAvailableFromMs(p *license.Product, fromMs int64) (int64, error) {
	keep := r.retention
	if days := p.Plan.LogDays; days > 0 {
		keep = min(keep, time.Duration(days)*24*time.Hour)
	}
	ms, err := r.raw.AvailableFromMs()
	if err != nil || ms <= max(fromMs, r.engine.NowMs()-keep.Milliseconds()) {
		return 0, err
	}
	return ms, nil
}

// entryOf returns a copy of a row.
func entryOf(r *rawlog.Row) *LogEntry {
	e := &LogEntry{Place: r.ProductPlace(), Row: record.Row{
		Type: event.Type(r.Type), Code: event.Code(r.Code), Counted: r.Counted, Named: !r.Device.IsKnown(),
		Product: r.Device.Product(), Name: bytes.Clone(r.Name), DecidedMs: r.DecidedMs, TimeMs: r.TimeMs, Size: r.Size,
		Day: r.Day, Up: r.Up, Down: r.Down, Used: r.Used, Denied: r.Denied,
		ID: bytes.Clone(r.ID), Topic: bytes.Clone(r.Topic), Payload: bytes.Clone(r.Payload),
		IsCut: r.IsCut, WouldDeny: event.Code(r.WouldDeny), Quota: record.QuotaNumbers(r.Quota),
		Requested: r.Requested, TopupAvailable: r.TopupAvailable,
	}}
	if r.Device.IsKnown() {
		e.Row.Ordinal = r.Device.Ordinal()
	}
	return e
}
