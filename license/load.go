package license

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// ScanFunc calls fn for every key of the ledger that begins with prefix, in the order of the keys.
type ScanFunc func(prefix string, fn func(key, value []byte) error) error

// Load builds the catalogue from the ledger. Pools are full: what was drawn from them comes from the log (Pools).
func Load(scan ScanFunc, region string, retention time.Duration) (*Catalogue, error) {
	c := New(region, retention)
	l := loader{c: c, accounts: map[uint32]*Account{}}
	for _, step := range []struct {
		prefix string
		fn     func(key, value []byte) error
	}{
		{keyHead, l.head}, {keyAccount, l.account}, {keyProduct, l.product}, {keyOrder, l.order}, {keyToken, l.token}, {keyDevice, l.device},
	} {
		if err := scan(step.prefix, step.fn); err != nil {
			return nil, fmt.Errorf("load control records %q: %w", step.prefix, err)
		}
	}
	return c, nil
}

type loader struct {
	c        *Catalogue
	accounts map[uint32]*Account
}

func (l *loader) head(_, value []byte) error {
	var r headRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	l.c.Seq, l.c.poolLast, l.c.accountLast = r.Seq, r.PoolLast, r.AccountLast
	return nil
}

func (l *loader) account(key, value []byte) error {
	var r accountRecord
	if err := decode(key, value, len(keyAccount)+4, &r); err != nil {
		return err
	}
	a := &Account{
		ID: binary.BigEndian.Uint32(key[1:]), Name: r.Name, Kind: r.Kind, Region: r.Region, Suspended: r.Suspended,
		CreatedAtMs: r.CreatedAtMs, Gifts: &Pool{ID: r.GiftPool, Quantity: r.Gifts}, State: &AccountState{},
	}
	l.accounts[a.ID] = a
	l.c.accounts[a.Name] = a
	return nil
}

func (l *loader) product(key, value []byte) error {
	var r productRecord
	if err := decode(key, value, len(keyProduct)+4, &r); err != nil {
		return err
	}
	a := l.accounts[r.AccountID]
	if a == nil {
		return fmt.Errorf("product %q belongs to account %d, of which there is no record", r.Name, r.AccountID)
	}
	zone, err := ParseZone(r.Zone)
	if err != nil {
		return fmt.Errorf("product %q: time zone %q: %w", r.Name, r.Zone, err)
	}
	p := &Product{
		ID: binary.BigEndian.Uint32(key[1:]), Name: r.Name, Label: r.Label, Account: a.Name, AccountID: a.ID,
		ZoneName: r.Zone, Zone: zone, Plan: r.Plan, PlanSinceMs: r.PlanSinceMs, Validities: r.Validities,
		Suspended: r.Suspended, CreatedAtMs: r.CreatedAtMs, Gifts: a.Gifts, State: &ProductState{Account: a.State},
		AutoRenew: !r.RenewalOff, NoRenew: nameSet(r.NoRenew),
	}
	switch {
	case p.ID == 0 || p.ID > productsMax:
		return fmt.Errorf("product %q has the number %d", r.Name, p.ID)
	case len(p.Validities) == 0 || slices.ContainsFunc(p.Validities, func(s ValidityStep) bool { return s.Validity == Period{} }):
		return fmt.Errorf("product %q has no validity", r.Name)
	case p.Plan.Validity == Period{} || p.Plan.OTAUnitBytes <= 0:
		return fmt.Errorf("product %q has no plan", r.Name)
	}
	p.Scope = scopeOf(a, p)
	l.c.put(p)
	return nil
}

func (l *loader) order(key, value []byte) error {
	var r orderRecord
	if err := decode(key, value, len(keyOrder)+8, &r); err != nil {
		return err
	}
	p := l.c.ProductByID(binary.BigEndian.Uint32(key[1:]))
	if p == nil {
		return fmt.Errorf("order %q belongs to a product of which there is no record", r.Order)
	}
	lot := &Lot{
		Order: r.Order, Units: r.Units, Credited: r.Credited, CreditedAtMs: r.CreditedAtMs, plan: r.Plan, Voids: r.Voids,
		Pool: &Pool{ID: binary.BigEndian.Uint32(key[5:]), Quantity: r.Quantity},
	}
	// Pools are numbered in the order of their making, and keys lie in the order of pools: oldest first.
	if lot.Units {
		p.Packs = append(p.Packs, lot)
	} else {
		p.Lots = append(p.Lots, lot)
	}
	return nil
}

func (l *loader) token(key, value []byte) error {
	var r tokenRecord
	if err := decode(key, value, len(key), &r); err != nil {
		return err
	}
	if r.Deleted {
		return nil
	}
	if a := l.c.accounts[r.Account]; r.Account != "" && (a == nil || a.ID != r.AccountID) {
		return fmt.Errorf(
			"token %q is bound to account %q, number %d, of which there is no record",
			key[1:],
			r.Account,
			r.AccountID,
		)
	}
	t := &Token{
		Name: string(key[1:]), Role: r.Role, Account: r.Account, AccountID: r.AccountID,
		CreatedAtMs: r.CreatedAtMs, ExpiresAtMs: r.ExpiresAtMs,
	}
	if copy(t.Hash[:], r.Hash) != len(t.Hash) {
		return fmt.Errorf("token %q has a damaged hash", t.Name)
	}
	l.c.tokens[t.Name], l.c.tokensByHash[t.Hash] = t, t
	return nil
}

func decode(key, value []byte, keyBytes int, record any) error {
	if len(key) != keyBytes {
		return fmt.Errorf("control record %x has a damaged key", key)
	}
	if err := json.Unmarshal(value, record); err != nil {
		return fmt.Errorf("control record %x: %w", key, err)
	}
	return nil
}

// Pools returns every pool by its ordinal, for recovery to fill in what was drawn, and for checkpoints.
func (c *Catalogue) Pools() map[uint32]*Pool {
	pools := map[uint32]*Pool{}
	for _, a := range c.accounts {
		pools[a.Gifts.ID] = a.Gifts
	}
	for _, p := range c.products {
		for _, l := range p.Lots {
			pools[l.Pool.ID] = l.Pool
		}
		for _, l := range p.Packs {
			pools[l.Pool.ID] = l.Pool
		}
	}
	return pools
}

// DecodeAudit reads an audit entry of the ledger.
func DecodeAudit(key, value []byte) (AuditEntry, error) {
	var a AuditEntry
	if err := decode(key, value, len(KeyAudit)+8, &a); err != nil {
		return AuditEntry{}, err
	}
	a.Seq = binary.BigEndian.Uint64(key[len(KeyAudit):])
	return a, nil
}
