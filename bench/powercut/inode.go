package powercut

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// place is a name in a directory. The zero place is nowhere.
type place struct {
	dir  *inode
	name string
}

// inode is a file or directory as the applications see it, and where the lower directory has it.
type inode struct {
	id      uint64 // FUSE node id and inode number; never used twice
	mode    uint32 // type and permissions
	uid     uint32
	gid     uint32
	atime   time.Time
	mtime   time.Time
	ctime   time.Time
	lookups uint64 // references the kernel holds
	opens   uint64 // open handles

	live place // where applications find it; nowhere once removed
	kept place // where the lower directory has it; nowhere before its creation or after its removal got there

	children   map[string]*inode // of a directory
	dirFD      int               // the lower directory, -1 while there is none
	attrsDirty bool              // mode, owner or times differ from the lower directory's

	content content // of a file
}

func (i *inode) isDir() bool { return i.mode&syscall.S_IFMT == syscall.S_IFDIR }

// removed says whether no name leads to i any more.
func (i *inode) removed() bool { return i.live.dir == nil && i.id != rootID }

// lower returns the lower file of i, opened, or nil while the lower directory has none. The caller settles i.
func (i *inode) lower() (*os.File, error) {
	c := &i.content
	if c.file != nil || i.kept.dir == nil {
		return c.file, nil
	}
	fd, err := unix.Openat(i.kept.dir.dirFD, i.kept.name, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	c.file = os.NewFile(uintptr(fd), i.kept.name)
	return c.file, nil
}

// settle closes the lower file if nobody needs it open: a test's tree may have more files than a process descriptors.
func (i *inode) settle() {
	if i.opens == 0 {
		i.closeLower()
	}
}

func (i *inode) closeLower() {
	if i.content.file != nil {
		_ = i.content.file.Close() // Nothing is lost with it: the lower file is never the only copy of unsynced data.
		i.content.file = nil
	}
}

// touch notes a change of the content.
func (i *inode) touch(now time.Time) {
	i.mtime, i.ctime = now, now
	i.attrsDirty = true
}

// keepAttrs makes mode, owner and times durable.
func (i *inode) keepAttrs() error {
	if !i.attrsDirty || i.kept.dir == nil && i.id != rootID {
		return nil
	}
	dirFD, name := i.dirFD, "."
	if i.id != rootID {
		dirFD, name = i.kept.dir.dirFD, i.kept.name
	}
	if err := unix.Fchmodat(dirFD, name, i.mode&0o7777, 0); err != nil {
		return err
	}
	if err := unix.Fchownat(dirFD, name, int(i.uid), int(i.gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	times := []unix.Timespec{unix.NsecToTimespec(i.atime.UnixNano()), unix.NsecToTimespec(i.mtime.UnixNano())}
	if err := unix.UtimesNanoAt(dirFD, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	i.attrsDirty = false
	return nil
}
