package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/dgraph-io/badger/v4/fb"

	"github.com/meterd/meterd/retention/disk"
)

// checkTable proves every block of a table and its index: Badger takes the lengths in them for granted, and reads past
// a block with a bad checksum as if its rows had never been (iterator.go, setBlock: nobody asks for the error). A
// gigabyte takes half a second when it is in memory.
//
//	table  ┌─────────┬─────┬───────┬──────────┬───────────────┬──────────┬───────────────┐
//	       │ block 0 │  …  │ index │          │ length u32 BE │ checksum │ length u32 BE │
//	       └─────────┴─────┴───────┴──────────┴───────────────┴──────────┴───────────────┘
//	block  ┌─────────┬─────────────────┬────────────────┬──────────┬───────────────┐
//	       │ entries │ offsets u32 × n │ n u32 BE       │ checksum │ length u32 BE │
//	       └─────────┴─────────────────┴────────────────┴──────────┴───────────────┘
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
	err = recovered(func() error { return proveTable(f, info.Size()) }) // The index is read by generated code.
	var failed *os.PathError
	if errors.As(err, &failed) {
		return fmt.Errorf("check a table: %w", err)
	}
	if err != nil {
		return disk.Damage(path, "%v", err)
	}
	return nil
}

func proveTable(f io.ReaderAt, size int64) error {
	sum, end, err := readBefore(f, size, "checksum")
	if err != nil {
		return err
	}
	index, _, err := readBefore(f, end, "index")
	if err != nil {
		return err
	}
	if !isChecksumOf(sum, index) {
		return errors.New("its index has a bad checksum")
	}
	table := fb.GetRootAsTableIndex(index, 0)
	var block fb.BlockOffset
	var buf []byte
	for i := range table.OffsetsLength() {
		if !table.Offsets(&block, i) {
			return fmt.Errorf("its index has no block %d", i)
		}
		buf = append(buf[:0], make([]byte, block.Len())...)
		if _, err := f.ReadAt(buf, int64(block.Offset())); err != nil {
			return fmt.Errorf("read block %d: %w", i, err)
		}
		if !isBlock(buf) {
			return fmt.Errorf("block %d at byte %d has a bad checksum", i, block.Offset())
		}
	}
	return nil
}

// readBefore reads the piece that ends at end with its length, and returns where it begins.
func readBefore(f io.ReaderAt, end int64, what string) (piece []byte, begin int64, err error) {
	var length [4]byte
	if end < int64(len(length)) {
		return nil, 0, fmt.Errorf("it is cut off: the length of its %s is missing", what)
	}
	end -= int64(len(length))
	if _, err := f.ReadAt(length[:], end); err != nil {
		return nil, 0, fmt.Errorf("read the length of its %s: %w", what, err)
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > end || n > indexBytesMax {
		return nil, 0, fmt.Errorf("the length at byte %d says %d bytes of %s", end, n, what)
	}
	piece = make([]byte, n)
	if _, err := f.ReadAt(piece, end-n); err != nil {
		return nil, 0, fmt.Errorf("read its %s: %w", what, err)
	}
	return piece, end - n, nil
}

// isBlock reports whether a block is what was written.
func isBlock(b []byte) bool {
	end := len(b) - 4
	if end < 0 {
		return false
	}
	n := int64(binary.BigEndian.Uint32(b[end:]))
	return n <= int64(end) && isChecksumOf(b[int64(end)-n:end], b[:int64(end)-n])
}

// isChecksumOf reports whether sum is Badger's checksum of data: a protobuf message of one field, the CRC32C.
func isChecksumOf(sum, data []byte) bool {
	var want [11]byte
	n := 0
	if crc := crc32.Checksum(data, castagnoli); crc != 0 {
		want[0] = 2 << 3
		n = 1 + binary.PutUvarint(want[1:], uint64(crc))
	}
	return bytes.Equal(sum, want[:n])
}
