package powercut

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// unsynced is a disk whose file f, of eight durable pages of "a", was overwritten with "b" and made twice as long, and
// whose name g is new.
func unsynced(t *testing.T, o Options) (w *wire, lower string) {
	lower = t.TempDir()
	must(os.WriteFile(filepath.Join(lower, "f"), bytes.Repeat([]byte("a"), 8*pageBytes), 0o600))
	d, err := openDisk(lower, o)
	must(err)
	t.Cleanup(d.close)
	w = newWire(d)
	in := &fuse.WriteIn{InHeader: header(d.root.children["f"].id)}
	_, s := w.Write(nil, in, bytes.Repeat([]byte("b"), 16*pageBytes))
	must(errOf(s))
	must(errOf(w.Create(nil, &fuse.CreateIn{InHeader: header(rootID), Mode: 0o600}, "g", new(fuse.CreateOut))))
	return w, lower
}

// TestLastInstantKeepsAnySubset: every page survives some cuts and not others, with or without any other one; sizes and
// names likewise; and a file keeps nothing or everything now and then.
func TestLastInstantKeepsAnySubset(t *testing.T) {
	seen := map[string]int{}
	for seed := uint64(1); seed <= 400; seed++ {
		w, lower := unsynced(t, Options{})
		must(w.disk.keepSome(seed))
		data, err := os.ReadFile(filepath.Join(lower, "f"))
		must(err)
		there := make([]bool, 16)
		for i := range there {
			page := data[min(len(data), i*pageBytes):min(len(data), (i+1)*pageBytes)]
			there[i] = bytes.Equal(page, bytes.Repeat([]byte("b"), pageBytes))
			if bytes.ContainsFunc(page, func(r rune) bool { return r != 'a' && r != 'b' && r != 0 }) {
				t.Fatalf("seed %d: page %d has what was never written", seed, i)
			}
			if bytes.Contains(page, []byte("b")) && !there[i] {
				seen["torn"]++
			}
			seen[fmt.Sprintf("%d %v", i, there[i])]++
			if i > 0 {
				seen[fmt.Sprintf("%d %v, %d %v", i-1, there[i-1], i, there[i])]++
			}
		}
		seen[fmt.Sprintf("all %v", !bytes.ContainsAny(data, "a\x00") && len(data) == 16*pageBytes)]++
		seen[fmt.Sprintf("none %v", bytes.Equal(data, bytes.Repeat([]byte("a"), 8*pageBytes)))]++
		seen[fmt.Sprintf("size alone %v", len(data) == 16*pageBytes && !there[15] && bytes.HasSuffix(data, []byte{0}))]++
		_, err = os.Stat(filepath.Join(lower, "g"))
		seen[fmt.Sprintf("name %v", err == nil)]++
	}
	expected := []string{"torn", "all true", "none true", "size alone true", "name true", "name false"}
	for i := 1; i < 16; i++ {
		for _, was := range []bool{false, true} {
			expected = append(
				expected,
				fmt.Sprintf("%d %v, %d %v", i-1, was, i, was),
				fmt.Sprintf("%d %v, %d %v", i-1, was, i, !was),
			)
		}
	}
	for _, what := range expected {
		if seen[what] == 0 {
			t.Errorf("of 400 cuts none left: %s", what)
		}
	}
}

// TestCutAtEachChange goes through all instants of a short work: the power goes at the change that was asked for, and
// the one before it was answered.
func TestCutAtEachChange(t *testing.T) {
	work := func(w *wire) {
		var out fuse.CreateOut
		must(errOf(w.Create(nil, &fuse.CreateIn{InHeader: header(rootID), Mode: 0o600}, "f", &out)))
		node := header(out.NodeId)
		must(errOf(w.Fallocate(nil, &fuse.FallocateIn{InHeader: node, Length: pageBytes})))
		_, s := w.Write(nil, &fuse.WriteIn{InHeader: node}, []byte("data"))
		must(errOf(s))
		must(errOf(w.Fsync(nil, &fuse.FsyncIn{InHeader: node})))
		must(errOf(w.Rename(nil, &fuse.RenameIn{InHeader: header(rootID), Newdir: rootID}, "f", "g")))
		must(errOf(w.FsyncDir(nil, &fuse.FsyncIn{InHeader: header(rootID)})))
		must(errOf(w.Unlink(nil, &fuse.InHeader{NodeId: rootID}, "g")))
	}
	changes := []string{
		"creation f",
		"fallocate f",
		"write f",
		"sync f",
		"rename to g in .",
		"sync of directory .",
		"removal of g in .",
	}
	for at := range len(changes) + 1 {
		lower := t.TempDir()
		d, err := openDisk(lower, Options{CutAt: uint64(at + 1)})
		must(err)
		was := ""
		d.power.gone = func(what string) { panic(what) }
		func() {
			defer func() {
				was, _ = recover().(string)
			}()
			work(newWire(d))
		}()
		d.close()
		if want := append(changes, "")[at]; was != want {
			t.Errorf("the power went at %q, change %d is %q", was, at+1, want)
		}
		_, errF := os.Stat(filepath.Join(lower, "f"))
		_, errG := os.Stat(filepath.Join(lower, "g"))
		if hasF, hasG := errF == nil, errG == nil; hasF != (at == 4 || at == 5) || hasG != (at > 5) {
			t.Errorf("after %q: f %v, g %v", was, hasF, hasG)
		}
	}
}

