package license

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license/calendar"
)

// Loader builds a catalogue from its records: the way back of Records. It is for one goroutine.
type Loader struct {
	c     *Catalogue
	whole bool // c is being loaded and nobody has it yet, so that its objects are written to in place
}

// NewLoader begins a catalogue of this region, on a daemon that keeps the raw log for retention.
func NewLoader(region string, retention time.Duration) *Loader {
	return &Loader{c: New(region, retention), whole: true}
}

// Catalogue returns what was loaded; it is the end of the loader. Pools have what was credited and taken back; what was
// drawn and returned comes from elsewhere.
func (l *Loader) Catalogue() (*Catalogue, error) {
	if most := l.c.poolLast; l.c.pools.get(most) == nil && most > 0 {
		return nil, fmt.Errorf("the head names pool %d, of which there is no record", most)
	}
	return l.c, nil
}

// Apply returns the catalogue after a change that the log has: the next of those that c has. Objects that there are
// keep their pools and states, whose totals are raised to what the records say.
func (c *Catalogue) Apply(ch *Change) (*Catalogue, error) {
	if ch.Seq != c.Seq+1 {
		return nil, fmt.Errorf("administrative change %d follows change %d: some in between are missing", ch.Seq, c.Seq)
	}
	l := Loader{c: c.next()}
	for i := range ch.Puts {
		if err := l.Put(ch.Puts[i].Key, ch.Puts[i].Value); err != nil {
			return nil, fmt.Errorf("administrative change %d: %w", ch.Seq, err)
		}
	}
	return l.c, nil
}

// Put takes one record. It keeps neither slice.
func (l *Loader) Put(key, value []byte) error {
	if len(key) == 0 {
		return fmt.Errorf("a record has no key: %q", value)
	}
	switch key[0] {
	case keyHead:
		return l.head(key, value)
	case keyAccount:
		return l.account(key, value)
	case keyProduct:
		return l.product(key, value)
	case keyRenewal:
		return l.renewal(key, value)
	case keyOrder:
		return l.order(key, value)
	case keyVoid:
		return l.void(key, value)
	case keyToken:
		return l.token(key, value)
	case keySweep:
		return l.sweep(key, value)
	case keyHook:
		return l.hook(key, value)
	case keyErasure:
		return l.erasure(key, value)
	case keyName:
		return l.given(key, value)
	case keyRefused:
		return l.refused(key, value)
	case keyMirrored:
		return l.mirrored(key, value)
	}
	return fmt.Errorf("record %x is of a kind that this program does not know: it was written by a newer version", key)
}

func decode(key, value []byte, keyBytes int, record any) error {
	if len(key) != keyBytes {
		return fmt.Errorf("record %x has a damaged key", key)
	}
	if err := json.Unmarshal(value, record); err != nil {
		return fmt.Errorf("record %x: %w", key, err)
	}
	return nil
}

func (l *Loader) head(key, value []byte) error {
	var r headRecord
	if err := decode(key, value, 1, &r); err != nil {
		return err
	}
	if !l.whole || r.PoolLast > poolsMax {
		return fmt.Errorf("record %x is damaged: %s", key, value)
	}
	l.c.Seq, l.c.poolLast = r.Seq, r.PoolLast
	return nil
}

// pool returns the pool with this number: a new one, or that which a later version of the catalogue has made already.
func (l *Loader) pool(id uint32, credited uint64) (*Pool, error) {
	if !l.whole && id == l.c.poolLast+1 && id <= poolsMax {
		l.c.poolLast++
	}
	p := l.c.pools.get(id)
	if id == 0 || id > l.c.poolLast || (l.whole && p != nil) {
		return nil, fmt.Errorf("pool %d is there already, or comes after pool %d, the last", id, l.c.poolLast)
	}
	if p == nil {
		p = &Pool{ID: id, Credited: credited}
		l.c.pools.put(p)
	}
	return p, nil
}

