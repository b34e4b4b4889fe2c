package archive

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestProductWeek measures reading a product that all of a week's events are of: METERD_WEEK_EVENTS says how many
// millions, METERD_WEEK_DIR where. Pages of the page cache are dropped before each page.
func TestProductWeek(t *testing.T) {
	millions := 0
	if _, err := fmt.Sscan(os.Getenv("METERD_WEEK_EVENTS"), &millions); err != nil || millions == 0 {
		t.Skip("METERD_WEEK_EVENTS is not set")
	}
	groups, wrote := millions*1000, written(t)
	path := filepath.Join(os.Getenv("METERD_WEEK_DIR"), "archive-product")
	l := newLoad(t, path, min(1_000_000, millions*1000), max(1, (7*day).Milliseconds()/int64(groups)))
	for i := range groups {
		l.group(t)
		if i%1000 == 0 {
			if err := l.s.Tidy(t.Context(), l.nowMs); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.s.WriteRun(); err != nil { // Nothing is in memory: the newest page comes from the disk.
		t.Fatal(err)
	}
	x := l.s.Stats()
	t.Logf("%d events, %d runs, %d spans, %.2f bytes an event, %.2f written", x.Rows, x.Runs, x.Spans,
		float64(x.Bytes)/float64(x.Rows), float64(written(t)-wrote)/float64(x.Rows))
	read := func(q ProductQuery) (rows int) {
		q.Product, q.Owners = 1, func(_ []uint64, products []uint32) error {
			for i := range products {
				products[i] = 1
			}
			return nil
		}
		p := l.s.ReadProduct(q)
		for done := GoOn; done == GoOn; {
			var err error
			done, err = p.Step(t.Context(), l.s.Snapshot(), func(*Row) bool { rows++; return true })
			if err != nil {
				t.Fatal(err)
			}
		}
		return rows
	}
	measure := func(what string, times int, query func() ProductQuery) {
		var took []time.Duration
		rows := 0
		for range times {
			dropPages(t, path)
			began := time.Now()
			rows = read(query())
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		t.Logf("%s: %d rows, p50 %v, p99 %v", what, rows, took[times/2], took[times*99/100])
	}
	lastMs := l.nowMs
	measure("newest page", 100, func() ProductQuery { return ProductQuery{ToMs: lastMs, Rows: 101} })
	measure("newest thousand", 30, func() ProductQuery { return ProductQuery{ToMs: lastMs, Rows: 1001} })
	measure("a page somewhere", 5, func() ProductQuery {
		return ProductQuery{ToMs: beginMs + l.dice.Int64N(lastMs-beginMs), Rows: 101}
	})
	began := time.Now()
	rows := read(ProductQuery{ToMs: lastMs, Oldest: true})
	took := time.Since(began)
	t.Logf("all: %d rows in %.1f s, %.2f M/s", rows, took.Seconds(), float64(rows)/took.Seconds()/1e6)
	if err := l.s.Close(); err != nil {
		t.Fatal(err)
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

// dropPages drops the archive's pages from the page cache.
func dropPages(t *testing.T, path string) {
	files, err := filepath.Glob(path + "/*/*.sst")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if err := syncAndDrop(name); err != nil {
			t.Fatal(err)
		}
	}
}
