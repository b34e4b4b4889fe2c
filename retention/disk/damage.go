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

// damage is what Damage returns.
type damage struct{ path, what string }

// Error implements error.
func (d *damage) Error() string {
	return fmt.Sprintf("%q is %v: %s; check the disk, and put this data directory back from a backup "+
		"(or move it away to start empty)", d.path, ErrDamaged, d.what)
}

// Unwrap is for errors.Is.
func (d *damage) Unwrap() error { return ErrDamaged }

// Damage returns an error that wraps ErrDamaged: it names the file or directory, what is wrong with it and what to do.
func Damage(path, format string, args ...any) error {
	return &damage{path, fmt.Sprintf(format, args...)}
}

// Damages returns what an error says of each path that Damage was called with, by path. It has no entry if the error
// names none so.
func Damages(err error) map[string]error {
	list := map[string]error{}
	collect(err, list)
	return list
}

func collect(err error, list map[string]error) {
	switch e := err.(type) { //nolint:errorlint // All of the tree is walked.
	case *damage:
		list[e.path] = e
	case interface{ Unwrap() error }:
		collect(e.Unwrap(), list)
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			collect(err, list)
		}
	}
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
