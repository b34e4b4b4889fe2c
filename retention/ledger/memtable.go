package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/meterd/meterd/retention/disk"
)

// A memtable's file is a header of 20 bytes, then entries, then zeroes (badger v4.9.6 memtable.go, structs.go):
//
//	entry  ┌─────────┬──────────────┬────────────┬──────────────┬─────────┬─────┬───────┬───────────────┐
//	       │ meta u8 │ user meta u8 │ key length │ value length │ expires │ key │ value │ crc32c u32 BE │
//	       └─────────┴──────────────┴────────────┴──────────────┴─────────┴─────┴───────┴───────────────┘
//	                                  uvarint      uvarint        uvarint
const memtableHeaderBytes = 20

// checkMemtables looks at the memtables that a kill has left, oldest first.
func checkMemtables(dir string, memtables files, memTableBytes int64) error {
	for i, f := range memtables {
		path := filepath.Join(dir, f.name)
		if f.bytes > 2*memTableBytes {
			return disk.Damage(path, "it has %d bytes, and %d are the most", f.bytes, 2*memTableBytes)
		}
		if i == len(memtables)-1 {
			break // What is cut off from the newest one was written last.
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("check a memtable: %w", err)
		}
		if end := entriesEnd(data); len(bytes.TrimLeft(data[end:], "\x00")) > 0 {
			return disk.Damage(path, "the entry at byte %d has a bad checksum", end)
		}
	}
	return nil
}

// discardBytes is what Badger makes the file of garbage counts with (discard.go, InitDiscardStats).
const discardBytes = 1 << 20

// removeUnmade removes what Badger would refuse although nothing is lost with it: empty memtables and value logs, and a
// DISCARD that is too short, over which a compaction would panic. A power cut may keep the name of a new file and not
// its size; nothing in it was acknowledged then. Badger removes a memtable that tables hold, or an old value log, in
// two steps, of which the first one empties it; a kill may come between them. DISCARD only counts garbage.
func removeUnmade(dir string) error {
	files, err := listFiles(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		ext := filepath.Ext(f.name)
		isUnmade := f.bytes == 0 && (ext == ".vlog" || ext == ".mem") || f.name == "DISCARD" && f.bytes < discardBytes
		if !isUnmade {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.name)); err != nil {
			return fmt.Errorf("remove a file that has no content yet: %w", err)
		}
	}
	return nil
}

// entriesEnd returns where the last good entry ends.
func entriesEnd(data []byte) int {
	at := min(memtableHeaderBytes, len(data))
	for {
		n := entryBytes(data[at:])
		if n == 0 {
			return at
		}
		at += n
	}
}

// entryBytes returns the length of the good entry that b begins with, 0 when there is none.
func entryBytes(b []byte) int {
	const metaBytes = 2
	at := metaBytes
	var lengths [3]uint64 // of key and value; the third one is when it expires
	for i := range lengths {
		v, n := binary.Uvarint(b[min(at, len(b)):])
		if n <= 0 {
			return 0
		}
		lengths[i] = v
		at += n
	}
	left := uint64(len(b) - at)
	key, value := lengths[0], lengths[1]
	if key == 0 || key > left || value > left-key || left-key-value < crc32.Size {
		return 0
	}
	end := at + int(key+value)
	if crc32.Checksum(b[:end], castagnoli) != binary.BigEndian.Uint32(b[end:]) {
		return 0
	}
	return end + crc32.Size
}
