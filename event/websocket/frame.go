package websocket

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// Opcode says what a frame is.
type Opcode uint8

// The opcodes of RFC 6455.
const (
	Continuation Opcode = 0
	Text         Opcode = 1
	Binary       Opcode = 2
	Close        Opcode = 8
	Ping         Opcode = 9
	Pong         Opcode = 10
)

// IsControl reports whether frames of this kind may come between the fragments of a message.
func (o Opcode) IsControl() bool { return o >= Close }

const (
	// HeaderBytesMax is how long a header can be: two bytes, eight of length, four of mask.
	HeaderBytesMax = 14
	// ControlBytesMax bounds the payload of a control frame.
	ControlBytesMax = 125

	finalBit, maskBit  = 0x80, 0x80
	length16, length64 = 126, 127
)

// Header is what comes before a payload.
type Header struct {
	Opcode Opcode
	Final  bool // the last fragment of its message
	Masked bool // by Mask: what clients send
	Mask   [4]byte
	Length uint64 // bytes of the payload
}

var (
	errReserved = errors.New("it has reserved bits or an unknown opcode")
	errControl  = errors.New("a control frame is fragmented, or longer than 125 bytes")
	errLength   = errors.New("its length is not in the shortest form")
	errClose    = errors.New("a close frame has no code, one that may not be sent, or a reason that is not UTF-8")
)

// ParseHeader reads the header that b begins with. n is its length, 0 if b ends before it does. An error means that the
// connection can only be closed, with CloseProtocol.
func ParseHeader(b []byte) (h Header, n int, err error) {
	if len(b) < 2 {
		return Header{}, 0, nil
	}
	h = Header{Opcode: Opcode(b[0] & 0x0f), Final: b[0]&finalBit != 0, Masked: b[1]&maskBit != 0}
	isKnown := h.Opcode <= Binary || h.Opcode >= Close && h.Opcode <= Pong
	length := b[1] &^ maskBit
	switch {
	case b[0]&0x70 != 0 || !isKnown:
		return Header{}, 0, errReserved
	case h.Opcode.IsControl() && (!h.Final || length > ControlBytesMax):
		return Header{}, 0, errControl
	}
	n = 2
	switch length {
	default:
		h.Length = uint64(length)
	case length16:
		if n += 2; len(b) < n {
			return Header{}, 0, nil
		}
		if h.Length = uint64(binary.BigEndian.Uint16(b[2:])); h.Length < length16 {
			return Header{}, 0, errLength
		}
	case length64:
		if n += 8; len(b) < n {
			return Header{}, 0, nil
		}
		if h.Length = binary.BigEndian.Uint64(b[2:]); h.Length>>16 == 0 || h.Length>>63 != 0 {
			return Header{}, 0, errLength
		}
	}
	if h.Masked {
		if len(b) < n+len(h.Mask) {
			return Header{}, 0, nil
		}
		n += copy(h.Mask[:], b[n:])
	}
	return h, n, nil
}

// AppendHeader appends h.
func AppendHeader(dst []byte, h Header) []byte {
	first, second := byte(h.Opcode), byte(0)
	if h.Final {
		first |= finalBit
	}
	if h.Masked {
		second = maskBit
	}
	switch {
	case h.Length < length16:
		dst = append(dst, first, second|byte(h.Length))
	case h.Length < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, first, second|length16), uint16(h.Length))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, second|length64), h.Length)
	}
	if h.Masked {
		dst = append(dst, h.Mask[:]...)
	}
	return dst
}

// Mask masks a whole payload in place, or takes the mask off: both are the same.
func Mask(payload []byte, mask [4]byte) {
	word := uint64(binary.LittleEndian.Uint32(mask[:]))
	word |= word << 32
	for len(payload) >= 8 {
		binary.LittleEndian.PutUint64(payload, binary.LittleEndian.Uint64(payload)^word)
		payload = payload[8:]
	}
	for i := range payload {
		payload[i] ^= mask[i&3]
	}
}

// Code says why a connection is closed.
type Code uint16

// The codes that are used here (RFC 6455, 7.4.1).
const (
	CloseNormal      Code = 1000
	CloseGoingAway   Code = 1001
	CloseProtocol    Code = 1002
	CloseUnsupported Code = 1003
	CloseNone        Code = 1005 // no code was given; never sent
	CloseInvalid     Code = 1007
	ClosePolicy      Code = 1008
	CloseTooBig      Code = 1009
	CloseInternal    Code = 1011
)

// AppendControl appends an unmasked control frame: a Ping or a Pong with a payload of at most ControlBytesMax bytes.
func AppendControl(dst []byte, o Opcode, payload []byte) []byte {
	payload = payload[:min(len(payload), ControlBytesMax)]
	return append(AppendHeader(dst, Header{Opcode: o, Final: true, Length: uint64(len(payload))}), payload...)
}

// AppendClose appends an unmasked close frame. A reason that is too long for one is cut. CloseNone stands for none.
func AppendClose(dst []byte, code Code, reason string) []byte {
	if code == CloseNone {
		return AppendControl(dst, Close, nil)
	}
	reason = reason[:min(len(reason), ControlBytesMax-2)]
	for !utf8.ValidString(reason) {
		reason = reason[:len(reason)-1]
	}
	dst = AppendHeader(dst, Header{Opcode: Close, Final: true, Length: uint64(2 + len(reason))})
	return append(binary.BigEndian.AppendUint16(dst, uint16(code)), reason...)
}

// ParseClose reads the payload of a close frame. An empty one has the code CloseNone.
func ParseClose(payload []byte) (code Code, reason string, err error) {
	if len(payload) == 0 {
		return CloseNone, "", nil
	}
	if len(payload) < 2 || !utf8.Valid(payload[2:]) {
		return 0, "", errClose
	}
	code = Code(binary.BigEndian.Uint16(payload))
	isAssigned := code >= 1000 && code <= 1014 && code != 1004 && code != CloseNone && code != 1006
	if !isAssigned && (code < 3000 || code > 4999) {
		return 0, "", errClose
	}
	return code, string(payload[2:]), nil
}
