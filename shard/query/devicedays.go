package query

import (
	"context"
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/views"
)

// DeviceLedger is what the ledger says of devices' days. Rows come in the order of ordinals, from one on and before
// another.
type DeviceLedger interface {
	// DeviceDays returns the closed days of a device.
	DeviceDays(product uint32, ordinal uint64, from, to uint32) ([]views.UsedDay, error)
	// AvailableFromMs is the instant before which groups are missing, Unix milliseconds, 0 if none are.
	AvailableFromMs() (int64, error)
	EachDeviceDay(product, day uint32, from, to uint64, fn func(*views.DeviceDay) error) error
	EachOTA(product, month uint32, from, to uint64, fn func(*views.OTADay) error) error
	EachLateVoid(product, month uint32, from, to uint64, fn func(*views.LateVoid) error) error
}

// DeviceDay is what a device used on a day.
type DeviceDay struct {
	Day      uint32
	Up, Down uint32
	Denied   uint64
	OTAUnits int64 // less what was given back on that day, so that it may be negative (R17)
}

// join joins what else is said of the day: of two numbers the larger one is the later.
func (d *DeviceDay) join(up, down uint32, denied uint64) {
	d.Up, d.Down, d.Denied = max(d.Up, up), max(d.Down, down), max(d.Denied, denied)
}

func (d *DeviceDay) isEmpty() bool {
	return d.Up == 0 && d.Down == 0 && d.Denied == 0 && d.OTAUnits == 0
}

// UsageDayKept returns the first day of a product of which usage is kept whole: the first of the month that lies a
// retention back, or the one behind the day on which a ledger with a gap begins.
func (r *Reader) UsageDayKept(p *license.Product) (kept uint32, err error) {
	nowMs := r.engine.NowMs()
	month, err := r.usageMonthKept(nowMs, p.Zone)
	if err != nil {
		return 0, err
	}
	kept = calendar.FirstDay(month)
	beginMs, err := r.ledger.AvailableFromMs()
	if err != nil {
		return 0, r.ledgerErr(err)
	}
	if beginMs > 0 {
		// Of the running day nothing is missing: it is in the words.
		kept = max(kept, min(calendar.WindowAt(beginMs, p.Zone).Day+1, p.Window(nowMs).Day))
	}
	return kept, nil
}

// DeviceDays returns what a device of a product used on the days from from to to, in their order, days without use left
// out. Everything that was acknowledged before the call is in it. isKnown is false if the device was never active.
func (r *Reader) DeviceDays(
	p *license.Product,
	device []byte,
	from, to uint32,
) (list []DeviceDay, isKnown bool, err error) {
	var d deviceWords
	err = r.View(func(v *View) {
		slot := v.Table.Find(v.Table.KeyOf(p.ID, device))
		if isKnown = slot != nil && slot.License().Generation() > 0; isKnown {
			d = wordsOf(slot)
		}
	})
	if err != nil || !isKnown {
		return nil, false, err
	}
	// Words first: one that is replaced meanwhile is in the ledger then.
	if err := r.engine.DurableInLedger(); err != nil {
		return nil, true, err
	}
	var days dayList
	closed, err := r.ledger.DeviceDays(p.ID, d.ordinal, from, to)
	if err != nil {
		return nil, true, r.ledgerErr(err)
	}
	for _, c := range closed {
		days.count(&DeviceDay{Day: c.Day, Up: c.Up, Down: c.Down, Denied: c.Denied})
	}
	days.countWords(&d, from, to)
	for month := calendar.MonthOf(from); month <= calendar.MonthOf(to); month++ {
		var ota otaUnits
		err := r.eachOTADay(p, month, d.ordinal, d.ordinal+1, &ota, func(_ uint64, day uint32, units int64) {
			if day >= from && day <= to {
				days.at(day).OTAUnits += units
			}
		})
		if err != nil {
			return nil, true, r.ledgerErr(err)
		}
	}
	return days.used(), true, nil
}

