package powercut

import (
	"errors"
	"fmt"
)

// Options says how the file system treats what was not synced. The zero value is the strictest disk: nothing that was
// not synced survives, everything that was does.
type Options struct {
	// IgnoreSync answers every fsync, fdatasync, msync and O_SYNC write with success and keeps nothing: the disk that
	// lies. A test that passes with it proves nothing. Unmount still writes everything back.
	IgnoreSync bool
	// Seed, if not 0, lets the disk also write early what nobody asked for: after a write or a change of names, with
	// chance 1 in 8, a few sectors of a recent page or one pending change of names with all it depends on. Cuts then leave
	// torn states. The choices are a function of Seed and of the order of the requests, and that order is the
	// kernel's: the seed repeats the weather, not the run.
	Seed uint64
	// CutAt, if not 0, cuts the power at the CutAt-th change that is asked for: a write, a truncation, a change of names,
	// a fallocate, a sync. The change has reached the disk's cache, a sync has not begun, and nobody is answered. Cut
	// still has to be called; FS.CutAt says afterwards which change it was.
	CutAt uint64
	// CutSeed, if not 0, lets an arbitrary part of what was not synced survive the cut of CutAt, as FS.CutKeeping does.
	CutSeed uint64
	// NoFallocate answers fallocate with EOPNOTSUPP, as file systems without it do.
	NoFallocate bool
	// DirtyBytesMax bounds the unsynced data held in memory; beyond it writes fail with ENOSPC. 0 is 1 GiB.
	DirtyBytesMax int64
	// WritebackCache lets the kernel keep the data of write(2) too. It is quicker for small writes and hides them from
	// early write-back; see doc.go for why it is off by default.
	WritebackCache bool
}

func (o Options) withDefaults() Options {
	if o.DirtyBytesMax == 0 {
		o.DirtyBytesMax = dirtyBytesDefault
	}
	return o
}

// Validate reports every fault of o at once.
func (o Options) Validate() error {
	var errs []error
	if o.DirtyBytesMax < 0 || o.DirtyBytesMax > dirtyBytesMax {
		errs = append(errs, fmt.Errorf("DirtyBytesMax %d is not within 0 and %d", o.DirtyBytesMax, int64(dirtyBytesMax)))
	}
	if o.DirtyBytesMax > 0 && o.DirtyBytesMax < requestBytesMax {
		errs = append(
			errs,
			fmt.Errorf("DirtyBytesMax %d holds not even one request of %d bytes", o.DirtyBytesMax, requestBytesMax),
		)
	}
	return errors.Join(errs...)
}
