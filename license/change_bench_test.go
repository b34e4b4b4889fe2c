package license

import (
	"fmt"
	"testing"

	"github.com/meterd/meterd/access"
)

// A change runs while nobody decides: with its encoding it stays far below a millisecond, whatever there is.
func BenchmarkChange(b *testing.B) {
	const products = 99_000
	c := crowded(b, products)
	by := Actor{Token: "admin", AtMs: 1_800_000_000_000}
	var buf []byte
	var err error
	for i := range 9000 { // One product has many orders, of which one was taken back from often.
		if i < 6000 {
			c, _, _, err = c.ApplyCredit(by, "product-000007", Credit{Order: fmt.Sprintf("PO-%d", i), Quantity: 1_000_00})
		} else {
			c, _, _, err = c.TakeBack(by, "product-000007", "PO-5", false, Void{Order: fmt.Sprintf("RV-%d", i), Quantity: 1})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	except := make([]string, noRenewMax)
	for i := range except {
		except[i] = fmt.Sprintf("device-%08d-of-a-customer", i)
	}
	c, _, _, err = c.SetRenewal(by, "product-000009", true, except)
	if err != nil {
		b.Fatal(err)
	}
	for _, bench := range []struct {
		name   string
		change func(c *Catalogue, i int) (*Change, error)
	}{
		{"note", func(c *Catalogue, _ int) (*Change, error) {
			_, ch := c.Note(by, "clock.confirm", "clock", nil)
			return ch, nil
		}},
		{"create-product", func(c *Catalogue, i int) (*Change, error) {
			_, ch, _, err := c.CreateProduct(by, ProductSpec{Name: fmt.Sprint("new", i), Account: "account-000003", Zone: "UTC"})
			return ch, err
		}},
		{"credit", func(c *Catalogue, i int) (*Change, error) {
			product := fmt.Sprintf("product-%06d", i*7919%products)
			_, ch, _, err := c.ApplyCredit(by, product, Credit{Order: fmt.Sprint("new", i), Quantity: 1})
			return ch, err
		}},
		{"credit/orders=9000", func(c *Catalogue, i int) (*Change, error) {
			_, ch, _, err := c.ApplyCredit(by, "product-000007", Credit{Order: fmt.Sprint("new", i), Quantity: 1})
			return ch, err
		}},
		{"credit-again/orders=9000", func(c *Catalogue, i int) (*Change, error) {
			credit := Credit{Order: fmt.Sprintf("PO-%d", i%6000), Quantity: 1_000_00}
			next, _, l, err := c.ApplyCredit(by, "product-000007", credit)
			if next != nil || l == nil {
				b.Fatal("credited twice")
			}
			return &Change{}, err
		}},
		{"void/voids=3000", func(c *Catalogue, i int) (*Change, error) {
			void := Void{Order: fmt.Sprint("new", i), Quantity: 1}
			c.Product([]byte("product-000007")).Lots[5].Pool.TakenBack = 3000
			_, ch, _, err := c.TakeBack(by, "product-000007", "PO-5", false, void)
			return ch, err
		}},
		{"credit/excepted=10000", func(c *Catalogue, i int) (*Change, error) {
			_, ch, _, err := c.ApplyCredit(by, "product-000009", Credit{Order: fmt.Sprint("new", i), Quantity: 1})
			return ch, err
		}},
		{"renewal/excepted=10000", func(c *Catalogue, _ int) (*Change, error) {
			_, ch, _, err := c.SetRenewal(by, "product-000009", true, except)
			return ch, err
		}},
		{"suspend-account", func(c *Catalogue, i int) (*Change, error) {
			_, ch, _, err := c.SuspendAccount(by, fmt.Sprintf("account-%06d", i%1000), true)
			return ch, err
		}},
		{"create-token", func(c *Catalogue, i int) (*Change, error) {
			_, ch, err := c.CreateToken(by, access.Token{
				Name: fmt.Sprint("new", i), Role: access.RoleGateway,
				Hash: [32]byte{byte(i), byte(i >> 8)},
			})
			return ch, err
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				ch, err := bench.change(c, i)
				if err != nil {
					b.Fatal(err)
				}
				buf = ch.Append(buf[:0])
			}
			b.ReportMetric(float64(len(buf)), "B/change")
		})
	}
}

func BenchmarkApply(b *testing.B) {
	c := crowded(b, 99_000)
	by := Actor{Token: "admin", AtMs: 1_800_000_000_000}
	_, ch, _, err := c.ApplyCredit(by, "product-000007", Credit{Order: "new", Quantity: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Apply(ch); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	c := crowded(b, 99_000)
	var records []Put
	_ = c.Records(func(key, value []byte) error {
		records = append(records, Put{key, value})
		return nil
	})
	b.ReportAllocs()
	for b.Loop() {
		l := NewLoader("default", week)
		for _, r := range records {
			if err := l.Put(r.Key, r.Value); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := l.Catalogue(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(records)), "records")
}

func BenchmarkHonors(b *testing.B) {
	c := New("default", week)
	by := Actor{Token: "admin", AtMs: 1_800_000_000_000}
	var err error
	for i := range 1000 {
		token := access.Token{
			Name: fmt.Sprint("gateway-", i),
			Role: access.RoleGateway,
			Hash: [32]byte{byte(i), byte(i >> 8)},
		}
		if c, _, err = c.CreateToken(by, token); err != nil {
			b.Fatal(err)
		}
	}
	tokens, i := c.Tokens(), 0
	b.ReportAllocs()
	for b.Loop() {
		if !c.Honors(tokens[i%len(tokens)], by.AtMs) {
			b.Fatal("not honored")
		}
		i++
	}
}
