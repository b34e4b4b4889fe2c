package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// Hot path, with the package websocket: the frame around every batch and answer of a stream.

// FrameKind says what a Frame carries: the number of that field in meterd.v1.Frame.
type FrameKind uint8

// The kinds of frames. A gateway sends batches and acks, the daemon the rest.
const (
	FrameBatch FrameKind = 2 + iota
	FrameAnswer
	FrameProblem
	FrameCommand
	FrameWelcome
	FrameCredit
	FrameAck
)

// The other fields of meterd.v1.Frame.
const (
	frameSequence = 1
	frameReplayed = 9
)

// FrameOverheadMax is how much longer a Frame can be than its Body.
const FrameOverheadMax = 1 + varintBytesMax + 1 + varintBytesMax + 2

// Frame is one message of a stream, a meterd.v1.Frame.
type Frame struct {
	Sequence uint64 // of a batch, its answer or its problem; 0: it has none
	Kind     FrameKind
	Body     []byte // the message that Kind names, encoded
	Replayed bool   // with an answer: it was given before
}

// Bytes returns how many bytes AppendFrame appends.
func (f *Frame) Bytes() int {
	n := 1 + uvarintBytes(uint64(len(f.Body))) + len(f.Body)
	if f.Sequence != 0 {
		n += 1 + uvarintBytes(f.Sequence)
	}
	if f.Replayed {
		n += 2
	}
	return n
}

func uvarintBytes(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// AppendFrameHead appends what comes before the body of a frame: a sender that has the body in place already writes
// this in front of it. Such a frame is not Replayed.
func AppendFrameHead(dst []byte, f *Frame) []byte {
	dst = appendUint(dst, frameSequence, f.Sequence)
	dst = append(dst, byte(f.Kind)<<3|wireBytes)
	return binary.AppendUvarint(dst, uint64(len(f.Body)))
}

// AppendFrame appends a frame.
func AppendFrame(dst []byte, f *Frame) []byte {
	dst = append(AppendFrameHead(dst, f), f.Body...)
	if f.Replayed {
		dst = append(dst, frameReplayed<<3|wireVarint, 1)
	}
	return dst
}

// DecodeFrame reads one message of a stream. It must carry exactly one body; fields that are not known are passed over.
// Body points into b, and may be empty. It does not allocate unless it returns an error.
func DecodeFrame(b []byte) (f Frame, err error) {
	for len(b) > 0 {
		var v pbField
		if v, b, err = nextField(b); err != nil {
			return Frame{}, err
		}
		switch {
		case v.number == frameSequence:
			f.Sequence, err = v.uint()
		case v.number == frameReplayed:
			var n uint64
			n, err = v.uint()
			f.Replayed = n != 0
		case v.number < uint64(FrameBatch) || v.number > uint64(FrameAck):
		case v.wire != wireBytes:
			err = errWireType
		case f.Kind != 0:
			err = errTwoBodies
		default:
			f.Kind, f.Body = FrameKind(v.number), v.text
		}
		if err != nil {
			return Frame{}, fmt.Errorf("field %d: %w", v.number, err)
		}
	}
	if f.Kind == 0 {
		return Frame{}, errNoBody
	}
	return f, nil
}

var (
	errField     = errors.New("it is cut off, or no field of proto3")
	errWireType  = errors.New("it has the wire type of something else")
	errUTF8      = errors.New("it is not UTF-8")
	errTwoBodies = errors.New("a frame carries one body")
	errNoBody    = errors.New("it carries nothing that is known")
)

// pbField is one field of a message.
type pbField struct {
	number uint64
	wire   uint64
	value  uint64 // with wireVarint
	text   []byte // with wireBytes
}

// nextField takes the field that b begins with, and returns what follows it.
func nextField(b []byte) (f pbField, rest []byte, err error) {
	key, n := binary.Uvarint(b)
	if n <= 0 || key>>3 == 0 || key>>3 > 1<<29-1 {
		return pbField{}, nil, errField
	}
	f.number, f.wire = key>>3, key&7
	b = b[n:]
	var size uint64
	switch f.wire {
	case wireVarint:
		if f.value, n = binary.Uvarint(b); n <= 0 {
			return pbField{}, nil, errField
		}
		return f, b[n:], nil
	case wireFixed64:
		size = 8
	case wireFixed32:
		size = 4
	case wireBytes:
		if size, n = binary.Uvarint(b); n <= 0 {
			return pbField{}, nil, errField
		}
		b = b[n:]
	default:
		return pbField{}, nil, errField
	}
	if size > uint64(len(b)) {
		return pbField{}, nil, errField
	}
	f.text = b[:size:size]
	return f, b[size:], nil
}

func (f *pbField) uint() (uint64, error) {
	if f.wire != wireVarint {
		return 0, errWireType
	}
	return f.value, nil
}

func (f *pbField) string() (string, error) {
	switch {
	case f.wire != wireBytes:
		return "", errWireType
	case !utf8.Valid(f.text):
		return "", errUTF8
	}
	return string(f.text), nil
}
