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
		g, err := e.withTurn(room{bytes: rowBytes}, func(t *turn) error {
			t.begin(p.Ordinal)
			devices += t.offlineShard(s)
			return nil
		})
		if err != nil {
			return 0, err
		}
		if g != nil {
			last = g
		}
	}
	if last == nil {
		return 0, nil
	}
	return devices, e.await(last)
}

// offlineShard does one shard of Offline; a shard of ten million devices in all takes about a millisecond.
func (t *turn) offlineShard(shard int) (n int) {
	for slot := range t.e.table.Slots(shard) {
		if w := slot.Session(); !w.Online() || w.Holder() != t.holder {
			continue
		}
		t.slot, t.product = slot, t.cat.ProductByID(slot.Product())
		if out := slot.SetOffline(t.holder, false); out.WentOffline() {
			t.session(out)
			n++
		}
	}
	return n
}
