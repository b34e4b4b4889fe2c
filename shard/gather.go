package shard

import "time"

// gather has the open group of a cell grow a little longer before it is sealed, if the committer has just ended a large
// one: those whom that one answered are about to come again, and what a group costs each node of a cluster is then
// shared by more events. beside is how many requests waited for the open group when that one ended.
//
// It ends when as many requests are in the open group as were in hand then, so that whoever sends one at a time never
// waits; when the group is worth encoding, or somebody wants a cut; and gatherMax behind the end of the last group, so
// that whoever comes later does not wait either.
func (e *Engine) gather(last *group, beside int64) {
	if last == nil || last.bytes.Load() < gatherFromBytes || e.handed.Load() > 0 {
		return
	}
	rest := gatherMax - time.Since(last.ended)
	if rest <= 0 {
		return
	}
	t := time.NewTimer(rest)
	defer t.Stop()
	inHand := last.entered.Load() + beside
	for e.gate.open.entered.Load() < inHand && !e.isBig() && !e.gate.cuts.wanted() {
		select {
		case <-e.gate.kick: // Somebody else waits for the group, or for a cut.
		case <-t.C:
			return
		case <-e.failed:
			return
		case <-e.stop:
			return
		}
	}
}

// gathers reports whether groups are gathered: where another node may take over, since only there a group costs more
// than the events in it. A daemon alone gathers while it syncs, and no longer.
func (e *Engine) gathers() bool { return e.o.Barrier != nil }

// isBig reports whether the open group is worth encoding while the committer is busy. Only the sealer calls it.
func (e *Engine) isBig() bool { return e.gate.open.bytes.Load() >= e.gate.bigBytes }
