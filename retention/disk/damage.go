package disk

import (
	"errors"
	"fmt"
)

// ErrDamaged is wrapped by every error about bytes that are not what was written.
var ErrDamaged = errors.New("damaged")

// Damage returns an error that wraps ErrDamaged: it names the file or directory, what is wrong with it and what to do.
func Damage(path, format string, args ...any) error {
	return fmt.Errorf("%q is %w: %s; check the disk, and put this data directory back from a backup "+
		"(or move it away to start empty)", path, ErrDamaged, fmt.Sprintf(format, args...))
}
