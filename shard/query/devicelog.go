package query

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// LogQuery asks for the raw log of one device (R18).
type LogQuery struct {
	Product *license.Product
	Device  []byte
	FromMs  int64 // decided at or after; Unix milliseconds, 0 for the oldest
	ToMs    int64 // decided before; 0 for now
	Type    event.Type
	After   LogPlace // go on behind this entry; the zero LogPlace starts with the newest
}

// LogPlace is an entry's place in the raw log: it stays the same while the log grows.
type LogPlace struct {
	DecidedMs int64
	Seq       uint64 // of the group
	Index     int    // within the device's entries of the group, newest first
}

// LogEntry is one decided event of a device. Slices belong to the entry.
type LogEntry struct {
	Place LogPlace
	Row   record.Row
}

// DeviceLog calls fn for the device's log entries that q asks for, newest first, until fn returns false. Devices that
// were never active have one too: their events stand in it under their names. A bounded part of the log is copied, let
// go, and then searched: however slow fn is, it holds nothing of the log.
func (r *Reader) DeviceLog(ctx context.Context, q LogQuery, fn func(*LogEntry) bool) error {
	nowMs := r.engine.NowMs()
	s := logSearch{r: r, q: q, fn: fn}
	s.fromMs = max(q.FromMs, q.Product.Plan.LogCutoffMs(nowMs, r.retention))
	s.toMs = nowMs + 1
	if q.ToMs != 0 {
		s.toMs = min(s.toMs, q.ToMs)
	}
	before := uint64(0)
	if q.After.Seq != 0 {
		s.toMs, before = min(s.toMs, q.After.DecidedMs+1), q.After.Seq+1
	}
	if s.fromMs >= s.toMs {
		return nil
	}
	err := r.View(func(v *View) {
		slot := v.Table.Find(v.Table.KeyOf(q.Product.ID, q.Device))
		if slot != nil {
			s.known, s.ordinal = true, slot.Ordinal()
		}
	})
	if err != nil {
		return err
	}
	var block commitlog.Block
	for {
		if err := r.log.ReadBack(ctx, before, s.fromMs, s.toMs-1, readBytesMax, &block); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if len(block.Groups) == 0 {
			return nil
		}
		for i := range block.Groups {
			if more, err := s.group(&block.Groups[i]); err != nil || !more {
				return err
			}
		}
		before = block.Groups[len(block.Groups)-1].Seq
	}
}

type logSearch struct {
	r            *Reader
	q            LogQuery
	fn           func(*LogEntry) bool
	fromMs, toMs int64
	known        bool
	ordinal      counters.Ordinal
	raw          []byte
	found        []LogEntry
}

func (s *logSearch) group(g *commitlog.Group) (more bool, err error) {
	s.found = s.found[:0]
	for _, stored := range g.Chunks {
		if s.raw, err = s.r.inflate.Decompress(s.raw[:0], stored); err != nil {
			return false, fmt.Errorf("group %d: %w", g.Seq, err)
		}
		if err := s.chunk(s.raw); err != nil {
			return false, fmt.Errorf("group %d: %w", g.Seq, err)
		}
	}
	// Chunks of one group were decided at the same time. Within a millisecond the day's use tells what came first; it
	// never falls.
	slices.SortStableFunc(s.found, func(a, b LogEntry) int {
		return cmp.Or(cmp.Compare(a.Row.DecidedMs, b.Row.DecidedMs), cmp.Compare(a.Row.Used, b.Row.Used))
	})
	slices.Reverse(s.found)
	for i := range s.found {
		entry := &s.found[i]
		entry.Place = LogPlace{DecidedMs: entry.Row.DecidedMs, Seq: g.Seq, Index: i}
		if g.Seq == s.q.After.Seq && i <= s.q.After.Index {
			continue
		}
		r := &entry.Row
		if r.DecidedMs < s.fromMs || r.DecidedMs >= s.toMs || (s.q.Type != 0 && r.Type != s.q.Type) {
			continue
		}
		if !s.fn(entry) {
			return false, nil
		}
	}
	return true, nil
}

// chunk gathers the device's rows of one chunk, copied.
func (s *logSearch) chunk(raw []byte) error {
	c, err := record.Open(raw)
	if err != nil {
		return err
	}
	rows := c.Scan()
	for rows.Next() {
		r := &rows.Row
		if r.Named {
			if r.Product != s.q.Product.ID || !bytes.Equal(r.Name, s.q.Device) {
				continue
			}
		} else if !s.known || r.Ordinal != uint64(s.ordinal) {
			continue
		}
		entry := LogEntry{Row: *r}
		entry.Row.Name, entry.Row.ID = bytes.Clone(r.Name), bytes.Clone(r.ID)
		entry.Row.Topic, entry.Row.Payload = bytes.Clone(r.Topic), bytes.Clone(r.Payload)
		s.found = append(s.found, entry)
	}
	return rows.Err()
}
