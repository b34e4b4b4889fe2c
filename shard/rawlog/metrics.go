package rawlog

import (
	"time"

	"github.com/meterd/meterd/metric"
)

// RegisterMetrics adds the archive's figures to set. How far it lags is meterd_view_lag_seconds.
func (v *View) RegisterMetrics(set *metric.Set) {
	s := v.o.Store
	directories := set.Gauges("meterd_archive_directories", "Directories of the archive, by their level.")
	directories.Func(func() float64 { return float64(s.Stats().Runs) }, "level", "run")
	directories.Func(func() float64 { return float64(s.Stats().Spans) }, "level", "span")
	set.Gauges("meterd_archive_bytes", "Bytes that the archive takes on the disk.").
		Func(func() float64 { return float64(s.Stats().Bytes) })
	set.Gauges("meterd_archive_events", "Events in the archive's directories.").
		Func(func() float64 { return float64(s.Stats().Rows) })
	set.Gauges("meterd_archive_memory_events", "Events that wait in memory to be archived.").
		Func(func() float64 { return float64(s.Stats().MemoryRows) })
	set.Counters("meterd_archive_written_events_total", "Events that were archived since the start.").
		Func(func() float64 { return float64(s.Stats().RowsWritten) })
	set.Counters("meterd_archive_merges_total", "Spans that were merged from their runs since the start.").
		Func(func() float64 { return float64(s.Stats().Merges) })
	set.Counters("meterd_archive_removed_directories_total", "Directories that were removed because all was over.").
		Func(func() float64 { return float64(s.Stats().Removed) })
	set.Counters("meterd_archive_removed_bytes_total", "Bytes of the directories that were removed.").
		Func(func() float64 { return float64(s.Stats().RemovedBytes) })
	set.Gauges("meterd_log_erasures_pending",
		"Devices whose erased payloads nobody reads any more and which are still on the disk.").
		Func(func() float64 { n, _ := v.erasuresPending(); return float64(n) })
	set.Gauges("meterd_log_erasure_age_seconds",
		"How long ago the oldest erasure was asked for that is still on the disk, 0 without one.").
		Func(func() float64 { return v.erasureAge().Seconds() })
	set.Counters("meterd_archive_erase_rewrites_total", "Directories that were rewritten without what is erased.").
		Func(func() float64 { return float64(s.Stats().Rewritten) })
	v.registerMarks(set)
	v.followers.registerMetrics(set)
}

func (h *followers) registerMetrics(set *metric.Set) {
	set.Counters("meterd_log_followed_events_total", "Events that were handed to those who follow a log, as they came.").
		Func(func() float64 { return float64(h.rows.Load()) })
	set.Gauges("meterd_log_followed_waiting_bytes", "Memory of events that wait for those who follow a log.").
		Func(func() float64 { return float64(h.queued.Load()) })
	set.Counters("meterd_log_followers_behind_total",
		"How often one who follows a log took events too slowly, and had to search for what came meanwhile.").
		Func(func() float64 { return float64(h.behind.Load()) })
}

// registerMarks adds how much of the log there is, how far back it can be read, and what went before its time.
func (v *View) registerMarks(set *metric.Set) {
	s := v.o.Store
	set.Gauges("meterd_log_bytes", "Bytes of the commit log's files, prepared ones too.").
		Func(func() float64 { return float64(v.o.Log.Bytes()) })
	set.Gauges("meterd_log_oldest_event_timestamp_seconds",
		"When the oldest event was decided that the raw log may still show, Unix time; 0 without one.").
		Func(func() float64 { return seconds(v.oldestMs()) })
	set.Gauges("meterd_log_available_from_timestamp_seconds",
		"Events decided before this Unix time are missing before their time; 0 if none ever were.").
		Func(func() float64 { return seconds(s.AvailableFromMs()) })
	set.Counters("meterd_log_dropped_early_events_total",
		"Events that went before their time since the start, because the archive took more than --log-max-bytes.").
		Func(func() float64 { return float64(s.Stats().EarlyRows) })
	set.Counters("meterd_log_dropped_early_bytes_total", "Bytes of the archive that went before their time.").
		Func(func() float64 { return float64(s.Stats().EarlyBytes) })
}

func seconds(ms int64) float64 { return (time.Duration(ms) * time.Millisecond).Seconds() }

// oldestMs returns when the oldest event was decided that may be readable, Unix milliseconds, 0 without one.
func (v *View) oldestMs() int64 {
	ms := v.o.Store.OldestMs()
	now := v.now.Load()
	if ms == 0 || now == nil {
		return ms
	}
	return max(ms, (*now)()-v.o.Retention.Milliseconds())
}
