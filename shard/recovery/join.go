package recovery

import (
	"bytes"
	"fmt"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// Joiner joins groups into a state. It is the law in code: every step takes the larger of two values, and an
// administrative change is applied only if its number follows the last one. It belongs to one goroutine.
type Joiner struct {
	s      *State
	o      Options
	loader *license.Loader // of the checkpoint's catalogue; nil when that is complete
	cat    *license.Catalogue
	index  *counters.Index
	shares []joinShare
	begin  uint64 // the checkpoint reflects all groups up to this one
	seq    uint64 // the last group that was joined, or is being; within a checkpoint, the last that it may reflect
	rows   uint64
	lastMs int64
	ahead  []*decoded      // Follow's
	block  commitlog.Block // Follow's

	checkpointBytes int64
}

// NewJoiner returns a joiner for a state that nothing else changes.
func NewJoiner(s *State, o Options) *Joiner {
	return &Joiner{s: s, o: o, loader: license.NewLoader(o.Region, o.Retention)}
}

// Catalogue returns what administration has said so far.
func (j *Joiner) Catalogue() (*license.Catalogue, error) {
	err := j.catalogueEnds()
	return j.cat, err
}

// LastMs returns the last decided time of what was joined, Unix milliseconds.
func (j *Joiner) LastMs() int64 { return j.lastMs }

func (j *Joiner) serial(n uint64) {
	if n > j.s.Serial.Load() {
		j.s.Serial.Store(n)
	}
}

// Change applies an administrative change unless the checkpoint has it.
func (j *Joiner) Change(encoded []byte) error {
	if err := j.catalogueEnds(); err != nil {
		return err
	}
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

func (j *Joiner) bindDevice(d record.Device) error {
	_, err := j.s.Table.BindAt(counters.Ordinal(d.Ordinal), d.Product, d.Name)
	return err
}

func (j *Joiner) slot(ordinal uint64) (*counters.Slot, error) {
	slot := j.s.Table.SlotOf(counters.Ordinal(ordinal))
	if slot == nil {
		return nil, fmt.Errorf("a record names device %d, which no record has bound", ordinal)
	}
	return slot, nil
}

// Word implements record.Effects.
func (j *Joiner) Word(index int, ordinal, word uint64) error {
	slot, err := j.slot(ordinal)
	if err == nil {
		slot.Join(index, word)
	}
	return err
}

// OTA implements record.Effects.
func (j *Joiner) OTA(o record.OTA) error { return j.Word(record.WordOTA, o.Ordinal, o.Word) }

// Closed implements record.Effects: the ledger's, not the state's.
func (j *Joiner) Closed(int, uint64, uint64) error { return nil }

// DayEnd implements record.Effects.
func (j *Joiner) DayEnd(d record.DayEnd) error {
	p := j.cat.ProductByID(d.Product)
	if p == nil {
		return fmt.Errorf("a record closes days of product %d, which no change has made", d.Product)
	}
	p.State.Days.Close(d.Day)
	return nil
}

// Grant implements record.Effects.
func (j *Joiner) Grant(g record.Grant) error {
	slot, err := j.slot(g.Ordinal)
	if err != nil {
		return err
	}
	j.joinLicense(slot, &g)
	j.serial(g.Serial)
	if err := j.Pool(record.Pool{ID: g.Pool, Drawn: g.PoolDrawn}); err != nil {
		return err
	}
	return j.gifts(slot.Product(), g.GiftsDrawn)
}

func (j *Joiner) joinLicense(slot *counters.Slot, g *record.Grant) {
	activated := g.ActivationS - counters.EpochS
	w := counters.LicenseWord(g.License)
	j.s.Table.JoinLicense(slot, w, counters.Grant{ActivatedAt: uint64(activated), Serial: g.Serial, Pool: g.Pool})
}

// End implements record.Effects: the ledger's, not the state's.
func (j *Joiner) End(record.End) error { return nil }

// Upgrade implements record.Effects. Of two states of one upgrade the voided one is the later (R17).
func (j *Joiner) Upgrade(u record.Upgrade) error {
	u.ID = bytes.Clone(u.ID)
	return j.upgrade(j.seq, u)
}

func (j *Joiner) upgrade(seq uint64, u record.Upgrade) error {
	if seq <= j.o.LedgerSeq {
		return nil // It is looked up there.
	}
	product, name := j.s.Table.Name(counters.Ordinal(u.Ordinal))
	if product == 0 {
		return fmt.Errorf("an upgrade names device %d, which no record has bound", u.Ordinal)
	}
	key := AppendUpgradeKey(nil, product, name, u.ID)
	if have := j.s.Upgrades.Find(key); have == nil || !have.Voided {
		j.s.Upgrades.Put(key, &u, seq)
	}
	return nil
}

// Claim implements record.Effects.
func (j *Joiner) Claim(r record.Claim) error {
	return j.s.Producers.RestoreClaim(r, j.seq)
}

// Pool implements record.Effects.
func (j *Joiner) Pool(p record.Pool) error {
	pool := j.cat.Pool(p.ID)
	if pool == nil {
		return fmt.Errorf("a record draws from pool %d, which no change has made", p.ID)
	}
	pool.Drawn, pool.Returned = max(pool.Drawn, p.Drawn), max(pool.Returned, p.Returned)
	return nil
}

func (j *Joiner) gifts(product uint32, drawn uint64) error {
	p := j.cat.ProductByID(product)
	if p == nil {
		return fmt.Errorf("a record names product %d, which no change has made", product)
	}
	p.State.GiftsDrawn = max(p.State.GiftsDrawn, drawn)
	return nil
}

// Command implements record.Effects.
func (j *Joiner) Command(m record.Command) error { return j.s.Commands.Join(m) }

// Quota implements record.Effects: the webhooks', not the state's.
func (j *Joiner) Quota(record.Quota) error { return nil }

// Decided implements record.Effects.
func (j *Joiner) Decided(d record.Decided) error {
	j.s.Duplicates.Join(&d)
	return nil
}

// Run implements record.Effects.
func (j *Joiner) Run(r record.Run) error {
	j.s.Commands.JoinRun(r)
	return nil
}
