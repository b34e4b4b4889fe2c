package disk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrDamaged is wrapped by every error about bytes that are not what was written.
var ErrDamaged = errors.New("damaged")

// Damage returns an error that wraps ErrDamaged: it names the file or directory, what is wrong with it and what to do.
func Damage(path, format string, args ...any) error {
	return fmt.Errorf("%q is %w: %s; check the disk, and put this data directory back from a backup "+
		"(or move it away to start empty)", path, ErrDamaged, fmt.Sprintf(format, args...))
}

// IsOfMachine reports whether what was stumbled over is no damage but the machine's to mend: permissions, space,
// descriptors; or the end of a call. Wrapping of libraries may hide what errors.Is would look for.
func IsOfMachine(err error) bool {
	for _, e := range []error{
		unix.EACCES, unix.EPERM, unix.ENOSPC, unix.EDQUOT, unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EROFS,
		context.Canceled, context.DeadlineExceeded,
	} {
		if strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}
