package bench

import (
	"maps"
	"time"
)

// fleet is a product with its devices, and what the loader knows about them.
type fleet struct {
	product string
	devices int
	zone    string
	daily   any // messages a device may exchange a day; nil: no limit

	active  int   // devices that were connected; all or none
	tally   tally // what each device was sent and accepted
	refused tally // and what the quota denied
	stage   stage
}

// stage is what the last load did to a fleet.
type stage struct {
	since    time.Time // after everything before it was answered
	code     string    // what it was denied with; empty: accepted
	connects uint64    // of each device
	tally    tally
}

func newFleet(product string, devices int, zone string) *fleet {
	return &fleet{
		product: product, devices: devices, zone: zone,
		tally: newTally(devices), refused: newTally(devices), stage: stage{tally: newTally(devices)},
	}
}

// encoder returns what encodes batches of a case.
func (f *fleet) encoder(c Case) func(payload draws) encoder {
	return func(payload draws) encoder { return newEncoder(c.Format, f.product, c.Payload, payload) }
}

// begin begins a stage.
func (f *fleet) begin(since time.Time, code string) {
	f.stage.since, f.stage.code, f.stage.connects = since, code, 0
	clear(f.stage.tally.up)
	clear(f.stage.tally.down)
}

// settle adds what a stage sent to what was sent before.
func (f *fleet) settle() {
	switch f.stage.code {
	case "":
		f.tally.merge(&f.stage.tally)
	case codeQuota:
		f.refused.merge(&f.stage.tally)
	}
}

// rows returns what the log of a device must hold since the stage began, by type; what was denied counts as "denied".
func (f *fleet) rows(device int) map[string]uint64 {
	up, down := f.stage.tally.of(device)
	rows := map[string]uint64{"connect": f.stage.connects, "up": up, "down": down}
	if f.stage.code != "" {
		rows = map[string]uint64{"denied": up + down}
	}
	maps.DeleteFunc(rows, func(_ string, n uint64) bool { return n == 0 })
	return rows
}

// readable reports whether the log of a device is short enough to be read back whole: that of a hot one is not.
func (f *fleet) readable(device int) bool {
	up, down := f.stage.tally.of(device)
	return up+down <= logSampleRowsMax
}
