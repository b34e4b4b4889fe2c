package query

const (
	// namesAtOnce and namedBytesAtOnce are how many entries of a product's log are gathered before their devices are
	// looked up in one look inside the gate, and how many bytes of payloads: some 10 µs, and a quarter of what a client
	// takes at once.
	namesAtOnce      = 256
	namedBytesAtOnce = 64 << 10
	// usageRowsAtOnce is how many rows of usage are made at once, about: some 300 bytes each while they are made.
	usageRowsAtOnce = 16 << 10
	// deviceDaysAtOnce is how many devices' days of a month are gathered at once: some 1300 bytes each at most.
	deviceDaysAtOnce = 8192
	// deviceUsesAtOnce is how many devices' sums are gathered at once: some 120 bytes each.
	deviceUsesAtOnce = 32768
	// deviceDaysScan is how many devices one look inside the gate takes: at some 20 ns each.
	deviceDaysScan = 4096
	// heldScan is how many devices one look inside the gate takes: at some 50 ns each.
	heldScan = 4096
	// forecastScan is how many devices one look inside the gate takes.
	forecastScan = 4096
	// outlookScan is the same for what runs by itself, now and then: half a millisecond.
	outlookScan = 1024
)
