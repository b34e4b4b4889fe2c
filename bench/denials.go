package bench

import "context"

// codeQuota is the one denial that a device counts (R11).
const codeQuota = "message_quota_exceeded"

// denials measures messages that are denied: of devices that have used up their day, and of devices that never
// connected. Devices count the denials of the quota (R11), and all denials are in the log (R18).
func denials(ctx context.Context, r *run) error {
	spent, err := r.spent(ctx)
	if err != nil {
		return err
	}
	strange := newFleet(r.o.Product+"-strange", r.o.Devices, r.target.main.zone)
	if err := r.target.admin.create(ctx, r.o.Product, strange); err != nil {
		return err
	}
	for _, d := range []struct {
		what  string
		fleet *fleet
		code  string
	}{
		{"denied by quota", spent, codeQuota},
		{"denied unconnected", strange, "not_activated"},
	} {
		result, err := r.measure(ctx, d.fleet, r.o.cases()[0], &job{what: d.what, deny: d.code})
		if err != nil {
			return err
		}
		r.add(result)
	}
	return nil
}

// spent makes a fleet whose devices may exchange one message a day and have exchanged it.
func (r *run) spent(ctx context.Context) (*fleet, error) {
	t := r.target
	f := newFleet(r.o.Product+"-spent", r.o.Devices, t.main.zone)
	f.daily = 1
	if err := t.admin.create(ctx, r.o.Product, f); err != nil {
		return nil, err
	}
	if _, err := r.connectAll(ctx, "spent", f, 0); err != nil {
		return nil, err
	}
	c := Case{Format: r.o.formats()[0], Batch: connectBatch, Connections: connectConnections}
	sources := roundOf(f.devices, c, up, f.encoder(c))
	if _, _, err := r.load(ctx, &job{what: "spend", c: c, fleet: f, sources: sources}); err != nil {
		return nil, err
	}
	for device := range f.stage.tally.up {
		f.stage.tally.up[device]++
	}
	f.settle()
	return f, nil
}
