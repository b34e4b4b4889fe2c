package client

import (
	"encoding/binary"
	"strings"
)

// The fields of meterd.v1.Batch (event/proto/meterd/v1/batch.proto).
const (
	columnProducts       = 1
	columnDevices        = 2
	columnTypes          = 3
	columnSizes          = 4
	columnProductIndexes = 5
	columnDeviceIndexes  = 6
	columnPayloads       = 7
	columnTopics         = 8
	columnTopicIndexes   = 9
	columnTimes          = 10
	columnIDs            = 11

	wireBytes = 2 // of a key: a length and bytes follow
)

// appendBatch appends events, each of which must have passed check, as a meterd.v1.Batch.
func appendBatch(dst []byte, events []Event) []byte {
	var sizes, times, topics, ids, payloads bool
	for i := range events {
		e := &events[i]
		sizes = sizes || sized(e.Type) && e.bytes() > 0
		times = times || !e.Time.IsZero()
		topics = topics || e.Topic != ""
		ids = ids || e.ID != ""
		payloads = payloads || len(e.Payload) > 0
	}
	dst = appendTable(dst, columnProducts, columnProductIndexes, events, func(e *Event) string { return e.Product })
	dst = appendTable(dst, columnDevices, columnDeviceIndexes, events, func(e *Event) string { return e.Device })
	dst = appendNumbers(
		dst,
		columnTypes,
		events,
		func(e *Event) uint64 { return uint64(e.Type) },
	) // The numbers are the same.
	if sizes {
		dst = appendNumbers(dst, columnSizes, events, func(e *Event) uint64 {
			if !sized(e.Type) {
				return 0
			}
			return uint64(e.bytes())
		})
	}
	if payloads {
		for i := range events {
			dst = appendField(dst, columnPayloads, events[i].Payload)
		}
	}
	if topics {
		dst = appendTable(dst, columnTopics, columnTopicIndexes, events, func(e *Event) string {
			return strings.ToValidUTF8(e.Topic, "\uFFFD")
		})
	}
	if times {
		dst = appendNumbers(dst, columnTimes, events, func(e *Event) uint64 {
			if e.Time.IsZero() {
				return 0
			}
			ms := e.Time.UnixMilli()
			return uint64(ms<<1) ^ uint64(ms>>63)
		})
	}
	if ids {
		for i := range events {
			dst = appendField(dst, columnIDs, events[i].ID)
		}
	}
	return dst
}

// appendTable appends what text returns for each event: each different one once, and which of them an event has unless
// all have the first or entry n is event n's.
func appendTable(dst []byte, entries, indexes int, events []Event, text func(*Event) string) []byte {
	places := make(map[string]uint64, min(len(events), 64))
	for i := range events {
		s := text(&events[i])
		if _, known := places[s]; !known {
			places[s] = uint64(len(places))
			dst = appendField(dst, entries, s)
		}
	}
	if len(places) == 1 || len(places) == len(events) {
		return dst
	}
	return appendNumbers(dst, indexes, events, func(e *Event) uint64 { return places[text(e)] })
}

// appendField appends a string or bytes.
func appendField[T string | []byte](dst []byte, field int, v T) []byte {
	dst = append(dst, byte(field<<3|wireBytes))
	dst = binary.AppendUvarint(dst, uint64(len(v)))
	return append(dst, v...)
}

// appendNumbers appends a packed column.
func appendNumbers(dst []byte, field int, events []Event, number func(*Event) uint64) []byte {
	length := 0
	for i := range events {
		length += uvarintBytes(number(&events[i]))
	}
	dst = append(dst, byte(field<<3|wireBytes))
	dst = binary.AppendUvarint(dst, uint64(length))
	for i := range events {
		dst = binary.AppendUvarint(dst, number(&events[i]))
	}
	return dst
}

func uvarintBytes(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// encodedMax returns more than e takes in a batch, whatever else is in it.
func (e *Event) encodedMax() int {
	return len(e.Product) + len(e.Device) + len(e.Topic)*topicGrowth + len(e.Payload) + len(e.ID) + columnsBytesMax
}
