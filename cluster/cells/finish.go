package cells

import (
	"cmp"
	"errors"
	"slices"

	"github.com/meterd/meterd/event"
)

// finish puts the answers of the parts together, or says why there is none.
func (e *Engine) finish(t *task) error {
	if err := e.failed(t); err != nil {
		return err
	}
	r := t.r
	if len(t.parts) == 1 && t.parts[0].indexes == nil {
		o := &t.parts[0].outcome
		r.Result, o.result = o.result, r.Result
		r.Replayed, r.DecidedMs = o.isReplayed, o.decidedMs
		if o.isReplayed {
			r.Single = o.isSingle
		}
		return nil
	}
	// Of equal batches at the same instant one may decide one part first, and one another: the first is who was noted.
	r.Replayed = t.isNoted
	for i := range t.parts {
		s := &t.parts[i]
		r.DecidedMs = max(r.DecidedMs, s.outcome.decidedMs)
		r.Result.Accepted += s.outcome.result.Accepted
		r.Result.Denials = s.add(r.Result.Denials, s.outcome.result.Denials)
		r.Result.WouldDeny = s.add(r.Result.WouldDeny, s.outcome.result.WouldDeny)
	}
	if t.hasOther {
		e.deny(t)
	}
	byIndex := func(a, b event.Denial) int { return cmp.Compare(a.Index, b.Index) }
	slices.SortFunc(r.Result.Denials, byIndex)
	slices.SortFunc(r.Result.WouldDeny, byIndex)
	return nil
}

// add appends denials of a part under the indexes of the batch.
func (s *share) add(to, denials []event.Denial) []event.Denial {
	for _, d := range denials {
		d.Index = int(s.indexes[d.Index])
		to = append(to, d)
	}
	return to
}

// deny answers the events that go to no cell, as an engine does, and counts them as one.
func (e *Engine) deny(t *task) {
	r := &t.r.Result
	for i, cell := range t.at {
		if cell >= 0 {
			continue
		}
		v := event.Verdict{Code: event.UnknownProduct}
		if fault := t.r.Batch.Events[i].Fault; fault != event.FaultNone {
			v = event.Verdict{Code: fault.Code(), Fault: fault}
		}
		r.Denials = append(r.Denials, event.Denial{Index: i, Verdict: v})
		if !t.isCheck && !t.r.Replayed {
			e.stats.denied[t.r.Batch.Events[i].Type][v.Code].Add(1)
		}
		if t.r.Single {
			r.Last = v
		}
	}
}

// failed says why a task has no answer, nil if it has one.
func (e *Engine) failed(t *task) error {
	answered, problem := 0, (*event.Problem)(nil)
	for i := range t.parts {
		s := &t.parts[i]
		switch {
		case errors.Is(s.err, ErrNotSent), s.err != nil && t.isCheck:
			problem = worse(problem, noOwner())
		case s.err != nil:
			return e.hangUp(s.err) // It may have been decided.
		case s.outcome.problem != nil:
			problem = worse(problem, s.outcome.problem)
		case !s.isSound():
			return e.hangUp(errCall)
		default:
			answered++
		}
	}
	switch {
	case problem == nil:
		return nil
	case answered > 0 && mayHelp(problem) && !t.isCheck:
		return e.hangUp(problem)
	}
	return problem
}

// isSound reports whether the answer is one to this part. That to a whole batch is passed on as it is: the same bytes
// may have been decided first as JSON, and are sent again as NDJSON, in which they are fewer events.
func (s *share) isSound() bool {
	if s.indexes == nil {
		return true
	}
	for _, list := range [][]event.Denial{s.outcome.result.Denials, s.outcome.result.WouldDeny} {
		for i := range list {
			if list[i].Index >= len(s.indexes) {
				return false
			}
		}
	}
	return true
}

// mayHelp reports whether what was refused with p may be decided when it is sent again.
func mayHelp(p *event.Problem) bool {
	const unavailable = 503
	return p.Code.Status() == unavailable
}

// worse returns the one of two problems that sending again does not end.
func worse(a, b *event.Problem) *event.Problem {
	if a == nil || mayHelp(a) && !mayHelp(b) {
		return b
	}
	return a
}
