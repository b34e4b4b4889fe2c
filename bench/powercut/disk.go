package powercut

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rootID is the node id FUSE gives the root.
const rootID = 1

// errTooMany says that the tree does not fit into memory as this package holds it.
var errTooMany = errors.New("more files and directories than a simulated disk holds")

// disk is the file system without FUSE: what applications see, held over the lower directory, which at every instant is
// what a power cut would leave. It holds one lock for everything: the requests of one test on two cores gain nothing
// from more, and a cut must find a state that some order of the requests explains. The methods in this file, and those
// that names.go, journal.go, content.go, sync.go and early.go add, expect the lock held; wire.go takes it.
type disk struct {
	mu      sync.Mutex
	options Options
	root    *inode
	inodes  map[uint64]*inode
	lastID  uint64
	handles map[uint64]*dirHandle
	lastFH  uint64
	journal []*op
	early   *early // nil without a seed
	power   power
	failing *failure // nil: the next sync does not fail
	stats   Stats

	hole    *page // stands in content.pages for a hole punched over lower bytes; never written to, costs no page
	spare   []*page
	scratch []byte
	now     func() time.Time
}

// openDisk reads the names and attributes of the tree at lower. Data is read when it is asked for.
func openDisk(lower string, o Options) (*disk, error) {
	d := &disk{
		options: o.withDefaults(), inodes: make(map[uint64]*inode), lastID: rootID,
		handles: make(map[uint64]*dirHandle), hole: new(page), now: time.Now,
		power: power{left: o.CutAt, seed: o.CutSeed},
	}
	if o.Seed != 0 {
		d.early = newEarly(o.Seed)
	}
	fd, err := unix.Open(lower, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open lower directory %q: %w", lower, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("stat lower directory %q: %w", lower, err)
	}
	d.root = &inode{id: rootID, dirFD: fd, children: make(map[string]*inode)}
	d.root.setAttrs(&st)
	d.inodes[rootID] = d.root
	if err := d.load(d.root); err != nil {
		d.close()
		return nil, fmt.Errorf("read lower directory %q: %w", lower, err)
	}
	return d, nil
}

// load reads the names under dir, all levels.
func (d *disk) load(dir *inode) error {
	names, err := readNames(dir.dirFD)
	if err != nil {
		return err
	}
	for _, name := range names {
		if len(d.inodes) >= entriesMax {
			return errTooMany
		}
		var st unix.Stat_t
		if err := unix.Fstatat(dir.dirFD, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("stat %q: %w", name, err)
		}
		if kind := st.Mode & syscall.S_IFMT; kind != syscall.S_IFREG && kind != syscall.S_IFDIR {
			return fmt.Errorf("%q is neither file nor directory", name)
		}
		i := d.newInode(st.Mode)
		i.setAttrs(&st)
		i.live, i.kept = place{dir, name}, place{dir, name}
		dir.children[name] = i
		if !i.isDir() {
			i.content = content{size: st.Size, lowerBytes: st.Size, validBytes: st.Size}
			continue
		}
		if i.dirFD, err = openDir(dir.dirFD, name); err != nil {
			return fmt.Errorf("open %q: %w", name, err)
		}
		if err := d.load(i); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// newInode makes an inode that no name leads to yet.
func (d *disk) newInode(mode uint32) *inode {
	d.lastID++
	now := d.now()
	i := &inode{id: d.lastID, mode: mode, dirFD: -1, atime: now, mtime: now, ctime: now}
	if i.isDir() {
		i.children = make(map[string]*inode)
	}
	d.inodes[i.id] = i
	return i
}

func (i *inode) setAttrs(st *unix.Stat_t) {
	i.mode, i.uid, i.gid = st.Mode, st.Uid, st.Gid
	i.atime, i.mtime, i.ctime = time.Unix(st.Atim.Unix()), time.Unix(st.Mtim.Unix()), time.Unix(st.Ctim.Unix())
}

// forget drops an inode that neither a name, the kernel nor a handle refers to, and with it data nobody can sync.
func (d *disk) forget(i *inode) {
	if !i.removed() || i.lookups > 0 || i.opens > 0 {
		return
	}
	delete(d.inodes, i.id)
	for index := range i.content.pages {
		d.dropPage(&i.content, index)
	}
	i.closeLower()
}

// close lets go of the lower directory. The state that a cut leaves is untouched.
func (d *disk) close() {
	for _, i := range d.inodes {
		i.closeLower()
		if i.dirFD >= 0 {
			_ = unix.Close(i.dirFD) // A directory opened for reading has nothing to lose.
			i.dirFD = -1
		}
	}
}

func openDir(dirFD int, name string) (int, error) {
	return unix.Openat(dirFD, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
}

// readNames lists a directory through a descriptor of its own, since reading moves the descriptor's position.
func readNames(dirFD int) ([]string, error) {
	fd, err := openDir(dirFD, ".")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}
