package shard

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard/record"
)

// upgrades are the OTAs with ids that the ledger may not have yet (R17). They are state: they stay in memory, and in
// the checkpoint, until the ledger's durable position has passed their group. Then they are looked up in the ledger,
// outside the gate. Memory lets go of them at a seal only, so that inside the gate an id is either in memory or was
// looked up.
type upgrades struct {
	epoch uint64 // raised when memory lets some go; it changes while the gate is closed

	mu      sync.Mutex
	pending map[string]*pendingUpgrade
	order   []upgradeKey // by group; an id stands in it once for each change
}

type pendingUpgrade struct {
	record.Upgrade
	seq uint64 // the last group that changed it
}

type upgradeKey struct {
	key string
	seq uint64
}

func (u *upgrades) init() { u.pending = map[string]*pendingUpgrade{} }

// appendUpgradeKey appends product, the device's name with its length before it, and the id.
func appendUpgradeKey(dst []byte, product uint32, device, id []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, product)
	dst = append(dst, byte(len(device)))
	dst = append(dst, device...)
	return append(dst, id...)
}

func (u *upgrades) find(key []byte) *record.Upgrade {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.pending[string(key)]; p != nil {
		return &p.Upgrade
	}
	return nil
}

func (u *upgrades) put(key []byte, up *record.Upgrade, seq uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	k := string(key)
	u.pending[k] = &pendingUpgrade{*up, seq}
	u.order = append(u.order, upgradeKey{k, seq})
}

// full reports whether memory has no room for as many ids more.
func (u *upgrades) full(ids int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.order)+ids > upgradesPendingMax
}

// letGo forgets ids whose last change lies in a group up to passed, at most letGoASeal of them. The gate is closed.
func (u *upgrades) letGo(passed uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for ; n < len(u.order) && n < letGoASeal && u.order[n].seq <= passed; n++ {
		k := u.order[n]
		if p := u.pending[k.key]; p != nil && p.seq == k.seq {
			delete(u.pending, k.key)
		}
	}
	if n > 0 {
		u.epoch++
		u.order = u.order[n:]
	}
}

// letGo lets memory go of what the ledger has durably. The gate is closed.
func (e *Engine) letGo() {
	passed := e.o.Ledger.Position().Seq
	e.ledgerFloor.Store(max(passed, e.ledgerFloor.Load()))
	e.upgrades.letGo(passed)
}

// ledgerReaches refuses what must be looked up while the ledger lacks groups that memory has let go of: it was restored
// from an older backup, or is being built again.
func (e *Engine) ledgerReaches() error {
	if e.o.Ledger.Position().Seq < e.ledgerFloor.Load() {
		return ErrLedgerLags
	}
	return nil
}

// resolveUpgrades reads from the ledger what it knows about the ids of a batch, outside the gate.
func (e *Engine) resolveUpgrades(r *Request) error {
	clear(r.upgrades)
	e.gate.mu.RLock()
	r.upgradeEpoch = e.upgrades.epoch
	e.gate.mu.RUnlock()
	if err := e.ledgerReaches(); err != nil {
		return err
	}
	ids := 0
	for i := range r.Batch.Events {
		ev := &r.Batch.Events[i]
		if ev.ID.Len == 0 || r.products[i] == nil {
			continue
		}
		ids++
		if r.upgrades == nil {
			r.upgrades = map[int]*record.Upgrade{}
		}
		up, err := e.o.Ledger.Upgrade(r.products[i].ID, r.Batch.Bytes(ev.Device), r.Batch.Bytes(ev.ID))
		if err != nil {
			return e.ledgerErr(fmt.Errorf("look up an OTA: %w", err))
		}
		if up != nil {
			r.upgrades[i] = up
		}
	}
	if e.upgrades.full(ids) {
		return ErrLedgerLags
	}
	return nil
}

// upgrade returns what is known about the id of the event in hand, nil if nothing. The account is locked.
func (t *turn) upgrade() *record.Upgrade {
	key := appendUpgradeKey(nil, t.product.ID, t.r.Batch.Bytes(t.ev.Device), t.r.Batch.Bytes(t.ev.ID))
	if up := t.e.upgrades.find(key); up != nil {
		return up
	}
	return t.r.upgrades[t.index]
}

// keepUpgrade remembers an upgrade by its id.
func (t *turn) keepUpgrade(up *record.Upgrade) {
	up.Ordinal = uint64(t.slot.Ordinal())
	key := appendUpgradeKey(nil, t.product.ID, t.r.Batch.Bytes(t.ev.Device), up.ID)
	t.e.upgrades.put(key, up, t.e.sealedSeq.Load()+1)
	t.l.records.Upgrade(*up)
}

// sections writes the ids as a checkpoint holds them, a bounded piece at a time.
func (u *upgrades) sections(put func([]byte)) {
	u.mu.Lock()
	pending := make([]*pendingUpgrade, 0, len(u.pending))
	for _, p := range u.pending {
		pending = append(pending, p)
	}
	u.mu.Unlock()
	var section []byte
	for _, p := range pending { // An entry is replaced, never changed.
		section = appendEntry(section, func(b []byte) []byte {
			b = binary.LittleEndian.AppendUint64(b, p.seq)
			b = binary.LittleEndian.AppendUint64(b, p.Ordinal)
			b = append(b, byte(len(p.ID)))
			return p.AppendValue(append(b, p.ID...))
		})
		if len(section) > disk.SectionBytesMax/2 {
			put(section)
			section = section[:0]
		}
	}
	if len(section) > 0 {
		put(section)
	}
}

// decodeUpgrades calls fn for every id of a section.
func decodeUpgrades(data []byte, fn func(seq uint64, u record.Upgrade) error) error {
	return eachEntry(data, func(entry []byte) error {
		if len(entry) < 17 || len(entry) < 17+int(entry[16]) {
			return errSection
		}
		end := 17 + int(entry[16])
		u, err := record.DecodeUpgrade(entry[end:])
		if err != nil {
			return err
		}
		u.Ordinal, u.ID = binary.LittleEndian.Uint64(entry[8:]), slices.Clone(entry[17:end])
		return fn(binary.LittleEndian.Uint64(entry), u)
	})
}
