package bench

import (
	"context"
	"sync/atomic"
)

// activate connects every device for the first time: each consumes a licence (R1), the pool is used up to the last one (R4). It
// also tells what a device takes in memory: what the process has grown by, divided by the devices.
func activate(ctx context.Context, r *run) error {
	t := r.target
	if t.active > 0 {
		return nil // An earlier scenario needed them.
	}
	c := &Case{Batch: activateBatch, Connections: activateConnections}
	next := &atomic.Int64{}
	sources := make([]source, c.Connections)
	for i := range sources {
		sources[i] = &connects{lines: newLines(r.o.Product, 0, draws{}), next: next, devices: r.o.Devices, batch: c.Batch}
	}
	o, p, _, err := r.load(ctx, "activate", sources, 0, 0)
	if err != nil {
		return err
	}
	t.active = r.o.Devices
	check, err := t.verify(ctx)
	if err != nil {
		return err
	}
	result := o.result("activate", c, p, check)
	if result.Memory != nil {
		t.perDevice(result.Memory)
	}
	r.add(result)
	return nil
}

// perDevice says what a device takes of the memory that the process has.
func (t *target) perDevice(m *Memory) {
	if t.active == 0 {
		return
	}
	m.EmptyRSSBytes = t.empty.rssBytes
	m.BytesPerDevice = (float64(m.RSSBytes) - float64(t.empty.rssBytes)) / float64(t.active)
	m.AnonymousBytesPerDevice = (float64(m.AnonymousBytes) - float64(t.empty.anonBytes)) / float64(t.active)
	m.TableBytesPerDevice = float64(m.TableBytes) / float64(t.active)
}
