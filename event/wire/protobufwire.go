package wire

import (
	"encoding/binary"

	"github.com/meterd/meterd/event"
)

// The wire format of protobuf, as far as a batch and its answer need it:
// https://protobuf.dev/programming-guides/encoding/

// The wire types that proto3 uses.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// varintBytesMax is how long a number can be. As many zeros follow a body that is read.
const varintBytesMax = binary.MaxVarintLen64

// varint reads the number at i; one that is over 64 bits fails. A number that the body cuts off ends behind the body.
func (r *protoReader) varint(i int) (v uint64, next int) {
	v, n := binary.Uvarint(r.src[min(i, len(r.src)):])
	if n <= 0 {
		return 0, -1
	}
	return v, i + n
}

// length reads a length at i and returns where its bytes begin and end, -1 if they do not end within the body.
func (r *protoReader) length(i int) (from, to int) {
	n := uint64(r.src[i])
	if i++; n >= 0x80 {
		if n, i = r.varint(i - 1); i < 0 {
			return 0, -1
		}
	}
	if i > r.end || n > uint64(r.end-i) {
		return 0, -1
	}
	return i, i + int(n)
}

// skip passes over the value at i of a field that this version does not know.
func (r *protoReader) skip(wire uint64, i int) int {
	switch wire {
	case wireVarint:
		_, i = r.varint(i)
	case wireFixed64:
		i += 8
	case wireFixed32:
		i += 4
	case wireBytes:
		_, i = r.length(i)
	default: // Groups, which proto3 does not have.
		i = -1
	}
	if i < 0 || i > r.end {
		return r.fail(0, "an unknown field is cut off, or no field of proto3")
	}
	return i
}

// appendUint appends a field with a number, nothing for 0.
func appendUint(dst []byte, number int, v uint64) []byte {
	if v == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(number)<<3|wireVarint)
	return binary.AppendUvarint(dst, v)
}

// appendText appends a field with a string, nothing for an empty one.
func appendText(dst []byte, number int, s string) []byte {
	if s == "" {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(number)<<3|wireBytes)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// AppendResultProtobuf appends the answer to a batch as a meterd.v1.Answer.
func AppendResultProtobuf(dst []byte, r *event.Result) []byte {
	dst = appendUint(dst, 1, uint64(r.Accepted))
	return appendDenialList(appendDenialList(dst, 2, r.Denials), 3, r.WouldDeny)
}

// appendDenialList appends the entries of a repeated field of denials.
func appendDenialList(dst []byte, field byte, list []event.Denial) []byte {
	for i := range list {
		// A denial is short, yet its length comes first and takes one byte or two: it is written behind room for two.
		dst = append(dst, field<<3|wireBytes, 0, 0)
		from := len(dst)
		dst = appendDenial(dst, &list[i])
		n := len(dst) - from
		if n < 0x80 {
			dst[from-2] = byte(n)
			dst = append(dst[:from-1], dst[from:]...)
			continue
		}
		dst[from-2], dst[from-1] = byte(n)|0x80, byte(n>>7)
	}
	return dst
}

// appendDenial appends the fields of a meterd.v1.Denial.
func appendDenial(dst []byte, d *event.Denial) []byte {
	v := &d.Verdict
	dst = appendUint(dst, 1, uint64(d.Index))
	dst = appendText(dst, 2, v.Code.String())
	switch v.Code {
	case event.MessageQuotaExceeded, event.OTAQuotaExceeded:
		dst = appendUint(dst, 3, v.Limit)
		dst = appendUint(dst, 4, v.Used)
		if v.Code == event.OTAQuotaExceeded {
			dst = appendUint(dst, 5, v.Requested)
			dst = appendUint(dst, 6, v.TopupAvailable)
		}
		dst = appendUint(dst, 7, uint64(v.ResetsAtMs))
	case event.Suspended:
		dst = appendText(dst, 8, v.Scope.String())
	}
	if v.Fault != event.FaultNone {
		dst = appendText(dst, 9, v.Fault.Field())
		dst = appendText(dst, 10, v.Fault.Detail())
	}
	return dst
}
