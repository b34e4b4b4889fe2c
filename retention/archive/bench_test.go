package archive

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// load feeds rows of devices at random, in groups of a thousand that are decided in one millisecond each, as a
// gateway's requests are, and writes runs as they are due.
type load struct {
	s       *Store
	dice    *rand.Rand
	devices int
	nowMs   int64
	stepMs  int64 // between two groups
	seq     uint64
	up      []uint32
	day     uint32
}

func (l *load) group(b testing.TB) {
	const rows = 1000
	l.seq++
	if err := l.s.Group(l.seq, l.nowMs, l.nowMs); err != nil {
		b.Fatal(err)
	}
	if d := uint32(l.nowMs / day.Milliseconds()); d != l.day {
		l.day = d
		clear(l.up)
	}
	r := Row{DecidedMs: l.nowMs}
	for range rows {
		o := l.dice.Uint32N(uint32(l.devices))
		l.up[o]++
		r.Device, r.Type, r.Code = Known(0, uint64(o)), typeUp, 0
		r.Size, r.Day, r.Up, r.Down, r.Used = int64(20+l.dice.IntN(200)), l.day, l.up[o], 0, l.up[o]
		l.s.Add(&r)
	}
	l.s.End(Position{Seq: l.seq}, l.nowMs)
	l.nowMs += l.stepMs/2 + l.dice.Int64N(l.stepMs+1)
	if l.s.Due(l.nowMs) {
		if err := l.s.WriteRun(); err != nil {
			b.Fatal(err)
		}
	}
}

func newLoad(b testing.TB, path string, devices int, stepMs int64) *load {
	s, err := Open(Options{Path: path, Retention: 7 * day, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	s.SetProducts(func(uint64) uint32 { return 1 })
	return &load{
		s: s, dice: rand.New(rand.NewPCG(1, 2)), devices: devices, nowMs: beginMs, stepMs: stepMs,
		up: make([]uint32, devices),
	}
}

// BenchmarkArchive is what gathering and writing runs takes; b.N is rows in thousands.
func BenchmarkArchive(b *testing.B) {
	for _, stepMs := range []int64{1, 600} {
		b.Run(fmt.Sprintf("devices=1M/step=%dms", stepMs), func(b *testing.B) {
			l := newLoad(b, filepath.Join(b.TempDir(), "archive"), 1_000_000, stepMs)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				l.group(b)
			}
			if l.s.memory.rows > 0 {
				if err := l.s.WriteRun(); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			x := l.s.Stats()
			b.ReportMetric(float64(x.Bytes)/float64(x.Rows), "bytes/event")
			b.ReportMetric(float64(x.Rows)/b.Elapsed().Seconds()/1e6, "Mevents/s")
			if err := l.s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// TestWeek measures a week of many events: METERD_WEEK_EVENTS says how many millions, METERD_WEEK_DIR where.
func TestWeek(t *testing.T) {
	millions := 0
	if _, err := fmt.Sscan(os.Getenv("METERD_WEEK_EVENTS"), &millions); err != nil || millions == 0 {
		t.Skip("METERD_WEEK_EVENTS is not set")
	}
	groups, devices := millions*1000, min(1_000_000, millions*1000) // A thousand events a device, or more.
	path := filepath.Join(os.Getenv("METERD_WEEK_DIR"), "archive")
	l := newLoad(t, path, devices, max(1, (7*day).Milliseconds()/int64(groups)))
	began := time.Now()
	for i := range groups {
		l.group(t)
		if i%1000 == 0 {
			if err := l.s.Tidy(t.Context(), l.nowMs); err != nil {
				t.Fatal(err)
			}
		}
	}
	took := time.Since(began)
	x := l.s.Stats()
	t.Logf("%d events in %.0f s: %.2f M/s with merges; %d runs, %d spans, %.2f bytes an event (%d merged)", x.Rows,
		took.Seconds(), float64(x.Rows)/took.Seconds()/1e6, x.Runs, x.Spans, float64(x.Bytes)/float64(x.Rows), x.Merges)
	var first, all []time.Duration
	rows := 0
	for range 100 {
		dropPages(t, path)
		q := Query{Devices: []Device{Known(1, uint64(l.dice.IntN(devices)))}, ToMs: l.nowMs}
		began, n := time.Now(), 0
		_, err := l.s.Snapshot().Each(context.Background(), &q, func(*Row) bool {
			if n++; n == 100 {
				first = append(first, time.Since(began))
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		all, rows = append(all, time.Since(began)), rows+n
	}
	slices.Sort(first)
	slices.Sort(all)
	t.Logf("a week of one device, %d events at the mean: p50 %v, p99 %v; first page of 100: p50 %v, p99 %v", rows/100,
		all[50], all[98], first[len(first)/2], first[len(first)*98/100])
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// dropPages drops the archive's pages from the page cache, those that are mapped too.
func dropPages(t *testing.T, path string) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if !strings.Contains(line, path) {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			t.Fatal(errno)
		}
	}
	files, err := filepath.Glob(path + "/*/*.sst")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
