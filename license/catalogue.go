package license

import (
	"cmp"
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/license/persist"
)

// Kinds of accounts (R6).
const (
	Personal   = "personal"
	Enterprise = "enterprise"
)

// Account is a customer. It never changes once it stands in a catalogue; State and Gifts are shared by all its
// versions.
type Account struct {
	ID          uint32 // from 1
	Name        string
	Kind        string
	Region      string
	Suspended   bool
	CreatedAtMs int64
	Gifts       *Pool // R6
	State       *AccountState

	gifted   uint64   // what Gifts was credited with
	products []uint32 // in the order of their making
}

// Product is a device model of one account. It never changes once it stands in a catalogue.
type Product struct {
	ID          uint32 // from 1, less than 2^24
	Name        string
	Label       string // for people
	Account     string
	AccountID   uint32
	ZoneName    string
	Zone        *time.Location
	Plan        Plan
	PlanSinceMs int64
	// Validities is the history of the plan's validity, oldest first; a licence's end is computed by folding it (R9).
	Validities []ValidityStep
	Suspended  bool // the product itself
	// AutoRenew is the switch of R19; NoRenew are the devices that are not renewed although the others are, sorted.
	AutoRenew  bool
	NoRenew    []string
	PayloadOff bool // nothing of its devices' payloads is logged
	// Observes says that the quotas of messages and OTA deny nothing, and answers say what they would deny.
	Observes    bool
	ModeSinceMs int64  // of Observes, Unix milliseconds; 0: since the product was created
	Lots, Packs []*Lot // oldest first
	CreatedAtMs int64
	Gifts       *Pool // the account's
	State       *ProductState

	orders persist.Map[orderPlace] // by order number, takings-back included
	held   uint64                  // licences of all lots, less what was taken back
}

// ProductState is what changes about a product without a new catalogue.
type ProductState struct {
	Account    *AccountState
	GiftsDrawn uint64 // monotone; guarded by the account's lock
	OTADay     uint32 // the latest day that an upgrade counted on; guarded by the account's lock
	lotFirst   int    // lots before it are empty for ever; guarded by the account's lock
	// Active and Online count devices for views; recovery counts them anew.
	Active, Online atomic.Int64
	Days           OpenDays // what is closed is state; recovery finds the others in the words
	window         atomic.Pointer[calendar.Window]
}

// ValidityStep says from when the plan had which validity.
type ValidityStep struct {
	FromS    int64           `json:"from"` // Unix seconds
	Validity calendar.Period `json:"validity"`
}

// Lot is one credit: licences of a purchase, or OTA units of a top-up pack (R8).
type Lot struct {
	Order        string
	Units        bool   // a top-up pack
	Credited     uint64 // what the order credited, before anything was taken back
	CreditedAtMs int64
	Pool         *Pool
	Voids        []Void // oldest first
	plan         *Plan  // the plan that the order named, nil without; a repeated order must name the same
	takenBack    uint64 // the sum of Voids
}

// Void is one taking-back of what a lot or pack had not given out (R8).
type Void struct {
	Order    string `json:"order"`
	Quantity uint64 `json:"quantity"`
}

// Catalogue is everything that administration has said, at one instant. It is immutable and safe for concurrent use. A
// change is made to the newest version only: it numbers what it makes by what was made before.
type Catalogue struct {
	Seq       uint64 // grows by one with every change
	Region    string
	Retention time.Duration // of the raw log; bounds the log days of plans

	accounts     persist.Map[*Account]
	accountsByID persist.List[*Account] // 0 is nil
	products     persist.Map[*Product]
	productsByID persist.List[*Product] // 0 is nil
	tokens       persist.Map[*access.Token]
	tokensByHash persist.Map[*access.Token]
	sweeps       []Sweep // in the order of their numbers
	hooks        hooks
	erasures     erasures
	names        names
	seed         maphash.Seed
	poolLast     uint32
	pools        *pools // of all versions
}

// New returns the catalogue of a daemon on which nothing was created yet.
func New(region string, retention time.Duration) *Catalogue {
	seed := maphash.MakeSeed()
	c := &Catalogue{
		Region: region, Retention: retention, seed: seed, pools: newPools(),
		accounts: persist.NewMap[*Account](seed), products: persist.NewMap[*Product](seed),
		tokens: persist.NewMap[*access.Token](seed), tokensByHash: persist.NewMap[*access.Token](seed),
		erasures: erasures{byName: persist.NewMap[*Erasure](seed)},
		names:    names{given: persist.NewMap[*Given](seed)},
	}
	c.accountsByID.Set(0, 0, nil)
	c.productsByID.Set(0, 0, nil)
	return c
}

