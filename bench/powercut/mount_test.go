package powercut

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// putSynced writes a file and syncs it, not its directory.
func putSynced(path, data string) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	must(err)
	_, err = f.WriteString(data)
	must(err)
	must(f.Sync())
	must(f.Close())
}

func put(path, data string) { must(os.WriteFile(path, []byte(data), 0o644)) }

func syncPath(path string) {
	f, err := os.Open(path)
	must(err)
	must(f.Sync())
	must(f.Close())
}

// mapped writes data into a shared mapping of the file at path and msyncs it or not. The mapping stays until the test's
// end, since the kernel writes mapped pages back when they are unmapped.
func mapped(t *testing.T, path, data string, sync bool) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(err)
	m, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(err)
	t.Cleanup(func() {
		must(unix.Munmap(m))
		_ = f.Close() // The file system is gone: ENOTCONN.
	})
	copy(m, data)
	if sync {
		must(unix.Msync(m, unix.MS_SYNC))
	}
}

// cutCases: each starts with old="old" and dir/, both durable, acts on the mount, and is cut.
var cutCases = []struct {
	name string
	act  func(t *testing.T, m string)
	want map[string]string
}{
	{"write not synced", func(_ *testing.T, m string) { put(m+"/new", "data") }, map[string]string{"old": "old"}},
	{"overwrite not synced", func(_ *testing.T, m string) { put(m+"/old", "data") }, map[string]string{"old": "old"}},
	{
		"file sync keeps data and creation",
		func(_ *testing.T, m string) { putSynced(m+"/new", "data") },
		map[string]string{"old": "old", "new": "data"},
	},
	{"file sync keeps the directories above", func(_ *testing.T, m string) {
		must(os.MkdirAll(m+"/a/b", 0o755))
		putSynced(m+"/a/b/new", "data")
	}, map[string]string{"old": "old", "a/": "", "a/b/": "", "a/b/new": "data"}},
	{"file sync keeps no neighbour", func(_ *testing.T, m string) {
		put(m+"/other", "data")
		putSynced(m+"/new", "data")
	}, map[string]string{"old": "old", "new": "data"}},
	{"directory sync keeps names, not data", func(_ *testing.T, m string) {
		put(m+"/new", "data")
		syncPath(m)
	}, map[string]string{"old": "old", "new": ""}},
	{"rename not synced", func(_ *testing.T, m string) {
		putSynced(m+"/tmp", "data")
		must(os.Rename(m+"/tmp", m+"/old"))
	}, map[string]string{"old": "old", "tmp": "data"}},
	{"rename synced", func(_ *testing.T, m string) {
		putSynced(m+"/tmp", "data")
		must(os.Rename(m+"/tmp", m+"/old"))
		syncPath(m)
	}, map[string]string{"old": "data"}},
	{"rename synced without the data", func(_ *testing.T, m string) {
		put(m+"/tmp", "data")
		must(os.Rename(m+"/tmp", m+"/old"))
		syncPath(m)
	}, map[string]string{"old": ""}},
	{"file sync keeps no rename", func(_ *testing.T, m string) {
		putSynced(m+"/tmp", "data")
		must(os.Rename(m+"/tmp", m+"/new"))
		syncPath(m + "/new")
	}, map[string]string{"old": "old", "tmp": "data"}},
	{"rename across directories is one change", func(_ *testing.T, m string) {
		must(os.Rename(m+"/old", m+"/dir/new"))
		syncPath(m + "/dir")
	}, map[string]string{"dir/new": "old"}},
	{"unlink not synced", func(_ *testing.T, m string) { must(os.Remove(m + "/old")) }, map[string]string{"old": "old"}},
	{"unlink synced", func(_ *testing.T, m string) {
		must(os.Remove(m + "/old"))
		syncPath(m)
	}, map[string]string{}},
	{"name used again", func(_ *testing.T, m string) {
		must(os.Remove(m + "/old"))
		putSynced(m+"/old", "new")
	}, map[string]string{"old": "new"}},
	{
		"truncate not synced",
		func(_ *testing.T, m string) { must(os.Truncate(m+"/old", 1)) },
		map[string]string{"old": "old"},
	},
	{"truncate synced", func(_ *testing.T, m string) {
		must(os.Truncate(m+"/old", 1))
		must(os.Truncate(m+"/old", 3))
		syncPath(m + "/old")
	}, map[string]string{"old": "o\x00\x00"}},
	{"append synced, then not", func(_ *testing.T, m string) {
		f, err := os.OpenFile(m+"/old", os.O_WRONLY|os.O_APPEND, 0)
		must(err)
		_, err = f.WriteString("+1")
		must(err)
		must(unix.Fdatasync(int(f.Fd())))
		_, err = f.WriteString("+2")
		must(err)
		must(f.Close())
	}, map[string]string{"old": "old+1"}},
	{"O_SYNC write", func(_ *testing.T, m string) {
		f, err := os.OpenFile(m+"/old", os.O_WRONLY|os.O_SYNC, 0)
		must(err)
		_, err = f.WriteString("new")
		must(err)
		must(f.Close())
	}, map[string]string{"old": "new"}},
	{"fallocate, punch", func(_ *testing.T, m string) {
		putSynced(m+"/new", strings.Repeat("x", 3*pageBytes))
		f, err := os.OpenFile(m+"/new", os.O_RDWR, 0)
		must(err)
		must(unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 10, 2*pageBytes))
		must(unix.Fallocate(int(f.Fd()), 0, 0, 4*pageBytes))
		must(f.Sync())
		must(f.Close())
	}, map[string]string{"old": "old", "new": strings.Repeat("x", 10) + strings.Repeat("\x00", 2*pageBytes) +
		strings.Repeat("x", pageBytes-10) + strings.Repeat("\x00", pageBytes)}},
	{"msync", func(t *testing.T, m string) { mapped(t, m+"/old", "map", true) }, map[string]string{"old": "map"}},
	{
		"mapped, no msync",
		func(t *testing.T, m string) { mapped(t, m+"/old", "map", false) },
		map[string]string{"old": "old"},
	},
	{"rmdir synced", func(_ *testing.T, m string) {
		must(os.Mkdir(m+"/a", 0o755))
		put(m+"/a/x", "data")
		syncPath(m + "/a")
		must(os.Remove(m + "/a/x"))
		must(os.Remove(m + "/a"))
		syncPath(m)
	}, map[string]string{"old": "old"}},
}

