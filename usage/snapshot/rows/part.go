package rows

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage/snapshot"
)

// part is the devices of one range of shards. Its memory is used again for the next range.
type part struct {
	s       *Source
	t       *counters.Table
	first   counters.Ordinal // of the range
	end     counters.Ordinal // the first one behind it
	devices []device         // by product as in the source, then by ordinal
	ends    []int            // where each product's devices end
}

// device is what is known of a device for the month.
type device struct {
	ordinal                 counters.Ordinal
	message                 counters.MessageWord // 0 once it was joined with a closed day of the ledger
	deniedWord              counters.DeniedWord  // as message
	license                 counters.LicenseWord
	ota                     counters.OTAWord // as it stood when the month ended, or stands now; 0 without
	denied                  uint64           // units
	up, down                uint32           // units
	lateAllowance, latePack uint32           // units of older months that were given back
}

// gather reads all that is known of the devices of a range.
func (r *part) gather(ctx context.Context, t *counters.Table, first, end int) error {
	r.t, r.first, r.end = t, counters.FirstOrdinal(first), counters.FirstOrdinal(end)
	if err := r.place(ctx); err != nil {
		return err
	}
	begin := 0
	for i, p := range r.s.products {
		if err := ctx.Err(); err != nil {
			return err
		}
		devices := r.devices[begin:r.ends[i]]
		begin = r.ends[i]
		if len(devices) == 0 {
			continue
		}
		if err := r.join(p, devices); err != nil {
			return fmt.Errorf("product %q: %w", p.Name, err)
		}
	}
	return nil
}

