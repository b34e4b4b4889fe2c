package bench

import "context"

// activate connects every device for the first time. Each consumes a licence (R1), and the pool is used up to the last
// one (R4). It also measures the memory of a device: the growth of the process, divided by the devices.
func activate(ctx context.Context, r *run) error {
	f := r.target.main
	if f.active > 0 {
		return nil // An earlier scenario needed them.
	}
	alone := r.target.accepted+r.target.denied == 0 // Nothing else has made the process grow.
	result, err := r.connectAll(ctx, "activate", f, 0)
	if err != nil {
		return err
	}
	if alone && result.Memory != nil {
		r.target.perDevice(result.Memory)
	}
	r.add(result)
	return nil
}

// connectAll connects each device of a fleet once, and verifies the result. producers is the number of the first
// connection's producer.
func (r *run) connectAll(ctx context.Context, scenario string, f *fleet, producers int) (*Result, error) {
	c := Case{Format: r.o.formats()[0], Batch: connectBatch, Connections: connectConnections}
	sources := roundOf(f.devices, c, connect, f.encoder(c))
	o, p, err := r.load(ctx, &job{what: scenario, c: c, fleet: f, sources: sources, producers: producers})
	if err != nil {
		return nil, err
	}
	if f.active == 0 {
		f.active = f.devices
		r.target.connected += f.devices
	}
	f.stage.connects++
	check, err := r.target.verify(ctx, f)
	if err != nil {
		return nil, err
	}
	return o.result(scenario, &c, p, check), nil
}

// perDevice divides the growth of the process by the number of devices.
func (t *target) perDevice(m *Memory) {
	if t.connected == 0 {
		return
	}
	devices := float64(t.connected)
	m.EmptyRSSBytes = t.empty.rssBytes
	m.BytesPerDevice = (float64(m.RSSBytes) - float64(t.empty.rssBytes)) / devices
	m.AnonymousBytesPerDevice = (float64(m.AnonymousBytes) - float64(t.empty.anonBytes)) / devices
	m.TableBytesPerDevice = float64(m.TableBytes) / devices
}
