package license

import (
	"fmt"
	"slices"

	"github.com/meterd/meterd/event"
)

// Sweep is a suspension whose devices are still to be taken offline, a bounded number in each group of the log (R20).
// Events of them are denied already. It is a record of the catalogue, so that recovery goes on with it.
type Sweep struct {
	Seq                  uint64 // the number of the change that began it
	AccountID, ProductID uint32 // all products of an account, or one; the other is 0
}

// Sweeps returns the sweeps that have not ended, oldest first. The slice is the catalogue's.
func (c *Catalogue) Sweeps() []Sweep { return c.sweeps }

// EndSweep ends the sweep that change seq began: its devices are offline. It returns nils if it has ended already,
// because the account or product was let go. Nobody is told: the change has no audit entry, and no time, which the
// caller sets.
func (c *Catalogue) EndSweep(seq uint64) (*Catalogue, *Change) {
	at := slices.IndexFunc(c.sweeps, func(s Sweep) bool { return s.Seq == seq })
	if at < 0 {
		return nil, nil
	}
	n := c.next()
	ch := &Change{Seq: n.Seq}
	n.endSweep(ch, at)
	return n, ch
}

// sweep begins a sweep of target in a catalogue that is still being built, or ends the one that there is. A sweep that
// goes on already is left to go on.
func (n *Catalogue) sweep(ch *Change, target Sweep, suspended bool) error {
	at := slices.IndexFunc(n.sweeps, func(s Sweep) bool {
		return s.AccountID == target.AccountID && s.ProductID == target.ProductID
	})
	switch {
	case !suspended && at >= 0:
		n.endSweep(ch, at)
	case suspended && at < 0:
		if len(n.sweeps) >= sweepsMax {
			return &event.Problem{Code: event.Overloaded, Detail: fmt.Sprintf(
				"devices of %d suspended accounts and products are still being taken offline; send it again", len(n.sweeps))}
		}
		target.Seq = n.Seq
		n.sweeps = append(slices.Clip(n.sweeps), target)
		ch.put(target.record())
	}
	return nil
}

func (n *Catalogue) endSweep(ch *Change, at int) {
	ch.put(put(sweepKey(n.sweeps[at].Seq), sweepRecord{Ended: true}))
	n.sweeps = slices.Delete(slices.Clone(n.sweeps), at, at+1)
}
