package license

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/event"
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
	// AutoRenew is the switch of R19; NoRenew are the devices that are not renewed although the others are.
	AutoRenew   bool
	NoRenew     map[string]struct{}
	Scope       event.Scope // the widest suspension that holds for all its devices, ScopeNone without one (R20)
	Lots, Packs []*Lot      // oldest first
	CreatedAtMs int64
	Gifts       *Pool // the account's
	State       *ProductState
}

// ProductState is what changes about a product without a new catalogue.
type ProductState struct {
	Account    *AccountState
	GiftsDrawn uint64 // monotone; guarded by the account's lock
	lotFirst   int    // lots before it are empty for ever; guarded by the account's lock
	// Active and Online count devices for views; recovery counts them anew.
	Active, Online atomic.Int64
	window         atomic.Pointer[Window]
}

// ValidityStep says from when the plan had which validity.
type ValidityStep struct {
	FromS    int64  `json:"from"` // Unix seconds
	Validity Period `json:"validity"`
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
}

// Void is one taking-back of what a lot or pack had not given out (R8).
type Void struct {
	Order    string `json:"order"`
	Quantity uint64 `json:"quantity"`
}

// Catalogue is everything that administration has said, at one instant. It is immutable and safe for concurrent use.
type Catalogue struct {
	Seq       uint64 // control sequence: grows by one with every change
	Region    string
	Retention time.Duration // of the raw log; bounds the log days of plans

	accounts     map[string]*Account
	products     map[string]*Product
	productsByID []*Product // index = ID; 0 is nil
	tokens       map[string]*Token
	tokensByHash map[[32]byte]*Token
	poolLast     uint32
	accountLast  uint32
	// suspensions are the devices that were ever suspended or let go, as loaded; recovery applies them to the device
	// table.
	suspensions []DeviceSuspension
}

// New returns the catalogue of a daemon on which nothing was created yet.
func New(region string, retention time.Duration) *Catalogue {
	return &Catalogue{
		Region: region, Retention: retention,
		accounts: map[string]*Account{}, products: map[string]*Product{}, productsByID: []*Product{nil},
		tokens: map[string]*Token{}, tokensByHash: map[[32]byte]*Token{},
	}
}

// next returns a copy with the next control sequence, whose maps may be changed until it is handed out.
func (c *Catalogue) next() *Catalogue {
	n := *c
	n.Seq++
	n.accounts = maps.Clone(c.accounts)
	n.products = maps.Clone(c.products)
	n.productsByID = slices.Clone(c.productsByID)
	n.tokens = maps.Clone(c.tokens)
	n.tokensByHash = maps.Clone(c.tokensByHash)
	return &n
}

// Product returns the product called name, nil if there is none. It does not keep name and does not allocate.
func (c *Catalogue) Product(name []byte) *Product { return c.products[string(name)] }

// ProductByID returns the product with this ordinal, nil if there is none.
func (c *Catalogue) ProductByID(id uint32) *Product {
	if int(id) >= len(c.productsByID) {
		return nil
	}
	return c.productsByID[id]
}

// ProductIDMax returns the largest ordinal of a product.
func (c *Catalogue) ProductIDMax() uint32 { return uint32(len(c.productsByID) - 1) }

// Account returns the account called name, nil if there is none.
func (c *Catalogue) Account(name string) *Account { return c.accounts[name] }

// Accounts returns all accounts in the order of their names; the slice is the caller's.
func (c *Catalogue) Accounts() []*Account {
	return slices.SortedFunc(maps.Values(c.accounts), func(a, b *Account) int { return cmp.Compare(a.Name, b.Name) })
}

// Products returns the products of account, or all for "", in the order of their names; the slice is the caller's.
func (c *Catalogue) Products(account string) []*Product {
	var list []*Product
	for _, p := range c.products {
		if account == "" || p.Account == account {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b *Product) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// put replaces p in a catalogue that is still being built.
func (c *Catalogue) put(p *Product) {
	c.products[p.Name] = p
	for int(p.ID) >= len(c.productsByID) {
		c.productsByID = append(c.productsByID, nil)
	}
	c.productsByID[p.ID] = p
}

// Window returns the product's running day and month at nowMs, Unix milliseconds. It computes the calendar once a day;
// nowMs must never go back, which decided times do not.
func (p *Product) Window(nowMs int64) *Window {
	w := p.State.window.Load()
	if w != nil && nowMs >= w.DayStartMs && nowMs < w.DayEndMs {
		return w
	}
	fresh := WindowAt(nowMs, p.Zone)
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
