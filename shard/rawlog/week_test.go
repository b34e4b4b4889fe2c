package rawlog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// week writes seven days of messages at random devices through log, view, archive and retention, by a clock of its own:
// groups of a thousand that are decided in one millisecond each, as a gateway's requests are.
type week struct {
	*rig
	devices  int
	day      uint32
	up       []uint32
	builder  record.Builder
	raw      []byte
	logBytes uint64
}

const weekGroup = 1000

func newWeek(t *testing.T, dir string, devices int) *week {
	r := &rig{
		t: t, dice: rand.New(rand.NewPCG(1, 2)), nowMs: time.Date(2100, 3, 1, 0, 0, 0, 0, time.UTC).UnixMilli(),
	}
	var err error
	r.log, err = commitlog.Open(commitlog.Options{Path: filepath.Join(dir, "log"), Retention: retention, Archived: true})
	r.must(err)
	r.store, err = archive.Open(archive.Options{Path: filepath.Join(dir, "archive"), Retention: retention})
	r.must(err)
	r.view, err = New(Options{Store: r.store, Log: r.log, Retention: retention})
	r.must(err)
	r.pack, err = record.NewCompressor(1)
	r.must(err)
	return &week{rig: r, devices: devices, up: make([]uint32, devices)}
}

// group logs a group, and has the view follow.
func (w *week) group(stepMs int64) {
	w.seq++
	if d := uint32(w.nowMs / (24 * time.Hour).Milliseconds()); d != w.day {
		w.day = d
		clear(w.up)
	}
	w.builder.BeginBatch(w.nowMs, 0)
	for range weekGroup {
		o := w.dice.IntN(w.devices)
		w.up[o]++
		w.builder.Message(event.Up, uint64(o), int64(20+w.dice.IntN(200)), w.day, w.up[o], 0)
	}
	head := record.Head{}
	g := commitlog.Group{Seq: w.seq, FirstMs: w.nowMs, LastMs: w.nowMs, Head: head.Append(nil)}
	w.raw = w.builder.Finish(w.raw[:0])
	g.Chunks = [][]byte{w.pack.Compress(nil, w.raw)}
	w.logBytes += uint64(len(g.Chunks[0]) + len(g.Head))
	w.must(w.log.Append(&g))
	w.nowMs += stepMs/2 + w.dice.Int64N(stepMs+1)
	if w.seq%100 == 0 {
		w.upkeep()
	}
}

func (w *week) upkeep() {
	w.must(w.view.Follow(w.t.Context(), w.seq, productOne{}))
	w.must(w.store.Tidy(w.t.Context(), w.nowMs))
	w.must(w.log.Release(w.nowMs, w.view.Position().Seq))
}

// reads reads so many times, with the archive's pages dropped, and logs how long it took.
func (w *week) reads(dir, what string, times int, read func() int) {
	var took []time.Duration
	rows := 0
	for range times {
		w.dropPages(dir)
		began := time.Now()
		rows += read()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	w.t.Logf("%s, %d rows at the mean: p50 %v, p99 %v, longest %v", what, rows/times, took[times/2],
		took[times*99/100], took[times-1])
}

// device reads rows of a device at random, at most so many.
func (w *week) device(rowsMax int) (n int) {
	o := w.dice.IntN(w.devices)
	q := Query{
		Filter: Filter{ToMs: w.nowMs, NowMs: w.nowMs}, Product: 1, Device: fmt.Appendf(nil, "d%d", o), Known: true,
		Ordinal: uint64(o),
	}
	w.must(w.view.DeviceLog(w.t.Context(), q, func(*Row) bool {
		n++
		return n < rowsMax
	}))
	return n
}

// newest reads the newest page of the product.
func (w *week) newest() (n int) {
	q := ProductQuery{
		Filter: Filter{ToMs: w.nowMs, NowMs: w.nowMs}, Product: 1, Rows: 100,
		Owners: func(_ []uint64, products []uint32) error {
			for i := range products {
				products[i] = 1
			}
			return nil
		},
	}
	w.must(w.view.ProductLog(w.t.Context(), q, func(*Row) bool {
		n++
		return true
	}))
	return n
}

// dropPages drops the archive's pages from the page cache.
func (w *week) dropPages(dir string) {
	files, err := filepath.Glob(dir + "/archive/*/*.sst")
	w.must(err)
	for _, name := range files {
		f, err := os.Open(name)
		w.must(err)
		w.must(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
		w.must(f.Close())
	}
}

// written returns what this process has had written to disks, bytes.
func written(t *testing.T) int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Oublock * 512
}

// peakBytes returns the most memory that this process has had.
func peakBytes(t *testing.T) string {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if peak, is := strings.CutPrefix(line, "VmHWM:"); is {
			return strings.TrimSpace(peak)
		}
	}
	return "unknown"
}

