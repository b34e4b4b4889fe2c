package claims

import (
	"fmt"

	"github.com/meterd/meterd/shard/record"
)

// Recovery reads sections of a checkpoint, then the groups behind it in their order: of each group the producers first,
// then what is forgotten, then the sequences. The checkpoint may reflect groups that are read again. That changes
// nothing in the end: all records of an ordinal behind the first one are read, and the last one counts.

// Restore binds a producer as recovery reads it, or says when it was seen.
func (ps *Producers) Restore(r record.Producer) error {
	if r.Ordinal == 0 || r.Ordinal > OrdinalMax {
		return fmt.Errorf("producer %q has the ordinal %d", r.Name, r.Ordinal)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.reach(r.Ordinal)
	have := ps.byOrdinal[r.Ordinal]
	if have != nil && have.Account == r.Account && have.Name == string(r.Name) {
		have.see(r.SeenMs)
		have.notedMs.Store(have.seenMs.Load())
		ps.name(have)
		return nil
	}
	if have != nil { // The ordinal was given anew, and the checkpoint knows it already.
		ps.forget(have)
	}
	ps.set(r)
	return nil
}

// RestoreForgotten forgets a producer as recovery reads it.
func (ps *Producers) RestoreForgotten(ordinal uint32) error {
	if ordinal == 0 || ordinal > OrdinalMax {
		return fmt.Errorf("producer %d is forgotten, which cannot be there", ordinal)
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.reach(ordinal)
	if p := ps.byOrdinal[ordinal]; p != nil {
		ps.forget(p)
	}
	return nil
}

// RestoreClaim remembers a sequence as recovery reads it in the log; group is the number of the group that it was
// decided in. The sequences of a producer that is not there are forgotten with it.
func (ps *Producers) RestoreClaim(r record.Claim, group uint64) error {
	if r.Producer == 0 || r.Producer > OrdinalMax {
		return fmt.Errorf("sequence %d belongs to producer %d", r.Sequence, r.Producer)
	}
	p := ps.ByOrdinal(r.Producer)
	if p == nil {
		return nil
	}
	p.restore(r.Sequence, remembered{hash: r.Hash, atMs: r.AtMs}, func(i int) {
		if len(r.Answer) <= AnswerBytesKept {
			p.keep(i, r.Answer)
			return
		}
		p.keepLong(i, group, r.Answer)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trim(r.AtMs) // As deciding it did.
	return nil
}

// restore remembers a recovered sequence with the answer that keep gives it, unless it is known or forgotten already.
// It does not look at its age, so that the order of a section's entries says nothing.
func (p *Producer) restore(seq uint64, c remembered, keep func(i int)) {
	p.see(c.atMs)
	p.notedMs.Store(p.seenMs.Load())
	p.mu.Lock()
	defer p.mu.Unlock()
	i, known := p.known.search(seq)
	if known || seq < p.floor {
		return
	}
	p.known.insert(i, seq, c)
	keep(i)
	p.trimExcess()
	p.account()
}

// Restored ends recovery; lastMs is the last decided time. What the log was not told of is made good: a producer may
// have sent requests for notedEvery after it was last told of one, and is idle from then on at the earliest. That is
// not written down, so that it does not add up from start to start.
func (ps *Producers) Restored(lastMs int64) {
	_ = ps.Each(func(p *Producer) error {
		p.graceMs.Store(min(p.seenMs.Load()+notedEvery.Milliseconds(), lastMs))
		return nil
	})
}