// place puts the devices of the range in order.
func (r *part) place(ctx context.Context) error {
	counts := make([]int, len(r.s.products))
	n := 0
	r.walk(func(place int32, _ counters.Ordinal, _ []byte) {
		counts[place]++
		n++
	})
	if n > cap(r.devices) {
		r.devices = make([]device, n+n/8) // Ranges are about equal: the next ones fit.
	}
	r.devices = r.devices[:n]
	r.ends = r.ends[:0]
	next, begin := make([]int, len(counts)), 0
	for i, count := range counts {
		next[i] = begin
		begin += count
		r.ends = append(r.ends, begin)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.walk(func(place int32, o counters.Ordinal, _ []byte) {
		r.devices[next[place]] = device{ordinal: o}
		next[place]++
	})
	return r.look(ctx)
}

// look reads the words of the devices.
func (r *part) look(ctx context.Context) (err error) {
	index := r.t.NewIndex()
	defer func() { err = errors.Join(err, index.Close()) }()
	var ordinals [findBatch]counters.Ordinal
	var slots [findBatch]*counters.Slot
	for devices := range slices.Chunk(r.devices, findBatch) {
		runtime.Gosched()
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range devices {
			ordinals[i] = devices[i].ordinal
		}
		index.Find(ordinals[:len(devices)], slots[:len(devices)])
		for i, s := range slots[:len(devices)] {
			if s == nil {
				return fmt.Errorf("device %d has a name and no words", ordinals[i])
			}
			d := &devices[i]
			d.message, d.deniedWord, d.license = s.Message(), s.Denied(), s.License()
			if w := s.OTA(); w.Month() == r.s.o.Month {
				d.ota = w
			}
		}
	}
	return nil
}

// walk calls fn for the devices of the range that are in the scope, in the order of ordinals, with the place of their
// product.
func (r *part) walk(fn func(place int32, o counters.Ordinal, name []byte)) {
	n := 0
	r.t.Walk(r.first, func(o counters.Ordinal, product uint32, name []byte) bool {
		if n++; n%yieldEvery == 0 {
			runtime.Gosched()
		}
		if int(product) < len(r.s.places) && r.s.places[product] >= 0 {
			fn(r.s.places[product], o, name)
		}
		return true
	})
}

// join merges what the ledger has of a product's devices.
func (r *part) join(p *product, devices []device) error {
	l, month := r.s.o.Ledger, r.s.o.Month
	from, to := uint64(r.first), uint64(r.end)
	for _, day := range p.days {
		at := cursor{devices: devices}
		err := l.EachDeviceDay(p.ID, day, from, to, func(row *views.DeviceDay) error {
			d, err := at.find(row.Ordinal)
			if err == nil {
				d.add(day, row)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	at := cursor{devices: devices}
	err := l.EachOTA(p.ID, month, from, to, func(row *views.OTADay) error {
		d, err := at.find(row.Ordinal)
		if err == nil {
			d.ota = max(d.ota, row.Word)
		}
		return err
	})
	if err != nil {
		return err
	}
	at = cursor{devices: devices}
	return l.EachLateVoid(p.ID, month, from, to, func(row *views.LateVoid) error {
		d, err := at.find(row.Ordinal)
		if err == nil {
			d.lateAllowance += row.Allowance
			d.latePack += row.Packs
		}
		return err
	})
}

// add adds a closed day of the ledger. If a word is of the same day, the larger number holds.
func (d *device) add(day uint32, row *views.DeviceDay) {
	up, down, denied := row.Up, row.Down, row.Denied
	if w := d.message; w.Day() == day {
		up, down, d.message = max(up, w.Up()), max(down, w.Down()), 0
	}
	if w := d.deniedWord; w.Day() == day {
		denied, d.deniedWord = max(denied, w.Denied()), 0
	}
	d.up, d.down, d.denied = d.up+up, d.down+down, d.denied+denied
}

// finish adds the words that no closed day of the ledger had, if they are of the days from first to before end.
func (d *device) finish(first, end uint32) {
	if w := d.message; w.Day() >= first && w.Day() < end {
		d.up, d.down = d.up+w.Up(), d.down+w.Down()
	}
	if w := d.deniedWord; w.Day() >= first && w.Day() < end {
		d.denied += w.Denied()
	}
}

// cursor finds the devices of rows that come in the order of ordinals.
type cursor struct {
	devices []device // those that may still come
}

// find returns the device of an ordinal; no lower one is asked for afterwards.
func (c *cursor) find(ordinal uint64) (*device, error) {
	// The next one is near: look further and further, then less and less far.
	at, step := 0, 1
	passed := func() bool { return at+step < len(c.devices) && uint64(c.devices[at+step].ordinal) <= ordinal }
	for ; passed(); step *= 2 {
		at += step
	}
	for ; step > 0; step /= 2 {
		if passed() {
			at += step
		}
	}
	if at >= len(c.devices) || uint64(c.devices[at].ordinal) != ordinal {
		return nil, fmt.Errorf("the ledger has usage of device %d, which the state does not know", ordinal)
	}
	c.devices = c.devices[at:]
	return &c.devices[0], nil
}

// each calls fn for every device of the range.
func (r *part) each(ctx context.Context, fn func(*snapshot.Row) error) error {
	begin, atS := 0, r.s.o.State.AtMs/1000
	first, end := calendar.FirstDay(r.s.o.Month), calendar.FirstDay(r.s.o.Month+1)
	var row snapshot.Row
	for i, p := range r.s.products {
		version := p.ValidityVersion()
		devices := r.devices[begin:r.ends[i]]
		begin = r.ends[i]
		for n := range devices {
			if n%yieldEvery == 0 {
				runtime.Gosched()
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			d := &devices[n]
			w := d.license
			if w.Generation() == 0 {
				continue // It was never active.
			}
			d.finish(first, end)
			_, row.Device = r.t.Name(d.ordinal)
			row.Product = p.Name
			row.ActivatedS = int64(r.t.Grant(d.ordinal).ActivatedAt) + counters.EpochS
			row.ExpiresS = int64(w.Expiry()) + counters.EpochS
			if w.ValidityVersion() != version {
				row.ExpiresS = p.ExpiryS(row.ActivatedS) // Nobody has looked at the device since the plan changed (R9).
			}
			row.Active = w.State() == counters.LicenseActive && atS < row.ExpiresS
			row.Usage = d.usage(r.s.licenses.of(d.ordinal))
			p.count(&row)
			if err := fn(&row); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *device) usage(licenses uint32) snapshot.Usage {
	return snapshot.Usage{
		MessagesUp: uint64(d.up), MessagesDown: uint64(d.down), MessagesDenied: d.denied,
		OTAUnits:      int64(d.ota.Allowance()) + int64(d.ota.Packs()) - int64(d.lateAllowance) - int64(d.latePack),
		OTATopupUnits: int64(d.ota.Packs()) - int64(d.latePack), OTADenied: uint64(d.ota.Denied()),
		LicensesConsumed: uint64(licenses),
	}
}

// count adds a row to the sums of its product.
func (p *product) count(row *snapshot.Row) {
	p.rows++
	if row.Active {
		p.active++
	}
	p.sum.MessagesUp += row.MessagesUp
	p.sum.MessagesDown += row.MessagesDown
	p.sum.MessagesDenied += row.MessagesDenied
	p.sum.OTAUnits += row.OTAUnits
	p.sum.OTATopupUnits += row.OTATopupUnits
	p.sum.OTADenied += row.OTADenied
	p.sum.LicensesConsumed += row.LicensesConsumed
}
