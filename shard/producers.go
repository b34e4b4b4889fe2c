package shard

// Offline takes every device that the producer holds offline and returns how many there were (R3). A gateway calls it
// when it starts: what it held before, it holds no longer.
func (e *Engine) Offline(account uint32, producer string) (int, error) {
	if err := e.refuse(); err != nil {
		return 0, err
	}
	p := e.producers.Find(account, []byte(producer))
	if p == nil {
		return 0, nil
	}
	devices := 0
	var last *group
	for s := range shards {
		l, err := e.enter(rowBytes, 0)
		if err != nil {
			return 0, err
		}
		n, err := e.offlineShard(l, s, p.Ordinal)
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