func prepared(tb testing.TB) string {
	lower := tb.TempDir()
	put(lower+"/old", "old")
	must(os.Mkdir(lower+"/dir", 0o755))
	return lower
}

func TestCut(t *testing.T) {
	needFUSE(t)
	for _, writeback := range []bool{false, true} {
		for _, c := range cutCases {
			name := c.name
			if writeback {
				name += ", writeback cache"
			}
			t.Run(name, func(t *testing.T) {
				lower := prepared(t)
				f := MountT(t, lower, Options{WritebackCache: writeback})
				c.act(t, f.Mountpoint())
				must(f.Cut())
				want := maps.Clone(c.want)
				want["dir/"] = ""
				if got := tree(t, lower); !maps.Equal(got, want) {
					t.Errorf("after the cut: %q, want %q", got, want)
				}
			})
		}
	}
}

// TestIgnoreSync: the same acts leave what was there before, and Unmount still keeps all.
func TestIgnoreSync(t *testing.T) {
	needFUSE(t)
	for _, c := range cutCases {
		t.Run(c.name, func(t *testing.T) {
			lower := prepared(t)
			before := tree(t, lower)
			f := MountT(t, lower, Options{IgnoreSync: true})
			c.act(t, f.Mountpoint())
			must(f.Cut())
			if got := tree(t, lower); !maps.Equal(got, before) {
				t.Errorf("a lying disk kept something: %q, want %q", got, before)
			}
		})
	}
}

func TestUnmountKeepsAll(t *testing.T) {
	needFUSE(t)
	lower := prepared(t)
	f := MountT(t, lower, Options{IgnoreSync: true})
	m := f.Mountpoint()
	must(os.MkdirAll(m+"/a/b", 0o700))
	put(m+"/a/b/new", "data")
	must(os.Rename(m+"/a/b", m+"/b"))
	must(os.Remove(m + "/old"))
	must(os.Chmod(m+"/b/new", 0o600))
	want := tree(t, m)
	open, err := os.Open(m + "/b/new")
	must(err)
	if err := f.Unmount(); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("unmount with an open file: %v, want EBUSY", err)
	}
	must(open.Close())
	must(f.Unmount())
	if got := tree(t, lower); !maps.Equal(got, want) {
		t.Errorf("after unmount: %q, want %q", got, want)
	}
	st, err := os.Stat(lower + "/b/new")
	must(err)
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600", st.Mode())
	}
}

