package license

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/meterd/meterd/access"
)

// Put is the record of one object, as it stands after a change (FORMAT.md).
type Put struct{ Key, Value []byte }

// Keys of records.
const (
	keyHead    = 'H'
	keyAccount = 'A' // + ordinal
	keyProduct = 'P' // + ordinal
	keyRenewal = 'R' // + product ordinal: devices that are not renewed although the others are
	keyOrder   = 'O' // + product ordinal + pool
	keyVoid    = 'V' // + product ordinal + pool + how many takings-back of it came before
	keyToken   = 'T' // + name
	keySweep   = 'S' // + number of the change that began it, 8 bytes
	keyHook    = 'W' // + name
	keyErasure = 'E' // + product ordinal + device
	// Of a cluster with several cells.
	keyName     = 'N' // + kind + name: in cell 0, a name that another cell's object has, or is given
	keyRefused  = 'F' // the reservations that this cell refuses
	keyMirrored = 'M' // what tokens and webhooks without an account were taken from
)

func key32(kind byte, ns ...uint32) []byte {
	k := make([]byte, 1, 1+4*len(ns))
	k[0] = kind
	for _, n := range ns {
		k = binary.BigEndian.AppendUint32(k, n)
	}
	return k
}

func sweepKey(seq uint64) []byte { return binary.BigEndian.AppendUint64([]byte{keySweep}, seq) }

func tokenKey(name string) []byte { return append([]byte{keyToken}, name...) }

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: a record cannot be encoded: %v", err))
	}
	return b
}

// What a record says of each object. Fields may be added; none changes its meaning.
type (
	headRecord struct {
		Seq      uint64 `json:"seq"`
		PoolLast uint32 `json:"pool_last"`
		Region   string `json:"region"`
	}
	accountRecord struct {
		Name        string `json:"account"`
		Kind        string `json:"kind"`
		Region      string `json:"region"`
		Suspended   bool   `json:"suspended,omitempty"`
		CreatedAtMs int64  `json:"created_at_ms"`
		GiftPool    uint32 `json:"gift_pool"`
		Gifts       uint64 `json:"gifts"`
	}
	productRecord struct {
		Name        string         `json:"product"`
		Label       string         `json:"name"`
		AccountID   uint32         `json:"account_id"`
		Zone        string         `json:"time_zone"`
		Plan        Plan           `json:"plan"`
		PlanSinceMs int64          `json:"plan_since_ms"`
		Validities  []ValidityStep `json:"validities"`
		Suspended   bool           `json:"suspended,omitempty"`
		RenewalOff  bool           `json:"renewal_off,omitempty"`
		PayloadOff  bool           `json:"payload_off,omitempty"`
		Observes    bool           `json:"observe,omitempty"`
		ModeSinceMs int64          `json:"enforcement_since_ms,omitempty"`
		CreatedAtMs int64          `json:"created_at_ms"`
	}
	renewalRecord struct {
		Except []string `json:"except"`
	}
	orderRecord struct {
		Order        string `json:"order"`
		Units        bool   `json:"units,omitempty"`
		Credited     uint64 `json:"credited"`
		CreditedAtMs int64  `json:"credited_at_ms"`
		Plan         *Plan  `json:"plan,omitempty"`
	}
	tokenRecord struct {
		Role        access.Role `json:"role"`
		Account     string      `json:"account,omitempty"`
		AccountID   uint32      `json:"account_id,omitempty"`
		Hash        []byte      `json:"sha256"`
		CreatedAtMs int64       `json:"created_at_ms"`
		ExpiresAtMs int64       `json:"expires_at_ms,omitempty"`
		Deleted     bool        `json:"deleted,omitempty"` // nothing else stands beside it
	}
	sweepRecord struct {
		AccountID uint32 `json:"account_id,omitempty"`
		ProductID uint32 `json:"product_id,omitempty"`
		Ended     bool   `json:"ended,omitempty"` // nothing else stands beside it
	}
)

// tombstone is the record of a token or webhook that was deleted.
type tombstone struct {
	Deleted bool `json:"deleted"`
}

