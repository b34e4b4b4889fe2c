package sealed

import "github.com/meterd/meterd/usage/snapshot"

// The source compares rows, totals and ledger. Here the rows that were written are compared with the totals once more,
// since a number may also be lost on the way to a file.

// add adds a row to the sums of its product.
func (p *product) add(r *snapshot.Row) {
	u := &r.Usage
	p.sum.MessagesUp += u.MessagesUp
	p.sum.MessagesDown += u.MessagesDown
	p.sum.MessagesDenied += u.MessagesDenied
	p.sum.OTAUnits += u.OTAUnits
	p.sum.OTATopupUnits += u.OTATopupUnits
	p.sum.OTADenied += u.OTADenied
	p.sum.LicensesConsumed += u.LicensesConsumed
	if r.Active {
		p.active++
	}
}

// compare returns a *snapshot.Difference if the rows of a product do not add up to its line in products.csv.
func (w *fileWriter) compare(r *snapshot.ProductRow) error {
	p := w.products[r.Product]
	if p == nil { // None of its devices was ever active.
		p = &product{name: r.Product}
	}
	p.known = true
	sum, total := numbers(&p.sum), numbers(&r.Usage)
	for i, c := range usageColumns() {
		if sum[i] != total[i] {
			return differs(p.name, c.name, sum[i], total[i])
		}
	}
	if p.active != r.DevicesActive {
		return differs(p.name, "devices_active", int64(p.active), int64(r.DevicesActive))
	}
	return nil
}

// compareUnnamed returns a difference if there are rows of a product that has no line.
func (w *fileWriter) compareUnnamed() error {
	for name, p := range w.products {
		if !p.known {
			return differs(name, "devices", 1, 0)
		}
	}
	return nil
}

// numbers returns the numbers of usage in the order of usageColumns.
func numbers(u *snapshot.Usage) [7]int64 {
	return [7]int64{
		int64(u.MessagesUp), int64(u.MessagesDown), int64(u.MessagesDenied), u.OTAUnits, u.OTATopupUnits,
		int64(u.OTADenied), int64(u.LicensesConsumed),
	}
}

func differs(product, field string, rows, totals int64) error {
	return &snapshot.Difference{
		Product: product, Field: field, Left: "rows", LeftNumber: rows, Right: "totals", RightNumber: totals,
	}
}
