package query

import (
	"context"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
)

const dayS = 86400

// Outlook says what becomes of a product's licences in the days ahead, if its devices go on as they do. Days are of 24
// hours, from now on.
type Outlook struct {
	NowS int64 // Unix seconds
	// Ending are the licences that end on each day, Renewing those of them whose device is renewed (R19), and Due those
	// of these whose device was seen within 30 days, so that it will want another one.
	Ending, Renewing, Due []uint32
	// Available are the product's own licences; gifts are left out, for other products may take them.
	Available uint64
	// Activated are the devices that connected for the first time in the last four weeks.
	Activated uint64
}

// RunsDry returns the number of whole days until a licence is asked for that is not there; ok is false if that is
// beyond the days looked at.
func (o *Outlook) RunsDry() (days int, ok bool) {
	left := int64(o.Available)
	var activated uint64
	for day := range o.Due {
		until := o.Activated * uint64(day+1) / (forecastPastWeeks * 7) // Spread evenly.
		left -= int64(o.Due[day]) + int64(until-activated)
		if activated = until; left < 0 {
			return day, true
		}
	}
	return 0, false
}

// Outlooks looks some days ahead for the products that want names, in one pass over the device table, until ctx ends.
// They are by ordinal.
func (r *Reader) Outlooks(
	ctx context.Context, days int, want func(*license.Product) bool,
) (map[uint32]*Outlook, error) {
	list := map[uint32]*Outlook{}
	var nowS int64
	err := r.View(func(v *View) {
		nowS = v.NowMs / 1000
		for id := uint32(1); id <= v.Catalogue.ProductIDMax(); id++ {
			if p := v.Catalogue.ProductByID(id); p != nil && want(p) {
				list[id] = &Outlook{
					NowS: nowS, Ending: make([]uint32, days), Renewing: make([]uint32, days), Due: make([]uint32, days),
				}
			}
		}
	})
	if err != nil || len(list) == 0 {
		return list, err
	}
	var from counters.Ordinal
	for end := false; !end; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := r.View(func(v *View) { from, end = v.outlooks(list, from, nowS) }); err != nil {
			return nil, err
		}
	}
	for id, o := range list {
		err := r.View(func(v *View) {
			p := v.Catalogue.ProductByID(id)
			p.State.Account.Lock()
			defer p.State.Account.Unlock()
			o.Available = p.LotCounts().Available
		})
		if err == nil {
			o.Activated, err = r.activations(id, nowS-forecastPastWeeks*weekS)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// outlooks counts some devices from an ordinal on, and returns where to go on, and whether that is the end.
func (v *View) outlooks(list map[uint32]*Outlook, from counters.Ordinal, nowS int64) (next counters.Ordinal, end bool) {
	next, end = from, true
	scan := outlookScan
	var last uint32
	var p *license.Product
	var at *Outlook
	v.Table.Walk(from, func(o counters.Ordinal, product uint32, name []byte) bool {
		next = o
		if scan--; scan < 0 {
			end = false
			return false
		}
		if product != last {
			last, p, at = product, v.Catalogue.ProductByID(product), list[product]
		}
		if at != nil {
			v.count(at, p, o, name, nowS)
		}
		return true
	})
	return next, end
}

// count counts a device whose licence ends within the days of o.
func (v *View) count(o *Outlook, p *license.Product, ordinal counters.Ordinal, name []byte, nowS int64) {
	slot := v.Table.SlotOf(ordinal)
	if slot == nil {
		return
	}
	w := slot.License()
	if w.State() != counters.LicenseActive {
		return
	}
	end := int64(w.Expiry()) + counters.EpochS
	if w.ValidityVersion() != p.ValidityVersion() {
		end = p.ExpiryS(int64(v.Table.Grant(ordinal).ActivatedAt) + counters.EpochS)
	}
	day := (end - nowS) / dayS
	if end <= nowS || day >= int64(len(o.Ending)) {
		return
	}
	o.Ending[day]++
	if !p.Renews(name) {
		return
	}
	o.Renewing[day]++
	if seen := slot.Seen().LastSeen(); int64(seen)+counters.EpochS >= nowS-forecastSeenS {
		o.Due[day]++
	}
}
