package license

import (
	"crypto/sha256"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
)

// name makes a random change that concerns other cells.
func (b *book) name(t *rapid.T) (*Catalogue, *Change, error) {
	kind := rapid.SampledFrom([]NameKind{NameAccount, NameProduct, NameToken, NameHook}).Draw(t, "kind")
	name := rapid.SampledFrom([]string{"acme", "p1", "p9", "gw-1", "x"}).Draw(t, "name")
	cell := rapid.IntRange(1, 3).Draw(t, "cell")
	open := b.cat.OpenNames()
	switch {
	case len(open) > 0 && rapid.Bool().Draw(t, "settle"):
		g := open[rapid.IntRange(0, len(open)-1).Draw(t, "which")]
		next, ch := b.cat.SettleName(b.by(), g.Kind, g.Name, g.Number, rapid.Bool().Draw(t, "there"))
		return next, ch, nil
	case rapid.IntRange(0, 9).Draw(t, "refuse") == 0:
		next, ch := b.cat.RefuseNames(b.by(), rapid.Uint64Range(0, b.cat.Seq).Draw(t, "up to"))
		return next, ch, nil
	case b.cat.Given(kind, name) != nil:
		next, ch, _, err := b.cat.ReopenName(b.by(), kind, name)
		return next, ch, err
	case rapid.IntRange(0, 5).Draw(t, "mirror") == 0:
		next, ch, _ := b.cat.Mirror(b.by(), randomTruth(t, b.cat.Mirrored()))
		return next, ch, nil
	}
	next, ch, _, err := b.cat.ReserveName(b.by(), kind, name, cell)
	return next, ch, err
}

// randomTruth is a catalogue of cell 0 with some tokens and webhooks without an account.
func randomTruth(t *rapid.T, after uint64) *Catalogue {
	truth := New("default", week)
	truth.Seq = after + rapid.Uint64Range(0, 2).Draw(t, "truth")
	for _, name := range []string{"t-1", "t-2", "t-3"} {
		if rapid.Bool().Draw(t, name) {
			at := rapid.Int64Range(1, 3).Draw(t, "at")
			truth.putToken(&access.Token{
				Name: name, Role: access.RoleGateway, CreatedAtMs: at, Hash: sha256.Sum256([]byte{name[2], byte(at)}),
			})
		}
	}
	for _, name := range []string{"h-1", "h-2"} {
		if rapid.Bool().Draw(t, name) {
			truth.hooks.put(truth.Seq, &Hook{
				ID: rapid.Uint64Range(1, 3).Draw(t, "id"), Name: name, URL: "https://h", Events: 1, Secret: []byte("s"),
				ChangedAtMs: rapid.Int64Range(1, 2).Draw(t, "changed"), LicensesLowPercent: 1, PacksLowPercent: 1,
			})
		}
	}
	return truth
}

func (b *book) reserve(kind NameKind, name string, cell int) *Given {
	b.Helper()
	next, ch, g, err := b.cat.ReserveName(b.by(), kind, name, cell)
	b.keep(next, ch, err)
	return g
}

func (b *book) settle(g *Given, isThere bool) {
	b.Helper()
	next, ch := b.cat.SettleName(b.by(), g.Kind, g.Name, g.Number, isThere)
	b.keep(next, ch, nil)
}

