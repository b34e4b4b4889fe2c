package query

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/views"
)

// License is a consumed licence as lists show it.
type License struct {
	Row      views.License
	Source   string // the order of its lot, or "gift"
	ExpiresS int64  // Unix seconds
	Active   bool
}

// LicenseQuery asks for licences that a product has consumed.
type LicenseQuery struct {
	Product *license.Product
	After   uint64 // serials above it
	Device  string // "": of any
}

// Licenses calls fn for the licences that q asks for, in the order of serials, until fn returns false. What was
// acknowledged before the call is there.
func (r *Reader) Licenses(q LicenseQuery, fn func(*License) bool) error {
	if err := r.engine.DurableInLedger(); err != nil {
		return err
	}
	nowMs := r.engine.NowMs()
	var inFn error
	err := r.ledger.Licenses(q.Product.ID, q.After, func(rows []views.License) (bool, error) {
		list := make([]License, 0, len(rows))
		for i := range rows {
			if q.Device == "" || q.Device == rows[i].Device {
				list = append(list, License{Row: rows[i]})
			}
		}
		if len(list) == 0 {
			return true, nil
		}
		if inFn = r.fillLicenses(q.Product, list, nowMs); inFn != nil {
			return false, nil
		}
		for i := range list {
			if !fn(&list[i]) {
				return false, nil
			}
		}
		return true, nil
	})
	if inFn != nil {
		return inFn
	}
	return r.ledgerErr(err)
}

// fillLicenses adds what the catalogue and the device table know about rows of the ledger.
func (r *Reader) fillLicenses(p *license.Product, batch []License, nowMs int64) error {
	return r.View(func(v *View) {
		p := v.Catalogue.ProductByID(p.ID)
		nowS := nowMs / 1000
		for i := range batch {
			l := &batch[i]
			l.Source = p.SourceOf(l.Row.Pool)
			l.ExpiresS = p.ExpiryS(l.Row.ActivatedS)
			slot := v.Table.Find(v.Table.KeyOf(p.ID, []byte(l.Row.Device)))
			l.Active = slot != nil && slot.License().Generation() == l.Row.Generation &&
				slot.License().State() == counters.LicenseActive && nowS < l.ExpiresS
		}
	})
}
