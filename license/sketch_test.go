package license

import (
	"fmt"
	"testing"
)

// TestSketch: a sketch's products draw from copies of the pools that hold, one copy of an account's gifts for all of
// its products, and the catalogue keeps its own.
func TestSketch(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	b.product("p2", "ada", "")
	b.credit("p1", Credit{Order: "PO-1", Quantity: 1})
	b.credit("p1", Credit{Order: "PO-2", Quantity: 1})
	b.credit("p1", Credit{Order: "PK-1", Quantity: 3, Units: true})
	p1, p2 := b.get("p1"), b.get("p2")
	p1.TakeLicense()
	p1.TakePacks(1, func(*Pool, uint64) {})
	was := fmt.Sprint(p1.Licenses(), p2.Licenses(), p1.Topups(), *p1.Gifts, p1.State.GiftsDrawn)
	for range 2 {
		s := NewSketch()
		c1, c2 := s.Product(p1), s.Product(p2)
		if c1 != s.Product(p1) || c1 == p1 || c1.PackUnits() != 2 || !c1.PayloadOff {
			t.Fatalf("%+v", c1)
		}
		for range 3 { // A lot's last one, and gifts.
			if c1.TakeLicense() == nil {
				t.Fatal("a licence is missing")
			}
		}
		for range 3 {
			if c2.TakeLicense() == nil {
				t.Fatal("a gift is missing")
			}
		}
		if c1.LicensesLeft() || c2.TakeLicense() != nil || c1.State.GiftsDrawn != 2 || c2.State.GiftsDrawn != 3 {
			t.Errorf("%d and %d gifts are drawn", c1.State.GiftsDrawn, c2.State.GiftsDrawn)
		}
		c1.TakePacks(2, func(*Pool, uint64) {})
	}
	if is := fmt.Sprint(p1.Licenses(), p2.Licenses(), p1.Topups(), *p1.Gifts, p1.State.GiftsDrawn); is != was {
		t.Errorf("the catalogue has %s, had %s", is, was)
	}
}