// A name is given once: not while somebody reserves it, not after it was created, and again after it was released.
func TestReserveName(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.product("p0", "acme", "")
	b.token(access.Token{Name: "gw-0", Role: access.RoleGateway}, "secret")
	for kind, name := range map[NameKind]string{NameAccount: "acme", NameProduct: "p0", NameToken: "gw-0"} {
		_, _, _, err := b.cat.ReserveName(b.by(), kind, name, 1)
		wantProblem(t, err, event.AlreadyExists, "")
	}
	_, _, _, err := b.cat.ReserveName(b.by(), NameAccount, "a b", 1)
	wantProblem(t, err, event.InvalidArgument, "account")

	g := b.reserve(NameAccount, "ada", 3)
	_, _, _, err = b.cat.ReserveName(b.by(), NameAccount, "ada", 2)
	wantProblem(t, err, event.Overloaded, "")
	_, _, _, err = b.cat.CreateAccount(b.by(), "ada", Personal, "")
	wantProblem(t, err, event.Overloaded, "")
	b.reserve(NameProduct, "ada", 2) // Names of another kind are others.

	b.settle(g, true)
	if n := b.cat.NamesElsewhere(); n != 2 {
		t.Errorf("%d names are said to be given", n)
	}
	if got := b.cat.Given(NameAccount, "ada"); got == nil || got.Cell != 3 || got.Open {
		t.Fatalf("%+v", got)
	}
	_, _, _, err = b.cat.ReserveName(b.by(), NameAccount, "ada", 2)
	wantProblem(t, err, event.AlreadyExists, "")
	_, _, _, err = b.cat.CreateAccount(b.by(), "ada", Personal, "")
	wantProblem(t, err, event.AlreadyExists, "")

	b.settle(g, false) // It was settled: nothing happens.
	g = b.reserve(NameAccount, "bob", 1)
	b.settle(g, false)
	if b.cat.Given(NameAccount, "bob") != nil {
		t.Fatal("a name that was released is still given")
	}
	b.reserve(NameAccount, "bob", 2)
}

// A token is deleted under a reservation of its own; one that settles late settles nothing.
func TestReopenName(t *testing.T) {
	b := newBook(t)
	if next, _, _, err := b.cat.ReopenName(b.by(), NameToken, "gw-1"); next != nil || err != nil {
		t.Fatal(next, err)
	}
	created := b.reserve(NameToken, "gw-1", 2)
	b.settle(created, true)
	next, ch, g, err := b.cat.ReopenName(b.by(), NameToken, "gw-1")
	b.keep(next, ch, err)
	if g.Cell != 2 || !g.Open || g.Number == created.Number {
		t.Fatalf("%+v", g)
	}
	_, _, _, err = b.cat.ReopenName(b.by(), NameToken, "gw-1")
	wantProblem(t, err, event.Overloaded, "")
	b.settle(created, false)
	if got := b.cat.Given(NameToken, "gw-1"); got == nil || !got.Open {
		t.Fatalf("the creation's end has ended the deletion: %+v", got)
	}
	b.settle(g, false)
	if b.cat.Given(NameToken, "gw-1") != nil {
		t.Fatal("it is still there")
	}
}

