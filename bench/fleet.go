package bench

import "maps"

// fleet is a product with its devices, and what the loader knows about them.
type fleet struct {
	product string
	devices int
	zone    string
	daily   any // messages a device may exchange a day; nil: no limit

	active   int    // devices that were connected; all or none
	connects uint64 // how often each of them was, since the product was created
	tally    tally  // what each device was sent and accepted
	refused  tally  // and what was denied; nil without
	quota    bool   // whether it was the quota that denied
}

func newFleet(product string, devices int, zone string) *fleet {
	return &fleet{product: product, devices: devices, zone: zone, tally: newTally(devices)}
}

// deny makes room for what is denied.
func (f *fleet) deny(quota bool) { f.refused, f.quota = newTally(f.devices), quota }

// denied returns how many messages of a device were denied.
func (f *fleet) denied(device int) uint64 {
	if f.refused.up == nil {
		return 0
	}
	up, down := f.refused.of(device)
	return up + down
}

// rows returns what the log of a device must hold, by type; what was denied counts as "denied".
func (f *fleet) rows(device int) map[string]uint64 {
	up, down := f.tally.of(device)
	rows := map[string]uint64{"connect": f.connects, "up": up, "down": down, "denied": f.denied(device)}
	maps.DeleteFunc(rows, func(_ string, n uint64) bool { return n == 0 })
	return rows
}
