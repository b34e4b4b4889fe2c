package usage

import (
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard/views"
)

// DeviceDays returns what a device counted on the days from from to to that were closed when it is read, in their
// order, days without left out. What it counted on the day of its words, the running one or the last one of use, is in
// the device table until it is closed: the caller reads the words first, and takes the larger number of both.
func (r *Rows) DeviceDays(product uint32, ordinal uint64, from, to uint32) (list []views.UsedDay, err error) {
	for day := from; day <= to; day++ {
		next, found, err := r.NextDay(product, day)
		if err != nil || !found || next > to {
			return list, err
		}
		day = next
		err = r.EachDeviceDay(product, day, ordinal, ordinal+1, func(d *views.DeviceDay) error {
			list = append(list, views.UsedDay{Day: day, Up: d.Up, Down: d.Down, Denied: d.Denied})
			return nil
		})
		if err != nil {
			return list, err
		}
	}
	return list, nil
}

// NextDay returns the first day from a day on for which a product may have device-days.
func (r *Rows) NextDay(product, from uint32) (day uint32, found bool, err error) {
	// What is merged between the two looks is passed over by neither: level 1 is there before level 0 goes.
	open, isOpen, err := nextDay(r.r, levelOpen, product, from)
	if err != nil {
		return 0, false, err
	}
	merged, isMerged, err := nextDay(r.r, levelMerged, product, from)
	switch {
	case isOpen && (!isMerged || open < merged):
		return open, true, err
	default:
		return merged, isMerged, err
	}
}

// EachDeviceDay calls fn for the device-days of a product's day that were closed when they are read, of ordinals from
// from on and before to, in their order.
func (r *Rows) EachDeviceDay(product, day uint32, from, to uint64, fn func(*views.DeviceDay) error) error {
	to = min(to, uint64(counters.OrdinalMax)+1)
	at := dayOfProduct{product, day}
	for from < to {
		through, err := mergedThrough(r.r, product)
		if err != nil {
			return err
		}
		gather := gatherOpen
		if day <= through {
			gather = gatherMerged
		}
		rows, next, err := gather(r.r, r.codec, at, from, to, readRows)
		if err != nil {
			return err
		}
		if day > through { // If it was merged meanwhile, blocks may have gone before they were read.
			if through, err = mergedThrough(r.r, product); err != nil {
				return err
			}
			if day <= through {
				continue
			}
		}
		for i := range rows {
			if err := fn(&rows[i]); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// EachOTA calls fn for the days of a calendar month on which a device's OTA word changed, of ordinals from from on and
// before to, in the order of ordinals and days. The units of a day are the difference to the day before in this list,
// of the same device.
func (r *Rows) EachOTA(product, month uint32, from, to uint64, fn func(*views.OTADay) error) error {
	prefix := binary.BigEndian.AppendUint16(key32(keyOTA, product), uint16(month))
	return r.r.Scan(
		prefix,
		appendOrdinal(prefix[:len(prefix):len(prefix)], from),
		false,
		func(key, value []byte) (bool, error) {
			if len(key) != len(prefix)+ordinalBytes+2 || len(value) != 8 {
				return false, errors.New("a row of OTA units by day is damaged")
			}
			d := views.OTADay{
				Ordinal: ordinalOf(key[len(prefix):]), Day: uint32(binary.BigEndian.Uint16(key[len(prefix)+ordinalBytes:])),
				Word: counters.OTAWord(binary.BigEndian.Uint64(value)),
			}
			if d.Ordinal >= to {
				return false, nil
			}
			return true, fn(&d)
		},
	)
}

// EachLateVoid calls fn for the late voids of a calendar month, of ordinals from from on and before to, in the order of
// ordinals and days.
func (r *Rows) EachLateVoid(product, month uint32, from, to uint64, fn func(*views.LateVoid) error) error {
	prefix := binary.BigEndian.AppendUint16(key32(keyVoids, product), uint16(month))
	damaged := errors.New("a row of a late void is damaged")
	return r.r.Scan(
		prefix,
		appendOrdinal(prefix[:len(prefix):len(prefix)], from),
		false,
		func(key, value []byte) (bool, error) {
			key = key[len(prefix):]
			if len(key) < ordinalBytes+2 {
				return false, damaged
			}
			v := views.LateVoid{
				Ordinal: ordinalOf(key), Day: uint32(binary.BigEndian.Uint16(key[ordinalBytes:])), ID: key[ordinalBytes+2:],
			}
			if v.Ordinal >= to {
				return false, nil
			}
			allowance, n := binary.Uvarint(value)
			if n <= 0 || allowance > counters.AllowancePerMonthMax {
				return false, damaged
			}
			packs, m := binary.Uvarint(value[n:])
			if m <= 0 || n+m != len(value) || packs > counters.PackUnitsPerMonthMax {
				return false, damaged
			}
			v.Allowance, v.Packs = uint32(allowance), uint32(packs)
			return true, fn(&v)
		},
	)
}