// next returns a copy with the next number, which may be written to until it is handed out.
func (c *Catalogue) next() *Catalogue {
	n := *c
	n.Seq++
	return &n
}

// Product returns the product called name, nil if there is none. It does not keep name and does not allocate.
func (c *Catalogue) Product(name []byte) *Product {
	p, _ := c.products.Get(name)
	return p
}

// ProductByID returns the product with this ordinal, nil if there is none. It does not allocate.
func (c *Catalogue) ProductByID(id uint32) *Product { return c.productsByID.Get(id) }

// ProductIDMax returns the largest ordinal of a product.
func (c *Catalogue) ProductIDMax() uint32 { return uint32(c.productsByID.Len() - 1) }

// Account returns the account called name, nil if there is none.
func (c *Catalogue) Account(name string) *Account {
	a, _ := c.accounts.Get([]byte(name))
	return a
}

// AccountByID returns the account with this ordinal, nil if there is none. It does not allocate.
func (c *Catalogue) AccountByID(id uint32) *Account { return c.accountsByID.Get(id) }

// Scope returns the widest suspension that holds for all devices of p, ScopeNone without one (R20). It does not
// allocate.
func (c *Catalogue) Scope(p *Product) event.Scope {
	switch {
	case c.accountsByID.Get(p.AccountID).Suspended:
		return event.ScopeAccount
	case p.Suspended:
		return event.ScopeProduct
	}
	return event.ScopeNone
}

// Accounts returns all accounts in the order of their names; the slice is the caller's.
func (c *Catalogue) Accounts() []*Account {
	list := make([]*Account, 0, c.accounts.Len())
	for _, a := range c.accounts.All() {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *Account) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Products returns the products of account, or all for "", in the order of their names; the slice is the caller's.
func (c *Catalogue) Products(account string) []*Product {
	var list []*Product
	if account == "" {
		for _, p := range c.products.All() {
			list = append(list, p)
		}
	} else if a := c.Account(account); a != nil {
		for _, id := range a.products {
			list = append(list, c.ProductByID(id))
		}
	}
	slices.SortFunc(list, func(a, b *Product) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Load returns how many devices are active, and how many accounts there are: how full the daemon is.
func (c *Catalogue) Load() (devices int64, accounts int) {
	for id := range uint32(c.productsByID.Len()) {
		if p := c.productsByID.Get(id); p != nil {
			devices += p.State.Active.Load()
		}
	}
	return devices, c.accounts.Len()
}

// putAccount adds or replaces a in a catalogue that is still being built.
func (c *Catalogue) putAccount(a *Account) {
	c.accounts.Set(c.Seq, a.Name, a)
	c.accountsByID.Set(c.Seq, a.ID, a)
}

// putProduct adds or replaces p in a catalogue that is still being built.
func (c *Catalogue) putProduct(p *Product) {
	c.products.Set(c.Seq, p.Name, p)
	c.productsByID.Set(c.Seq, p.ID, p)
}

// Window returns the product's running day and month at nowMs, Unix milliseconds. It computes the calendar once a day;
// nowMs must never go back, which decided times do not.
func (p *Product) Window(nowMs int64) *calendar.Window {
	w := p.State.window.Load()
	if w != nil && nowMs >= w.DayStartMs && nowMs < w.DayEndMs {
		return w
	}
	fresh := calendar.WindowAt(nowMs, p.Zone)
	p.State.window.Store(&fresh)
	return &fresh
}

// ValidityVersion returns the version of the validity history, which slots carry beside the end computed with it.
func (p *Product) ValidityVersion() uint32 { return uint32(len(p.Validities) - 1) }

// ExpiryS returns when a licence consumed at activationS ends, Unix seconds: the validity that held then, and every
// later one that came before that end. An upgrade moves only licences that have not ended (R2, R9).
func (p *Product) ExpiryS(activationS int64) int64 {
	end := int64(0)
	for i, step := range p.Validities {
		if i == 0 || step.FromS <= activationS || end > step.FromS {
			end = step.Validity.End(activationS, p.Zone)
		}
	}
	return end
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
