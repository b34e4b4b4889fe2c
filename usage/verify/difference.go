package verify

import (
	"errors"
	"fmt"
)

// Difference is where what is claimed is not what the log says. Its text names what, where, and both numbers.
type Difference struct {
	Group uint64 // of the log, 0: it belongs to none
	What  string
}

func (d *Difference) Error() string {
	if d.Group == 0 {
		return d.What
	}
	return fmt.Sprintf("%s (group %d)", d.What, d.Group)
}

var errStopped = errors.New("the recount has stopped")

// differs makes a difference of the group in hand.
func (r *recount) differs(format string, a ...any) error {
	return &Difference{Group: r.seq, What: fmt.Sprintf(format, a...)}
}
