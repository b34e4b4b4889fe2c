package rawlog

import "github.com/meterd/meterd/metric"

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
}