func (n *Catalogue) head() Put {
	return put([]byte{keyHead}, headRecord{Seq: n.Seq, PoolLast: n.poolLast, Region: n.Region})
}

func put(key []byte, record any) Put { return Put{Key: key, Value: mustJSON(record)} }

func (a *Account) record() Put {
	return put(key32(keyAccount, a.ID), accountRecord{
		Name: a.Name, Kind: a.Kind, Region: a.Region, Suspended: a.Suspended, CreatedAtMs: a.CreatedAtMs,
		GiftPool: a.Gifts.ID, Gifts: a.gifted,
	})
}

func (p *Product) record() Put {
	return put(key32(keyProduct, p.ID), productRecord{
		Name: p.Name, Label: p.Label, AccountID: p.AccountID, Zone: p.ZoneName, Plan: p.Plan, PlanSinceMs: p.PlanSinceMs,
		Validities: p.Validities, Suspended: p.Suspended, RenewalOff: !p.AutoRenew, PayloadOff: p.PayloadOff,
		Observes: p.Observes, ModeSinceMs: p.ModeSinceMs, CreatedAtMs: p.CreatedAtMs,
	})
}

func (p *Product) renewalRecord() Put {
	return put(key32(keyRenewal, p.ID), renewalRecord{Except: p.NoRenew})
}

func (l *Lot) record(product uint32) Put {
	return put(key32(keyOrder, product, l.Pool.ID), orderRecord{
		Order: l.Order, Units: l.Units, Credited: l.Credited, CreditedAtMs: l.CreditedAtMs, Plan: l.plan,
	})
}

func (l *Lot) voidRecord(product uint32, i int) Put {
	return put(key32(keyVoid, product, l.Pool.ID, uint32(i)), l.Voids[i])
}

func tokenRecordOf(t *access.Token) Put {
	return put(tokenKey(t.Name), tokenRecord{
		Role: t.Role, Account: t.Account, AccountID: t.AccountID, Hash: t.Hash[:],
		CreatedAtMs: t.CreatedAtMs, ExpiresAtMs: t.ExpiresAtMs,
	})
}

func (s *Sweep) record() Put {
	return put(sweepKey(s.Seq), sweepRecord{AccountID: s.AccountID, ProductID: s.ProductID})
}

// Records calls yield with the record of everything, in an order in which a Loader takes them: the head, then whatever
// is named before what names it. The slices are the callee's. What was drawn from pools and returned is not in them. It
// takes no lock.
func (c *Catalogue) Records(yield func(key, value []byte) error) error {
	hand := func(p Put) error { return yield(p.Key, p.Value) }
	if err := hand(c.head()); err != nil {
		return err
	}
	for id := range uint32(c.accountsByID.Len()) {
		if a := c.accountsByID.Get(id); a != nil {
			if err := hand(a.record()); err != nil {
				return err
			}
		}
	}
	for id := range uint32(c.productsByID.Len()) {
		if p := c.productsByID.Get(id); p != nil {
			if err := p.records(hand); err != nil {
				return err
			}
		}
	}
	for _, t := range c.Tokens() {
		if err := hand(tokenRecordOf(t)); err != nil {
			return err
		}
	}
	for _, h := range c.hooks.list {
		if err := hand(h.record()); err != nil {
			return err
		}
	}
	for i := range c.sweeps {
		if err := hand(c.sweeps[i].record()); err != nil {
			return err
		}
	}
	for _, x := range c.Erasures() {
		if err := hand(x.record()); err != nil {
			return err
		}
	}
	return c.nameRecords(hand)
}

// records hands out the records of a product and its orders, oldest first.
func (p *Product) records(hand func(Put) error) error {
	if err := hand(p.record()); err != nil {
		return err
	}
	if len(p.NoRenew) > 0 {
		if err := hand(p.renewalRecord()); err != nil {
			return err
		}
	}
	for _, l := range slices.Concat(p.Lots, p.Packs) {
		if err := hand(l.record(p.ID)); err != nil {
			return err
		}
		for i := range l.Voids {
			if err := hand(l.voidRecord(p.ID, i)); err != nil {
				return err
			}
		}
	}
	return nil
}
