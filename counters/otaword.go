package counters

const (
	otaDeniedBits = 18
	otaPacksShift = otaDeniedBits
	otaAllowShift = otaPacksShift + 16
	otaVoidsShift = otaAllowShift + 10
	otaMonthShift = otaVoidsShift + 10
	otaAllowMask  = 1<<10 - 1
)

// OTAWord is w4: month:10 | voids:10 | allowance:10 | packs:16 | denied:18, a device's upgrades of one month (R15,
// R16). Voids stands above what a void lowers, so that a word after it is the larger one all the same.
type OTAWord uint64

// NewOTAWord packs a word; it panics on a value that its field does not hold.
func NewOTAWord(month, voids, allowance, packs, denied uint32) OTAWord {
	return OTAWord(checked(month, MonthMax)<<otaMonthShift | checked(voids, VoidsPerMonthMax)<<otaVoidsShift |
		checked(allowance, otaAllowMask)<<otaAllowShift | checked(packs, PackUnitsPerMonthMax)<<otaPacksShift |
		checked(denied, OTADeniedMax))
}

// Month returns the calendar month that the units belong to, counted from January 2020.
func (w OTAWord) Month() uint32 { return uint32(w >> otaMonthShift) }

// Voids returns how often units were given back this month.
func (w OTAWord) Voids() uint32 { return uint32(w>>otaVoidsShift) & VoidsPerMonthMax }

// Allowance returns the units used of the plan's monthly allowance.
func (w OTAWord) Allowance() uint32 { return uint32(w>>otaAllowShift) & otaAllowMask }

// Packs returns the units drawn from top-up packs.
func (w OTAWord) Packs() uint32 { return uint32(w>>otaPacksShift) & PackUnitsPerMonthMax }

// Denied returns the upgrades that were denied; it saturates at OTADeniedMax.
func (w OTAWord) Denied() uint32 { return uint32(w) & OTADeniedMax }

// WithVoids returns w with another number of voids.
func (w OTAWord) WithVoids(n uint32) OTAWord {
	return NewOTAWord(w.Month(), n, w.Allowance(), w.Packs(), w.Denied())
}

// WithAllowance returns w with other units of the allowance.
func (w OTAWord) WithAllowance(units uint32) OTAWord {
	return NewOTAWord(w.Month(), w.Voids(), units, w.Packs(), w.Denied())
}

// WithPacks returns w with other units from packs.
func (w OTAWord) WithPacks(units uint32) OTAWord {
	return NewOTAWord(w.Month(), w.Voids(), w.Allowance(), units, w.Denied())
}

// WithDenied returns w with another number of denied upgrades.
func (w OTAWord) WithDenied(n uint32) OTAWord {
	return NewOTAWord(w.Month(), w.Voids(), w.Allowance(), w.Packs(), n)
}

// At returns what counts in month: w itself, also if it belongs to a later month (R12), or the empty word of a new
// month.
func (w OTAWord) At(month uint32) OTAWord {
	if w.Month() >= month {
		return w
	}
	return NewOTAWord(month, 0, 0, 0, 0)
}

// OTAOutcome is what became of an upgrade.
type OTAOutcome struct {
	After         OTAWord // to be stored, whether it was accepted or denied
	FromAllowance uint32  // units used of the monthly allowance
	FromPacks     uint32  // units to be drawn from the product's packs
	OK            bool
}

// Take decides an upgrade of so many units in month: the allowance first, the rest from packs, the whole or nothing
// (R15, R16). allowanceLimit is the plan's, packsAvailable what the product's packs hold. A denied upgrade uses nothing
// and raises Denied by one. The word changes nothing by itself: the caller, under the account's lock, draws FromPacks
// and calls StoreOTA.
func (w OTAWord) Take(month, units, allowanceLimit uint32, packsAvailable uint64) OTAOutcome {
	cur := w.At(month)
	out := OTAOutcome{}
	allowanceLimit = min(allowanceLimit, AllowancePerMonthMax)
	allowance := uint32(0)
	if used := cur.Allowance(); used < allowanceLimit {
		allowance = min(allowanceLimit-used, units)
	}
	packs := units - allowance
	if uint64(packs) > min(packsAvailable, uint64(PackUnitsPerMonthMax-cur.Packs())) {
		out.After = cur.WithDenied(min(cur.Denied()+1, OTADeniedMax))
		return out
	}
	out.After = cur.WithAllowance(cur.Allowance() + allowance).WithPacks(cur.Packs() + packs)
	out.FromAllowance, out.FromPacks, out.OK = allowance, packs, true
	return out
}

// TakeAnyway is Take where the quota is only observed: what allowance and packs do not cover is taken of the allowance
// beyond its limit, up to AllowancePerMonthMax. over says that it came to that.
func (w OTAWord) TakeAnyway(month, units, allowanceLimit uint32, packsAvailable uint64) (out OTAOutcome, over bool) {
	if out = w.Take(month, units, allowanceLimit, packsAvailable); out.OK {
		return out, false
	}
	cur := w.At(month)
	within := allowanceLimit - min(allowanceLimit, cur.Allowance())
	packs := uint32(min(packsAvailable, uint64(PackUnitsPerMonthMax-cur.Packs()), uint64(units-min(units, within))))
	allowance := units - packs
	if cur.Allowance()+allowance > AllowancePerMonthMax {
		return out, false
	}
	return OTAOutcome{
		After:         cur.WithAllowance(cur.Allowance() + allowance).WithPacks(cur.Packs() + packs),
		FromAllowance: allowance, FromPacks: packs, OK: true,
	}, true
}

// GiveBack returns the word after an upgrade taken in month was voided in the running one (R17). If that month is over
// its word is not touched any more: w comes back as it is, and only the packs get their units. ok is false, and w
// unchanged, if the month's voids are used up or w never had these units.
func (w OTAWord) GiveBack(running, month, fromAllowance, fromPacks uint32) (after OTAWord, ok bool) {
	if max(w.Month(), running) > month {
		return w, true
	}
	if w.Month() < month || w.Voids() == VoidsPerMonthMax || w.Allowance() < fromAllowance || w.Packs() < fromPacks {
		return w, false
	}
	return w.WithVoids(w.Voids() + 1).WithAllowance(w.Allowance() - fromAllowance).WithPacks(w.Packs() - fromPacks), true
}
