package retention

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/meterd/meterd/retention/disk"
)

// Badger's MANIFEST names the tables that belong to a directory: eight bytes of head, then records of a length, a
// CRC32C and so many bytes, both big-endian. Badger takes whatever does not fit the file for a torn tail, cuts it off,
// and deletes the tables that are named in it: one flipped bit in a length would cost everything that was flushed. A
// tail that was really torn is the beginning of one record and nothing else, so what looks like more is refused.
const (
	manifestHeadBytes   = 8
	manifestRecordBytes = 8
)

// checkManifest refuses a MANIFEST whose end cannot have come from a kill.
func checkManifest(dir string) error {
	path := filepath.Join(dir, "MANIFEST")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // The directory is new; a missing one beside tables Badger refuses itself.
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	tail := manifestTail(data)
	if tail == len(data) || !manifestGoesOn(data[tail:]) {
		return nil
	}
	return disk.Damage(path, "the record at byte %d has a bad length or checksum, and there is more behind it", tail)
}

// manifestTail returns where the records end that are whole.
func manifestTail(data []byte) int {
	at := min(manifestHeadBytes, len(data))
	for {
		n, ok := manifestRecord(data[at:])
		if !ok {
			return at
		}
		at += n
	}
}

// manifestRecord returns the size of the record that b begins with, if it is whole.
func manifestRecord(b []byte) (bytes int, ok bool) {
	if len(b) < manifestRecordBytes {
		return 0, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-manifestRecordBytes) {
		return 0, false
	}
	body := b[manifestRecordBytes : manifestRecordBytes+n]
	return manifestRecordBytes + int(n), crc32.Checksum(body, castagnoli) == binary.BigEndian.Uint32(b[4:])
}

// manifestGoesOn reports whether a tail is more than the beginning of one record: the record is there but for its
// length, or a whole one follows. Records that name nothing are not looked for: zeros would look like them.
func manifestGoesOn(tail []byte) bool {
	if len(tail) > manifestRecordBytes {
		for end := manifestRecordBytes + 1; end <= len(tail); end++ {
			if crc32.Checksum(tail[manifestRecordBytes:end], castagnoli) == binary.BigEndian.Uint32(tail[4:]) {
				return true
			}
			if end-manifestRecordBytes > manifestScanBytes {
				break
			}
		}
	}
	for at := 1; at < len(tail); at++ {
		if n, ok := manifestRecord(tail[at:]); ok && n > manifestRecordBytes {
			return true
		}
	}
	return false
}
