package rows

import (
	"testing"
	"time"

	"github.com/meterd/meterd/license"
)

// The month of an account is final when it is over for each of its products. Without one it is when no product that may
// still be created can use anything in it: offsets go to -23:59.
func TestFinal(t *testing.T) {
	by := license.Actor{Token: "t"}
	none, _, _, err := license.New("eu-1", time.Hour).CreateAccount(by, "acme", "enterprise", "eu-1")
	if err != nil {
		t.Fatal(err)
	}
	one, _, _, err := none.CreateProduct(by, license.ProductSpec{Account: "acme", Name: "p", Zone: "+08:00"})
	if err != nil {
		t.Fatal(err)
	}
	const november2026 = 6*12 + 10
	for _, c := range []struct {
		catalogue *license.Catalogue
		at        string
		want      bool
	}{
		{none, "2026-11-27T13:00:00Z", false},
		{none, "2026-12-01T00:00:00Z", false},
		{none, "2026-12-01T23:59:00Z", false},
		{none, "2026-12-02T00:00:00Z", true},
		{one, "2026-11-27T13:00:00Z", false},
		{one, "2026-11-30T15:59:59Z", false},
		{one, "2026-11-30T16:00:00Z", true},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		s := Open(Options{
			State: State{AtMs: at.UnixMilli(), Catalogue: c.catalogue}, Account: "acme", Month: november2026,
		})
		if got := s.About().Final; got != c.want {
			t.Errorf("%d products, at %s: final is %t", len(c.catalogue.Products("acme")), c.at, got)
		}
	}
}
