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
type Rows struct{ r Reader }

// NewRows returns the rows that r has.
func NewRows(r Reader) *Rows { return &Rows{r: r} }

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
	return r.r.Scan(key32(keyLicenses, product), key64(keyLicenses, product, after+1), false,
		func(_, block []byte) (bool, error) {
			var rows []views.License
			err := decodeLicenses(product, block, func(row *views.License) {
				if row.Serial > after {
					rows = append(rows, *row)
				}
			})
			if err != nil || len(rows) == 0 {
				return true, err
			}
			after = rows[len(rows)-1].Serial
			return fn(rows)
		})
}
