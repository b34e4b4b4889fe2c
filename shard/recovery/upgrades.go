package recovery

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard/record"
)

// Upgrades are the OTAs with ids that the ledger may not have yet (R17). They are state: they stay in memory, and in
// the checkpoint, until the ledger's durable position has passed their group. Then they are looked up in the ledger,
// outside the gate. Memory lets go of them at a seal only, so that inside the gate an id is either in memory or was
// looked up.
type Upgrades struct {
	// Epoch is raised when memory lets some go; it changes while the gate is closed.
	Epoch uint64

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

func (u *Upgrades) init() { u.pending = map[string]*pendingUpgrade{} }

// AppendUpgradeKey appends product, the device's name with its length before it, and the id.
func AppendUpgradeKey(dst []byte, product uint32, device, id []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, product)
	dst = append(dst, byte(len(device)))
	dst = append(dst, device...)
	return append(dst, id...)
}

// Find returns what memory knows about a key of AppendUpgradeKey, nil if nothing.
func (u *Upgrades) Find(key []byte) *record.Upgrade {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.pending[string(key)]; p != nil {
		return &p.Upgrade
	}
	return nil
}

// Put remembers up under a key, as group seq changed it.
func (u *Upgrades) Put(key []byte, up *record.Upgrade, seq uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	k := string(key)
	u.pending[k] = &pendingUpgrade{*up, seq}
	u.order = append(u.order, upgradeKey{k, seq})
}

// Full reports whether memory has no room for as many ids more.
func (u *Upgrades) Full(ids int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.order)+ids > upgradesPendingMax
}

// LetGo forgets ids whose last change lies in a group up to passed, at most letGoASeal of them. The gate is closed.
func (u *Upgrades) LetGo(passed uint64) {
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
		u.Epoch++
		u.order = u.order[n:]
	}
}

// sections writes the ids as a checkpoint holds them, a bounded piece at a time.
func (u *Upgrades) sections(put func([]byte)) {
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
