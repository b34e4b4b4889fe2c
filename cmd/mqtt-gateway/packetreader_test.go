package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/mochi-mqtt/server/v2/packets"
)

// split reads a stream through a packetReader with max, and returns what the broker reads and the bodies that it does
// not. chunks lets the network hand over one byte at a time.
func split(stream []byte, maxBytes int, chunks bool) (passed []byte, refused [][]byte, err error) {
	var from io.Reader = bytes.NewReader(stream)
	if chunks {
		from = iotest.OneByteReader(from)
	}
	r := packetReader{from: bufio.NewReaderSize(from, 16), max: maxBytes}
	r.oversized = func(first byte, remaining int) error {
		if first>>4 != packets.Publish || 1+remaining <= maxBytes {
			return errors.New("BUG: it is not oversized")
		}
		body := make([]byte, min(remaining, len(stream))) // Not what the length claims.
		n, err := io.ReadFull(r.from, body)
		refused = append(refused, body[:n])
		return err
	}
	passed, err = io.ReadAll(&r)
	return passed, refused, err
}

func TestPacketReaderTakesOutWhatIsTooLong(t *testing.T) {
	body := bytes.Repeat([]byte{'b'}, 200)
	short, long := append([]byte{0x30, 9}, body[:9]...), append([]byte{0x3D, 0xC8, 0x01}, body...)
	subscribe := append([]byte{0x82, 0xC8, 0x01}, body...)
	for name, tc := range map[string]struct {
		stream  []byte
		passed  []byte
		refused int
		err     error
	}{
		"nothing":                     {nil, nil, 0, nil},
		"short ones":                  {slices.Concat(short, short), slices.Concat(short, short), 0, nil},
		"a long one between short":    {slices.Concat(short, long, short), slices.Concat(short, short), 1, nil},
		"long ones":                   {slices.Concat(long, long), nil, 2, nil},
		"a long one of another type":  {slices.Concat(subscribe, short), slices.Concat(subscribe, short), 0, nil},
		"no length":                   {[]byte{0x30, 0x80}, nil, 0, nil},
		"a length of more than four":  {[]byte{0x30, 0x80, 0x80, 0x80, 0x80, 0}, nil, 0, errMalformedLength},
		"a length longer than needed": {slices.Concat([]byte{0x30, 0x81, 0}, body[:1]), []byte{0x30, 0x81, 0, 'b'}, 0, nil},
		"the end within a long one":   {long[:100], nil, 1, io.ErrUnexpectedEOF},
	} {
		for _, chunks := range []bool{false, true} {
			passed, refused, err := split(tc.stream, 100, chunks)
			if !bytes.Equal(passed, tc.passed) || len(refused) != tc.refused || !errors.Is(err, tc.err) {
				t.Errorf("%s: passed %x, refused %d, %v", name, passed, len(refused), err)
			}
		}
	}
}

// FuzzPacketReader: nothing is added or lost, however the network cuts the stream, and what passes is what the broker
// would take.
func FuzzPacketReader(f *testing.F) {
	f.Add([]byte{0x30, 1, 'x', 0x32, 20, 'y'}, uint8(10))
	f.Add([]byte{0x10, 0x80, 0x01}, uint8(3))
	f.Add([]byte{0x3F, 0xFF, 0xFF, 0xFF, 0x7F, 0}, uint8(200))
	f.Fuzz(func(t *testing.T, stream []byte, maxBytes uint8) {
		passed, refused, err := split(stream, int(maxBytes), false)
		again, refusedAgain, errAgain := split(stream, int(maxBytes), true)
		if !bytes.Equal(passed, again) || !slices.EqualFunc(refused, refusedAgain, bytes.Equal) ||
			(err == nil) != (errAgain == nil) {
			t.Fatalf("cut into bytes it differs: %x %x %v, %x %x %v", passed, refused, err, again, refusedAgain, errAgain)
		}
		if len(refused) == 0 && !bytes.HasPrefix(stream, passed) {
			t.Fatalf("%x became %x", stream, passed)
		}
		for rest := passed; len(rest) > 1; {
			r := bytes.NewReader(rest[1:])
			remaining, _, err := packets.DecodeLength(r)
			if err != nil {
				t.Fatalf("a packet without a length passed: %x", rest)
			}
			if rest[0]>>4 == packets.Publish && 1+remaining > int(maxBytes) {
				t.Fatalf("a PUBLISH of %d bytes passed", remaining)
			}
			rest = rest[len(rest)-r.Len():]
			rest = rest[min(remaining, len(rest)):]
		}
	})
}
