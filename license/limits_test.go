package license

import (
	"fmt"
	"testing"

	"github.com/meterd/meterd/event"
)

// Accounts and products are bounded; the refusal says what to do.
func TestAccountsAndProductsAreBounded(t *testing.T) {
	c := New("default", week)
	a := &Account{ID: 1, Name: "acme", Kind: Personal, Gifts: &Pool{ID: 1}, State: &AccountState{}}
	c.putAccount(a)
	for i := 2; i <= accountsMax; i++ {
		c.accounts.Set(c.Seq, fmt.Sprint("a", i), a)
	}
	for i := 1; i < productsMax; i++ {
		c.products.Set(c.Seq, fmt.Sprint("p", i), nil)
	}
	_, _, _, err := c.CreateAccount(Actor{}, "more", Personal, "")
	wantProblem(t, err, event.InvalidArgument, "account")
	c, _, _, err = c.CreateProduct(Actor{}, ProductSpec{Name: "last", Account: "acme", Zone: "UTC"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = c.CreateProduct(Actor{}, ProductSpec{Name: "more", Account: "acme", Zone: "UTC"})
	wantProblem(t, err, event.InvalidArgument, "product")
}

// A product has so many orders and no more, takings-back included; one that it has is found all the same.
func TestOrdersAreBounded(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.product("p1", "acme", "")
	b.credit("p1", Credit{Order: "first", Quantity: 9})
	for i := 1; i < ordersMax-2; i++ {
		b.get("p1").orders.Set(b.cat.Seq, fmt.Sprint("x", i), orderPlace{})
	}
	b.credit("p1", Credit{Order: "pack", Quantity: 9, Units: true})
	void := Void{Order: "last", Quantity: 1}
	next, ch, _, err := b.cat.TakeBack(b.by(), "p1", "first", false, void)
	b.keep(next, ch, err)
	_, _, _, err = b.cat.ApplyCredit(b.by(), "p1", Credit{Order: "more", Quantity: 1})
	wantProblem(t, err, event.InvalidArgument, "order")
	_, _, _, err = b.cat.TakeBack(b.by(), "p1", "first", false, Void{Order: "more", Quantity: 1})
	wantProblem(t, err, event.InvalidArgument, "order")
	if next, _, l, err := b.cat.ApplyCredit(
		b.by(),
		"p1",
		Credit{Order: "first", Quantity: 9},
	); next != nil || err != nil ||
		l.Order != "first" {
		t.Errorf("the same credit again: %+v, %v", l, err)
	}
	if next, _, l, err := b.cat.TakeBack(
		b.by(),
		"p1",
		"first",
		false,
		void,
	); next != nil || err != nil ||
		l.Order != "first" {
		t.Errorf("the same taking-back again: %+v, %v", l, err)
	}
}

func TestSweepsAreBounded(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	for i := range sweepsMax {
		b.cat.sweeps = append(b.cat.sweeps, Sweep{Seq: uint64(i), ProductID: uint32(i + 1)})
	}
	next, ch, a, err := b.cat.SuspendAccount(b.by(), "acme", true)
	wantProblem(t, err, event.Overloaded, "")
	if next != nil || ch != nil || a != nil {
		t.Error("refused and made all the same")
	}
	if _, _, _, err = b.cat.SuspendAccount(b.by(), "acme", false); err != nil {
		t.Errorf("letting go is refused: %v", err)
	}
}
