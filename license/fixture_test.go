package license

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
)

const week = 7 * 24 * time.Hour

// book drives a catalogue as the engine does: every change goes to a log, from which a replica follows, and its records
// to a ledger; then the new catalogue holds.
type book struct {
	testing.TB
	cat     *Catalogue
	replica *Catalogue // built from what the log has
	ledger  map[string][]byte
	atMs    int64
}

func newBook(t testing.TB) *book {
	t.Helper()
	return &book{
		TB: t, cat: New("default", week), replica: New("default", week), ledger: map[string][]byte{}, atMs: 1_800_000_000_000,
	}
}

// by returns who changes something, one second after the change before.
func (b *book) by() Actor {
	b.atMs += 1000
	return Actor{Token: "admin", AtMs: b.atMs}
}

// keep stores a change and makes next hold. Without a change nothing happens: that is an order sent again.
func (b *book) keep(next *Catalogue, ch *Change, err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("change refused: %v", err)
	}
	if next == nil {
		return
	}
	logged := ch.Append(nil)
	read, err := DecodeChange(logged)
	if err != nil {
		b.Fatalf("change %d cannot be read: %v", ch.Seq, err)
	}
	clear(logged) // Nothing of it may have been kept.
	if !reflect.DeepEqual(&read, ch) {
		b.Fatalf("logged %+v, read %+v", ch, read)
	}
	if b.replica, err = b.replica.Apply(&read); err != nil {
		b.Fatalf("replay: %v", err)
	}
	for _, p := range append(ch.Puts, next.head(), ch.Audit.Record()) {
		b.ledger[string(p.Key)] = bytes.Clone(p.Value)
	}
	b.cat = next
}

func (b *book) account(name, kind string) *Account {
	b.Helper()
	next, ch, a, err := b.cat.CreateAccount(b.by(), name, kind, "")
	b.keep(next, ch, err)
	return a
}

func (b *book) product(name, account, plan string) *Product {
	b.Helper()
	next, ch, p, err := b.cat.CreateProduct(
		b.by(),
		ProductSpec{Name: name, Account: account, Zone: "UTC", Plan: patch(b, plan)},
	)
	b.keep(next, ch, err)
	return p
}

func (b *book) setPlan(product, plan string) {
	b.Helper()
	next, ch, _, err := b.cat.SetPlan(b.by(), product, patch(b, plan))
	b.keep(next, ch, err)
}

func (b *book) credit(product string, c Credit) *Lot {
	b.Helper()
	next, ch, l, err := b.cat.ApplyCredit(b.by(), product, c)
	b.keep(next, ch, err)
	return l
}

// get returns the product as the newest catalogue has it.
func (b *book) get(product string) *Product { return b.cat.Product([]byte(product)) }

// take draws a licence as a connect does and returns the order it came from, "gift", or "" when none was left.
func (b *book) take(product string) string {
	p := b.get(product)
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	pool := p.TakeLicense()
	if pool == nil {
		return ""
	}
	return p.SourceOf(pool.ID)
}

// load builds the catalogue from the ledger again.
func (b *book) load() (*Catalogue, error) { return load(b.ledger, "default", week) }

// load builds the catalogue from a ledger.
func load(ledger map[string][]byte, region string, retention time.Duration) (*Catalogue, error) {
	l := NewLoader(region, retention)
	if err := putAll(l, ledger); err != nil {
		return nil, err
	}
	return l.Catalogue()
}