// TestCutUnderOpenFiles: who has files open learns of the cut by an error, not by waiting, and can be unmounted.
func TestCutUnderOpenFiles(t *testing.T) {
	needFUSE(t)
	lower := prepared(t)
	f := MountT(t, lower, Options{})
	file, err := os.OpenFile(filepath.Join(f.Mountpoint(), "old"), os.O_RDWR, 0)
	must(err)
	failed := make(chan error)
	go func() {
		for {
			if _, err := file.WriteAt([]byte("x"), 0); err != nil {
				failed <- err
				return
			}
			if err := file.Sync(); err != nil {
				failed <- err
				return
			}
		}
	}()
	must(f.Cut())
	err = <-failed
	if !errors.Is(err, syscall.ENOTCONN) && !errors.Is(err, syscall.ECONNABORTED) && !errors.Is(err, syscall.EIO) {
		t.Errorf("write after the cut: %v", err)
	}
	_ = file.Close() // The file system is gone.
	again, err := Mount(lower, f.Mountpoint(), Options{})
	must(err)
	must(again.Unmount())
}

func TestStatsCountSyncs(t *testing.T) {
	needFUSE(t)
	f := MountT(t, prepared(t), Options{})
	for range 3 {
		putSynced(f.Mountpoint()+"/new", "data")
	}
	syncPath(f.Mountpoint())
	mapped(t, f.Mountpoint()+"/old", "map", true)
	s, err := f.Stats()
	must(err)
	if s.FileSyncs != 4 || s.DirSyncs != 1 || s.Ignored != 0 || s.DirtyBytes != 0 || s.PendingOps != 0 {
		t.Errorf("stats %+v, want 3 fsyncs and 1 msync, 1 sync of a directory, nothing held back", s)
	}
}

// TestWritebackCacheHoldsWrites: the option is negotiated; without it every write reaches the file system at once.
func TestWritebackCacheHoldsWrites(t *testing.T) {
	needFUSE(t)
	for _, writeback := range []bool{false, true} {
		f := MountT(t, prepared(t), Options{WritebackCache: writeback})
		file, err := os.Create(f.Mountpoint() + "/new")
		must(err)
		for range 100 {
			_, err := file.WriteString("data")
			must(err)
		}
		s, err := f.Stats()
		must(err)
		if writeback && s.Writes >= 100 || !writeback && s.Writes != 100 { // The kernel may come in between, at its leisure.
			t.Errorf("write-back cache %v: 100 writes came as %d", writeback, s.Writes)
		}
		must(file.Close())
	}
}

func TestLimits(t *testing.T) {
	needFUSE(t)
	f := MountT(t, prepared(t), Options{DirtyBytesMax: requestBytesMax})
	err := os.WriteFile(f.Mountpoint()+"/new", make([]byte, 2*requestBytesMax), 0o644)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write beyond DirtyBytesMax: %v, want ENOSPC", err)
	}
	s, err := f.Stats()
	must(err)
	if s.Refused == 0 || s.DirtyBytes > requestBytesMax {
		t.Errorf("stats %+v, want refusals and at most %d bytes held back", s, requestBytesMax)
	}
	if err := (Options{DirtyBytesMax: -1}).Validate(); err == nil {
		t.Error("a negative limit is valid")
	}
}

// TestLocksAreExclusive: a second daemon on the mount must be refused as on any disk, and the cut frees the lock.
func TestLocksAreExclusive(t *testing.T) {
	needFUSE(t)
	lower := prepared(t)
	f := MountT(t, lower, Options{})
	lock := func(m string) (*os.File, error) {
		file, err := os.Open(m + "/dir")
		must(err)
		return file, unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	first, err := lock(f.Mountpoint())
	must(err)
	defer first.Close()
	second, err := lock(f.Mountpoint())
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("second lock: %v, want EWOULDBLOCK", err)
	}
	_ = second.Close()
	must(f.Cut())
	again := MountT(t, lower, Options{})
	third, err := lock(again.Mountpoint())
	if err != nil {
		t.Errorf("lock after the cut: %v", err)
	}
	_ = third.Close()
}