func (l *Loader) account(key, value []byte) error {
	var r accountRecord
	if err := decode(key, value, 5, &r); err != nil {
		return err
	}
	id := binary.BigEndian.Uint32(key[1:])
	a, old := &Account{State: &AccountState{}}, l.c.accountsByID.Get(id)
	taken := l.c.Account(r.Name) != old || (l.whole && old != nil)
	if id == 0 || int(id) > l.c.accountsByID.Len() || taken {
		return fmt.Errorf("account %q has the number %d, which is another one's, or not the next", r.Name, id)
	}
	if old != nil {
		*a = *old
	}
	gifts, err := l.pool(r.GiftPool, r.Gifts)
	if err != nil {
		return fmt.Errorf("account %q: %w", r.Name, err)
	}
	if old != nil && gifts != old.Gifts {
		return fmt.Errorf("account %q has its gifts in pool %d, and had them in %d", r.Name, gifts.ID, old.Gifts.ID)
	}
	a.ID, a.Name, a.Kind, a.Region, a.Suspended = id, r.Name, r.Kind, r.Region, r.Suspended
	a.CreatedAtMs, a.Gifts, a.gifted = r.CreatedAtMs, gifts, r.Gifts
	a.State.Lock()
	gifts.Credited = max(gifts.Credited, r.Gifts)
	a.State.Unlock()
	l.c.putAccount(a)
	return nil
}

func (l *Loader) product(key, value []byte) error {
	var r productRecord
	if err := decode(key, value, 5, &r); err != nil {
		return err
	}
	id, a := binary.BigEndian.Uint32(key[1:]), l.c.accountsByID.Get(r.AccountID)
	zone, zoneErr := calendar.ParseZone(r.Zone)
	old := l.c.ProductByID(id)
	taken := l.c.Product([]byte(r.Name)) != old || (l.whole && old != nil)
	none := func(s ValidityStep) bool { return s.Validity == calendar.Period{} }
	switch {
	case a == nil:
		return fmt.Errorf("product %q belongs to account %d, of which there is no record", r.Name, r.AccountID)
	case zoneErr != nil:
		return fmt.Errorf("product %q: time zone %q: %w", r.Name, r.Zone, zoneErr)
	case id == 0 || id > productIDMax || int(id) > l.c.productsByID.Len() || taken:
		return fmt.Errorf("product %q has the number %d, which is another one's, or not the next", r.Name, id)
	case old != nil && old.AccountID != a.ID:
		return fmt.Errorf("product %q belongs to account %d, but belonged to account %d", r.Name, a.ID, old.AccountID)
	case len(r.Validities) == 0 || slices.ContainsFunc(r.Validities, none):
		return fmt.Errorf("product %q has no validity", r.Name)
	case r.Plan.Validity == calendar.Period{} || r.Plan.OTAUnitBytes <= 0:
		return fmt.Errorf("product %q has no plan", r.Name)
	}
	p := &Product{State: &ProductState{Account: a.State}}
	if old != nil {
		*p = *old
	} else {
		p.orders = newOrders(l.c.seed)
		l.addTo(a, id)
	}
	p.ID, p.Name, p.Label, p.Account, p.AccountID, p.Gifts = id, r.Name, r.Label, a.Name, a.ID, a.Gifts
	p.ZoneName, p.Zone, p.Plan, p.PlanSinceMs, p.Validities = r.Zone, zone, r.Plan, r.PlanSinceMs, r.Validities
	p.Suspended, p.AutoRenew, p.PayloadOff, p.CreatedAtMs = r.Suspended, !r.RenewalOff, r.PayloadOff, r.CreatedAtMs
	p.Observes, p.ModeSinceMs = r.Observes, r.ModeSinceMs
	l.c.putProduct(p)
	return nil
}

// addTo adds a new product to its account.
func (l *Loader) addTo(a *Account, product uint32) {
	if l.whole {
		a.products = append(a.products, product)
		return
	}
	owner := *a
	owner.products = append(slices.Clip(a.products), product)
	l.c.putAccount(&owner)
}

// productOf returns the product that a key names, to be written to.
func (l *Loader) productOf(key []byte) (*Product, error) {
	id := binary.BigEndian.Uint32(key[1:])
	p := l.c.ProductByID(id)
	if p == nil {
		return nil, fmt.Errorf("record %x is about product %d, of which there is no record", key, id)
	}
	if l.whole {
		return p, nil
	}
	own := *p
	own.Lots, own.Packs = slices.Clone(p.Lots), slices.Clone(p.Packs)
	l.c.putProduct(&own)
	return &own, nil
}

func (l *Loader) renewal(key, value []byte) error {
	var r renewalRecord
	if err := decode(key, value, 5, &r); err != nil {
		return err
	}
	p, err := l.productOf(key)
	if err != nil {
		return err
	}
	p.NoRenew = nameList(r.Except)
	return nil
}

