package counters

// EpochS is where the table's seconds count from: 1 January 2020, in Unix seconds.
const EpochS = 1_577_836_800

// Every bound of the table, each with the reason for its size.
const (
	// MessagesPerDayMax is the most units that a day's limit can be; up and down together stay under it, so each fits its
	// 25 bits and no addition can carry into its neighbour (R10).
	MessagesPerDayMax = 16_000_000
	// AllowancePerMonthMax is the most OTA units a plan can grant a month: 10 bits.
	AllowancePerMonthMax = 1_000
	// PackUnitsPerMonthMax is the most units one device may draw from packs in a month: 16 bits (R16).
	PackUnitsPerMonthMax = 1<<16 - 1
	// VoidsPerMonthMax is how often a device's OTA units can be given back in a month: 10 bits.
	VoidsPerMonthMax = 1<<10 - 1
	// OTADeniedMax is where the denied upgrades of a month stop being counted: 18 bits.
	OTADeniedMax = 1<<18 - 1
	// DeniedMax is where the denied units of a day stop being counted: 50 bits, a thousand years at a million a second.
	DeniedMax = 1<<50 - 1

	// DayMax ends the calendar in 2064: 14 bits.
	DayMax = 1<<14 - 1
	// MonthMax ends it in 2105: 10 bits.
	MonthMax = 1<<10 - 1
	// SecondMax ends it in 2292: 33 bits, a licence of 100 years included.
	SecondMax = 1<<33 - 1

	// GenerationMax bounds the licences one device can consume: 19 bits, one a second for six days.
	GenerationMax = 1<<19 - 1
	// ValidityVersionMax bounds the changes of a product's validity: 10 bits.
	ValidityVersionMax = 1<<10 - 1
	// ChangeMax bounds the changes of a device's session: 40 bits, three days of all that the daemon can decide. A session
	// that reached it no longer changes.
	ChangeMax = 1<<40 - 1
	// HolderMax bounds the numbers of producers: 20 bits.
	HolderMax = 1<<20 - 1
	// ProductMax bounds the numbers of products: 24 bits; 0 is none.
	ProductMax = 1<<24 - 1
	// PoolMax bounds the numbers of pools that licences come from: 31 bits.
	PoolMax = 1<<31 - 1
	// SerialMax bounds the serials of licences: 40 bits.
	SerialMax = 1<<40 - 1

	// NameBytesMax bounds a device's name; its length is one byte in the arena.
	NameBytesMax = 64

	// Shards is how many parts the table has: enough that growing one of them, or copying it, is short at 10 M devices.
	Shards = 1 << shardBits
	// shardBits are the hash's highest bits that choose the shard.
	shardBits = 8
	// arenaBits bounds a place in a shard's arena, in units of 8 bytes: 16 GiB.
	arenaBits = 31

	// overlayInsertsMax bounds the new devices of an overlay: a batch has at most as many events.
	overlayInsertsMax = 1 << 16
	// overlaySlots is how many slots of an overlay are allocated at once: 16 KiB.
	overlaySlots = 256

	// slotsMin is a shard's first capacity, in about; all of them start with 4 MiB.
	slotsMin = 256
	// blockSlots is the size of the pieces that tables are made of: half of one a shard lies idle, 0.2 bytes a device at
	// 10 M.
	blockSlots = 256
	// growBy is how a shard grows: little, since what it leaves empty counts against the 128 bytes a device. It copies
	// eight slots an insert, 0.3 µs.
	growBy = 1.125
	// loadMaxPercent is the load at which a shard grows when there is budget for it. A decision costs as much as at 0.80,
	// within what can be measured (40 ns at 4 M devices), and 15 to 25 % more from 0.92 on; a search for a device that is
	// not there takes 83 ns instead of 37.
	loadMaxPercent = 90
	// loadPromisedPercent is the load up to which room is promised; a search must still meet an empty slot soon.
	loadPromisedPercent = 94
	// promiseMin is the room that Grow makes where it has the budget, though nobody asked: four batches of connects.
	promiseMin = 4096

	// loadYieldEvery is how many slots of an image are loaded before others get the processor, some 100 µs: images are
	// loaded beside an engine that goes on, too.
	loadYieldEvery = 512

	// chunkBytes is what an arena grows by; half of one a shard lies idle: 0.2 bytes a device at 10 M. It belongs to the
	// format of images, since an entry never crosses a chunk's end.
	chunkBytes = 16 << 10
	chunkWords = chunkBytes / 8

	// hugePageBytes is what the processor maps with one entry: slabs are aligned to it, and given back in such pieces.
	hugePageBytes = 2 << 20
)
