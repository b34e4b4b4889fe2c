package query

import (
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

const (
	weekS = 7 * 86400
	// forecastSeenS is how recently a device must have been seen to be expected back.
	forecastSeenS = 30 * 86400
	// forecastPastWeeks are the weeks whose first connects say how many are to come.
	forecastPastWeeks = 4
)

// Forecast says how long a product's licences last if its devices go on as they do.
type Forecast struct {
	Weeks []ForecastWeek
	// RunsDryS is when the product's own licences run out, Unix seconds; 0 if they last.
	RunsDryS int64
	// DevicesAtRisk are the devices whose licence ends within the weeks, is to be renewed, and would find none.
	DevicesAtRisk uint64
}

// ForecastWeek is one week of a forecast; times are Unix seconds, half open.
type ForecastWeek struct {
	FromS, ToS     int64
	Renewals       uint64 // licences that end in it, of devices that were seen within 30 days and are renewed
	Activations    uint64 // first connects, as in the mean of the last four weeks, rounded up
	AvailableAfter int64  // negative: how many are missing
}

// Forecast looks weeks ahead. Gifts are left out: other products may take them.
func (r *Reader) Forecast(p *license.Product, weeks int) (Forecast, error) {
	var ends []int64
	var available uint64
	var nowS int64
	var from counters.Ordinal
	for end := false; !end; {
		err := r.View(func(v *View) {
			p := v.Catalogue.ProductByID(p.ID)
			if from == 0 {
				nowS = v.NowMs / 1000
				licenses, _ := v.Licenses(p)
				available = licenses.Available
			}
			from, end = v.Devices(p, from, forecastScan, func(d *Device) bool {
				if d.Active && d.LastSeenS >= nowS-forecastSeenS && d.ExpiresS < nowS+int64(weeks)*weekS &&
					p.Renews([]byte(d.Name)) {
					ends = append(ends, d.ExpiresS)
				}
				return true
			})
		})
		if err != nil {
			return Forecast{}, err
		}
	}
	past, err := r.activations(p.ID, nowS-forecastPastWeeks*weekS)
	if err != nil {
		return Forecast{}, err
	}
	slices.Sort(ends)
	return forecast(nowS, weeks, ends, (past+forecastPastWeeks-1)/forecastPastWeeks, available), nil
}

// forecast is the arithmetic of Forecast: ends are sorted, and activations spread evenly over each week.
func forecast(nowS int64, weeks int, ends []int64, activations, available uint64) (f Forecast) {
	left, next := int64(available), 0
	for w := range weeks {
		week := ForecastWeek{FromS: nowS + int64(w)*weekS, Activations: activations}
		week.ToS = week.FromS + weekS
		first := next
		for next < len(ends) && ends[next] < week.ToS {
			next++
		}
		week.Renewals = uint64(next - first)
		if f.RunsDryS == 0 {
			var met int
			if f.RunsDryS, met = driesAt(week, ends[first:next], left); f.RunsDryS != 0 {
				f.DevicesAtRisk = uint64(len(ends) - first - met)
			}
		}
		left -= int64(week.Renewals + week.Activations)
		week.AvailableAfter = left
		f.Weeks = append(f.Weeks, week)
	}
	return f
}

// driesAt returns when in the week a licence is first asked for that is not there, 0 if none is, and how many renewals
// found theirs before.
func driesAt(week ForecastWeek, ends []int64, left int64) (at int64, met int) {
	if left >= int64(week.Renewals+week.Activations) {
		return 0, len(ends)
	}
	for n := range week.Activations + 1 {
		// The n-th activation comes in the middle of its share of the week; behind the last there are only renewals.
		at = week.ToS
		if n < week.Activations {
			at = week.FromS + int64((2*n+1)*weekS/(2*week.Activations))
		}
		for ; met < len(ends) && ends[met] <= at; met++ {
			if left--; left < 0 {
				return ends[met], met
			}
		}
		if n == week.Activations {
			break
		}
		if left--; left < 0 {
			return at, met
		}
	}
	return 0, met
}

// activations returns how many devices of a product connected for the first time since fromS, to the quarter of an
// hour.
func (r *Reader) activations(product uint32, fromS int64) (uint64, error) {
	if err := r.engine.DurableInLedger(); err != nil {
		return 0, err
	}
	before, _, err := r.ledger.TotalsBefore(product, uint32(max(0, fromS)*1000/record.QuarterMs))
	if err != nil {
		return 0, r.ledgerErr(err)
	}
	newest, err := r.ledger.Totals(product)
	return newest.Activations - before.Activations, r.ledgerErr(err)
}