// TestWeek measures seven days of many events: METERD_WEEK_EVENTS says how many millions, METERD_WEEK_DEVICES of how
// many devices (a million), METERD_WEEK_DIR where. That directory is left. A billion take 5 GB of disk. What is written
// includes the zeroes of the log's first segments, 64 MiB each: of a few million events they are most of it.
func TestWeek(t *testing.T) {
	millions, devices := 0, 1_000_000
	if _, err := fmt.Sscan(os.Getenv("METERD_WEEK_EVENTS"), &millions); err != nil || millions == 0 {
		t.Skip("METERD_WEEK_EVENTS is not set")
	}
	if s := os.Getenv("METERD_WEEK_DEVICES"); s != "" {
		if _, err := fmt.Sscan(s, &devices); err != nil {
			t.Fatal(err)
		}
	}
	dir := os.Getenv("METERD_WEEK_DIR")
	groups := millions * 1_000_000 / weekGroup
	w, began, wrote := newWeek(t, dir, devices), time.Now(), written(t)
	for i := range groups {
		w.group(max(1, retention.Milliseconds()/int64(groups)))
		if i%(groups/20) == groups/20-1 {
			t.Logf("%d M events in %.0f s", (i+1)*weekGroup/1_000_000, time.Since(began).Seconds())
		}
	}
	w.upkeep()
	took, x := time.Since(began).Seconds(), w.store.Stats()
	t.Logf("%d events of %d devices, %.2f M/s: %d runs, %d spans (%d merges), %d rows in memory, %.2f bytes an event "+
		"in directories; log %.2f bytes an event; written %.2f × the log; memory at most %s", millions*1_000_000, devices,
		float64(millions)/took, x.Runs, x.Spans, x.Merges, x.MemoryRows, float64(x.Bytes)/float64(x.Rows),
		float64(w.logBytes)/float64(groups*weekGroup), float64(written(t)-wrote)/float64(w.logBytes), peakBytes(t))
	w.must(w.view.Close())
	w.dropPages(dir)
	var err error
	began = time.Now()
	w.store, err = archive.Open(archive.Options{Path: filepath.Join(dir, "archive"), Retention: retention})
	w.must(err)
	w.view, err = New(Options{Store: w.store, Log: w.log, Retention: retention})
	w.must(err)
	w.device(1 << 30)
	t.Logf("opened, and a week of one device: %v", time.Since(began))
	w.must(w.view.Follow(t.Context(), w.seq, productOne{}))
	w.reads(dir, "a week of one device", 500, func() int { return w.device(1 << 30) })
	w.reads(dir, "the first page of a device", 500, func() int { return w.device(100) })
	w.reads(dir, "the newest page of the product", 200, w.newest)
	if w.store.Stats().MemoryRows > 0 {
		w.must(w.store.WriteRun())
		w.reads(dir, "the same, with nothing in memory", 200, w.newest)
	}
	w.must(w.view.Close())
	w.must(w.log.Close())
}
