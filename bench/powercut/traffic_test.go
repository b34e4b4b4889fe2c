package powercut

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
	"pgregory.net/rapid"
)

// driver sends requests to the disk as the kernel would.
type driver struct {
	t     *rapid.T
	w     *wire
	dirs  map[string]uint64
	model *model
}

func header(node uint64) fuse.InHeader { return fuse.InHeader{NodeId: node} }

func (r *driver) ok(s fuse.Status) {
	if s != fuse.OK {
		r.t.Fatalf("request: %v", s)
	}
}

func (r *driver) dirOf(path string) uint64 { return r.dirs[filepath.Dir(path)] }

// step draws one request and applies it to the disk and to the model.
func (r *driver) step() {
	path := rapid.SampledFrom(modelDirs).
		Draw(r.t, "dir") +
		"/" + rapid.SampledFrom([]string{"a", "b", "c"}).
		Draw(r.t, "name")
	f := r.model.live[path]
	switch action := rapid.SampledFrom([]string{
		"write", "write", "write", "truncate", "sync", "sync", "remove", "rename", "rename", "sync dir", "punch",
	}).Draw(r.t, "action"); {
	case action == "sync dir":
		dir := filepath.Dir(path)
		r.ok(r.w.FsyncDir(nil, &fuse.FsyncIn{InHeader: header(r.dirs[dir])}))
		r.model.syncDir(dir)
	case f == nil:
		r.create(path)
	case action == "sync":
		r.ok(r.w.Fsync(nil, &fuse.FsyncIn{InHeader: header(f.node)}))
		r.model.syncFile(f)
	case action == "remove":
		h := header(r.dirOf(path))
		r.ok(r.w.Unlink(nil, &h, filepath.Base(path)))
		r.model.set(path, nil)
		r.gone(f)
	case action == "rename":
		r.rename(path, f)
	default:
		r.change(action, f)
	}
}

func (r *driver) create(path string) {
	var out fuse.CreateOut
	in := fuse.CreateIn{InHeader: header(r.dirOf(path)), Mode: uint32(len(r.model.files) + 1)}
	r.ok(r.w.Create(nil, &in, filepath.Base(path), &out))
	r.w.Release(nil, &fuse.ReleaseIn{InHeader: header(out.NodeId)})
	r.model.create(path, out.NodeId)
}

func (r *driver) rename(from string, f *modelFile) {
	to := rapid.SampledFrom(modelDirs).
		Draw(r.t, "to dir") +
		"/" + rapid.SampledFrom([]string{"a", "b", "c"}).
		Draw(r.t, "to name")
	if to == from {
		return
	}
	in := fuse.RenameIn{InHeader: header(r.dirOf(from)), Newdir: r.dirOf(to)}
	r.ok(r.w.Rename(nil, &in, filepath.Base(from), filepath.Base(to)))
	victim := r.model.live[to]
	r.model.set(from, nil)
	r.model.set(to, f)
	if victim != nil {
		r.gone(victim)
	}
}

func (r *driver) gone(f *modelFile) {
	f.gone = true
	r.w.Forget(f.node, 1)
}

func (r *driver) change(action string, f *modelFile) {
	off := rapid.IntRange(0, 3*pageBytes).Draw(r.t, "off")
	n := rapid.SampledFrom([]int{1, 100, sectorBytes, pageBytes, 2*pageBytes + 7}).Draw(r.t, "bytes")
	switch action {
	case "write":
		data := bytes.Repeat([]byte{rapid.Byte().Draw(r.t, "byte")}, n)
		_, s := r.w.Write(nil, &fuse.WriteIn{InHeader: header(f.node), Offset: uint64(off)}, data)
		r.ok(s)
		f.write(off, data)
	case "truncate":
		in := fuse.SetAttrIn{}
		in.NodeId, in.Valid, in.Size = f.node, fuse.FATTR_SIZE, uint64(off)
		r.ok(r.w.SetAttr(nil, &in, new(fuse.AttrOut)))
		f.truncate(off)
	case "punch":
		in := fuse.FallocateIn{InHeader: header(f.node), Offset: uint64(off), Length: uint64(n), Mode: 3}
		r.ok(r.w.Fallocate(nil, &in))
		if off < len(f.data) {
			f.write(off, make([]byte, min(n, len(f.data)-off)))
		}
	}
}

// readsAsModel demands that every file reads as the model has it.
func (r *driver) readsAsModel() {
	for path, f := range r.model.live {
		buf := make([]byte, 8*pageBytes)
		result, s := r.w.Read(nil, &fuse.ReadIn{InHeader: header(f.node), Size: uint32(len(buf))}, buf)
		r.ok(s)
		got, s := result.Bytes(buf)
		r.ok(s)
		if !bytes.Equal(got, f.data) {
			r.t.Fatalf("%s reads %d bytes that are not the %d written", path, len(got), len(f.data))
		}
	}
}

