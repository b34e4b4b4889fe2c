package cells

import (
	"encoding/binary"
)

// A note says of each event of a batch where it went, as runs, and whether the batch was one single event.

// encodeNote returns the note of a batch.
func encodeNote(at []int16, isSingle bool) []byte {
	b := []byte{version, 0}
	if isSingle {
		b[1] = 1
	}
	for i := 0; i < len(at); {
		n := 1
		for i+n < len(at) && at[i+n] == at[i] {
			n++
		}
		b = binary.AppendUvarint(b, uint64(n))
		b = append(b, byte(at[i]-refused))
		i += n
	}
	return b
}

// decodeNote fills at with what a note says. It returns false if the note is not one of so many events and cells.
func decodeNote(b []byte, at []int16, cells int) (isSingle, ok bool) {
	if len(b) < 2 || b[0] != version || b[1] > 1 {
		return false, false
	}
	isSingle, b = b[1] == 1, b[2:]
	done := 0
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || size == len(b) || n == 0 || n > uint64(len(at)-done) || int(b[size])+refused >= cells {
			return false, false
		}
		for range n {
			at[done] = int16(b[size]) + refused
			done++
		}
		b = b[size+1:]
	}
	return isSingle, done == len(at)
}
