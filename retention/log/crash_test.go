package log

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// image is the content of a log's directory, by name.
type image map[string][]byte

func readImage(t testing.TB, path string) image {
	t.Helper()
	d := image{}
	for _, name := range names(t, path) {
		data, err := os.ReadFile(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		d[name] = data
	}
	return d
}

func (d image) write(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range d {
		if err := os.WriteFile(filepath.Join(path, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// piece is a part of a file that differs between two disks.
type piece struct {
	name     string
	from, to int
}

// pieces returns what was written between two disks, cut into units, without the mark: it is written after the sync.
func pieces(before, after image, unit int) (list []piece) {
	for name, data := range after {
		old := before[name]
		for from := 0; from < len(data) && name != "MARK"; from += unit {
			to := min(from+unit, len(data))
			was := old[min(from, len(old)):min(to, len(old))]
			if !bytes.Equal(was, data[from:to]) && (len(was) > 0 || !allZero(data[from:to])) {
				list = append(list, piece{name, from, to})
			}
		}
	}
	return list
}

// torn is the disk after a power cut during the last write: some of its pieces arrived. A file's new length may be
// lost; a name that was given is durable, for the directory was synced.
func torn(before, after image, list []piece, arrived func(i int) bool, longer bool) image {
	d := image{}
	for name, data := range after {
		old := bytes.Clone(before[name])
		if name != "MARK" && longer && len(old) < len(data) {
			old = append(old, make([]byte, len(data)-len(old))...)
		}
		d[name] = old
	}
	for i, p := range list {
		if !arrived(i) {
			continue
		}
		data := d[p.name]
		if len(data) < p.to {
			data = append(data, make([]byte, p.to-len(data))...)
		}
		copy(data[p.from:], after[p.name][p.from:p.to])
		d[p.name] = data
	}
	return d
}

// checkTorn opens a torn disk. The groups that were acknowledged are there, and the last one, which was not, is there
// whole or not at all; a next one can take its place, and then it is that one that is there.
func checkTorn(t testing.TB, d image, groups []*Group, acknowledged uint64) (kept bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "torn")
	d.write(t, path)
	last, err := verify(path, groups)
	if err != nil || last != acknowledged && last != acknowledged+1 {
		t.Fatalf("last group %d of %d, %v", last, acknowledged, err)
	}
	l, err := Open(testOptions(path))
	if err != nil {
		t.Fatal(err)
	}
	if again, _, _ := l.Last(); again != last {
		t.Fatalf("group %d came back: it was %d", again, last)
	}
	other := testGroup(last+1, groups[len(groups)-1].LastMs, 77)
	if err := l.Append(other); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := verify(path, append(groups[:last:last], other)); err != nil || again != last+1 {
		t.Fatalf("last group %d of %d, %v", again, last+1, err)
	}
	os.RemoveAll(path)
	return last > acknowledged
}

// everySubset tries each subset of what a write left, or many if there are too many.
func everySubset(t *testing.T, before, after image, groups []*Group, acknowledged uint64, unit int) {
	t.Helper()
	list := pieces(before, after, unit)
	if len(list) == 0 {
		t.Fatal("nothing was written")
	}
	const triesMax = 12
	rng := rand.New(rand.NewPCG(uint64(len(list)), 3))
	kept := 0
	for try := range min(1<<min(len(list), 20), triesMax) {
		bits := uint64(try)
		switch {
		case len(list) <= 3: // every subset
		case try == 0: // all of it
			bits = everything
		case try%3 == 0: // all but a few
			one, two := rng.IntN(len(list)), rng.IntN(len(list))
			bits = ^(1<<one | 1<<two)
		default:
			bits = rng.Uint64()
		}
		d := torn(before, after, list, func(i int) bool { return bits>>(i%64)&1 == 1 }, rng.IntN(2) == 0)
		if checkTorn(t, d, groups, acknowledged) {
			kept++
		}
	}
	if kept == 0 {
		t.Fatal("not even the whole write was kept")
	}
}

// TestTornWrites cuts the power during each kind of write: within a page, over pages, the first one of a file that was
// just made, zeroed, or recycled, and the header alone. In each case any sectors or pages of it may have arrived.
func TestTornWrites(t *testing.T) {
	t.Parallel()
	for _, unit := range []int{512, pageBytes} {
		for name, c := range map[string]struct {
			first  []int // sizes of the groups before
			second int   // size of the torn one
			with   func(t *testing.T, l *Log)
		}{
			"first group":         {nil, 100, nil},
			"within a page":       {[]int{100}, 100, nil},
			"over pages":          {[]int{100, 3000}, 9000, nil},
			"from a page's begin": {[]int{4096 - 2*partBytes - frameFixedBytes - 9}, 5000, nil},
			"next file":           {[]int{5000}, 13_000, nil},
			"next file, made now": {[]int{100}, 30_000, nil},
			"zeroed file":         {[]int{10_000}, 30_000, func(_ *testing.T, l *Log) { l.wg.Wait() }},
			"recycled file":       {nil, 30_000, recycleTwo},
			"in a recycled file":  {nil, 3000, recycleTwo},
			"begun by age": {[]int{100}, 3000, func(t *testing.T, l *Log) {
				if err := l.Release(1<<40, 0); err != nil {
					t.Fatal(err)
				}
			}},
		} {
			t.Run(fmt.Sprintf("%s/%d", name, unit), func(t *testing.T) {
				t.Parallel() // It waits for the disk.
				l, groups := newLog(t, 0)
				for _, n := range c.first {
					groups = append(groups, appendGroups(t, l, 1, n)...)
				}
				if c.with != nil {
					c.with(t, l)
				}
				last, lastMs, _ := l.Last()
				for uint64(len(groups)) < last {
					groups = append(groups, testGroup(uint64(len(groups)+1), 0))
				}
				first := l.First()
				before := readImage(t, l.opts.Path)
				g := testGroup(last+1, lastMs, c.second)
				if err := l.Append(g); err != nil {
					t.Fatal(err)
				}
				l.wg.Wait()
				groups = append(groups, g)
				if first > 1 { // What was released is not compared.
					groups = append(make([]*Group, first-1), groups[first-1:]...)
				}
				everySubset(t, before, readImage(t, l.opts.Path), groups, last, unit)
			})
		}
	}
}

// recycleTwo fills segments and releases them, so that the next file is one that was used before.
func recycleTwo(t *testing.T, l *Log) {
	t.Helper()
	appendGroups(t, l, 40, 13_000)
	last, _, _ := l.Last()
	if err := l.Release(1<<40, last); err != nil {
		t.Fatal(err)
	}
	if len(l.spares) != sparesMax || l.First() <= last {
		t.Fatal(len(l.spares), l.First())
	}
}

// A header that was begun by age may be lost, too, and then the segment was not begun.
func TestTornHeaderBegunByAge(t *testing.T) {
	t.Parallel()
	for _, unit := range []int{512, pageBytes} {
		l, groups := newLog(t, 3, 100)
		before := readImage(t, l.opts.Path)
		if err := l.Release(1<<40, 0); err != nil {
			t.Fatal(err)
		}
		after := readImage(t, l.opts.Path)
		list := pieces(before, after, unit)
		for bits := range 1 << len(list) {
			d := torn(before, after, list, func(i int) bool { return bits>>i&1 == 1 }, true)
			if checkTorn(t, d, groups, 3) {
				t.Fatal("a group came from nowhere")
			}
		}
	}
}

// TestManyPowerCuts is one log that is cut off again and again at random, and that releases what it no longer needs.
func TestManyPowerCuts(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "commit")
	var groups []*Group
	ms, kept := int64(0), 0
	for round := range 60 {
		l, err := Open(testOptions(path))
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		last, _, _ := l.Last()
		if last+1 < uint64(len(groups)) {
			t.Fatalf("round %d: group %d is the last of %d", round, last, len(groups)-1)
		}
		if last == uint64(len(groups)) {
			kept++
		}
		groups = groups[:last]
		if err := l.Replay(l.First(), func(g *Group) error { return sameGroup(g, groups[g.Seq-1]) }); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var before image
		n := 1 + rng.IntN(5)
		for i := range n {
			if i == n-1 {
				l.wg.Wait()
				before = readImage(t, path)
			}
			ms += int64(rng.IntN(2000))
			size := 1 + rng.IntN(4000)
			if rng.IntN(3) == 0 {
				size *= 8
			}
			g := testGroup(uint64(len(groups)+1), ms, size)
			if err := l.Append(g); err != nil {
				t.Fatal(err)
			}
			groups = append(groups, g)
			if rng.IntN(4) == 0 && i < n-1 {
				if err := l.Release(ms+int64(rng.IntN(2))<<40, uint64(len(groups)-rng.IntN(5))); err != nil {
					t.Fatal(err)
				}
			}
		}
		l.wg.Wait()
		after := readImage(t, path)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		list := pieces(before, after, []int{512, pageBytes}[rng.IntN(2)])
		arrives := rng.Float64() * 1.5
		path = filepath.Join(t.TempDir(), "commit")
		torn(before, after, list, func(int) bool { return rng.Float64() < arrives }, rng.IntN(2) == 0).write(t, path)
	}
	if kept == 0 || kept == 60 {
		t.Errorf("the last group was kept in %d of 60 rounds", kept)
	}
}
