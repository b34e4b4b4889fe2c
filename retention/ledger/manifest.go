package ledger

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/dgraph-io/badger/v4"

	"github.com/meterd/meterd/retention/disk"
)

// checkManifest returns the tables that the manifest names. Badger reads it up to the first record that ends behind the
// file's end: a kill has cut it off, as a rule. It is damage when the record is whole but for its length, or when
// another one comes behind it.
//
//	record  ┌───────────────┬────────────┬───────┐
//	        │ length u32 BE │ crc32c u32 │ bytes │
//	        └───────────────┴────────────┴───────┘
func checkManifest(path string) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("check the manifest: %w", err)
	}
	defer f.Close()
	manifest, end, err := badger.ReplayManifestFile(f, 0, badger.DefaultOptions("").WithLogger(nil))
	if err != nil {
		return nil, disk.Damage(path, "%v", err)
	}
	if _, err := f.Seek(end, io.SeekStart); err != nil {
		return nil, fmt.Errorf("check the manifest: %w", err)
	}
	rest, err := io.ReadAll(io.LimitReader(f, manifestScanBytes))
	if err != nil {
		return nil, fmt.Errorf("check the manifest %q: %w", path, err)
	}
	if len(rest) > 8 && crc32.Checksum(rest[8:], castagnoli) == binary.BigEndian.Uint32(rest[4:]) {
		return nil, disk.Damage(path, "the record at byte %d, the last one, has a wrong length", end)
	}
	for at := 1; at < len(rest); at++ {
		if isManifestRecord(rest[at:]) {
			return nil, disk.Damage(path, "the record at byte %d has a wrong length: there is another one at %d",
				end, end+int64(at))
		}
	}
	return manifest.Tables, nil
}

// isManifestRecord reports whether b begins with a whole record. Zeroes are none: their checksum is right.
func isManifestRecord(b []byte) bool {
	if len(b) < 8 {
		return false
	}
	length := binary.BigEndian.Uint32(b)
	return length > 0 && uint64(length) <= uint64(len(b)-8) &&
		crc32.Checksum(b[8:8+length], castagnoli) == binary.BigEndian.Uint32(b[4:])
}
