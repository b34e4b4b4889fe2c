package disk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// SpaceOptions says when there is too little space. A full disk kills the process, since Badger writes through mapped
// files (SIGBUS), so ingest stops while there still is room for what must be written to come to rest.
type SpaceOptions struct {
	StopBytes    uint64 // ingest stops below this; 0: 1 GiB
	ResumeBytes  uint64 // and goes on above this; 0: a quarter more than StopBytes
	BallastBytes uint64 // kept on disk to be given up when opening on a full one; 0: 64 MiB
	OpenBytes    uint64 // what opening may write; 0: 48 MiB, at most BallastBytes
	// Free measures the file system of a path; nil: Free of this package.
	Free func(path string) (uint64, error)
}

func (o *SpaceOptions) fill() {
	if o.StopBytes == 0 {
		o.StopBytes = stopBytesDefault
	}
	if o.ResumeBytes == 0 {
		o.ResumeBytes = o.StopBytes + o.StopBytes/4
	}
	if o.BallastBytes == 0 {
		o.BallastBytes = ballastBytesDefault
	}
	if o.OpenBytes == 0 {
		o.OpenBytes = min(openBytes, o.BallastBytes)
	}
	if o.Free == nil {
		o.Free = Free
	}
}

// Validate reports every fault of the options at once; zeroes stand for defaults.
func (o SpaceOptions) Validate() error {
	o.fill()
	var errs []error
	if o.ResumeBytes < o.StopBytes {
		errs = append(errs, fmt.Errorf("resume at %d bytes free is below stop at %d", o.ResumeBytes, o.StopBytes))
	}
	if o.OpenBytes > o.BallastBytes {
		errs = append(
			errs,
			fmt.Errorf("opening takes %d bytes, the ballast of %d cannot make room for it", o.OpenBytes, o.BallastBytes),
		)
	}
	return errors.Join(errs...)
}

// Free returns the bytes that a process without privileges may still write to the file system of path.
func Free(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("measure the free space of %q: %w", path, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
