package verify

import (
	"encoding/binary"
	"errors"
)

var errShort = errors.New("it ends in the middle of a value")

// input takes values from the front of bytes. After the first error it returns zeroes.
type input struct {
	b   []byte
	err error
}

func (in *input) fail(err error) {
	if in.err == nil {
		in.err = err
	}
	in.b = nil
}

// done returns the first error, or one if anything is left.
func (in *input) done() error {
	if in.err == nil && len(in.b) > 0 {
		return errors.New("bytes follow its end")
	}
	return in.err
}

func (in *input) take(n uint64) []byte {
	if n > uint64(len(in.b)) {
		in.fail(errShort)
		return nil
	}
	v := in.b[:n:n]
	in.b = in.b[n:]
	return v
}

func (in *input) u8() byte {
	if len(in.b) == 0 {
		in.fail(errShort)
		return 0
	}
	v := in.b[0]
	in.b = in.b[1:]
	return v
}

func (in *input) u64() uint64 {
	if v := in.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (in *input) uvarint() uint64 {
	if len(in.b) > 0 && in.b[0] < 0x80 {
		v := in.b[0]
		in.b = in.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail(errShort)
		return 0
	}
	in.b = in.b[n:]
	return v
}

// upTo reads a uvarint that must not be above most.
func (in *input) upTo(most uint64) uint64 {
	v := in.uvarint()
	if v > most {
		in.fail(errors.New("a value is larger than its field"))
		return 0
	}
	return v
}

func (in *input) u32() uint32 { return uint32(in.upTo(1<<32 - 1)) }

func (in *input) varint() int64 {
	v := in.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// text reads a length and so many bytes.
func (in *input) text() []byte { return in.take(in.uvarint()) }
