package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
)

// verify compares the counts of the daemon with what it was sent: totals of all fleets, and devices of one. It returns
// an error for every difference.
func (t *target) verify(ctx context.Context, f *fleet) (*Check, error) {
	check, err := t.verifyTotals(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(t.verifyPool(ctx, f, check), t.verifyDevices(ctx, f, check)); err != nil {
		return check, fmt.Errorf("check: %w", err)
	}
	return check, nil
}

// verifyTotals: answered = counted = logged.
func (t *target) verifyTotals(ctx context.Context) (*Check, error) {
	now, err := t.admin.metrics(ctx)
	if err != nil {
		return nil, err
	}
	since := now.minus(t.baseline)
	sent := t.accepted + t.denied
	if since.Accepted != t.accepted || since.Denied != t.denied || since.LogRows != sent {
		return nil, fmt.Errorf("check: %d events were answered as accepted and %d as denied; "+
			"the daemon counts %d accepted, %d denied, %d rows logged",
			t.accepted, t.denied, since.Accepted, since.Denied, since.LogRows)
	}
	return &Check{Sent: sent, Accepted: since.Accepted, Denied: since.Denied, Logged: since.LogRows}, nil
}

// verifyPool: each device that connected consumed one licence, and no other was consumed (R1, R4).
func (t *target) verifyPool(ctx context.Context, f *fleet, check *Check) error {
	v, err := t.admin.product(ctx, f.product)
	if err != nil {
		return err
	}
	check.LicensesUsed = v.Licenses.Used
	if v.Licenses.Used != f.active || v.Licenses.Available != f.devices-f.active {
		return fmt.Errorf("%d devices of %d connected; the product has %d licences used and %d available",
			f.active, f.devices, v.Licenses.Used, v.Licenses.Available)
	}
	return nil
}

// verifyDevices reads back the busiest device, some random devices, and some of their logs.
func (t *target) verifyDevices(ctx context.Context, f *fleet, check *Check) error {
	var errs []error
	for _, device := range t.sample(f) {
		errs = append(errs, t.verifyDevice(ctx, f, device))
		check.DevicesCompared++
		if check.DeviceLogsCompared < t.o.LogSamples && f.readable(device) {
			errs = append(errs, t.verifyLog(ctx, f, device))
			check.DeviceLogsCompared++
		}
	}
	return errors.Join(errs...)
}

// sample returns the devices that are read back after this stage.
func (t *target) sample(f *fleet) (devices []int) {
	random := newDraws(t.o.Seed, 0, t.stages)
	among := chooser{fleet: f.devices, among: f.devices}
	devices = append(devices, f.stage.tally.busiest())
	for len(devices) < min(t.o.Samples, f.devices) {
		devices = append(devices, int(among.message(random.next()).device))
	}
	return devices
}

func (t *target) verifyDevice(ctx context.Context, f *fleet, device int) error {
	name := deviceName(device)
	v, err := t.admin.device(ctx, f.product, name)
	if f.active == 0 {
		if refusalStatus(err) == http.StatusNotFound {
			return nil // A denied event makes no device known (R11).
		}
		return errors.Join(fmt.Errorf("device %s never connected, and has a view", name), err)
	}
	if err != nil {
		return err
	}
	up, down := f.tally.of(device)
	deniedUp, deniedDown := f.refused.of(device)
	denied := deniedUp + deniedDown
	if v.State != "active" || v.Messages.Up != up || v.Messages.Down != down || v.Messages.Denied != denied {
		return fmt.Errorf("device %s was sent %d up and %d down, and %d were denied by its quota; "+
			"its view says %s, %d up, %d down, %d denied",
			name, up, down, denied, v.State, v.Messages.Up, v.Messages.Down, v.Messages.Denied)
	}
	return nil
}

// verifyLog compares the log of a device since the last stage began with what the stage sent it. Older rows were
// compared before, and reading them again takes long.
func (t *target) verifyLog(ctx context.Context, f *fleet, device int) error {
	name := deviceName(device)
	rows := map[string]uint64{}
	for row, err := range t.admin.log(ctx, f.product, name, f.stage.since) {
		if err != nil {
			return err
		}
		if row.Verdict != "accepted" {
			row.Type = "denied"
		}
		rows[row.Type]++
	}
	if want := f.rows(device); !maps.Equal(rows, want) {
		return fmt.Errorf("device %s was sent %v; since then its log has %v", name, want, rows)
	}
	return nil
}