// What comes under a reservation that was refused changes nothing, now and after a restart.
func TestRefuseNames(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.token(access.Token{Name: "gw-0", Role: access.RoleGateway, Account: "acme"}, "secret")
	next, ch := b.cat.RefuseNames(b.by(), 40)
	b.keep(next, ch, nil)
	if next, _ := b.cat.RefuseNames(b.by(), 39); next != nil {
		t.Fatal("an older one is refused, too, without saying so")
	}
	loaded := b.reload(t)
	for _, c := range []*Catalogue{b.cat, b.replica, loaded} {
		by := b.by()
		by.Reservation = 40
		_, _, _, err := c.CreateAccount(by, "ada", Personal, "")
		wantProblem(t, err, event.Overloaded, "")
		_, _, _, err = c.CreateProduct(by, ProductSpec{Name: "p1", Account: "acme", Zone: "UTC"})
		wantProblem(t, err, event.Overloaded, "")
		_, _, err = c.CreateToken(by, access.Token{Name: "gw-1", Role: access.RoleGateway, Account: "acme"})
		wantProblem(t, err, event.Overloaded, "")
		_, _, err = c.DeleteToken(by, "gw-0")
		wantProblem(t, err, event.Overloaded, "")
		by.Reservation = 41
		if _, _, _, err = c.CreateAccount(by, "ada", Personal, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// Tokens and webhooks without an account are those of the truth, an older truth changes nothing, and what is bound to
// an account stays.
func TestMirror(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook(t)
		b.account("acme", Personal)
		b.token(access.Token{Name: "own", Role: access.RoleGateway, Account: "acme"}, "secret")
		for range rapid.IntRange(1, 8).Draw(rt, "truths") {
			before := b.cat
			truth := randomTruth(rt, before.Mirrored())
			next, ch, isWhole := before.Mirror(b.by(), truth)
			b.keep(next, ch, nil)
			if !isWhole {
				rt.Fatal("so little was too much")
			}
			if truth.Seq <= before.Mirrored() {
				if b.cat != before {
					rt.Fatal("an older truth has changed something")
				}
				continue
			}
			want, got := unbound(truth), unbound(b.cat)
			if want != got || b.cat.Token("own") == nil || !b.cat.Mirrors(truth) {
				rt.Fatalf("mirrored\n%s\nof\n%s", got, want)
			}
		}
	})
}

// unbound writes what a catalogue says of tokens and webhooks without an account.
func unbound(c *Catalogue) string {
	var b strings.Builder
	for _, t := range c.Tokens() {
		if t.Account == "" {
			b.WriteString(string(tokenRecordOf(t).Value) + t.Name + "\n")
		}
	}
	for _, h := range c.hooks.list {
		own := *h
		own.ID &^= mirroredHook
		b.WriteString(string(own.record().Value) + h.Name + "\n")
	}
	return b.String()
}

// Many tokens are taken over in several changes, and only then is the truth's number.
func TestMirrorOfMany(t *testing.T) {
	b := newBook(t)
	truth := New("default", week)
	truth.Seq = 5
	for i := range 2*mirrorObjectsMax + 1 {
		name := "t-" + string(rune('a'+i%26)) + strings.Repeat("x", i/26%60) + string(rune('a'+i/1560))
		truth.putToken(&access.Token{Name: name, Hash: sha256.Sum256([]byte(name))})
	}
	calls := 0
	for isWhole := false; !isWhole; calls++ {
		var next *Catalogue
		var ch *Change
		next, ch, isWhole = b.cat.Mirror(b.by(), truth)
		b.keep(next, ch, nil)
		if !isWhole && b.cat.Mirrored() != 0 {
			t.Fatal("it says that it has all")
		}
	}
	if calls != 3 || b.cat.Mirrored() != 5 || unbound(b.cat) != unbound(truth) {
		t.Fatalf("%d calls, %d", calls, b.cat.Mirrored())
	}
}

// Records of names are what FORMAT.md draws, and a catalogue that is alone has none.
func TestNameRecordsAreAsDrawn(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	_ = b.cat.Records(func(key, _ []byte) error {
		if strings.ContainsRune("NFM", rune(key[0])) {
			t.Errorf("a catalogue that is alone has a record %q", key)
		}
		return nil
	})
	b.settle(b.reserve(NameProduct, "p1", 3), true)
	b.reserve(NameAccount, "ada", 2)
	next, ch := b.cat.RefuseNames(b.by(), 3)
	b.keep(next, ch, nil)
	truth := New("default", week)
	truth.Seq = 12
	truth.putToken(&access.Token{Name: "all", Role: access.RoleAdmin})
	next, ch, _ = b.cat.Mirror(b.by(), truth)
	b.keep(next, ch, nil)
	for key, value := range map[string]string{
		"Npp1":  `{"cell":3,"number":2,"since_ms":1800000002000}`,
		"Naada": `{"cell":2,"number":4,"open":true,"since_ms":1800000004000}`,
		"F":     `{"up_to":3}`,
		"M":     `{"seq":12}`,
	} {
		if got := string(b.ledger[key]); got != value {
			t.Errorf("%q is\n%s, want\n%s", key, got, value)
		}
	}
}
