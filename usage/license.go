package usage

import (
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/shard/views"
)

// LicenseRow is one consumption of a licence of a product.
type LicenseRow struct {
	Serial     uint64
	Device     []byte // valid until the function that gets it returns
	Pool       uint32
	ActivatedS int64 // Unix seconds
	Generation uint32
}

const licenseBlockVersion = 1

func appendLicenses(dst []byte, rows []views.License) []byte {
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

// decodeLicenses calls fn for every row of a block. The row and its device's name are valid until fn returns.
func decodeLicenses(block []byte, fn func(*LicenseRow) error) error {
	if len(block) == 0 || block[0] != licenseBlockVersion {
		return errLicenseBlock
	}
	b := block[1:]
	var row LicenseRow
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
		row.Device = b[1:end]
		b = b[end:]
		if err := fn(&row); err != nil {
			return err
		}
	}
	return nil
}
