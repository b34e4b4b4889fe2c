package archive

import (
	"cmp"

	"github.com/zeebo/xxh3"
)

// Device is where the rows of a device stand in the order of the archive. A device that was ever active is named by its
// ordinal, any other one by a hash of its name, which two names may share: its rows have the name in full.
//
//	product:24 │ unknown:1 │ ordinal, or xxh3 of the name:39
type Device uint64

const (
	ordinalBits = 39
	ordinalMask = 1<<ordinalBits - 1
	unknownBit  = 1 << ordinalBits
	productAt   = ordinalBits + 1
)

// Known returns the device of a product with an ordinal. Product 0 stands for one that is yet to be looked up.
func Known(product uint32, ordinal uint64) Device {
	return Device(uint64(product)<<productAt | ordinal&ordinalMask)
}

// Unknown returns the device of a product that has a name and no ordinal.
func Unknown(product uint32, name []byte) Device {
	return Device(uint64(product)<<productAt | unknownBit | xxh3.Hash(name)&ordinalMask)
}

// Product returns the product's number.
func (d Device) Product() uint32 { return uint32(d >> productAt) }

// Of returns the same device of another product.
func (d Device) Of(product uint32) Device { return Device(uint64(product)<<productAt) | d.InProduct() }

// InProduct returns the device without its product.
func (d Device) InProduct() Device { return d & (1<<productAt - 1) }

// IsKnown reports whether the device has an ordinal.
func (d Device) IsKnown() bool { return d&unknownBit == 0 }

// compare orders the devices of a product as ProductPlaces do: unknown ones come first.
func (d Device) compare(e Device) int { return cmp.Compare(d^unknownBit, e^unknownBit) }

// Ordinal returns the ordinal of a known device.
func (d Device) Ordinal() uint64 { return uint64(d) & ordinalMask }

// Row is one decided event. Slices belong to whoever gave the row.
type Row struct {
	Device    Device
	DecidedMs int64
	// Tie is the number of groups between the first one that has events of this millisecond and the row's own. Order is
	// the place among the device's rows of one group and millisecond. With DecidedMs they are the row's Place.
	Tie, Order uint32
	Type, Code uint8
	Counted    bool   // denied by the message quota: Day and Denied are set
	LogDays    uint32 // of the plan that the event was decided under, 0: the retention (R18)
	Size       int64
	Day        uint32 // of accepted messages
	Up, Down   uint32 // of accepted messages of known devices: units of Day after it
	Used       uint32 // units of the running day after it
	Denied     uint64
	TimeMs     int64 // what the gateway claimed, 0 without
	Quota      Quota
	Name       []byte // of an unknown device
	ID, Topic  []byte
	Payload    []byte
	IsCut      bool  // more of the payload was sent
	WouldDeny  uint8 // the code of the quota that would have denied an accepted event, 0 for none
	// Requested are the units that an upgrade needed which its quota denied or would have denied, TopupAvailable what
	// packs had left for it.
	Requested      uint32
	TopupAvailable uint64
}

// Quota is what the answer to an event said about the quota that denied it or would have denied it; the zero Quota for
// other events.
type Quota struct {
	Limit      uint32
	Used       uint32
	ResetsAtMs int64
}

// Types of rows that the archive looks at; the numbers are those of the log.
const (
	typeUp   = 3
	typeDown = 4
	typeMax  = 6
)

// isMessage reports whether the row is an accepted message of a known device.
func (r *Row) isMessage() bool {
	return r.Code == 0 && (r.Type == typeUp || r.Type == typeDown) && r.Device.IsKnown()
}

// hasExtra reports whether the row has what most have not.
func (r *Row) hasExtra() bool {
	return len(r.ID)+len(r.Topic) > 0 || r.TimeMs != 0 || r.IsCut || r.WouldDeny != 0 ||
		r.Requested != 0
}

// Place returns the row's place among those of its device, whether it had an ordinal or not.
func (r *Row) Place() Place {
	known := uint64(0)
	if r.Device.IsKnown() {
		known = 1 // A device is known from some row on, for ever.
	}
	return Place{DecidedMs: r.DecidedMs, Tie: uint64(r.Tie)<<tieAt | known<<orderBits | uint64(r.Order)}
}

const (
	orderBits = 25
	orderMax  = 1<<orderBits - 1
	tieAt     = orderBits + 1
)

// Place orders the rows of one device. It depends on the log alone, so it is the same in the log and in whatever
// directory the row lies, for ever. Rows of one millisecond differ in Tie. The zero Place lies before all rows.
type Place struct {
	DecidedMs int64
	Tie       uint64
}

// Compare returns -1, 0 or 1.
func (p Place) Compare(q Place) int {
	return cmp.Or(cmp.Compare(p.DecidedMs, q.DecidedMs), cmp.Compare(p.Tie, q.Tie))
}