// TestFailedSync: of what the sync was for some is written, some is in the cache, some is lost; the next sync says that
// all is well, and keeps what is left.
func TestFailedSync(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(40) {
		w, lower := unsynced(t, Options{})
		w.disk.obey(question{FailSync: true, Path: "f", Seed: seed})
		in := &fuse.FsyncIn{InHeader: header(w.disk.root.children["f"].id)}
		must(errOf(w.Fsync(nil, &fuse.FsyncIn{InHeader: header(w.disk.root.children["g"].id)})))
		if err := errOf(w.Fsync(nil, in)); err != syscall.EIO {
			t.Fatalf("the sync was answered with %v", err)
		}
		buf := make([]byte, 16*pageBytes)
		result, s := w.Read(nil, &fuse.ReadIn{InHeader: in.InHeader, Size: uint32(len(buf))}, buf)
		must(errOf(s))
		shown, s := result.Bytes(buf)
		must(errOf(s))
		durable, err := os.ReadFile(filepath.Join(lower, "f"))
		must(err)
		must(errOf(w.Fsync(nil, in)))
		kept, err := os.ReadFile(filepath.Join(lower, "f"))
		must(err)
		if !bytes.Equal(shown, kept) {
			t.Fatalf("seed %d: the second sync kept something else than reads showed", seed)
		}
		for i := range 8 {
			fate := fmt.Sprintf("%c then %c", durable[i*pageBytes], kept[i*pageBytes])
			if seen[fate]++; seed == 0 && fate != "a then a" {
				t.Errorf("seed 0: page %d is %s", i, fate)
			}
		}
	}
	if seen["a then a"] == 0 || seen["a then b"] == 0 || seen["b then b"] == 0 || len(seen) != 3 {
		t.Errorf("pages were %v", seen)
	}
}

// TestLastInstantMounted is the same through the kernel: what a test sees of a cut by itself, of one that keeps a part,
// of a refused fallocate and of a sync that fails.
func TestLastInstantMounted(t *testing.T) {
	needFUSE(t)
	lower := t.TempDir()
	f := MountT(t, lower, Options{CutAt: 3, CutSeed: 1, NoFallocate: true})
	file, err := os.Create(filepath.Join(f.Mountpoint(), "f"))
	must(err)
	if err := unix.Fallocate(int(file.Fd()), 0, 0, pageBytes); err != unix.EOPNOTSUPP {
		t.Errorf("fallocate: %v", err)
	}
	_, err = file.WriteString("data")
	must(err)
	if err := file.Sync(); err == nil || errors.Is(err, syscall.EIO) {
		t.Errorf("the sync was answered with %v", err)
	}
	_ = file.Close() // The disk is gone.
	must(f.Cut())
	if at := f.CutAt(); at != "sync f" {
		t.Errorf("the power went at %q", at)
	}
	f = MountT(t, lower, Options{})
	must(f.CutAfter(2, "f", 0))
	put(f.Mountpoint()+"/g", "data")
	if os.WriteFile(f.Mountpoint()+"/f", []byte("data"), 0o600) == nil { // A creation or a truncation, and a write.
		t.Error("a write was answered after the power went")
	}
	must(f.Cut())
	if at := f.CutAt(); at != "write f" {
		t.Errorf("the power went at %q", at)
	}
	survivors := map[string]bool{}
	for seed := uint64(1); seed <= 8; seed++ {
		lower := t.TempDir()
		f := MountT(t, lower, Options{})
		put(f.Mountpoint()+"/g", "data")
		must(f.CutKeeping(seed))
		must(f.Cut())
		survivors[fmt.Sprint(tree(t, lower))] = true
	}
	if len(survivors) != 3 {
		t.Errorf("cuts left %v: the name and the data must be there, the name alone, and nothing", survivors)
	}
}

// TestPageCacheAfterAFailedSync: the kernel shows what the disk lost until it is asked to forget it. sync_file_range
// does not reach the disk.
func TestPageCacheAfterAFailedSync(t *testing.T) {
	needFUSE(t)
	lower := t.TempDir()
	f := MountT(t, lower, Options{})
	path := filepath.Join(f.Mountpoint(), "f")
	putSynced(path, strings.Repeat("a", pageBytes))
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(err)
	defer file.Close()
	read := func() byte {
		b := make([]byte, pageBytes)
		_, err := file.ReadAt(b, 0)
		must(err)
		return b[0]
	}
	_, err = file.WriteAt(bytes.Repeat([]byte("b"), pageBytes), 0)
	must(err)
	must(unix.SyncFileRange(int(file.Fd()), 0, pageBytes,
		unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER))
	if data, err := os.ReadFile(filepath.Join(lower, "f")); err != nil || data[0] != 'a' {
		t.Errorf("sync_file_range kept something: %q, %v", data[:1], err)
	}
	must(f.FailSync("f", 0))
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("the sync was answered with %v", err)
	}
	if was := read(); was != 'b' {
		t.Errorf("the page cache shows %q: nothing was tried", was)
	}
	before, err := f.Stats()
	must(err)
	must(file.Sync())
	must(unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED))
	if is := read(); is != 'a' {
		t.Errorf("after posix_fadvise it still shows %q", is)
	}
	if after, err := f.Stats(); err != nil || after.Reads == before.Reads || after.Failed != 1 {
		t.Errorf("%+v, before %+v: %v", after, before, err)
	}
}
