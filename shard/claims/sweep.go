package claims

import "github.com/meterd/meterd/shard/record"

// The ordinal of a forgotten producer stays in the words of the devices that it held. It is given to nobody while there
// are others. When few are left, the engine takes all such ordinals out of the words in one sweep. It begins and ends
// here; what goes over the devices is sweepHolders (shard/producers.go). The sweep that takes suspended devices offline
// is another one (shard/sweep.go).
//
//	SweepBegin ── cut: whoever found one of them when it was a producer's has left ── every device ── SweepEnd
//
// An ordinal is given anew in a later group than the words that lost it, or in the same one. The log does not say which
// are free: after a restart, none is until the next sweep, which finds little to do.

// SweepDue reports whether so few ordinals are left at nowMs that the forgotten ones must be made free.
func (ps *Producers) SweepDue(nowMs int64) bool {
	if !ps.low.Load() {
		return false
	}
	ps.mu.RLock()
	defer ps.mu.RUnlock()
	return ps.sweptMs == 0 || nowMs-ps.sweptMs >= sweepEvery.Milliseconds()
}

// Idle returns the producers of all accounts that a sweep at nowMs forgets: some that are idle for at least 24 h, if
// few are forgotten. Else the names of accounts that are not full would use up all ordinals.
func (ps *Producers) Idle(nowMs int64) (idle []*Producer) {
	ps.mu.RLock()
	forgotten := ps.unused() - len(ps.free)
	ps.mu.RUnlock()
	if forgotten >= int(ps.o.OrdinalsLow) {
		return nil
	}
	_ = ps.Each(func(p *Producer) error {
		if len(idle) < int(ps.o.OrdinalsLow) && p.isIdle(nowMs) {
			idle = append(idle, p)
		}
		return nil
	})
	return idle
}

func (p *Producer) isIdle(nowMs int64) bool { return nowMs-p.sinceMs() >= idleMin.Milliseconds() }

// SweepBegin forgets the idle producers that are idle still, recorded in b, and returns the ordinals that are
// forgotten. It is called inside the gate. Only one sweep may run at a time.
func (ps *Producers) SweepBegin(b *record.Builder, idle []*Producer, nowMs int64) (forgotten []uint32) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.sweptMs = nowMs
	for _, p := range idle {
		if !p.forgotten.Load() && p.isIdle(nowMs) {
			ps.forget(p)
			b.ForgetProducer(p.Ordinal)
		}
	}
	free := make(map[uint32]bool, len(ps.free)) // Few: a sweep is due when they are used up.
	for _, n := range ps.free {
		free[n] = true
	}
	forgotten = make([]uint32, 0, ps.unused())
	for n := uint32(1); int(n) < len(ps.byOrdinal); n++ {
		if ps.byOrdinal[n] == nil && !free[n] {
			forgotten = append(forgotten, n)
		}
	}
	return forgotten
}

// SweepEnd says that no device's word has these ordinals any more, nor can get them.
func (ps *Producers) SweepEnd(forgotten []uint32) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.free = append(ps.free, forgotten...)
	ps.low.Store(ps.left() < int(ps.o.OrdinalsLow))
}
