package verify

import "time"

// The device's words (counters/FORMAT.md): w2 messages, w3 denials, w4 upgrades, w5 licence. Days are counted from
// 2020-01-01, months from January 2020, by the product's calendar.
const (
	dayShift  = 50
	upShift   = 25
	unitsMask = 1<<25 - 1
	dayMax    = 1<<14 - 1
	deniedMax = 1<<50 - 1 // w3 saturates

	otaPacksShift = 18
	otaAllowShift = 34
	otaVoidsShift = 44
	otaMonthShift = 54
	otaDeniedMax  = 1<<18 - 1 // w4 saturates
	otaPacksMax   = 1<<16 - 1
	otaAllowMax   = 1<<10 - 1
	otaVoidsMax   = 1<<10 - 1
	monthMax      = 1<<10 - 1

	generationShift = 45
	stateShift      = 43

	ordinalMax = 1<<39 - 1 // shard 8 | place 31
	placeBits  = 31

	// otaObservedMax is how many units of the allowance a device can use whose product only observes.
	otaObservedMax = 1000
	// messagesPerDayMax is what a plan without a limit allows (R10).
	messagesPerDayMax = 16_000_000
)

// dayOf returns the day of a w2 or w3.
func dayOf(word uint64) uint32 { return uint32(word >> dayShift) }

// countsOf returns what a w2 or w3 says beside its day.
func countsOf(word uint64) uint64 { return word & (1<<dayShift - 1) }

func upOf(word uint64) uint64   { return word >> upShift & unitsMask }
func downOf(word uint64) uint64 { return word & unitsMask }
func usedOf(word uint64) uint64 { return upOf(word) + downOf(word) }

// onDay returns the word that counts on a day: the word itself, also if it is of a later day (R12), or an empty one.
func onDay(word uint64, day uint32) uint64 {
	if dayOf(word) >= day {
		return word
	}
	return uint64(day) << dayShift
}

func monthOf(w4 uint64) uint32     { return uint32(w4 >> otaMonthShift) }
func voidsOf(w4 uint64) uint64     { return w4 >> otaVoidsShift & otaVoidsMax }
func allowanceOf(w4 uint64) uint64 { return w4 >> otaAllowShift & otaAllowMax }
func packsOf(w4 uint64) uint64     { return w4 >> otaPacksShift & otaPacksMax }
func otaDeniedOf(w4 uint64) uint64 { return w4 & otaDeniedMax }

// inMonth returns the w4 that counts in a month.
func inMonth(w4 uint64, month uint32) uint64 {
	if monthOf(w4) >= month {
		return w4
	}
	return uint64(month) << otaMonthShift
}

// licenseOf returns what only records change in a w5: generation and state. The end in it is computed anew, unrecorded,
// when a plan changes (R9).
func licenseOf(w5 uint64) uint64 { return w5 >> stateShift }

func generationOf(w5 uint64) uint64 { return w5 >> generationShift }

const (
	epochYear = 2020
	epochDay  = 18_262 // 2020-01-01, counted from 1970
)

// dayName returns a day as 2006-01-02.
func dayName(day uint32) string {
	return time.Date(epochYear, 1, 1+int(day), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

func monthName(month uint32) string {
	return time.Date(epochYear, 1+time.Month(month), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")
}

// firstDay returns the first day of a month.
func firstDay(month uint32) uint32 {
	return uint32(time.Date(epochYear, 1+time.Month(month), 1, 0, 0, 0, 0, time.UTC).Unix()/86400 - epochDay)
}

// monthOfDay returns the month that a day lies in.
func monthOfDay(day uint32) uint32 {
	y, m, _ := time.Unix((int64(day)+epochDay)*86400, 0).UTC().Date()
	return uint32((y-epochYear)*12 + int(m) - 1)
}
