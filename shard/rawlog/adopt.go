package rawlog

import (
	"context"
	"errors"
	"time"

	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
)

// A copy of a cell that follows its owner does not archive: it takes over the owner's directories, which are finished
// and never change. Rewriting the log costs more than everything else that it does.
//
//	owner    log ─► runs ─► spans ─► MANIFEST: position, directories, each with its sum
//	                                    │ every pullEvery
//	standby  Maintain: which of them are not here? ─► copy, sync, read back, compare sums ─► Adopt: position and
//	            │                                                                            directories are the owner's
//	            └─ the log has the position's group, with its chain                             ▼
//	         log: segments behind the position ────────────────────────────────────────► segments go
//
// It is all of the owner's archive or nothing: whatever has other borders here, since another node was the owner or
// nobody could be copied, goes when all of the owner's is there. So rows are never there twice, and never missing. An
// owner that is behind takes nothing away: it is waited for.
//
// What nobody else does a standby does by itself, as an owner does it: it archives when the disk runs short, when what
// is erased must leave the log, or when behindBytes of the log wait; it merges and rewrites later than the owner; and
// it removes what is over.

// source is the archive that is copied, by the view of a standby.
type source struct{ archive.Source }

// errNoFit says that another archive is not of this log.
var errNoFit = errors.New("its position is not in this log: it is of another history")

// SetSource has the view adopt another copy's archive, nil has it archive by itself. It comes before Maintain, and
// again with nil at any time.
func (v *View) SetSource(from archive.Source) {
	if from == nil {
		v.source.Store(nil)
	} else {
		v.source.Store(&source{from})
	}
	v.o.Store.SetFollows(from != nil)
}

// leaves reports whether the view leaves it to the owner to archive.
func (v *View) leaves() bool {
	if v.source.Load() == nil || v.o.Store.Awaits() {
		return false
	}
	if p := v.gather.Load(); p != nil && p.low() {
		return false
	}
	return v.o.Log.BytesBehind(v.o.Store.Position().Seq) <= v.behind
}

// adopt makes the archive what its source's is.
func (v *View) adopt(ctx context.Context, nowMs int64) {
	from := v.source.Load()
	if from == nil {
		v.lacks, v.lacksTold = 0, time.Time{}
		return
	}
	v.learn()
	rest := func(int64) error { step(&v.tidy); return ctx.Err() }
	a, err := v.o.Store.Copy(ctx, from, &archive.Copying{
		NowMs: nowMs, Until: time.Now().Add(pullFor), Fits: v.fits, Rest: rest,
	})
	if err == nil && a != nil {
		err = v.replace(a)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		v.lacks++
		v.tellLack(err, time.Now())
	case a != nil:
		v.lacks = 0
		v.tellAgain()
	default: // Nothing was to be copied, or all of it in several turns.
		v.lacks = 0
	}
}

// tellLack says that nothing is copied, when that has lasted, and every lacksEvery.
func (v *View) tellLack(err error, now time.Time) {
	if v.lacks < lacksTold || !v.lacksTold.IsZero() && now.Sub(v.lacksTold) < lacksEvery {
		return // An owner that has just died is followed by another one.
	}
	v.lacksTold = now
	v.o.Logger.Warn("the archive is not copied from the cell's owner; it is tried again, and this node archives by "+
		"itself when too much of its log waits for that", "error", err, "bytes", v.behind)
}

// tellAgain says that it is over.
func (v *View) tellAgain() {
	if !v.lacksTold.IsZero() {
		v.o.Logger.Info("the archive is copied from the cell's owner again")
	}
	v.lacksTold = time.Time{}
}

// replace adopts what was copied, unless the view archives by itself now.
func (v *View) replace(a *archive.Adoption) error {
	v.turn.Lock()
	defer v.turn.Unlock()
	if v.source.Load() == nil {
		return nil
	}
	_, err := v.o.Store.Adopt(a)
	return err
}

// fits reports whether the view has been told of a position's group, and proves that it is the log's.
func (v *View) fits(at archive.Position) (bool, error) {
	if at.Seq > v.told.Load() {
		return false, nil
	}
	chain, err := v.o.Log.ChainOf(at.Seq)
	if err == nil && chain != commitlog.Chain(at.Chain) {
		err = errNoFit
	}
	return err == nil, err
}