// TestWhatMustSurvive draws traffic, cuts, and compares with the model; or ends in order, and all must be there.
func TestWhatMustSurvive(t *testing.T) {
	scratch := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		lower, err := os.MkdirTemp(scratch, "")
		must(err)
		defer os.RemoveAll(lower)
		o := Options{Seed: rapid.SampledFrom([]uint64{0, 1, 2, 3}).Draw(rt, "seed")}
		for _, dir := range modelDirs {
			must(os.Mkdir(filepath.Join(lower, dir), 0o755))
		}
		d, err := openDisk(lower, o)
		must(err)
		defer d.close()
		r := &driver{t: rt, w: newWire(d), dirs: map[string]uint64{}, model: newModel()}
		for _, dir := range modelDirs {
			r.dirs[dir] = d.root.children[dir].id
		}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			r.step()
		}
		r.readsAsModel()
		if err := r.model.check(lower, o.Seed != 0); err != nil {
			rt.Fatal(err)
		}
		if seed := rapid.SampledFrom([]uint64{0, 0, 1, 2, 3, 4, 5, 6, 7, 8}).Draw(rt, "last instant"); seed != 0 {
			must(d.keepSome(seed))
			if err := r.model.check(lower, true); err != nil {
				rt.Fatalf("after the last instant: %v", err)
			}
			return
		}
		must(d.keepAll())
		for dir := range r.dirs {
			r.model.syncDir(dir)
		}
		for _, f := range r.model.live {
			r.model.syncFile(f)
		}
		if err := r.model.check(lower, false); err != nil {
			rt.Fatalf("after the orderly end: %v", err)
		}
		r.readsAsModel()
		if d.stats.DirtyBytes != 0 || len(d.journal) != 0 || len(d.inodes) != len(r.model.live)+3 {
			rt.Fatalf("left over: %+v, %d inodes for %d files", d.stats, len(d.inodes), len(r.model.live))
		}
	})
}

// TestTruncationGoesFirst: no cut may show new sectors among old ones that a truncation took away, since a real disk
// writes them elsewhere. The content is the old one whole, or new sectors and zeros.
func TestTruncationGoesFirst(t *testing.T) {
	was, is := bytes.Repeat([]byte("a"), 3*pageBytes), bytes.Repeat([]byte("b"), 3*pageBytes)
	torn := 0
	for seed := uint64(1); seed <= 200; seed++ {
		lower := t.TempDir()
		path := filepath.Join(lower, "f")
		must(os.WriteFile(path, was, 0o600))
		d, err := openDisk(lower, Options{Seed: seed})
		must(err)
		w, node := newWire(d), d.root.children["f"].id
		in := fuse.SetAttrIn{}
		in.NodeId, in.Valid = node, fuse.FATTR_SIZE
		must(errOf(w.SetAttr(nil, &in, new(fuse.AttrOut))))
		for off := 0; off < len(is); off += pageBytes {
			_, s := w.Write(nil, &fuse.WriteIn{InHeader: header(node), Offset: uint64(off)}, is[off:off+pageBytes])
			must(errOf(s))
		}
		got, err := os.ReadFile(path)
		must(err)
		if news := bytes.Count(got, []byte("b")); news > 0 {
			torn++
			if olds := bytes.Count(got, []byte("a")); olds > 0 {
				t.Errorf("seed %d: %d new bytes stand among %d old ones", seed, news, olds)
			}
		}
		d.close()
	}
	if torn == 0 {
		t.Error("no seed wrote early: the test shows nothing")
	}
}

// TestPunchReachesEarlySectors: a hole over a page that came early must not let the early sectors through after a sync.
func TestPunchReachesEarlySectors(t *testing.T) {
	early := 0
	for seed := uint64(1); seed <= 200; seed++ {
		lower := t.TempDir()
		path := filepath.Join(lower, "f")
		must(os.WriteFile(path, nil, 0o600))
		d, err := openDisk(lower, Options{Seed: seed})
		must(err)
		w, node := newWire(d), d.root.children["f"].id
		_, s := w.Write(nil, &fuse.WriteIn{InHeader: header(node)}, bytes.Repeat([]byte("a"), pageBytes))
		must(errOf(s))
		if d.stats.EarlyBytes > 0 {
			early++
		}
		must(errOf(w.Fallocate(nil, &fuse.FallocateIn{InHeader: header(node), Length: pageBytes, Mode: 3})))
		must(errOf(w.Fsync(nil, &fuse.FsyncIn{InHeader: header(node)})))
		got, err := os.ReadFile(path)
		must(err)
		if !bytes.Equal(got, make([]byte, pageBytes)) {
			t.Errorf("seed %d: %d punched bytes are back after the sync", seed, bytes.Count(got, []byte("a")))
		}
		d.close()
	}
	if early == 0 {
		t.Error("no seed wrote early: the test shows nothing")
	}
}

func errOf(s fuse.Status) error {
	if s != fuse.OK {
		return syscall.Errno(s)
	}
	return nil
}
