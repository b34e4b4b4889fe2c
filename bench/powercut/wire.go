package powercut

import (
	"errors"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// wire answers the kernel's requests from a disk. It holds no state of its own. What it does not define (links,
// symbolic links, extended attributes, O_TMPFILE, locks) the default answers with ENOSYS: the kernel then keeps flock
// and fcntl locks itself and refuses the rest. No request hands out a descriptor, so the kernel has no way around us.
type wire struct {
	fuse.RawFileSystem
	disk *disk
}

func newWire(d *disk) *wire { return &wire{fuse.NewDefaultRawFileSystem(), d} }

func (w *wire) String() string { return fsName }

// on runs f with the inode of id under the lock and translates its error.
func (w *wire) on(id uint64, f func(*inode) error) fuse.Status {
	d := w.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.inodes[id]
	if i == nil {
		return fuse.Status(syscall.ESTALE)
	}
	return statusOf(f(i))
}

// statusOf returns the number in err; an error of the lower file without one is EIO.
func statusOf(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fuse.Status(errno)
	}
	return fuse.EIO
}

func (i *inode) fillAttr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Uid, out.Gid = i.id, i.mode, i.uid, i.gid
	out.SetTimes(&i.atime, &i.mtime, &i.ctime)
	out.Blksize = pageBytes
	switch {
	case i.isDir():
		out.Nlink, out.Size = 2, pageBytes
	case i.removed():
		out.Nlink = 0
	default:
		out.Nlink = 1
	}
	if !i.isDir() {
		out.Size = uint64(i.content.size)
		out.Blocks = (out.Size + sectorBytes - 1) / sectorBytes
	}
}

// fillEntry hands a reference to i to the kernel.
func (i *inode) fillEntry(out *fuse.EntryOut) {
	i.lookups++
	out.NodeId, out.Generation = i.id, 1
	out.SetEntryTimeout(cacheFor)
	out.SetAttrTimeout(cacheFor)
	i.fillAttr(&out.Attr)
}

func (w *wire) Lookup(_ <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return w.on(h.NodeId, func(dir *inode) error {
		i, err := dir.child(name)
		if err != nil {
			return err
		}
		i.fillEntry(out)
		return nil
	})
}

func (w *wire) Forget(id, lookups uint64) {
	w.on(id, func(i *inode) error {
		i.lookups -= min(lookups, i.lookups)
		w.disk.forget(i)
		return nil
	})
}

func (w *wire) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return w.on(in.NodeId, func(i *inode) error {
		out.SetTimeout(cacheFor)
		i.fillAttr(&out.Attr)
		return nil
	})
}

func (w *wire) SetAttr(_ <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return w.on(in.NodeId, func(i *inode) error {
		now := w.disk.now()
		if size, ok := in.GetSize(); ok {
			if i.isDir() {
				return syscall.EISDIR
			}
			if err := w.disk.truncate(i, int64(min(size, 1<<62))); err != nil {
				return err
			}
			i.touch(now)
		}
		if mode, ok := in.GetMode(); ok {
			i.mode = i.mode&syscall.S_IFMT | mode
		}
		if uid, ok := in.GetUID(); ok {
			i.uid = uid
		}
		if gid, ok := in.GetGID(); ok {
			i.gid = gid
		}
		if at, ok := in.GetATime(); ok {
			i.atime = at
		}
		if mt, ok := in.GetMTime(); ok {
			i.mtime = mt
		}
		i.ctime, i.attrsDirty = now, true
		out.SetTimeout(cacheFor)
		i.fillAttr(&out.Attr)
		w.disk.changing("change of attributes", i)
		return w.disk.gust()
	})
}

func (w *wire) Create(_ <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return w.on(in.NodeId, func(dir *inode) error {
		mode := in.Mode&0o7777 | syscall.S_IFREG
		i, err := w.disk.create(dir, name, mode, in.Uid, in.Gid)
		if err != nil {
			return err
		}
		i.opens++
		i.fillEntry(&out.EntryOut)
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
		w.disk.changing("creation", i)
		return w.disk.gust()
	})
}

func (w *wire) Mknod(_ <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	if in.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return fuse.EPERM
	}
	return w.make(in.NodeId, name, in.Mode&(syscall.S_IFMT|0o7777), in.Owner, out)
}

func (w *wire) Mkdir(_ <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return w.make(in.NodeId, name, in.Mode&0o7777|syscall.S_IFDIR, in.Owner, out)
}

