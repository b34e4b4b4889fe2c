package powercut

import (
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// dirHandle is an open directory. It lists the names as they were when reading began, so that a directory emptied
// while it is read loses no entry.
type dirHandle struct {
	node    *inode
	entries []fuse.DirEntry
}

func (w *wire) OpenDir(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return w.on(in.NodeId, func(dir *inode) error {
		d := w.disk
		d.lastFH++
		d.handles[d.lastFH] = &dirHandle{node: dir}
		dir.opens++
		out.Fh = d.lastFH
		return nil
	})
}

func (w *wire) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return w.on(in.NodeId, func(dir *inode) error {
		h := w.disk.handles[in.Fh]
		if h == nil || h.node != dir {
			return syscall.EBADF
		}
		if in.Offset == 0 {
			h.entries = dir.list()
		}
		for at := in.Offset; at < uint64(len(h.entries)); at++ {
			e := h.entries[at]
			e.Off = at + 1
			if !out.AddDirEntry(e) {
				break
			}
		}
		return nil
	})
}

// list returns the names in dir, sorted, so that a run repeats.
func (dir *inode) list() []fuse.DirEntry {
	up := dir.live.dir
	if up == nil {
		up = dir
	}
	names := make([]string, 0, len(dir.children))
	for name := range dir.children {
		names = append(names, name)
	}
	slices.Sort(names)
	entries := make([]fuse.DirEntry, 0, len(names)+2)
	entries = append(
		entries,
		fuse.DirEntry{Name: ".", Ino: dir.id, Mode: dir.mode},
		fuse.DirEntry{Name: "..", Ino: up.id, Mode: up.mode},
	)
	for _, name := range names {
		i := dir.children[name]
		entries = append(entries, fuse.DirEntry{Name: name, Ino: i.id, Mode: i.mode})
	}
	return entries
}

func (w *wire) ReleaseDir(in *fuse.ReleaseIn) {
	w.on(in.NodeId, func(dir *inode) error {
		delete(w.disk.handles, in.Fh)
		dir.opens--
		w.disk.forget(dir)
		return nil
	})
}
