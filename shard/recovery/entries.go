package recovery

import (
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/retention/disk"
)

// shardPieces cuts an image that has its shard before it into pieces of at most n bytes that each have. The shard takes
// the place of the byte before the piece, which was in the last one: a piece is valid until the next one is asked for,
// and the image is used up. Copying a gigabyte would keep the garbage collector busy.
func shardPieces(image []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		shard := image[0]
		for len(image) > 1 {
			image[0] = shard
			k := min(len(image), n)
			if !yield(image[:k]) {
				return
			}
			image = image[k-1:]
		}
	}
}

// pieces cuts b into pieces of at most n bytes.
func pieces(b []byte, n int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			k := min(n, len(b))
			if !yield(b[:k]) {
				return
			}
			b = b[k:]
		}
	}
}

// sections gathers entries into sections that a checkpoint takes.
type sections struct {
	done [][]byte
	open []byte
}

// add appends one entry, which fn appends to the open section.
func (s *sections) add(fn func(dst []byte) []byte) {
	at := len(s.open)
	s.open = fn(s.open)
	if len(s.open) > disk.SectionBytesMax {
		s.done = append(s.done, s.open[:at:at])
		s.open = append([]byte(nil), s.open[at:]...)
	}
}

func (s *sections) all() [][]byte {
	if len(s.open) == 0 {
		return s.done
	}
	return append(s.done, s.open)
}

// appendEntry appends what fn appends, with its length before it.
func appendEntry(dst []byte, fn func([]byte) []byte) []byte {
	at := len(dst)
	dst = fn(append(dst, 0, 0))
	binary.LittleEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
	return dst
}

var errSection = errors.New("a section is damaged")

// eachEntry calls fn for every entry of a section, each with its length of two bytes before it.
func eachEntry(data []byte, fn func(entry []byte) error) error {
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.LittleEndian.Uint16(data)) {
			return errSection
		}
		entry := data[2 : 2+int(binary.LittleEndian.Uint16(data))]
		data = data[2+len(entry):]
		if err := fn(entry); err != nil {
			return err
		}
	}
	return nil
}
