package archive

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkCopy is what a standby takes for an archive that it copies: tables of messages with numbers alone, of runs
// of 3 M. cpu-ns/event and cpu-ns/byte are of all cores, the sender's part included; a network is not in between.
func BenchmarkCopy(b *testing.B) {
	const runs, rows, devices = 3, 3_000_000, 1_000_000
	a := testStore(b, Options{Retention: 7 * day})
	ms, ups := beginMs, make([]uint32, devices)
	dice := newHistory(1, 1).dice
	for seq := range uint64(runs) {
		if err := a.Group(seq+1, ms, ms+rows/100); err != nil {
			b.Fatal(err)
		}
		for i := range rows {
			d := dice.IntN(devices)
			ups[d]++
			a.Add(&Row{
				Device: Known(
					0,
					uint64(d),
				),
				DecidedMs: ms + int64(i)/100,
				Type:      typeUp,
				Size:      int64(20 + dice.IntN(200)),
				Up:        ups[d],
				Used:      ups[d],
				Day:       47_541,
			})
		}
		ms += rows / 100
		a.End(Position{Seq: seq + 1, Chain: chainOf(seq + 1)}, ms)
		if err := a.WriteRun(); err != nil {
			b.Fatal(err)
		}
	}
	processor := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	var used time.Duration
	for b.Loop() {
		s := testStore(b, Options{Retention: 7 * day, Path: fmt.Sprint(b.TempDir(), "/archive")})
		began := processor()
		if is, err := adopt(b, s, &other{s: a}, upTo(runs, ms)); !is || err != nil {
			b.Fatal(is, err)
		}
		used += processor() - began
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
	bytes := a.Stats().Bytes
	if err := a.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(used)/float64(b.N*runs*rows), "cpu-ns/event")
	b.ReportMetric(float64(used)/float64(int64(b.N)*bytes), "cpu-ns/byte")
	b.ReportMetric(float64(bytes)/float64(runs*rows), "bytes/event")
}
