package archive

import (
	"encoding/binary"
	"errors"
)

// Spaces of keys in a directory. A row block and its payload block have the same key but for this byte. Newest rows
// of a product are there once more, with their payloads.
const (
	spaceRows     = 'E'
	spaceNewest   = 'N'
	spacePayloads = 'P'
)

// keyBytes is the length of every key: space, device, decided time, tie.
const keyBytes = 1 + 8 + 8 + 8

// entryKey names a block: its first row.
type entryKey struct {
	device Device
	place  Place
}

func (k entryKey) append(dst []byte, space byte) []byte {
	dst = append(dst, space)
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.device))
	dst = binary.BigEndian.AppendUint64(dst, uint64(k.place.DecidedMs))
	return binary.BigEndian.AppendUint64(dst, k.place.Tie)
}

func decodeKey(b []byte) (k entryKey, space byte, err error) {
	if len(b) != keyBytes || b[0] != spaceRows && b[0] != spaceNewest && b[0] != spacePayloads {
		return k, 0, errors.New("an entry has a damaged key")
	}
	k.device = Device(binary.BigEndian.Uint64(b[1:]))
	k.place.DecidedMs = int64(binary.BigEndian.Uint64(b[9:]))
	k.place.Tie = binary.BigEndian.Uint64(b[17:])
	return k, b[0], nil
}
