package client

import (
	"slices"
	"time"

	"github.com/meterd/meterd/event"
)

// record is one event that passed unasked: what counting needs of it, without topic and payload.
type record struct {
	id     string
	size   int64
	timeMs int64
	typ    event.Type
}

type deviceKey struct{ product, device string }

// owedDevice is what meterd has not been told about one device, oldest first. The first taken records are in the batch
// in flight; kept collects those of them that must stay while the batch is settled.
type owedDevice struct {
	key     deviceKey
	records []record
	kept    []record
	taken   int
}

// event returns r as it is reported.
func (d *owedDevice) event(r record) Event {
	return Event{
		Type: r.typ, Product: d.key.product, Device: d.key.device,
		Size: r.size, ID: r.id, Time: time.UnixMilli(r.timeMs).UTC(),
	}
}

// tally holds what a lane owes meterd. Guarded by the lane's mutex; its events are bounded by the client's count of all
// lanes.
type tally struct {
	devices map[deviceKey]*owedDevice
	events  int
}

// owe keeps e to be reported, unless the client's bound is reached; then it is counted as lost. The lane's mutex is
// held.
func (l *lane) owe(e *Event) {
	if l.client.unasked.Add(1) > int64(l.client.opts.UnaskedEventsMax) {
		l.client.unasked.Add(-1)
		l.client.stats.unaskedLost.Add(1)
		return
	}
	d := l.owed.device(e)
	d.records = append(d.records, recordOf(e))
	l.owed.events++
}

// device returns what is owed about e's device.
func (t *tally) device(e *Event) *owedDevice {
	key := deviceKey{e.Product, e.Device}
	d := t.devices[key]
	if d == nil {
		d = &owedDevice{key: key}
		t.devices[key] = d
	}
	return d
}

// recordOf returns what counting needs of e.
func recordOf(e *Event) record {
	at := e.Time
	if at.IsZero() {
		at = time.Now()
	}
	return record{id: e.ID, size: e.bytes(), timeMs: at.UnixMilli(), typ: e.Type}
}

// hold keeps b, which may have been counted, as it is: its events pass unasked, and are asked about with the same
// sequence before anything else of this lane. They are owed whatever the bound of the tally says, since b is there
// anyway: at most one batch a lane. What the policy does not let pass fails with err, or has its last denial; it may be
// counted when the batch is sent again, so it is Ambiguous. False when none passes. The mutex is held.
func (l *lane) hold(b *batch, err *UnavailableError) bool {
	passes := func(p *Pending) bool {
		v, isDecided := l.policy(&p.event)
		return isDecided && v.Accepted
	}
	if !slices.ContainsFunc(b.entries, func(en entry) bool {
		return en.owed != nil || en.pending != nil && passes(en.pending)
	}) {
		return false
	}
	l.held = b
	for i := range b.entries {
		p := b.entries[i].pending
		if p == nil {
			continue
		}
		if !passes(p) {
			b.entries[i] = entry{}
			if !repeatable(p.event.Type) {
				l.client.stats.ambiguous.Add(1)
			}
			v, isDecided := l.policy(&p.event)
			if isDecided {
				p.resolve(v, nil)
			} else {
				p.resolve(Verdict{}, err)
			}
			continue
		}
		// What else is owed about its device and was not taken into b came later.
		d := l.owed.device(&p.event)
		r := recordOf(&p.event)
		d.records = slices.Insert(d.records, d.taken, r)
		d.taken++
		l.owed.events++
		l.client.unasked.Add(1)
		b.entries[i] = entry{owed: d, record: r}
		p.resolve(accepted(true), nil)
	}
	return true
}

// takeOwed puts what is owed about d into b, as far as there is room, and reports whether that was all. The mutex is
// held.
func (l *lane) takeOwed(b *batch, d *owedDevice) bool {
	for d.taken < len(d.records) {
		e := d.event(d.records[d.taken])
		if b.full(l.client.opts, e.encodedMax()) {
			return false
		}
		b.add(&e, entry{owed: d, record: d.records[d.taken]})
		d.taken++
	}
	return true
}

// settleOwed forgets the records of one batch that need not be reported again. The mutex is held.
func (l *lane) settleOwed(b *batch) {
	for i := range b.entries {
		d := b.entries[i].owed
		if d == nil || d.taken == 0 {
			continue
		}
		gone := d.taken - len(d.kept)
		d.records = append(d.kept, d.records[d.taken:]...)
		d.kept, d.taken = nil, 0
		l.owed.events -= gone
		l.client.unasked.Add(int64(-gone))
		if len(d.records) == 0 {
			delete(l.owed.devices, d.key)
		}
	}
}