func (l *Loader) order(key, value []byte) error {
	var r orderRecord
	if err := decode(key, value, 9, &r); err != nil {
		return err
	}
	p, err := l.productOf(key)
	if err != nil {
		return err
	}
	if used, _ := p.order(r.Order); used != nil {
		return fmt.Errorf("order %q of product %q is there twice", r.Order, p.Name)
	}
	id := binary.BigEndian.Uint32(key[5:])
	if lots := *p.credits(r.Units); len(lots) > 0 && lots[len(lots)-1].Pool.ID >= id {
		return fmt.Errorf("order %q of product %q has pool %d, which is not the next", r.Order, p.Name, id)
	}
	pool, err := l.pool(id, r.Credited)
	if err != nil {
		return fmt.Errorf("order %q: %w", r.Order, err)
	}
	p.add(l.c.Seq, &Lot{
		Order: r.Order, Units: r.Units, Credited: r.Credited, CreditedAtMs: r.CreditedAtMs, plan: r.Plan, Pool: pool,
	})
	return nil
}

func (l *Loader) void(key, value []byte) error {
	var v Void
	if err := decode(key, value, 13, &v); err != nil {
		return err
	}
	p, err := l.productOf(key)
	if err != nil {
		return err
	}
	id, nth := binary.BigEndian.Uint32(key[5:]), binary.BigEndian.Uint32(key[9:])
	units, at, found := p.creditOf(id)
	used, _ := p.order(v.Order)
	if !found || used != nil {
		return fmt.Errorf("order %q of product %q takes back from pool %d, which is not there, or does so twice",
			v.Order, p.Name, id)
	}
	lot := *(*p.credits(units))[at]
	if nth != uint32(len(lot.Voids)) || v.Quantity > lot.Credited-lot.takenBack {
		return fmt.Errorf("order %q is not the next to take back from order %q, or takes back too much",
			v.Order, lot.Order)
	}
	if !l.whole {
		lot.Voids = slices.Clip(lot.Voids)
	}
	lot.addVoid(v)
	p.addVoid(l.c.Seq, at, &lot)
	p.State.Account.Lock()
	lot.Pool.TakenBack = max(lot.Pool.TakenBack, lot.takenBack)
	p.State.Account.Unlock()
	return nil
}

func (l *Loader) token(key, value []byte) error {
	var r tokenRecord
	if err := decode(key, value, len(key), &r); err != nil {
		return err
	}
	if old := l.c.Token(string(key[1:])); old != nil {
		l.c.dropToken(old)
	}
	if r.Deleted {
		return nil
	}
	if a := l.c.Account(r.Account); r.Account != "" && (a == nil || a.ID != r.AccountID) {
		return fmt.Errorf("token %q is bound to account %q, number %d, of which there is no record",
			key[1:], r.Account, r.AccountID)
	}
	t := &access.Token{
		Name: string(key[1:]), Role: r.Role, Account: r.Account, AccountID: r.AccountID,
		CreatedAtMs: r.CreatedAtMs, ExpiresAtMs: r.ExpiresAtMs,
	}
	if copy(t.Hash[:], r.Hash) != len(t.Hash) {
		return fmt.Errorf("token %q has a damaged hash", t.Name)
	}
	l.c.putToken(t)
	return nil
}

func (l *Loader) sweep(key, value []byte) error {
	var r sweepRecord
	if err := decode(key, value, 9, &r); err != nil {
		return err
	}
	s := Sweep{Seq: binary.BigEndian.Uint64(key[1:]), AccountID: r.AccountID, ProductID: r.ProductID}
	at := slices.IndexFunc(l.c.sweeps, func(pending Sweep) bool { return pending.Seq >= s.Seq })
	switch {
	case r.Ended:
		if at >= 0 && l.c.sweeps[at].Seq == s.Seq {
			l.c.sweeps = slices.Delete(slices.Clone(l.c.sweeps), at, at+1)
		}
		return nil
	case at >= 0:
		return fmt.Errorf("the sweep of change %d does not come after that of change %d", s.Seq, l.c.sweeps[at].Seq)
	case (l.c.AccountByID(s.AccountID) == nil) == (l.c.ProductByID(s.ProductID) == nil):
		return fmt.Errorf("the sweep of change %d is about neither one account nor one product", s.Seq)
	}
	l.c.sweeps = append(slices.Clip(l.c.sweeps), s)
	return nil
}
