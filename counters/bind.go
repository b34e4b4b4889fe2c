package counters

import (
	"bytes"
	"fmt"
)

// BindAt is Insert for recovery: the device gets the ordinal that its record says. The same binding again returns its
// slot; one that contradicts another, or lies in the wrong shard, is refused. It makes room itself, so slots of that
// shard found before are void. One goroutine a shard; nobody is inside the gate.
func (t *Table) BindAt(o Ordinal, product uint32, name []byte) (*Slot, error) {
	if err := checkName(product, name); err != nil {
		return nil, err
	}
	k := t.KeyOf(product, name)
	if o > OrdinalMax || k.Shard() != o.Shard() {
		return nil, fmt.Errorf("counters: ordinal %d cannot be that of %q: another seed, or a damaged record", o, name)
	}
	t.promised.reset(0)
	sh, h := &t.shards[k.Shard()], &t.tables[k.Shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if s := h.find(k); s != nil {
		if _, have := sh.names.entry(s.Seen().Arena()); s.Seen().Arena() != o.place() || !bytes.Equal(have, name) {
			return nil, fmt.Errorf("counters: %q of product %d is bound to ordinal %d, not %d", have, product, s.Ordinal(), o)
		}
		return s, nil
	}
	if used := sh.used.get() + 1; used > h.capacity()*loadMaxPercent/100 {
		if err := t.resize(k.Shard(), slotsFor(k.Shard(), used, 0)); err != nil {
			return nil, err
		}
	}
	if err := sh.names.put(&t.nameMem, o.place(), product, name); err != nil {
		return nil, fmt.Errorf("bind %q of product %d to ordinal %d: %w", name, product, o, err)
	}
	sh.used.set(sh.used.get() + 1)
	return h.add(k, NewSeenWord(0, o.place())), nil
}
