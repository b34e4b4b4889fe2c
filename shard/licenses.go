package shard

import (
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
)

// LicenseRow is one consumption of a licence as the ledger keeps it, for ever (R7).
type LicenseRow struct {
	Serial     uint64 // unique in the daemon; of one product they rise with time
	Product    uint32
	Ordinal    counters.Ordinal
	Device     string // filled in from the ordinal when it is written
	Pool       uint32
	ActivatedS int64 // Unix seconds
	Generation uint32
}

// keyLicenses is followed by product and the last serial of the block, so that the block that holds a serial is the
// first one not before it. FORMAT.md draws the block.
const keyLicenses = "L"

const licenseBlockVersion = 1

func licensesKey(product uint32, serial uint64) []byte {
	k := binary.BigEndian.AppendUint32([]byte(keyLicenses), product)
	return binary.BigEndian.AppendUint64(k, serial)
}

func appendLicenses(dst []byte, rows []LicenseRow) []byte {
	dst = append(dst, licenseBlockVersion)
	var serial uint64
	var activated int64
	for i := range rows {
		r := &rows[i]
		dst = binary.AppendUvarint(dst, r.Serial-serial)
		dst = binary.AppendVarint(dst, r.ActivatedS-activated)
		dst = binary.AppendUvarint(dst, uint64(r.Pool))
		dst = binary.AppendUvarint(dst, uint64(r.Generation))
		dst = append(dst, byte(len(r.Device)))
		dst = append(dst, r.Device...)
		serial, activated = r.Serial, r.ActivatedS
	}
	return dst
}

var errLicenseBlock = errors.New("a block of licence rows is damaged")

// decodeLicenses calls fn for every row of a block until it returns false.
func decodeLicenses(product uint32, block []byte, fn func(*LicenseRow) bool) error {
	if len(block) == 0 || block[0] != licenseBlockVersion {
		return errLicenseBlock
	}
	b := block[1:]
	row := LicenseRow{Product: product}
	for len(b) > 0 {
		var fields [4]uint64
		for i := range fields {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errLicenseBlock
			}
			fields[i], b = v, b[n:]
		}
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return errLicenseBlock
		}
		row.Serial += fields[0]
		row.ActivatedS += int64(fields[1]>>1) ^ -int64(fields[1]&1)
		row.Pool, row.Generation = uint32(fields[2]), uint32(fields[3])
		end := 1 + int(b[0])
		row.Device = string(b[1:end])
		b = b[end:]
		if !fn(&row) {
			return nil
		}
	}
	return nil
}

// lastSerial returns the last serial of a product that the ledger has, 0 if it has none.
func (e *Engine) lastSerial(product uint32) (serial uint64, err error) {
	prefix := binary.BigEndian.AppendUint32([]byte(keyLicenses), product)
	err = e.o.Ledger.Scan(prefix, nil, true, func(k, _ []byte) (bool, error) {
		if len(k) != len(prefix)+8 {
			return false, errLicenseBlock
		}
		serial = binary.BigEndian.Uint64(k[len(prefix):])
		return false, nil
	})
	return serial, err
}

// License is a consumed licence as views show it.
type License struct {
	Row      LicenseRow
	Source   string // the order of its lot, or "gift"
	ExpiresS int64  // Unix seconds
	Active   bool
}

// Licenses calls fn for every licence that product has consumed with a serial above after, in the order of serials,
// until fn returns false. What was acknowledged before the call is there.
func (e *Engine) Licenses(p *license.Product, after uint64, fn func(*License) bool) error {
	// Rows are queued when their group is durable.
	if err := e.settle(); err != nil {
		return err
	}
	if err := e.flushRows(); err != nil {
		e.fail(err)
		return ErrStopped
	}
	prefix := binary.BigEndian.AppendUint32([]byte(keyLicenses), p.ID)
	nowMs := e.clock.view()
	return e.o.Ledger.Scan(prefix, licensesKey(p.ID, after+1), false, func(_, block []byte) (bool, error) {
		more := true
		var batch []License
		err := decodeLicenses(p.ID, block, func(r *LicenseRow) bool {
			if r.Serial > after {
				batch = append(batch, License{Row: *r})
			}
			return true
		})
		if err != nil {
			return false, err
		}
		if err := e.fillLicenses(p, batch, nowMs); err != nil {
			return false, err
		}
		for i := range batch {
			if more = fn(&batch[i]); !more {
				break
			}
		}
		return more, nil
	})
}

// fillLicenses adds what the catalogue and the device table know about rows of the ledger.
func (e *Engine) fillLicenses(p *license.Product, batch []License, nowMs int64) error {
	return e.View(func(v *View) {
		p := v.Catalogue.ProductByID(p.ID)
		nowS := nowMs / 1000
		for i := range batch {
			l := &batch[i]
			l.Source = p.SourceOf(l.Row.Pool)
			l.ExpiresS = p.ExpiryS(l.Row.ActivatedS)
			slot := e.table.Find(e.table.KeyOf(p.ID, []byte(l.Row.Device)))
			l.Active = slot != nil && slot.License().Generation() == l.Row.Generation &&
				slot.License().State() == counters.LicenseActive && nowS < l.ExpiresS
		}
	})
}