func (w *wire) make(dirID uint64, name string, mode uint32, owner fuse.Owner, out *fuse.EntryOut) fuse.Status {
	return w.on(dirID, func(dir *inode) error {
		i, err := w.disk.create(dir, name, mode, owner.Uid, owner.Gid)
		if err != nil {
			return err
		}
		i.fillEntry(out)
		w.disk.changing("creation", i)
		return w.disk.gust()
	})
}

func (w *wire) Unlink(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return w.remove(h.NodeId, name, false)
}

func (w *wire) Rmdir(_ <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return w.remove(h.NodeId, name, true)
}

func (w *wire) remove(dirID uint64, name string, wantDir bool) fuse.Status {
	return w.on(dirID, func(dir *inode) error {
		if err := w.disk.remove(dir, name, wantDir); err != nil {
			return err
		}
		w.disk.changing("removal of "+name+" in", dir)
		return w.disk.gust()
	})
}

func (w *wire) Rename(_ <-chan struct{}, in *fuse.RenameIn, oldName, newName string) fuse.Status {
	return w.on(in.NodeId, func(from *inode) error {
		to := w.disk.inodes[in.Newdir]
		if to == nil {
			return syscall.ESTALE
		}
		if err := w.disk.rename(place{from, oldName}, place{to, newName}, in.Flags); err != nil {
			return err
		}
		w.disk.changing("rename to "+newName+" in", to)
		return w.disk.gust()
	})
}

func (w *wire) Open(_ <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return w.on(in.NodeId, func(i *inode) error {
		i.opens++
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
		return nil
	})
}

func (w *wire) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	w.on(in.NodeId, func(i *inode) error {
		i.opens--
		i.settle()
		w.disk.forget(i)
		return nil
	})
}

func (w *wire) Read(_ <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n := 0
	status := w.on(in.NodeId, func(i *inode) (err error) {
		w.disk.stats.Reads++
		n, err = w.disk.read(i, buf[:min(len(buf), int(in.Size))], int64(min(in.Offset, 1<<62)))
		return err
	})
	return fuse.ReadResultData(buf[:n]), status
}

func (w *wire) Write(_ <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	status := w.on(in.NodeId, func(i *inode) error {
		if len(data) == 0 {
			return nil
		}
		d, off := w.disk, int64(min(in.Offset, 1<<62))
		if err := d.write(i, data, off); err != nil {
			return err
		}
		i.touch(d.now())
		d.stats.Writes++
		d.stats.WriteBytes += uint64(len(data))
		if d.early != nil {
			d.early.saw(i, off, off+int64(len(data)))
		}
		d.changing("write", i)
		return d.gust()
	})
	return uint32(len(data)), status
}

// Writev is asked first; large requests come in pieces.
func (w *wire) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	done, part := uint32(0), *in
	for _, piece := range data {
		n, status := w.Write(cancel, &part, piece)
		if status != fuse.OK {
			return 0, status
		}
		done += n
		part.Offset += uint64(n)
	}
	return done, fuse.OK
}

func (w *wire) Fsync(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return w.on(in.NodeId, w.disk.syncFile)
}

func (w *wire) FsyncDir(_ <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return w.on(in.NodeId, w.disk.syncDir)
}

// Flush is close(2), which promises nothing. ENOSYS tells the kernel not to ask again.
func (w *wire) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }

func (w *wire) Fallocate(_ <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return w.on(in.NodeId, func(i *inode) error {
		if in.Offset > fileBytesMax || in.Length > fileBytesMax {
			return syscall.EFBIG
		}
		d, off, end := w.disk, int64(in.Offset), int64(in.Offset+in.Length)
		if d.options.NoFallocate ||
			in.Mode&^(unix.FALLOC_FL_KEEP_SIZE|unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
			return syscall.EOPNOTSUPP
		}
		if in.Mode&(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_ZERO_RANGE) != 0 {
			if err := d.zero(i, off, end); err != nil {
				return err
			}
		}
		if in.Mode&unix.FALLOC_FL_KEEP_SIZE == 0 && end > i.content.size {
			if err := d.truncate(i, end); err != nil {
				return err
			}
		}
		i.touch(d.now())
		d.changing("fallocate", i)
		return d.gust()
	})
}

func (w *wire) StatFs(_ <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return w.on(in.NodeId, func(*inode) error {
		var st syscall.Statfs_t
		if err := syscall.Fstatfs(w.disk.root.dirFD, &st); err != nil {
			return err
		}
		out.FromStatfsT(&st)
		return nil
	})
}
