package shard

import (
	"fmt"
	"sync"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// Producer is a gateway as its requests name it. Account 0 is the space that unbound tokens share.
type Producer struct {
	Account uint32
	Name    string
}

// producers gives every gateway's name an ordinal, which fits a device's word as its holder.
type producers struct {
	mu        sync.RWMutex
	ordinals  map[uint32]map[string]uint32 // by account
	byOrdinal []Producer                   // index = ordinal; 0 is none
}

func newProducers() *producers {
	return &producers{ordinals: map[uint32]map[string]uint32{}, byOrdinal: []Producer{{}}}
}

// lookup returns the ordinal of a name, 0 if it has none. It does not allocate.
func (p *producers) lookup(account uint32, name []byte) uint32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.ordinals[account][string(name)]
}

// bind returns the ordinal of a name, giving it one first if needed. It is called inside the gate: who finds an ordinal
// that another request has just given is then in the same group as its record, or in a later one.
func (p *producers) bind(l *lane, account uint32, name []byte) (uint32, error) {
	if len(name) == 0 {
		return 0, nil
	}
	if n := p.lookup(account, name); n != 0 {
		return n, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.ordinals[account][string(name)]; n != 0 {
		return n, nil
	}
	if len(p.ordinals[account]) >= event.ProducersPerAccountMax || len(p.byOrdinal) > holdersMax {
		return 0, &event.Problem{
			Code:  event.TooManyProducers,
			Field: "Meterd-Producer",
			Detail: fmt.Sprintf(
				"Meterd-Producer: at most %d names an account are remembered; use those that are there",
				event.ProducersPerAccountMax,
			),
		}
	}
	n := uint32(len(p.byOrdinal))
	p.set(n, Producer{Account: account, Name: string(name)})
	l.records.BindProducer(record.Producer{Ordinal: n, Account: account, Name: name})
	return n, nil
}

// set binds an ordinal. p.mu is held, or nobody else is there yet.
func (p *producers) set(n uint32, name Producer) {
	for int(n) >= len(p.byOrdinal) {
		p.byOrdinal = append(p.byOrdinal, Producer{})
	}
	p.byOrdinal[n] = name
	if p.ordinals[name.Account] == nil {
		p.ordinals[name.Account] = map[string]uint32{}
	}
	p.ordinals[name.Account][name.Name] = n
}

// name returns the name of an ordinal, "" for 0.
func (p *producers) name(n uint32) string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if int(n) >= len(p.byOrdinal) {
		return ""
	}
	return p.byOrdinal[n].Name
}

// all returns a copy, by ordinal.
func (p *producers) all() []Producer {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return append([]Producer(nil), p.byOrdinal...)
}

// Offline takes every device that the producer holds offline and returns how many there were (R3). A gateway calls it
// when it starts: what it held before, it holds no longer.
func (e *Engine) Offline(account uint32, producer string) (int, error) {
	if err := e.refuse(); err != nil {
		return 0, err
	}
	holder := e.producers.lookup(account, []byte(producer))
	if holder == 0 {
		return 0, nil
	}
	devices := 0
	var last *group
	for s := range shards {
		l, err := e.enter(rowBytes, 0)
		if err != nil {
			return 0, err
		}
		n, err := e.offlineShard(l, s, holder)
		g := e.gate.leave(l)
		if err != nil {
			return 0, err
		}
		if n > 0 {
			devices, last = devices+n, g
		}
	}
	if last == nil {
		return 0, nil
	}
	return devices, e.await(last)
}

// offlineShard does one shard of Offline inside the gate; a shard of ten million devices in all takes about a
// millisecond.
func (e *Engine) offlineShard(l *lane, shard int, holder uint32) (int, error) {
	nowMs, ok := e.clock.now()
	if !ok {
		return 0, ErrClockLeap
	}
	t := turn{e: e, l: l, cat: e.catalogue.Load(), nowMs: nowMs}
	l.begin(nowMs, holder)
	n := 0
	for slot := range e.table.Slots(shard) {
		if w := slot.Session(); !w.Online() || w.Holder() != holder {
			continue
		}
		t.slot, t.product = slot, t.cat.ProductByID(slot.Product())
		if out := slot.SetOffline(holder, false); out.WentOffline() {
			t.session(out)
			n++
		}
	}
	l.end(!l.records.Empty())
	return n, nil
}
