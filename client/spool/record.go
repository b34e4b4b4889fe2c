package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/meterd/meterd/event"
)

// kind says what a record holds. The numbers are on disk.
type kind uint32

const (
	kindOrigin kind = 1
	kindEvents kind = 2
	kindSeal   kind = 3
	kindAnew   kind = 4
	kindSent   kind = 5
)

const (
	formatVersion = 1
	headBytes     = 16
	// alignBytes divides a sector, so that no head lies in two of them: a power cut leaves the whole of it or nothing.
	alignBytes = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal is how a batch is sent.
type Seal struct {
	Sequence uint64
	At       time.Time // when it got the sequence, to the millisecond
	Count    int       // events in Body
	Refused  []int     // indexes, rising, of those that the policy did not let pass
	Body     []byte    // a meterd.v1.Batch
}

// Passed returns how many events of s passed unasked.
func (s *Seal) Passed() int { return s.Count - len(s.Refused) }

// Content is what a Batch holds: a Seal, or Events that have none yet.
type Content struct {
	Events [][]byte // each a meterd.v1.Batch, oldest first
	Count  int      // events in them
	Seal   *Seal

	producer string
	dropped  bool // what was written last is not whole, and is more than a beginning
}

func (c *Content) isEmpty() bool { return c.Count == 0 && c.Seal == nil }

// passed returns how many events of c passed unasked.
func (c *Content) passed() int {
	if c.Seal != nil {
		return c.Seal.Passed()
	}
	return c.Count
}

var (
	errTorn = errors.New("the record is cut off")
	errSum  = errors.New("the record does not fit its sum")
)

// appendRecord appends a record whose body is made of parts.
func appendRecord(dst []byte, k kind, parts ...[]byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, headBytes)...)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	length := len(dst) - at - headBytes
	dst = append(dst, make([]byte, aligned(length)-length)...)
	head, body := dst[at:at+headBytes], dst[at+headBytes:]
	binary.LittleEndian.PutUint32(head, uint32(k))
	binary.LittleEndian.PutUint32(head[4:], uint32(length))
	binary.LittleEndian.PutUint32(head[8:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(head[12:], crc32.Checksum(head[:12], castagnoli))
	return dst
}

// appendOrigin appends the first record of a batch.
func appendOrigin(dst []byte, producer string) []byte {
	return appendRecord(dst, kindOrigin, binary.LittleEndian.AppendUint32(nil, formatVersion), []byte(producer))
}

// aligned returns how many bytes a body takes.
func aligned(length int) int { return (length + alignBytes - 1) / alignBytes * alignBytes }

func appendEvents(dst []byte, k kind, body []byte, count int) []byte {
	return appendRecord(dst, k, binary.LittleEndian.AppendUint32(nil, uint32(count)), body)
}

// appendSeal appends the record of s. The one that says that it is sent follows when this one is synced.
func appendSeal(dst []byte, s *Seal) []byte {
	fields := binary.LittleEndian.AppendUint64(nil, s.Sequence)
	fields = binary.LittleEndian.AppendUint64(fields, uint64(s.At.UnixMilli()))
	fields = binary.LittleEndian.AppendUint32(fields, uint32(s.Count))
	fields = binary.LittleEndian.AppendUint32(fields, uint32(len(s.Refused)))
	for _, i := range s.Refused {
		fields = binary.LittleEndian.AppendUint32(fields, uint32(i))
	}
	return appendRecord(dst, kindSeal, fields, s.Body)
}

// decodeRecord reads the record that b begins with and returns how many bytes it has. errTorn means that b is the
// beginning of one, or zeros.
func decodeRecord(b []byte) (k kind, body []byte, size int, err error) {
	if len(b) < headBytes || isZero(b) {
		return 0, nil, 0, errTorn
	}
	if binary.LittleEndian.Uint32(b[12:]) != crc32.Checksum(b[:12], castagnoli) {
		return 0, nil, 0, errSum
	}
	k, length := kind(binary.LittleEndian.Uint32(b)), binary.LittleEndian.Uint32(b[4:])
	if length > fileBytesMax || len(b) < headBytes+aligned(int(length)) {
		return 0, nil, 0, errTorn
	}
	size = headBytes + aligned(int(length))
	if binary.LittleEndian.Uint32(b[8:]) != crc32.Checksum(b[headBytes:size], castagnoli) {
		return 0, nil, 0, errSum
	}
	return k, b[headBytes : headBytes+length], size, nil
}

// hasRecord reports whether a whole record begins anywhere in b, at the places where one may.
func hasRecord(b []byte) bool {
	for at := 0; at < len(b); at += alignBytes {
		if _, _, _, err := decodeRecord(b[at:]); err == nil {
			return true
		}
	}
	return false
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// decodeContent reads the records of b and returns how many bytes of it are whole records. It fails when b is damaged.
// The Content points into b.
func decodeContent(b []byte) (c Content, whole int, err error) {
	for whole < len(b) {
		k, body, size, err := decodeRecord(b[whole:])
		switch {
		case errors.Is(err, errTorn):
			return c, whole, nil
		case err != nil && !hasRecord(b[whole+headBytes:]):
			c.dropped = true
			return c, whole, nil
		case err == nil:
			err = c.take(k, body, whole == 0)
		}
		if err != nil {
			return c, whole, fmt.Errorf("record at byte %d: %w", whole, err)
		}
		whole += size
	}
	return c, whole, nil
}

// take adds a record to c.
func (c *Content) take(k kind, body []byte, isFirst bool) error {
	if isFirst != (k == kindOrigin) {
		return fmt.Errorf("kind %d cannot stand here", k)
	}
	switch k {
	case kindOrigin:
		return c.takeOrigin(body)
	case kindAnew:
		*c = Content{producer: c.producer}
		return c.takeEvents(body)
	case kindEvents:
		return c.takeEvents(body)
	case kindSeal:
		return c.takeSeal(body)
	case kindSent:
		if c.Seal == nil {
			return errors.New("nothing can be sent without a seal")
		}
		return nil
	}
	return fmt.Errorf("kind %d is not known: a newer version may have written it", k)
}

func (c *Content) takeOrigin(body []byte) error {
	if len(body) < 4 || !event.ValidName(body[4:]) {
		return errors.New("it names no producer")
	}
	if v := binary.LittleEndian.Uint32(body); v != formatVersion {
		return fmt.Errorf("format version %d is not known: a newer version wrote it", v)
	}
	c.producer = string(body[4:])
	return nil
}

func (c *Content) takeEvents(body []byte) error {
	if c.Seal != nil || len(body) < 4 {
		return errors.New("events cannot stand here")
	}
	count := binary.LittleEndian.Uint32(body)
	if count == 0 || count > event.EventsMax {
		return fmt.Errorf("%d events cannot be", count)
	}
	c.Events, c.Count = append(c.Events, body[4:]), c.Count+int(count)
	return nil
}

func (c *Content) takeSeal(body []byte) error {
	const fields = 24
	if len(body) < fields {
		return errors.New("the seal is too short")
	}
	count, refused := binary.LittleEndian.Uint32(body[16:]), binary.LittleEndian.Uint32(body[20:])
	if count == 0 || count > event.EventsMax || refused >= count || len(body)-fields < 4*int(refused) {
		return fmt.Errorf("the seal cannot have %d events, of which %d were refused", count, refused)
	}
	s := &Seal{
		Sequence: binary.LittleEndian.Uint64(body),
		At:       time.UnixMilli(int64(binary.LittleEndian.Uint64(body[8:]))),
		Count:    int(count),
		Body:     body[fields+4*int(refused):],
	}
	for i := range int(refused) {
		n := int(binary.LittleEndian.Uint32(body[fields+4*i:]))
		if n >= s.Count || i > 0 && n <= s.Refused[i-1] {
			return errors.New("the seal's refused indexes do not rise")
		}
		s.Refused = append(s.Refused, n)
	}
	if s.Sequence == 0 {
		return errors.New("the seal has no sequence")
	}
	c.Seal = s
	return nil
}
