package usage

import (
	"encoding/binary"

	"github.com/meterd/meterd/shard/views"
)

// Reader is what rows are read from: the ledger as it goes on, or at one instant.
type Reader interface {
	Get(key []byte) (value []byte, found bool, err error)
	Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error
}

// Rows reads the ledger's rows. It is safe for concurrent use.
type Rows struct {
	r     Reader
	codec *dayCodec
	ended ended
}

// NewRows returns the rows that r has.
func NewRows(r Reader) *Rows { return &Rows{r: r, codec: newDayCodec()} }

// AvailableFromMs implements views.Gapped: the instant before which groups are missing, Unix milliseconds, 0 if none
// are.
func (r *Rows) AvailableFromMs() (int64, error) {
	value, found, err := r.r.Get([]byte(keyBegin))
	if err != nil || !found || len(value) != 8 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

// Licenses calls fn for the licences that a product has consumed with a serial above after, a block at a time, in the
// order of serials, until fn returns false.
func (r *Rows) Licenses(product uint32, after uint64, fn func([]views.License) (more bool, err error)) error {
	return r.licenseBlocks(product, after, func(block []byte) (bool, error) {
		var rows []views.License
		err := decodeLicenses(block, func(row *LicenseRow) error {
			if row.Serial > after {
				rows = append(rows, views.License{
					Serial: row.Serial, Product: product, Device: string(row.Device), Pool: row.Pool,
					ActivatedS: row.ActivatedS, Generation: row.Generation,
				})
			}
			return nil
		})
		if err != nil || len(rows) == 0 {
			return true, err
		}
		after = rows[len(rows)-1].Serial
		return fn(rows)
	})
}

// EachLicense calls fn for the licences that a product has consumed, each once, in the order of serials.
func (r *Rows) EachLicense(product uint32, fn func(*LicenseRow) error) error {
	last := uint64(0)
	return r.licenseBlocks(product, 0, func(block []byte) (bool, error) {
		return true, decodeLicenses(block, func(row *LicenseRow) error {
			if row.Serial <= last {
				return nil
			}
			last = row.Serial
			return fn(row)
		})
	})
}

// licenseBlocks calls fn for the blocks that may have a serial above after.
func (r *Rows) licenseBlocks(product uint32, after uint64, fn func(block []byte) (more bool, err error)) error {
	return r.r.Scan(key32(keyLicenses, product), key64(keyLicenses, product, after+1), false,
		func(_, block []byte) (bool, error) { return fn(block) })
}
