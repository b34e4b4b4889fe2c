package views

import "github.com/meterd/meterd/counters"

// DeviceDay is what one device counted on one day as the ledger keeps it, units.
type DeviceDay struct {
	Ordinal  uint64 // of the device
	Up, Down uint32
	Denied   uint64
}

// UsedDay is what a device counted on a day, units.
type UsedDay struct {
	Day      uint32 // counted from 2020, by the product's calendar
	Up, Down uint32
	Denied   uint64
}

// OTADay is a device's OTA word as it stood at the end of a day on which it changed.
type OTADay struct {
	Ordinal uint64 // of the device
	Day     uint32
	Word    counters.OTAWord
}

// LateVoid is an upgrade that was voided when the month of its units was over (R17). The bytes of ID are valid until
// the function that gets it returns.
type LateVoid struct {
	Ordinal   uint64 // of the device
	Day       uint32 // of the void
	ID        []byte
	Allowance uint32 // units of the older month's allowance, which have lapsed
	Packs     uint32 // units that went back to the packs
}
