package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// Metrics are the metrics that figures and checks are made from.
type Metrics struct {
	Accepted, Denied     uint64 // events by their verdict, of all types
	LogRows, CommitBytes uint64
	Groups               uint64
	CheckpointAgeSeconds float64 // 0 before the first
	TableBytes           uint64
}

// add reads one line. It ignores those of other metrics.
func (m *Metrics) add(line string) error {
	name, text, ok := cutLast(line, ' ')
	if !ok || name[0] == '#' {
		return nil
	}
	name, labels, _ := strings.Cut(name, "{")
	var count *uint64
	switch name {
	case "meterd_events_total":
		count = &m.Denied
		if strings.Contains(labels, `verdict="accepted"`) {
			count = &m.Accepted
		}
	case "meterd_log_rows_total":
		count = &m.LogRows
	case "meterd_commit_bytes_total":
		count = &m.CommitBytes
	case "meterd_groups_total":
		count = &m.Groups
	case "meterd_table_mapped_bytes":
		count = &m.TableBytes
	case "meterd_checkpoint_age_seconds":
	default:
		return nil
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || value < 0 {
		return fmt.Errorf("metrics: the line %q has no number", line)
	}
	if count == nil {
		m.CheckpointAgeSeconds = value
		return nil
	}
	*count += uint64(value)
	return nil
}

func cutLast(s string, separator byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, separator)
	if i <= 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// minus returns what was counted since earlier. Gauges keep their values.
func (m Metrics) minus(earlier Metrics) Metrics {
	m.Accepted -= earlier.Accepted
	m.Denied -= earlier.Denied
	m.LogRows -= earlier.LogRows
	m.CommitBytes -= earlier.CommitBytes
	m.Groups -= earlier.Groups
	return m
}
