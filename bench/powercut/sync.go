package powercut

import "strings"

// syncFile answers fsync, fdatasync and msync of a file.
func (d *disk) syncFile(i *inode) error {
	d.changing("sync", i)
	d.stats.FileSyncs++
	if f := d.failing; f != nil && strings.HasPrefix(i.path(), f.prefix) {
		d.failing = nil
		return d.failSync(i, f.seed)
	}
	if d.options.IgnoreSync {
		d.stats.Ignored++
		return nil
	}
	return d.keepFile(i)
}

// syncDir answers fsync of a directory.
func (d *disk) syncDir(dir *inode) error {
	d.changing("sync of directory", dir)
	d.stats.DirSyncs++
	if d.options.IgnoreSync {
		d.stats.Ignored++
		return nil
	}
	return d.keepDir(dir)
}

// keepFile is fsync of a file: its data, size and attributes become durable, and its creation if that is pending. A
// rename of the file does not: POSIX promises it with an fsync of the directory only.
func (d *disk) keepFile(i *inode) error {
	if i.kept.dir == nil && !i.removed() {
		if _, err := d.keepOps(func(o *op) bool { return o.kind == opCreate && o.node == i }); err != nil {
			return err
		}
	}
	if err := d.keepContent(i); err != nil {
		return err
	}
	i.settle()
	return i.keepAttrs()
}

// keepDir is fsync of a directory: every change of names in it becomes durable, and its own creation.
func (d *disk) keepDir(dir *inode) error {
	if _, err := d.keepOps(func(o *op) bool {
		return o.touches(dir) || o.kind == opCreate && o.node == dir
	}); err != nil {
		return err
	}
	return dir.keepAttrs()
}

// keepAll makes everything durable: the orderly end.
func (d *disk) keepAll() error {
	if _, err := d.keepOps(func(*op) bool { return true }); err != nil {
		return err
	}
	for _, i := range d.inodes {
		if err := d.keepContent(i); err != nil {
			return err
		}
		i.settle()
	}
	for _, i := range d.inodes {
		if err := i.keepAttrs(); err != nil {
			return err
		}
	}
	return nil
}
