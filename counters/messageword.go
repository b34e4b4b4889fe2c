package counters

const (
	unitsBits = 25
	unitsMask = 1<<unitsBits - 1
	dayShift  = 50
)

// MessageWord is w2: day:14 | up:25 | down:25, the units of one day in both directions (R10). Zero is a device without
// any.
type MessageWord uint64

// NewMessageWord packs a word; it panics on a day over DayMax or units over 25 bits.
func NewMessageWord(day, up, down uint32) MessageWord {
	return MessageWord(checked(day, DayMax)<<dayShift | checked(up, unitsMask)<<unitsBits | checked(down, unitsMask))
}

// Day returns the calendar day that the units belong to, counted from 2020-01-01.
func (w MessageWord) Day() uint32 { return uint32(w >> dayShift) }

// Up returns the units from the device.
func (w MessageWord) Up() uint32 { return uint32(w>>unitsBits) & unitsMask }

// Down returns the units to the device.
func (w MessageWord) Down() uint32 { return uint32(w) & unitsMask }

// Used returns the units in both directions.
func (w MessageWord) Used() uint32 { return w.Up() + w.Down() }

// WithUp returns w with other units from the device.
func (w MessageWord) WithUp(units uint32) MessageWord {
	return NewMessageWord(w.Day(), units, w.Down())
}

// WithDown returns w with other units to the device.
func (w MessageWord) WithDown(units uint32) MessageWord {
	return NewMessageWord(w.Day(), w.Up(), units)
}

// At returns what counts on day: w itself, also if it belongs to a later day (R12), or the empty word of a new day.
func (w MessageWord) At(day uint32) MessageWord {
	if w.Day() >= day {
		return w
	}
	return NewMessageWord(day, 0, 0)
}

// DeniedWord is w3: day:14 | denied:50, the units that the quota denied that day (R11). It saturates.
type DeniedWord uint64

// NewDeniedWord packs a word; it panics on a day over DayMax or units over DeniedMax.
func NewDeniedWord(day uint32, denied uint64) DeniedWord {
	return DeniedWord(checked(day, DayMax)<<dayShift | checked(denied, DeniedMax))
}

// Day returns the calendar day that the units belong to, counted from 2020-01-01.
func (w DeniedWord) Day() uint32 { return uint32(w >> dayShift) }

// Denied returns the units denied.
func (w DeniedWord) Denied() uint64 { return uint64(w) & DeniedMax }

// WithDenied returns w with other units.
func (w DeniedWord) WithDenied(denied uint64) DeniedWord { return NewDeniedWord(w.Day(), denied) }

// At returns what counts on day: w itself, also if it belongs to a later day (R12), or the empty word of a new day.
func (w DeniedWord) At(day uint32) DeniedWord {
	if w.Day() >= day {
		return w
	}
	return NewDeniedWord(day, 0)
}
