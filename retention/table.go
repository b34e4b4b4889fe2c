package retention

import (
	"encoding/binary"
	"fmt"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// checkTables refuses a table whose footer points outside of it: Badger ends the process over one (table.go,
// readNoFail), in a goroutine of its own. What lies inside has checksums that Badger proves. The footer, from the end:
// 4 bytes length of the checksum, the checksum, 4 bytes length of the index, the index.
func checkTables(dir string) error {
	files, err := numberedFiles(dir, ".sst")
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := checkTable(f.path); err != nil {
			return err
		}
	}
	return nil
}

func checkTable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check a table: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("check a table: %w", err)
	}
	left := info.Size()
	if left == 0 {
		return nil // A kill can leave one that was just made; Badger deletes it, for no MANIFEST names it.
	}
	for _, what := range []string{"checksum", "index"} {
		var length [4]byte
		if left < int64(len(length)) {
			return disk.Damage(path, "its %d bytes end before the length of its %s", info.Size(), what)
		}
		left -= int64(len(length))
		if _, err := f.ReadAt(length[:], left); err != nil {
			return fmt.Errorf("check a table: %w", err)
		}
		if n := int64(binary.BigEndian.Uint32(length[:])); n <= left {
			left -= n
		} else {
			return disk.Damage(path, "the length at byte %d says %d bytes of %s, and there are %d", left, n, what, left)
		}
	}
	return nil
}
