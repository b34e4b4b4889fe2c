package claims

import "sync/atomic"

// budget is the memory that the sequences of all producers take. Rings never shrink; a producer that was idle for a day
// gives all of its own back, since nothing of it need be remembered any longer.
type budget struct {
	bytes       atomic.Int64
	reclaimedMs atomic.Int64 // when idle producers were last looked for
}

// What the rings take for one sequence. The allocator rounds that up by 7 % (TestMemory).
const (
	knownBytes     = 8 + 40
	mediumBytes    = 8 + 56
	unsettledBytes = 24
)

// MemoryBytes returns how many bytes the sequences of all producers take, their long answers apart.
func (ps *Producers) MemoryBytes() int64 { return ps.budget.bytes.Load() }

// mayGrow reports whether a producer may take more memory, a new one or one that has some.
func (ps *Producers) mayGrow(isNew bool) bool {
	most := ps.o.MemoryBytes
	if isNew {
		most = most / 8 * memoryEighthsNew
	}
	return ps.budget.bytes.Load() < most
}

// Admit reports whether there is memory for the sequences of another producer at nowMs. The error is an *event.Problem.
func (ps *Producers) Admit(nowMs int64) error {
	if ps.mayGrow(true) || ps.reclaim(nowMs) && ps.mayGrow(true) {
		return nil
	}
	return tooMany("there is no memory for the sequences of another producer; use a name that is there, or " +
		"DELETE /v1/producers/{producer} what is not needed")
}

// reclaim takes back the memory of producers that are idle for a day, but not too often; it returns false if it is not
// yet time again.
func (ps *Producers) reclaim(nowMs int64) bool {
	last := ps.budget.reclaimedMs.Load()
	if last != 0 && nowMs-last < reclaimEvery.Milliseconds() || !ps.budget.reclaimedMs.CompareAndSwap(last, nowMs) {
		return false
	}
	ps.Tidy(nowMs)
	return true
}

// Tidy forgets the sequences of producers that are idle for a day at nowMs, Unix milliseconds. Their names stay.
func (ps *Producers) Tidy(nowMs int64) {
	_ = ps.Each(func(p *Producer) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.releaseIdle(nowMs)
		return nil
	})
}

// releaseIdle forgets the sequences of a producer that is idle for a day: they are all older. p.mu is held.
func (p *Producer) releaseIdle(nowMs int64) {
	if p.known.n == 0 || p.inFlight > 0 || nowMs-p.sinceMs() < KeptFor.Milliseconds() {
		return
	}
	p.floor = p.known.sequence(p.known.n-1) + 1
	p.known, p.medium, p.pending, p.unsettled = ring[remembered]{}, ring[mediumAnswer]{}, nil, nil
	p.account()
}

// noMemory says why p may not remember another sequence: a producer without any is refused as a new one is.
func (p *Producer) noMemory(nowMs int64) error {
	if !p.Sequences().Any {
		if err := p.all.Admit(nowMs); err != nil {
			return err
		}
	}
	return ErrNoRoom
}

// account tells the budget what p takes now. p.mu is held.
func (p *Producer) account() {
	if p.forgotten.Load() {
		return
	}
	takes := int64(len(p.known.values))*knownBytes + int64(len(p.medium.values))*mediumBytes +
		int64(cap(p.unsettled))*unsettledBytes
	if takes != p.takes {
		p.all.budget.bytes.Add(takes - p.takes)
		p.takes = takes
	}
}

// leave gives back what a forgotten producer took.
func (p *Producer) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all.budget.bytes.Add(-p.takes)
	p.takes = 0
}
