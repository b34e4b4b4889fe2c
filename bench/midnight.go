package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// midnight sends messages to a product whose day ends in the middle of the window. Afterwards it checks both days
// (R10, R12): the sum over all devices against what callers had answered before and after, and some devices against
// their logs, row by row.
func midnight(ctx context.Context, r *run) error {
	t := r.target
	c := r.o.cases()[0]
	f, at, err := r.beforeMidnight(ctx, r.o.Warmup+c.Duration/2)
	if err != nil {
		return err
	}
	wait := time.Until(at) - c.Duration/2 - r.o.Warmup
	r.say("  midnight: waits %.0f s for the end of the day in %s", wait.Seconds(), f.zone)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	began := time.Now()
	o, p, err := r.traffic(ctx, f, c, &job{what: "midnight", split: at})
	if err != nil {
		return err
	}
	check, err := t.verifyMidnight(ctx, f, at, o)
	if err != nil {
		return err
	}
	result := o.result("midnight", &c, p, check)
	// The load began a moment later than this, which is exact enough.
	middle := at.Sub(began)
	result.MidnightStallSeconds = o.timeline.stall(middle-midnightAround, middle+midnightAround).Seconds()
	r.add(result)
	return nil
}

// beforeMidnight makes a product whose day ends soon and connects its devices. At least the time left remains until
// then. If connecting takes too long, it tries again with another product and more time.
func (r *run) beforeMidnight(ctx context.Context, left time.Duration) (f *fleet, at time.Time, err error) {
	room := midnightRoom + time.Duration(r.o.Devices)*midnightRoomPerDevice
	name := r.o.Product + "-midnight"
	for range midnightTriesMax {
		at = time.Now().Add(room + left).Truncate(time.Minute).Add(time.Minute)
		f = newFleet(name, r.o.Devices, zoneOfMidnight(at))
		if err := r.target.admin.create(ctx, r.o.Product, f); err != nil {
			return nil, at, err
		}
		if _, err := r.connectAll(ctx, "midnight", f, 0); err != nil {
			return nil, at, err
		}
		if time.Until(at) >= left {
			return f, at, nil
		}
		room *= 4
		name += "-again"
	}
	return nil, at, fmt.Errorf("connecting %d devices took until %s before midnight: take fewer",
		f.devices, time.Until(at))
}

// verifyMidnight verifies a fleet whose day ended at an instant. Its views show the new day, its logs show both.
func (t *target) verifyMidnight(ctx context.Context, f *fleet, at time.Time, o *outcome) (*Check, error) {
	check, err := t.verifyTotals(ctx)
	if err != nil {
		return nil, err
	}
	today := make(map[string]uint64, f.devices)
	sum := uint64(0)
	for v, err := range t.admin.devices(ctx, f.product) {
		if err != nil {
			return nil, err
		}
		today[v.Device] = v.Messages.Up + v.Messages.Down
		sum += v.Messages.Up + v.Messages.Down
	}
	var errs []error
	if check.DevicesCompared = len(today); len(today) != f.devices {
		errs = append(errs, fmt.Errorf("%d devices are listed, %d connected", len(today), f.devices))
	}
	if least, most := o.split.after, o.answered-o.split.before; sum < least || sum > most {
		errs = append(errs, fmt.Errorf("the new day has %d messages, and %d to %d were decided in it", sum, least, most))
	}
	errs = append(errs, t.verifyPool(ctx, f, check))
	for _, device := range t.sample(f)[:min(t.o.LogSamples, f.devices)] {
		errs = append(errs, t.verifyDays(ctx, f, device, at, today[deviceName(device)]))
		check.DeviceLogsCompared++
	}
	if err := errors.Join(errs...); err != nil {
		return check, fmt.Errorf("check: %w", err)
	}
	return check, nil
}

// verifyDays compares the log of a device with what it was sent and with its view of the new day. Each day's messages
// must be counted from one on, without a gap.
func (t *target) verifyDays(ctx context.Context, f *fleet, device int, at time.Time, today uint64) error {
	name := deviceName(device)
	var before, after []uint64 // day_used of each message
	for row, err := range t.admin.log(ctx, f.product, name, f.stage.since) {
		switch {
		case err != nil:
			return err
		case row.DecidedAt.Before(at):
			before = append(before, row.DayUsed)
		default:
			after = append(after, row.DayUsed)
		}
	}
	up, down := f.tally.of(device)
	if uint64(len(before)+len(after)) != up+down || uint64(len(after)) != today {
		return fmt.Errorf("device %s was sent %d messages and has %d in the new day; "+
			"its log has %d before midnight and %d after", name, up+down, today, len(before), len(after))
	}
	for _, day := range [][]uint64{before, after} {
		slices.Sort(day)
		for i, used := range day {
			if used != uint64(i)+1 {
				return fmt.Errorf("device %s: message %d of a day of %d is logged as its message %d", name, i+1, len(day), used)
			}
		}
	}
	return nil
}

// zoneOfMidnight returns a time zone in which a day begins at an instant that is a whole minute.
func zoneOfMidnight(at time.Time) string {
	minutes := 60*at.UTC().Hour() + at.UTC().Minute()
	if minutes < 12*60 {
		return fmt.Sprintf("-%02d:%02d", minutes/60, minutes%60)
	}
	minutes = 24*60 - minutes
	return fmt.Sprintf("+%02d:%02d", minutes/60, minutes%60)
}
