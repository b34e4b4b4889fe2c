package license

import (
	"crypto/sha256"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/access"
)

// Whoever holds a catalogue sees what he saw, whatever is changed after it: that makes an upgrade uniform (R9).
func TestCatalogueIsImmutable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook(t)
		var kept []*Catalogue
		var dumps []string
		for range rapid.IntRange(1, 30).Draw(rt, "changes") {
			kept, dumps = append(kept, b.cat), append(dumps, b.cat.dump())
			b.change(rt)
		}
		for i, c := range kept {
			if got := c.dump(); got != dumps[i] {
				rt.Fatalf("catalogue %d changed from\n%s\nto\n%s", i, dumps[i], got)
			}
		}
	})
}

// change makes a random change: refused ones change nothing, which is a part of the tests that use it.
func (b *book) change(t *rapid.T) {
	draw := func(list ...string) string { return rapid.SampledFrom(list).Draw(t, "word") }
	before := b.cat
	seq := before.Seq
	var next *Catalogue
	var ch *Change
	var err error
	plan := patch(t, draw(
		``,
		`{"messages_per_day":null}`,
		`{"messages_per_day":10}`,
		`{"validity":"P9Y"}`,
		`{"validity":"PT10S"}`,
		`{"message_unit_bytes":64}`,
		`{"log_days":1}`,
		`{"ota_per_month":7,"ota_unit_bytes":1048576}`,
	))
	product := draw("p1", "p2", "p3")
	switch draw(
		"account",
		"product",
		"product",
		"plan",
		"plan",
		"credit",
		"credit",
		"credit",
		"void",
		"token",
		"switch",
		"note",
		"erase",
		"erase",
		"erasures over",
		"reserve",
		"reserve",
		"settle",
		"settle",
		"refuse",
		"mirror",
	) {
	case "reserve", "settle", "refuse", "mirror":
		next, ch, err = b.name(t)
	case "erase":
		if b.get(product) == nil {
			return
		}
		ordinal := rapid.Uint64Range(0, 9).Draw(t, "ordinal")
		next, ch, _, err = b.cat.EraseLog(b.by(), product, draw("d1", "d2"), ordinal > 0, ordinal)
	case "erasures over":
		if next, ch = b.cat.EndErasures(b.cat.ErasuresBefore(b.atMs - 1000)); ch != nil {
			ch.AtMs = b.by().AtMs
		}
	case "account":
		next, ch, _, err = b.cat.CreateAccount(b.by(), draw("acme", "ada", "bob"), draw(Personal, Enterprise), "")
	case "product":
		next, ch, _, err = b.cat.CreateProduct(b.by(), ProductSpec{
			Name: product, Account: draw("acme", "ada", "bob"), Label: draw("", "Ein Gerät", "\x1b\u2028<b>"), Plan: plan,
			Zone: draw("UTC", "Asia/Shanghai", "+05:45", "America/Havana"),
		})
	case "plan":
		if b.get(product) == nil {
			return
		}
		next, ch, _, err = b.cat.SetPlan(b.by(), product, plan)
	case "credit":
		if b.get(product) == nil {
			return
		}
		next, ch, _, err = b.cat.ApplyCredit(b.by(), product, Credit{
			Order: draw("PO-1", "PO-2", "PO-3", "PO-4", "PO-5"), Quantity: rapid.Uint64Range(1, 3).Draw(t, "quantity"),
			Units: rapid.Bool().Draw(t, "units"), Plan: &plan,
		})
	case "void":
		if b.get(product) == nil {
			return
		}
		void := Void{Order: draw("RV-1", "RV-2", "PO-5"), Quantity: rapid.Uint64Range(1, 3).Draw(t, "quantity")}
		next, ch, _, err = b.cat.TakeBack(b.by(), product, draw("PO-1", "PO-2", "PO-3"), rapid.Bool().Draw(t, "units"), void)
	case "token":
		if name := draw("gw-1", "gw-2"); b.cat.Token(name) != nil {
			next, ch, err = b.cat.DeleteToken(b.by(), name)
		} else {
			next, ch, err = b.cat.CreateToken(b.by(), access.Token{
				Name:        name,
				Role:        access.RoleGateway,
				Account:     draw("", "acme"),
				ExpiresAtMs: rapid.Int64Range(0, 9).Draw(t, "expires"),
				Hash:        sha256.Sum256([]byte(access.NewSecret())),
			})
		}
	case "switch":
		next, ch, err = b.flip(t, product)
	case "note":
		next, ch = b.cat.Note(b.by(), "clock.confirm", "", nil)
	}
	switch {
	case err != nil || next == nil:
		if next != nil || ch != nil || before.Seq != seq {
			t.Fatalf("refused with %v and changed all the same", err)
		}
		return
	case next.Seq != seq+1 || ch.Seq != next.Seq || (ch.Audit.Action != "" && ch.Audit.Seq != next.Seq):
		t.Fatalf("control sequence %d follows %d, audited as %d", next.Seq, seq, ch.Audit.Seq)
	}
	b.keep(next, ch, err)
}

// flip makes a random change that is one switch of an account or a product.
func (b *book) flip(t *rapid.T, product string) (next *Catalogue, ch *Change, err error) {
	account, on := rapid.SampledFrom([]string{"acme", "ada", "bob"}).Draw(t, "account"), rapid.Bool().Draw(t, "on")
	which := rapid.SampledFrom([]string{"certify", "account", "product", "renewal", "sweep"}).Draw(t, "switch")
	switch {
	case b.cat.Account(account) == nil || b.get(product) == nil:
	case which == "certify":
		next, ch, _, err = b.cat.Certify(b.by(), account)
	case which == "account":
		next, ch, _, err = b.cat.SuspendAccount(b.by(), account, on)
	case which == "product":
		next, ch, _, err = b.cat.SuspendProduct(b.by(), product, on)
	case which == "sweep" && len(b.cat.Sweeps()) > 0:
		next, ch = b.cat.EndSweep(rapid.SampledFrom(b.cat.Sweeps()).Draw(t, "sweep").Seq)
	case which == "renewal":
		next, ch, _, err = b.cat.SetRenewal(
			b.by(),
			product,
			on,
			rapid.SliceOfNDistinct(rapid.StringMatching(`d[0-9]`), 0, 3, rapid.ID).Draw(t, "except"),
		)
	}
	return next, ch, err
}

func TestLists(t *testing.T) {
	b := newBook(t)
	for _, name := range []string{"zoe", "ada", "moe"} {
		b.account(name, Personal)
	}
	b.product("p9", "ada", "")
	b.product("p1", "zoe", "")
	b.product("p5", "ada", "")
	var accounts, all, ada []string
	for _, a := range b.cat.Accounts() {
		accounts = append(accounts, a.Name)
	}
	for _, p := range b.cat.Products("") {
		all = append(all, p.Name)
	}
	for _, p := range b.cat.Products("ada") {
		ada = append(ada, p.Name)
	}
	if !slices.Equal(accounts, []string{"ada", "moe", "zoe"}) || !slices.Equal(all, []string{"p1", "p5", "p9"}) ||
		!slices.Equal(ada, []string{"p5", "p9"}) {
		t.Errorf("accounts %v, products %v, of ada %v", accounts, all, ada)
	}
	if got := b.cat.Products("nobody"); got != nil {
		t.Errorf("nobody has %v", got)
	}
}