// putAll hands the records of a ledger to a loader, in an order that it takes.
func putAll(l *Loader, ledger map[string][]byte) error {
	for _, kind := range "HAPROVTWSENFM" {
		for _, k := range sortedKeys(ledger) {
			if strings.HasPrefix(k, string(kind)) {
				if err := l.Put([]byte(k), ledger[k]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// patch reads a plan of a request; "" is none.
func patch(t fataler, s string) (p PlanPatch) {
	t.Helper()
	if s == "" {
		return p
	}
	if err := json.Unmarshal([]byte(s), &p); err != nil {
		t.Fatalf("plan %s: %v", s, err)
	}
	return p
}

// wantProblem fails unless err is a problem with this code and field.
func wantProblem(t *testing.T, err error, code event.Code, field string) {
	t.Helper()
	var p *event.Problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem %s", err, code)
	}
	if p.Code != code || p.Field != field {
		t.Errorf("got %s on field %q (%s), want %s on field %q", p.Code, p.Field, p.Detail, code, field)
	}
	if p.Detail == "" {
		t.Errorf("%s says nothing to people", p.Code)
	}
}

// dump writes everything that a catalogue says, in one order: two catalogues are equal if their dumps are. What all its
// versions share, the pools and what was drawn from them, is not in it.
func (c *Catalogue) dump() string {
	var b strings.Builder
	fmt.Fprintf(
		&b,
		"seq %d region %s retention %s pools %d sweeps %v erasures %s\n",
		c.Seq,
		c.Region,
		c.Retention,
		c.poolLast,
		c.sweeps,
		mustJSON(c.Erasures()),
	)
	for _, a := range c.Accounts() {
		fmt.Fprintf(&b, "account %d %s %s %s suspended %t at %d gifts in pool %d: %d, products %v\n",
			a.ID, a.Name, a.Kind, a.Region, a.Suspended, a.CreatedAtMs, a.Gifts.ID, a.gifted, a.products)
	}
	for _, p := range c.Products("") {
		fmt.Fprintf(
			&b,
			"product %d %s %q of %s %d zone %s=%s plan %+v since %d validities %v suspended %t scope %s renewed %t except %v "+
				"at %d gifts %d held %d orders %d\n",
			p.ID,
			p.Name,
			p.Label,
			p.Account,
			p.AccountID,
			p.ZoneName,
			p.Zone,
			p.Plan,
			p.PlanSinceMs,
			p.Validities,
			p.Suspended,
			c.Scope(p),
			p.AutoRenew,
			p.NoRenew,
			p.CreatedAtMs,
			p.Gifts.ID,
			p.held,
			p.orders.Len(),
		)
		for _, l := range slices.Concat(p.Lots, p.Packs) {
			fmt.Fprintf(
				&b,
				"  order %s units %t credited %d at %d pool %d voids %v",
				l.Order,
				l.Units,
				l.Credited,
				l.CreditedAtMs,
				l.Pool.ID,
				l.Voids,
			)
			if l.plan != nil {
				fmt.Fprintf(&b, " plan %+v", *l.plan)
			}
			b.WriteByte('\n')
		}
	}
	for _, t := range c.Tokens() {
		fmt.Fprintf(&b, "token %+v\n", *t)
	}
	for _, h := range c.hooks.list {
		fmt.Fprintf(&b, "webhook %+v\n", *h)
	}
	for _, g := range c.allGiven() {
		fmt.Fprintf(&b, "given %+v\n", *g)
	}
	for _, g := range c.OpenNames() {
		fmt.Fprintf(&b, "open %d\n", g.Number)
	}
	fmt.Fprintf(&b, "refused %d mirrored %d\n", c.names.refusedTo, c.names.mirrored)
	fmt.Fprintf(&b, "quota told %t %t %x\n", c.hooks.quota, c.hooks.quotaAll, c.hooks.quotaAccounts)
	fmt.Fprintf(&b, "by ordinal %d %d, by hash %d\n", c.accountsByID.Len(), c.productsByID.Len(), c.tokensByHash.Len())
	return b.String()
}

// stock writes how much was put into every pool.
func (c *Catalogue) stock() string {
	var b strings.Builder
	for id := uint32(1); id <= c.poolLast; id++ {
		fmt.Fprintf(&b, "pool %d of %d less %d\n", id, c.Pool(id).Credited, c.Pool(id).TakenBack)
	}
	return b.String()
}
