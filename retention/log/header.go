package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// header is the first page of a segment, written with its first frame. It says where the log stood before, so that the
// bounds of a segment are known from its header and the next one's. FORMAT.md draws it.
type header struct {
	number uint64 // of the segment; a recycled file has another one until it is begun again
	salt   uint64 // random for each use of a file
	first  uint64 // the first group
	// Of the group before: its Chain and times; zeroes before group 1.
	before                      Chain
	beforeFirstMs, beforeLastMs int64
}

const (
	headerMagic   = 0x4745534d // "MSEG"
	headerVersion = 1
	headerBytes   = 4 + 4 + 8 + 8 + 8 + 16 + 8 + 8 + 4
	pageBytes     = 4096
	// headerCopyAt is where the second copy lies: another sector of the same page, so that one flipped byte does not make
	// a segment look as if it had never been begun.
	headerCopyAt = pageBytes / 2
)

// append appends one copy to dst.
func (h *header) append(dst []byte) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, headerMagic)
	dst = le.AppendUint32(dst, headerVersion)
	dst = le.AppendUint64(dst, h.number)
	dst = le.AppendUint64(dst, h.salt)
	dst = le.AppendUint64(dst, h.first)
	dst = append(dst, h.before[:]...)
	dst = le.AppendUint64(dst, uint64(h.beforeFirstMs))
	dst = le.AppendUint64(dst, uint64(h.beforeLastMs))
	return le.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// page writes both copies into a page.
func (h *header) page(page []byte) {
	clear(page)
	h.append(page[:0])
	h.append(page[headerCopyAt:headerCopyAt])
}

var (
	errBlank   = errors.New("blank")
	errVersion = errors.New("version")
)

// decode reads one copy. errBlank says that there are zeroes, errVersion that another version wrote it.
func (h *header) decode(b []byte) error {
	if len(b) < headerBytes {
		return errors.New("a header that is cut off")
	}
	b = b[:headerBytes]
	if allZero(b) {
		return errBlank
	}
	le := binary.LittleEndian
	if le.Uint32(b) != headerMagic || crc32.Checksum(b[:headerBytes-4], castagnoli) != le.Uint32(b[headerBytes-4:]) {
		return errors.New("a header whose checksum does not match")
	}
	if le.Uint32(b[4:]) != headerVersion {
		return errVersion
	}
	h.number, h.salt, h.first = le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:])
	copy(h.before[:], b[32:])
	h.beforeFirstMs, h.beforeLastMs = int64(le.Uint64(b[48:])), int64(le.Uint64(b[56:]))
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// begun is what a segment's header page says.
type begun struct {
	header
	is   bool // the file was begun as the segment that its name says
	half bool // one of the two copies is missing
}

// decodeBegun reads a header page. A file is not begun if a copy is blank or names another number: both copies are
// written at once, so a begun segment has lost neither. Two bad copies are damage.
func decodeBegun(page []byte, number uint64) (b begun, err error) {
	var own, other, bad int
	for at := 0; at <= headerCopyAt; at += headerCopyAt {
		var h header
		switch err := h.decode(page[at:]); {
		case errors.Is(err, errVersion):
			return b, fmt.Errorf(
				"it was written by a newer meterd, version %d of the format where this one knows %d: start the newer one",
				binary.LittleEndian.Uint32(page[at+4:]),
				headerVersion,
			)
		case errors.Is(err, errBlank) || err == nil && h.number != number:
			other++
		case err != nil:
			bad++
		default:
			b.header = h
			own++
		}
	}
	if own == 0 && other == 0 {
		return b, fmt.Errorf("both copies of the header at byte 0 are %w", disk.ErrDamaged)
	}
	if b.is = own > 0; b.is && b.first == 0 {
		return b, fmt.Errorf("the header at byte 0 is %w: its first group is 0", disk.ErrDamaged)
	}
	b.half = own == 1
	return b, nil
}

// readBegun reads the header page of a segment. What a short file lacks is zeroes.
func readBegun(f *os.File, number uint64) (begun, error) {
	page := make([]byte, pageBytes)
	if _, err := f.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) {
		return begun{}, fmt.Errorf("read %q: %w", f.Name(), err)
	}
	b, err := decodeBegun(page, number)
	switch {
	case errors.Is(err, disk.ErrDamaged):
		return b, disk.Damage(f.Name(), "%v", err)
	case err != nil:
		return b, fmt.Errorf("read %q: %w", f.Name(), err)
	}
	return b, nil
}