// eachOTADay calls fn with the units that devices used on days of a month, and with those given back late, negative.
func (r *Reader) eachOTADay(
	p *license.Product, month uint32, from, to uint64, ota *otaUnits, fn func(ordinal uint64, day uint32, units int64),
) error {
	err := r.ledger.EachOTA(p.ID, month, from, to, func(o *views.OTADay) error {
		fn(o.Ordinal, o.Day, ota.on(o))
		return nil
	})
	if err != nil {
		return err
	}
	return r.ledger.EachLateVoid(p.ID, month, from, to, func(v *views.LateVoid) error {
		fn(v.Ordinal, v.Day, -int64(v.Allowance)-int64(v.Packs))
		return nil
	})
}

// otaUnits turns words, which come device by device and day by day, into the units of each day.
type otaUnits struct {
	ordinal uint64
	units   int64
}

func (u *otaUnits) on(o *views.OTADay) int64 {
	if o.Ordinal != u.ordinal {
		*u = otaUnits{ordinal: o.Ordinal}
	}
	before := u.units
	u.units = int64(o.Word.Allowance()) + int64(o.Word.Packs())
	return u.units - before
}

// deviceWords are the words of a device that count days.
type deviceWords struct {
	ordinal  uint64
	name     string
	messages counters.MessageWord
	denied   counters.DeniedWord
}

func wordsOf(slot *counters.Slot) deviceWords {
	return deviceWords{ordinal: uint64(slot.Ordinal()), messages: slot.Message(), denied: slot.Denied()}
}

// on returns what the words count on a day.
func (w *deviceWords) on(day uint32) DeviceDay {
	d := DeviceDay{Day: day}
	if w.messages.Day() == day {
		d.Up, d.Down = w.messages.Up(), w.messages.Down()
	}
	if w.denied.Day() == day {
		d.Denied = w.denied.Denied()
	}
	return d
}

// dayList gathers the days of a device, in their order.
type dayList struct{ days []DeviceDay }

// at returns a day of the list, made if it is missing.
func (l *dayList) at(day uint32) *DeviceDay {
	i, found := slices.BinarySearchFunc(l.days, day, func(d DeviceDay, day uint32) int { return int(d.Day) - int(day) })
	if !found {
		l.days = slices.Insert(l.days, i, DeviceDay{Day: day})
	}
	return &l.days[i]
}

// count joins what is said of a day.
func (l *dayList) count(d *DeviceDay) { l.at(d.Day).join(d.Up, d.Down, d.Denied) }

func (l *dayList) countWords(w *deviceWords, from, to uint32) {
	for _, day := range []uint32{w.messages.Day(), w.denied.Day()} {
		if day >= from && day <= to {
			d := w.on(day)
			l.count(&d)
		}
	}
}

// used returns the days on which anything was used.
func (l *dayList) used() []DeviceDay {
	return slices.DeleteFunc(l.days, func(d DeviceDay) bool { return d.isEmpty() })
}

// EachDeviceDay calls fn for every device of a product that used anything on the days from from to to, in the order of
// ordinals; its days are in their order and belong to EachDeviceDay. Everything that was acknowledged before the call
// is in it.
func (r *Reader) EachDeviceDay(
	ctx context.Context, p *license.Product, from, to uint32, fn func(device string, days []DeviceDay) error,
) error {
	var lists []dayList // one for each device
	s := productDays{r: r, p: p, from: from, to: to, atOnce: deviceDaysAtOnce, named: true}
	return s.each(ctx, func() error {
		for len(lists) < len(s.devices) {
			lists = append(lists, dayList{})
		}
		for i := range s.devices {
			lists[i].days = lists[i].days[:0]
		}
		err := s.messages(ctx, func(i int, d DeviceDay) { lists[i].days = append(lists[i].days, d) })
		if err != nil {
			return err
		}
		if err := s.ota(func(i int, day uint32, units int64) { lists[i].at(day).OTAUnits += units }); err != nil {
			return err
		}
		for i := range s.devices {
			if days := lists[i].used(); len(days) > 0 {
				if err := fn(s.devices[i].name, days); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
