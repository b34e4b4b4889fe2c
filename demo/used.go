package demo

import (
	"time"

	"github.com/meterd/meterd/event"
)

// Used is what messages a product has used since the week began, as they were answered.
type Used struct {
	Up, Down             uint64
	DeniedUp, DeniedDown [event.Codes]uint64
}

// The instants at which Options.Look is called: so far apart, and for so long before the end. Those are the history's.
const (
	fineEveryMs = int64(10 * time.Second / time.Millisecond)
	fineForMs   = int64(48 * time.Hour / time.Millisecond)
	thinEveryMs = int64(5 * time.Minute / time.Millisecond)
)

// look calls Look at the instants behind before, up to now, which no batch was decided between.
func (m *maker) look(o *Options, before, now int64) {
	if o.Look == nil {
		return
	}
	fine := o.End.UnixMilli() - fineForMs
	for at := (before/fineEveryMs + 1) * fineEveryMs; at <= now; at += fineEveryMs {
		if at >= fine || at%thinEveryMs == 0 {
			o.Look(at, m.used)
		}
	}
}

// count counts the messages of a batch that was decided.
func (m *maker) count(r *request) {
	denials := r.Result.Denials
	for i := range r.Batch.Events {
		code := event.Accepted
		if len(denials) > 0 && denials[0].Index == i {
			code, denials = denials[0].Verdict.Code, denials[1:]
		}
		product := r.devices[i].model.product
		u := m.used[product]
		if u == nil {
			u = &Used{}
			m.used[product] = u
		}
		switch kind := r.Batch.Events[i].Type; {
		case kind == event.Up && code == event.Accepted:
			u.Up++
		case kind == event.Up:
			u.DeniedUp[code]++
		case kind == event.Down && code == event.Accepted:
			u.Down++
		case kind == event.Down:
			u.DeniedDown[code]++
		}
	}
}
