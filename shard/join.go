package shard

import (
	"bytes"
	"fmt"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

// joiner applies what recovery reads. It is the law in code: every step takes the larger of two values, and an
// administrative change is applied only if its number follows the last one.
type joiner struct {
	e      *Engine
	loader *license.Loader // of the checkpoint's catalogue; nil when that is complete
	cat    *license.Catalogue
	index  *counters.Index
	shares []joinShare
	seq    uint64 // the group being joined; within a checkpoint, the last one that it may reflect
	rows   uint64
	lastMs int64
}

func newJoiner(e *Engine) *joiner {
	return &joiner{e: e, loader: license.NewLoader(e.o.Region, e.o.Retention)}
}

func (j *joiner) serial(n uint64) {
	if n > j.e.serial.Load() {
		j.e.serial.Store(n)
	}
}

// change applies an administrative change unless the checkpoint has it.
func (j *joiner) change(encoded []byte) error {
	ch, err := license.DecodeChange(encoded)
	switch {
	case err != nil:
		return err
	case ch.Seq <= j.cat.Seq:
		return nil
	case ch.Seq > j.cat.Seq+1:
		return fmt.Errorf("change %d follows change %d: one is missing", ch.Seq, j.cat.Seq)
	}
	j.cat, err = j.cat.Apply(&ch)
	return err
}

func (j *joiner) bindDevice(d record.Device) error {
	_, err := j.e.table.BindAt(counters.Ordinal(d.Ordinal), d.Product, d.Name)
	return err
}

func (j *joiner) slot(ordinal uint64) (*counters.Slot, error) {
	slot := j.e.table.SlotOf(counters.Ordinal(ordinal))
	if slot == nil {
		return nil, fmt.Errorf("a record names device %d, which no record has bound", ordinal)
	}
	return slot, nil
}

// Word implements record.Effects.
func (j *joiner) Word(index int, ordinal, word uint64) error {
	slot, err := j.slot(ordinal)
	if err == nil {
		slot.Join(index, word)
	}
	return err
}

// Closed implements record.Effects: the ledger's, not the state's.
func (j *joiner) Closed(int, uint64, uint64) error { return nil }

// Grant implements record.Effects.
func (j *joiner) Grant(g record.Grant) error {
	slot, err := j.slot(g.Ordinal)
	if err != nil {
		return err
	}
	activated := g.ActivationS - epochS
	w := counters.LicenseWord(g.License)
	j.e.table.JoinLicense(slot, w, counters.Grant{ActivatedAt: uint64(activated), Serial: g.Serial, Pool: g.Pool})
	j.serial(g.Serial)
	if err := j.Pool(record.Pool{ID: g.Pool, Drawn: g.PoolDrawn}); err != nil {
		return err
	}
	return j.gifts(slot.Product(), g.GiftsDrawn)
}

// End implements record.Effects: the ledger's, not the state's.
func (j *joiner) End(record.End) error { return nil }

// Upgrade implements record.Effects. Of two states of one upgrade the voided one is the later (R17).
func (j *joiner) Upgrade(u record.Upgrade) error {
	u.ID = bytes.Clone(u.ID)
	return j.upgrade(j.seq, u)
}

func (j *joiner) upgrade(seq uint64, u record.Upgrade) error {
	product, name := j.e.table.Name(counters.Ordinal(u.Ordinal))
	if product == 0 {
		return fmt.Errorf("an upgrade names device %d, which no record has bound", u.Ordinal)
	}
	key := appendUpgradeKey(nil, product, name, u.ID)
	if have := j.e.upgrades.find(key); have == nil || !have.Voided {
		j.e.upgrades.put(key, &u, seq)
	}
	return nil
}

// Claim implements record.Effects.
func (j *joiner) Claim(r record.Claim) error {
	return j.e.producers.RestoreClaim(r, j.seq)
}

// Pool implements record.Effects.
func (j *joiner) Pool(p record.Pool) error {
	pool := j.cat.Pool(p.ID)
	if pool == nil {
		return fmt.Errorf("a record draws from pool %d, which no change has made", p.ID)
	}
	pool.Drawn, pool.Returned = max(pool.Drawn, p.Drawn), max(pool.Returned, p.Returned)
	return nil
}

func (j *joiner) gifts(product uint32, drawn uint64) error {
	p := j.cat.ProductByID(product)
	if p == nil {
		return fmt.Errorf("a record names product %d, which no change has made", product)
	}
	p.State.GiftsDrawn = max(p.State.GiftsDrawn, drawn)
	return nil
}
