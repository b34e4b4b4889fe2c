package powercut

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// child returns what name leads to in dir.
func (dir *inode) child(name string) (*inode, error) {
	if !dir.isDir() {
		return nil, syscall.ENOTDIR
	}
	if len(name) > nameBytesMax {
		return nil, syscall.ENAMETOOLONG
	}
	i := dir.children[name]
	if i == nil {
		return nil, syscall.ENOENT
	}
	return i, nil
}

// create makes a file or directory that only applications see until a sync.
func (d *disk) create(dir *inode, name string, mode, uid, gid uint32) (*inode, error) {
	if _, err := dir.child(name); err == nil {
		return nil, syscall.EEXIST
	} else if err != syscall.ENOENT {
		return nil, err
	}
	if dir.removed() {
		return nil, syscall.ENOENT
	}
	if len(d.inodes) >= entriesMax {
		d.stats.Refused++
		return nil, syscall.ENOSPC
	}
	to := place{dir, name}
	i := d.newInode(mode)
	i.uid, i.gid, i.attrsDirty = uid, gid, true
	if err := d.log(&op{kind: opCreate, node: i, to: to}); err != nil {
		delete(d.inodes, i.id)
		return nil, err
	}
	i.live = to
	dir.children[name] = i
	dir.touch(d.now())
	return i, nil
}

// remove takes a name away: unlink, and rmdir if wantDir.
func (d *disk) remove(dir *inode, name string, wantDir bool) error {
	i, err := dir.child(name)
	switch {
	case err != nil:
		return err
	case wantDir && !i.isDir():
		return syscall.ENOTDIR
	case !wantDir && i.isDir():
		return syscall.EISDIR
	case len(i.children) > 0:
		return syscall.ENOTEMPTY
	}
	if err := d.log(&op{kind: opRemove, node: i, from: place{dir, name}}); err != nil {
		return err
	}
	delete(dir.children, name)
	dir.touch(d.now())
	d.orphan(i)
	return nil
}

// rename moves a name, over another one unless flags forbid it.
func (d *disk) rename(from, to place, flags uint32) error {
	if flags&^unix.RENAME_NOREPLACE != 0 {
		return syscall.EINVAL
	}
	i, err := from.dir.child(from.name)
	if err != nil {
		return err
	}
	victim, err := to.dir.child(to.name)
	switch {
	case err != nil && err != syscall.ENOENT:
		return err
	case to.dir.removed():
		return syscall.ENOENT
	case victim == i:
		return nil
	case victim != nil && flags&unix.RENAME_NOREPLACE != 0:
		return syscall.EEXIST
	case victim != nil && i.isDir() && !victim.isDir():
		return syscall.ENOTDIR
	case victim != nil && !i.isDir() && victim.isDir():
		return syscall.EISDIR
	case victim != nil && len(victim.children) > 0:
		return syscall.ENOTEMPTY
	}
	for above := to.dir; above != nil; above = above.live.dir {
		if above == i {
			return syscall.EINVAL
		}
	}
	if err := d.log(&op{kind: opMove, node: i, from: from, to: to, victim: victim}); err != nil {
		return err
	}
	now := d.now()
	delete(from.dir.children, from.name)
	to.dir.children[to.name] = i
	i.live = to
	from.dir.touch(now)
	to.dir.touch(now)
	if victim != nil {
		d.orphan(victim)
	}
	return nil
}

// orphan notes that no name leads to i any more.
func (d *disk) orphan(i *inode) {
	i.live = place{}
	i.ctime = d.now()
	d.forget(i)
}
