package retention

import "golang.org/x/sys/unix"

// nameWatch tells whether names came into a directory, without listing it: after every group the question is whether
// Badger began a file. The kernel queues an event before the call that makes a name returns, so none is missed.
type nameWatch struct{ fd int } // negative: there is none, and the answer is always that some may have come

// watchNames begins to watch a directory. Where the machine has no more watches to give it is listed instead.
func watchNames(dir string) nameWatch {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nameWatch{-1}
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		_ = unix.Close(fd) // It watches nothing.
		return nameWatch{-1}
	}
	return nameWatch{fd}
}

// changed reports whether a name may have come since it was asked last.
func (w nameWatch) changed() bool {
	if w.fd < 0 {
		return true
	}
	var events [4096]byte
	n, err := unix.Read(w.fd, events[:])
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil || n < 0:
		return true
	}
	// The queue holds more than one read at most when many names came at once; then the next answer is a needless yes.
	return true
}

func (w nameWatch) close() {
	if w.fd >= 0 {
		_ = unix.Close(w.fd) // Nothing was written to it.
	}
}
