package counters

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// benchSizes are the numbers of devices that the budgets are for.
var benchSizes = []int{1_000_000, 10_000_000}

func sizeName(n int) string { return fmt.Sprintf("devices=%dM", n/1_000_000) }

// skipLarge keeps the size that takes a gigabyte out of short runs.
func skipLarge(b *testing.B, n int) {
	if testing.Short() && n > 1_000_000 {
		b.Skip("takes a gigabyte")
	}
}

// filled returns a table of n devices and their keys in random order.
func filled(tb testing.TB, n int) (*Table, []Key) {
	tb.Helper()
	t, err := New(Options{Seed: 0x5eed})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := t.Close(); err != nil {
			tb.Error(err)
		}
	})
	keys := make([]Key, n)
	insertAll(tb, t, keys)
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return t, keys
}

// insertAll inserts devices the way the engine does: batches with a reservation, growth when it is refused.
func insertAll(tb testing.TB, t *Table, keys []Key) {
	const batch = 4096
	var name [16]byte
	for i := range keys {
		if i%batch == 0 && !t.Reserve(batch) {
			if err := t.Grow(batch, 1<<20); err != nil {
				tb.Fatal(err)
			}
			if !t.Reserve(batch) {
				tb.Fatal("no room after Grow")
			}
		}
		dev := deviceName(name[:0], i)
		keys[i] = t.KeyOf(1, dev)
		if _, _, err := t.Insert(keys[i], dev); err != nil {
			tb.Fatal(err)
		}
	}
}

// deviceName is "dev-" and eight digits: 12 bytes, as serial numbers are.
func deviceName(dst []byte, i int) []byte {
	dst = append(dst, "dev-"...)
	return strconv.AppendInt(dst, int64(10_000_000+i), 10)
}

// BenchmarkDecide compares a decision with its yardstick in one run: a bare compare-and-swap on a random slot of the
// same table. All go through the same random keys.
func BenchmarkDecide(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(sizeName(n), func(b *testing.B) {
			skipLarge(b, n)
			t, keys := filled(b, n)
			b.Run("bare-cas", func(b *testing.B) { benchDecide(b, t, keys, bareCAS) })
			b.Run("find-count", func(b *testing.B) { benchDecide(b, t, keys, findCount) })
			b.Run("findbatch-count", func(b *testing.B) { benchDecide(b, t, keys, findBatchCount) })
		})
	}
}

// benchDecide runs decide over batches of 1000 keys on one goroutine a processor.
func benchDecide(b *testing.B, t *Table, keys []Key, decide func(*Table, []Key, []*Slot) int) {
	const batch = 1000
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		found := make([]*Slot, batch)
		at, left, decided := rand.IntN(len(keys)-batch), 0, 0
		for pb.Next() {
			if left--; left > 0 {
				continue
			}
			if at += batch; at+batch > len(keys) {
				at = 0
			}
			decided += decide(t, keys[at:at+batch], found)
			left = batch
		}
		if decided == 0 && b.N > batch*runtime.GOMAXPROCS(0) {
			b.Error("nothing was decided")
		}
	})
}

func bareCAS(t *Table, keys []Key, _ []*Slot) int {
	n := 0
	for _, k := range keys {
		h := &t.tables[k.Shard()]
		w := &h.slot(k.home(h.groups), int(k.Lo>>24&7)).w[3]
		if old := w.Load(); w.CompareAndSwap(old, old+1) {
			n++
		}
	}
	return n
}

func findCount(t *Table, keys []Key, _ []*Slot) int {
	n := 0
	for _, k := range keys {
		if t.Find(k).CountMessage(100, true, 1, MessagesPerDayMax).OK {
			n++
		}
	}
	return n
}

func findBatchCount(t *Table, keys []Key, found []*Slot) int {
	n := 0
	t.FindBatch(keys, found)
	for _, s := range found {
		if s.CountMessage(100, true, 1, MessagesPerDayMax).OK {
			n++
		}
	}
	return n
}

func BenchmarkKeyOf(b *testing.B) {
	t, _ := filled(b, 1)
	for _, size := range []int{8, 12, 24, 64} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			name := []byte(strings.Repeat("d", size))
			var sum uint64
			for i := 0; b.Loop(); i++ {
				name[i%len(name)]++
				sum += t.KeyOf(1, name).Hi
			}
			runtime.KeepAlive(sum)
		})
	}
}

// BenchmarkInsert fills a table from nothing, growth included.
func BenchmarkInsert(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(sizeName(n), func(b *testing.B) {
			skipLarge(b, n)
			b.ReportAllocs()
			keys := make([]Key, n)
			for b.Loop() {
				before := residentBytes(b)
				t, err := New(Options{Seed: 0x5eed})
				if err != nil {
					b.Fatal(err)
				}
				insertAll(b, t, keys)
				s := t.ReadStats()
				b.ReportMetric(float64(s.SlotBytes+s.NameBytes)/float64(n), "bytes/device")
				b.ReportMetric(float64(residentBytes(b)-before)/float64(n), "resident-bytes/device")
				b.ReportMetric(s.Load(), "load")
				if err := t.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/insert")
		})
	}
}

// BenchmarkGrow measures the growth of one shard, the longest stall that growing causes.
func BenchmarkGrow(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(sizeName(n), func(b *testing.B) {
			skipLarge(b, n)
			b.ReportAllocs()
			t, _ := filled(b, n)
			for i := 0; b.Loop(); i++ {
				shard := i % Shards
				if err := t.resize(shard, slotsFor(shard, t.shards[shard].used.get(), 0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkImage measures a checkpoint's copy and a restart: all shards.
func BenchmarkImage(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(sizeName(n), func(b *testing.B) {
			skipLarge(b, n)
			t, _ := filled(b, n)
			images := make([][]byte, Shards)
			b.Run("append", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					for i := range images {
						images[i] = t.AppendShard(images[i][:0], i)
					}
				}
			})
			b.Run("load", func(b *testing.B) {
				b.ReportAllocs()
				for i := range images {
					images[i] = t.AppendShard(images[i][:0], i)
				}
				for b.Loop() {
					loadAll(b, images)
				}
			})
		})
	}
}

func loadAll(tb testing.TB, images [][]byte) {
	t, err := New(Options{Seed: 0x5eed})
	if err != nil {
		tb.Fatal(err)
	}
	for i := range images {
		if err := t.LoadShard(i, images[i]); err != nil {
			tb.Fatal(err)
		}
	}
	if err := t.Close(); err != nil {
		tb.Fatal(err)
	}
}

// residentBytes returns the memory of this process as the kernel counts it, 0 where it does not say.
func residentBytes(tb testing.TB) int {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	if err != nil {
		tb.Fatal(err)
	}
	return pages * os.Getpagesize()
}
