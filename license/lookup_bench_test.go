package license

import (
	"fmt"
	"testing"
	"time"
)

// crowded is a catalogue of many products, five to an account.
func crowded(tb testing.TB, products int) *Catalogue {
	tb.Helper()
	c := New("default", week)
	by := Actor{Token: "admin", AtMs: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).UnixMilli()}
	var err error
	for i := range products {
		account := fmt.Sprintf("account-%06d", i/5)
		if i%5 == 0 {
			if c, _, _, err = c.CreateAccount(by, account, Enterprise, ""); err != nil {
				tb.Fatal(err)
			}
		}
		spec := ProductSpec{Name: fmt.Sprintf("product-%06d", i), Account: account, Zone: "UTC"}
		if c, _, _, err = c.CreateProduct(by, spec); err != nil {
			tb.Fatal(err)
		}
	}
	return c
}

func BenchmarkProduct(b *testing.B) {
	for _, n := range []int{10, 1000, 5000, 99_000} {
		c := crowded(b, n)
		names := make([][]byte, n)
		for i := range names {
			names[i] = fmt.Appendf(nil, "product-%06d", (i*7919)%n)
		}
		b.Run(fmt.Sprintf("name/products=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if c.Product(names[i]) == nil {
					b.Fatal("not found")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
		b.Run(fmt.Sprintf("id/products=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if c.ProductByID(uint32(i+1)) == nil {
					b.Fatal("not found")
				}
				if i++; i == n {
					i = 0
				}
			}
		})
	}
}
