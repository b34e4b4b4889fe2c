package powercut

import (
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

type opKind uint8

const (
	opCreate opKind = iota + 1 // node appears at to
	opRemove                   // node disappears from from
	opMove                     // node moves from from to to, where victim, if any, disappears
)

// op is one change of names that applications see and the lower directory does not have yet.
type op struct {
	kind   opKind
	node   *inode
	from   place
	to     place
	victim *inode
}

// log appends o to the journal.
func (d *disk) log(o *op) error {
	if len(d.journal) >= pendingOpsMax {
		d.stats.Refused++
		return syscall.ENOSPC
	}
	d.journal = append(d.journal, o)
	d.stats.PendingOps = len(d.journal)
	return nil
}

// keepOps applies the ops that wanted names, and all that they depend on, to the lower directory in the order in which
// they were made. A cut in between leaves a prefix, which is a state that an earlier sync could have left.
func (d *disk) keepOps(wanted func(*op) bool) (int, error) {
	chosen := closure(d.journal, wanted)
	done := 0
	var failed error
	d.journal = slices.DeleteFunc(d.journal, func(o *op) bool {
		if failed != nil || !chosen[o] {
			return false
		}
		if failed = d.apply(o); failed != nil {
			return false
		}
		done++
		return true
	})
	d.stats.KeptOps += uint64(done)
	d.stats.PendingOps = len(d.journal)
	return done, failed
}

// closure returns the wanted ops and every earlier op that one of them needs:
//
//   - the last one on the same name, since a name holds one thing at a time;
//   - the creation of the directory that holds the name;
//   - for a directory that goes: everything that happened in it, as it must be empty;
//   - for a directory that moves: every earlier move of a directory, so that no loop can arise.
//
// Needs point to the past, so one walk from the newest to the oldest finds them all.
func closure(journal []*op, wanted func(*op) bool) map[*op]bool {
	chosen := make(map[*op]bool)
	names := make(map[place]bool)
	made := make(map[*inode]bool)
	emptied := make(map[*inode]bool)
	moved := false
	for _, o := range slices.Backward(journal) {
		need := names[o.from] || names[o.to] || emptied[o.from.dir] || emptied[o.to.dir] ||
			o.kind == opCreate && made[o.node] || o.kind == opMove && o.node.isDir() && moved
		if !need && !wanted(o) {
			continue
		}
		chosen[o] = true
		for _, p := range []place{o.from, o.to} {
			if p.dir != nil {
				names[p], made[p.dir] = true, true
			}
		}
		if o.kind == opRemove && o.node.isDir() {
			emptied[o.node] = true
		}
		if o.victim != nil && o.victim.isDir() {
			emptied[o.victim] = true
		}
		moved = moved || o.kind == opMove && o.node.isDir()
	}
	return chosen
}

// touches says whether o changes names in dir.
func (o *op) touches(dir *inode) bool { return o.from.dir == dir || o.to.dir == dir }

// apply does o in the lower directory.
func (d *disk) apply(o *op) error {
	switch o.kind {
	case opCreate:
		return d.applyCreate(o)
	case opRemove:
		if err := o.node.prepareRemoval(); err != nil {
			return err
		}
		flags := 0
		if o.node.isDir() {
			flags = unix.AT_REMOVEDIR
		}
		if err := unix.Unlinkat(o.from.dir.dirFD, o.from.name, flags); err != nil {
			return err
		}
		o.node.leaveLower()
	case opMove:
		if o.victim != nil {
			if err := o.victim.prepareRemoval(); err != nil {
				return err
			}
		}
		if err := unix.Renameat(o.from.dir.dirFD, o.from.name, o.to.dir.dirFD, o.to.name); err != nil {
			return err
		}
		if o.victim != nil {
			o.victim.leaveLower()
		}
		o.node.kept = o.to
	default:
		panic("BUG: unknown kind of op in the journal")
	}
	return nil
}

// applyCreate makes an empty file or directory: data comes with the file's own sync.
func (d *disk) applyCreate(o *op) error {
	i, dirFD := o.node, o.to.dir.dirFD
	if i.isDir() {
		if err := unix.Mkdirat(dirFD, o.to.name, i.mode&0o7777); err != nil {
			return err
		}
		fd, err := openDir(dirFD, o.to.name)
		if err != nil {
			return err
		}
		i.dirFD, i.kept = fd, o.to
		return i.keepAttrs()
	}
	fd, err := unix.Openat(dirFD, o.to.name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, i.mode&0o7777)
	if err != nil {
		return err
	}
	i.content.file, i.kept = os.NewFile(uintptr(fd), o.to.name), o.to
	i.settle()
	return i.keepAttrs()
}

// prepareRemoval keeps the lower data within reach of handles that outlive the name.
func (i *inode) prepareRemoval() error {
	if i.isDir() || i.opens == 0 {
		return nil
	}
	_, err := i.lower()
	return err
}

// leaveLower notes that the lower directory has no name for i any more.
func (i *inode) leaveLower() {
	i.kept = place{}
	i.settle()
	if i.isDir() && i.dirFD >= 0 {
		_ = unix.Close(i.dirFD) // A directory opened for reading has nothing to lose.
		i.dirFD = -1
	}
}
