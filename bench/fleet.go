package bench

import (
	"maps"
	"time"
)

// fleet is a product with its devices, and what the loader has sent them.
type fleet struct {
	product string
	devices int
	zone    string
	daily   any // messages a device may exchange a day; nil: no limit

	active  int   // how many devices were connected: all or none
	tally   tally // the accepted messages of each device
	refused tally // the messages that the quota denied
	stage   stage
}

// stage is what the last load sent to a fleet.
type stage struct {
	since    time.Time // when all earlier events were answered
	code     string    // with which all was denied; empty: all was accepted
	connects uint64    // of each device
	tally    tally
}

func newFleet(product string, devices int, zone string) *fleet {
	return &fleet{
		product: product, devices: devices, zone: zone,
		tally: newTally(devices), refused: newTally(devices), stage: stage{tally: newTally(devices)},
	}
}

// encoder returns a function that makes encoders for batches of a case.
func (f *fleet) encoder(c Case) func(payload draws) encoder {
	return func(payload draws) encoder { return newEncoder(c.Format, f.product, c.Payload, payload) }
}

// begin begins a stage.
func (f *fleet) begin(since time.Time, code string) {
	f.stage.since, f.stage.code, f.stage.connects = since, code, 0
	clear(f.stage.tally.up)
	clear(f.stage.tally.down)
}

// settle adds the messages of the stage to those of earlier stages.
func (f *fleet) settle() {
	switch f.stage.code {
	case "":
		f.tally.merge(&f.stage.tally)
	case codeQuota:
		f.refused.merge(&f.stage.tally)
	}
}

// rows returns how many rows of each type a device's log must hold since the stage began. A denied event is of type
// "denied".
func (f *fleet) rows(device int) map[string]uint64 {
	up, down := f.stage.tally.of(device)
	rows := map[string]uint64{"connect": f.stage.connects, "up": up, "down": down}
	if f.stage.code != "" {
		rows = map[string]uint64{"denied": up + down}
	}
	maps.DeleteFunc(rows, func(_ string, n uint64) bool { return n == 0 })
	return rows
}

// readable reports whether the log of a device is short enough to be read back. That of a hot device is not.
func (f *fleet) readable(device int) bool {
	up, down := f.stage.tally.of(device)
	return up+down <= logSampleRowsMax
}
