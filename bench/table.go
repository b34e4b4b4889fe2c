package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable writes the results for people: a table of the windows, then memory, restarts and ratios.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(format string, args ...any) {
		_, _ = fmt.Fprintf(t, format+"\t\n", args...) // The writer keeps its error for Flush.
	}
	row(
		"\tdevices\tevents/s\tp50\tp99\tp99.9\tmax\tstall\tCPU s/M server\tloader\tother CPU\tRSS\tpeak\tlog B/event\twritten\tcheckpoints",
	)
	for _, x := range r.Results {
		if x.Latency == nil {
			continue
		}
		row(
			"%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.3f\t%.3f\t%.0f %%\t%s\t%s\t%.2f\t%.2f\t%d",
			x.name(),
			short(float64(x.Devices)),
			short(
				x.EventsPerSecond,
			),
			span(x.Latency.P50),
			span(x.Latency.P99),
			span(x.Latency.P999),
			span(x.Latency.Max),
			span(x.StallSeconds),
			x.CPU.DaemonSecondsPerMillion,
			x.CPU.LoaderSecondsPerMillion,
			100*x.CPU.OtherShare,
			x.Memory.size(),
			x.Memory.peak(),
			x.Disk.LogBytesPerEvent,
			x.Disk.WrittenBytesPerEvent,
			x.Disk.Checkpoints,
		)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, x := range r.Results {
		line := x.line()
		switch {
		case x.MidnightStallSeconds > 0, x.Restart != nil, x.Memory != nil && x.Memory.BytesPerDevice != 0:
		case len(x.Notes) > 0:
			line = x.name() + ": " + strings.Join(x.Notes, "; ")
		default:
			continue // All of it is in the table.
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	for _, ratio := range r.Ratios {
		if _, err := fmt.Fprintln(w, ratio); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	return nil
}

// name says what a window is of.
func (x *Result) name() string {
	s := x.Scenario
	if x.Case != nil {
		s += " " + x.Case.String()
	}
	if x.Variant != "" {
		s += " " + x.Variant
	}
	return s
}

func (m *Memory) size() string {
	if m == nil {
		return "-"
	}
	return bytesText(m.RSSBytes)
}

func (m *Memory) peak() string {
	if m == nil {
		return "-"
	}
	return bytesText(m.HighWaterBytes)
}

// line says a result in one line.
func (x *Result) line() string {
	s := x.Scenario
	switch {
	case x.Restart != nil && x.Restart.Signal == "SIGTERM":
		s += fmt.Sprintf(" SIGTERM: stopped in %.2f s, ready in %.2f s", x.Restart.StopSeconds, x.Restart.ReadySeconds)
	case x.Restart != nil:
		s += fmt.Sprintf(
			" %s: ready in %.2f s, after %s events, %.0f s after the last checkpoint",
			x.Restart.Signal,
			x.Restart.ReadySeconds,
			short(float64(x.Restart.EventsBefore)),
			x.Restart.CheckpointAgeSeconds,
		)
	default:
		s = fmt.Sprintf(
			"%s: %s events in %.1f s, %s/s, p50 %s, p99 %s",
			x.name(),
			short(float64(x.Events)),
			x.WindowSeconds,
			short(x.EventsPerSecond),
			span(x.Latency.P50),
			span(x.Latency.P99),
		)
	}
	if x.MidnightStallSeconds > 0 {
		s += fmt.Sprintf("; longest stall %s, around midnight %s", span(x.StallSeconds), span(x.MidnightStallSeconds))
	}
	if m := x.Memory; m != nil && m.BytesPerDevice != 0 {
		s += fmt.Sprintf("; RSS %s, a device %.0f B (%.0f without mapped files, table %.0f)",
			bytesText(m.RSSBytes), m.BytesPerDevice, m.AnonymousBytesPerDevice, m.TableBytesPerDevice)
	}
	s += fmt.Sprintf("; checked: %d events, %d licences, %d devices, %d logs",
		x.Check.Sent, x.Check.LicensesUsed, x.Check.DevicesCompared, x.Check.DeviceLogsCompared)
	for _, note := range x.Notes {
		s += "; " + note
	}
	return s
}

// short says a number in three digits.
func short(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.3g G", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.3g M", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.3g k", n/1e3)
	}
	return fmt.Sprintf("%.3g", n)
}

// span says seconds in three digits.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%.3g s", d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.3g ms", d.Seconds()*1e3)
	}
	return fmt.Sprintf("%.3g µs", d.Seconds()*1e6)
}

func bytesText(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }
