package bench

import (
	"context"
	"errors"
	"fmt"
)

// verify compares what was sent with what the daemon says, and returns an error for every difference there is.
func (t *target) verify(ctx context.Context) (*Check, error) {
	now, err := t.admin.metrics(ctx)
	if err != nil {
		return nil, err
	}
	since := now.minus(t.baseline)
	check := &Check{Sent: t.sent, Accepted: since.Accepted, Denied: since.Denied, Logged: since.LogRows}
	var errs []error
	if since.Accepted != t.sent || since.Denied != 0 || since.LogRows != t.sent {
		errs = append(errs, fmt.Errorf("%d events were sent and answered as accepted; the daemon counts %d accepted, %d denied, %d rows logged",
			t.sent, since.Accepted, since.Denied, since.LogRows))
	}
	errs = append(errs, t.verifyPool(ctx, check), t.verifyDevices(ctx, check))
	if err := errors.Join(errs...); err != nil {
		return check, fmt.Errorf("check: %w", err)
	}
	return check, nil
}

// verifyPool: a licence was consumed for each device that connected, and none beside (R1, R4).
func (t *target) verifyPool(ctx context.Context, check *Check) error {
	v, err := t.admin.product(ctx, t.o.Product)
	if err != nil {
		return err
	}
	check.LicensesUsed = v.Licenses.Used
	if v.Licenses.Used != t.active || v.Licenses.Available != t.o.Devices-t.active {
		return fmt.Errorf("%d devices of %d connected; the product has %d licences used and %d available",
			t.active, t.o.Devices, v.Licenses.Used, v.Licenses.Available)
	}
	return nil
}

// verifyDevices reads devices back that are drawn at random, and some of their logs.
func (t *target) verifyDevices(ctx context.Context, check *Check) error {
	if t.active == 0 {
		return nil
	}
	var errs []error
	random := newDraws(t.o.Seed, 0, t.stages)
	for i := range min(t.o.Samples, t.active) {
		device := messageOf(random.next(), t.active).device
		errs = append(errs, t.verifyDevice(ctx, device))
		check.DevicesCompared++
		if i < t.o.LogSamples {
			errs = append(errs, t.verifyLog(ctx, device))
			check.DeviceLogsCompared++
		}
	}
	return errors.Join(errs...)
}

func (t *target) verifyDevice(ctx context.Context, device int) error {
	name := deviceName(device)
	v, err := t.admin.device(ctx, t.o.Product, name)
	if err != nil {
		return err
	}
	up, down := uint64(t.tally.up[device]), uint64(t.tally.down[device])
	if v.State != "active" || v.Messages.Up != up || v.Messages.Down != down || v.Messages.Denied != 0 {
		return fmt.Errorf("device %s was sent %d up and %d down; its view says %s, %d up, %d down, %d denied",
			name, up, down, v.State, v.Messages.Up, v.Messages.Down, v.Messages.Denied)
	}
	return nil
}

func (t *target) verifyLog(ctx context.Context, device int) error {
	name := deviceName(device)
	rows, err := t.admin.logged(ctx, t.o.Product, name)
	if err != nil {
		return err
	}
	up, down := uint64(t.tally.up[device]), uint64(t.tally.down[device])
	if rows["connect"] != 1 || rows["up"] != up || rows["down"] != down || rows["denied"] != 0 {
		return fmt.Errorf("device %s connected and was sent %d up and %d down; its log has %v", name, up, down, rows)
	}
	return nil
}
