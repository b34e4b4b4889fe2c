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
	row := func(cells ...string) {
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") // The writer keeps its error for Flush.
	}
	row("", "devices", "events/s", "p50", "p99", "p99.9", "max", "stall", "CPU s/M server", "loader", "other CPU",
		"RSS anon", "file", "peak", "table", "logged", "log B/event", "written", "checkpoints")
	for _, x := range r.Results {
		if x.Latency == nil {
			continue
		}
		cells := []string{
			x.name(), short(float64(x.Devices)), short(x.EventsPerSecond),
			span(x.Latency.P50), span(x.Latency.P99), span(x.Latency.P999), span(x.Latency.Max), span(x.StallSeconds),
			fmt.Sprintf("%.3f", x.CPU.DaemonSecondsPerMillion), fmt.Sprintf("%.3f", x.CPU.LoaderSecondsPerMillion),
			fmt.Sprintf("%.0f %%", 100*x.CPU.OtherShare),
		}
		m := orZero(x.Memory)
		for _, n := range []uint64{m.AnonymousBytes, m.FileBytes, m.HighWaterBytes, m.TableBytes, x.Disk.LoggedBytes} {
			cells = append(cells, bytesText(n))
		}
		row(append(cells, fmt.Sprintf("%.2f", x.Disk.LogBytesPerEvent), fmt.Sprintf("%.2f", x.Disk.WrittenBytesPerEvent),
			fmt.Sprint(x.Disk.Checkpoints))...)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	if err := r.writeCluster(w); err != nil {
		return err
	}
	var lines []string
	for _, x := range r.Results {
		switch {
		case x.MidnightStallSeconds > 0, x.Restart != nil, orZero(x.Memory).BytesPerDevice != 0:
			lines = append(lines, x.line())
		case len(x.Notes) > 0:
			lines = append(lines, x.name()+": "+strings.Join(x.Notes, "; "))
		}
	}
	for _, ratio := range r.Ratios {
		lines = append(lines, ratio.String())
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("write the table: %w", err)
		}
	}
	return nil
}

// label names the scenario, its case and its variant. Both daemons have the same.
func (x *Result) label() string {
	s := x.Scenario
	if x.Restart != nil {
		s += " " + x.Restart.Signal
	}
	if x.Case != nil {
		s += " " + x.Case.String()
	}
	if x.Variant != "" {
		s += " " + x.Variant
	}
	return s
}

// name is the label, with a mark at results of the other daemon.
func (x *Result) name() string { return x.mark(x.label()) }

func (x *Result) mark(s string) string {
	if x.Against {
		s += " [against]"
	}
	return s
}

// line describes a result in one line.
func (x *Result) line() string {
	s := x.name()
	if f := x.Restart; f != nil {
		s += fmt.Sprintf(": ready in %.2f s", f.ReadySeconds)
		if f.StopSeconds > 0 {
			s += fmt.Sprintf(", stopped in %.2f s", f.StopSeconds)
		} else {
			s += fmt.Sprintf(", after %s events, %.0f s after the last checkpoint",
				short(float64(f.EventsBefore)), f.CheckpointAgeSeconds)
		}
	} else {
		s += fmt.Sprintf(": %s events in %.1f s, %s/s, p50 %s, p99 %s", short(float64(x.Events)), x.WindowSeconds,
			short(x.EventsPerSecond), span(x.Latency.P50), span(x.Latency.P99))
	}
	if x.MidnightStallSeconds > 0 {
		s += fmt.Sprintf("; longest stall %s, around midnight %s", span(x.StallSeconds), span(x.MidnightStallSeconds))
	}
	if m := x.Memory; m != nil {
		s += fmt.Sprintf("; RSS %s anonymous, %s files", bytesText(m.AnonymousBytes), bytesText(m.FileBytes))
		if m.TableBytes > 0 {
			s += fmt.Sprintf(", table %s", bytesText(m.TableBytes))
		}
		if x.Disk != nil && x.Disk.LoggedBytes > 0 {
			s += fmt.Sprintf(", logged %s", bytesText(x.Disk.LoggedBytes))
		}
		if m.BytesPerDevice != 0 {
			s += fmt.Sprintf("; a device %.0f B (%.0f anonymous, table %.0f)",
				m.BytesPerDevice, m.AnonymousBytesPerDevice, m.TableBytesPerDevice)
		}
	}
	s += fmt.Sprintf("; checked: %d events, %d licences, %d devices, %d logs",
		x.Check.Sent, x.Check.LicensesUsed, x.Check.DevicesCompared, x.Check.DeviceLogsCompared)
	for _, note := range x.Notes {
		s += "; " + note
	}
	return s
}

// short formats a number with three digits.
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

// span formats seconds with three digits.
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

// bytesText formats a size; 0 is one that is not known or does not apply.
func bytesText(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d MiB", n>>20)
}
