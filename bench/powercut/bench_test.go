package powercut

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bothDisks runs f on the simulated disk and on the directory below it, the yardstick.
func bothDisks(b *testing.B, f func(b *testing.B, dir string)) {
	needFUSE(b)
	b.Run("powercut", func(b *testing.B) { f(b, MountT(b, b.TempDir(), Options{}).Mountpoint()) })
	b.Run("writeback", func(b *testing.B) { f(b, MountT(b, b.TempDir(), Options{WritebackCache: true}).Mountpoint()) })
	b.Run("lower", func(b *testing.B) { f(b, b.TempDir()) })
}

// reportMedian reports the middle of what step took, since a mean hides what most callers see.
func reportMedian(b *testing.B, step func(i int)) {
	b.ReportAllocs()
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		began := time.Now()
		step(i)
		took = append(took, time.Since(began))
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
}

func BenchmarkWriteAndFsync4KiB(b *testing.B) {
	bothDisks(b, func(b *testing.B, dir string) {
		f, err := os.Create(filepath.Join(dir, "f"))
		must(err)
		defer f.Close()
		data := make([]byte, pageBytes)
		reportMedian(b, func(i int) {
			_, err := f.WriteAt(data, int64(i%256)*pageBytes)
			must(err)
			must(f.Sync())
		})
	})
}

func BenchmarkMsync64KiB(b *testing.B) {
	bothDisks(b, func(b *testing.B, dir string) {
		const size, group = 64 << 20, 64 << 10
		f, err := os.Create(filepath.Join(dir, "f"))
		must(err)
		defer f.Close()
		must(f.Truncate(size))
		m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		must(err)
		b.SetBytes(group)
		reportMedian(b, func(i int) {
			part := m[i*group%size:][:group]
			for at := range part {
				part[at]++
			}
			must(unix.Msync(m, unix.MS_SYNC))
		})
		must(unix.Munmap(m))
	})
}

func BenchmarkWriteSequential1MiB(b *testing.B) {
	bothDisks(b, func(b *testing.B, dir string) {
		f, err := os.Create(filepath.Join(dir, "f"))
		must(err)
		defer f.Close()
		data := make([]byte, 1<<20)
		b.SetBytes(int64(len(data)))
		reportMedian(b, func(i int) {
			_, err := f.WriteAt(data, int64(i%64)<<20)
			must(err)
			if i%16 == 15 {
				must(f.Sync())
			}
		})
	})
}
