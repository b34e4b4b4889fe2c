package commands

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
)

// Place is a place in the stream of commands: everything up to it was heard. It stays valid across restarts.
type Place struct {
	Tag     uint32 // of the run of the daemon that named it
	Refresh uint64 // number of the last change of administration: refreshes up to it were heard
	Command uint64 // sequence of the last disconnect
	// Cells are the places in the streams of several cells, as text; the numbers are 0 then. Package cluster/cells
	// understands it, and nobody else makes one.
	Cells string
}

// AppendText appends the place as an event's id has it: TAG.REFRESH.COMMAND, the tag as eight hexadecimal digits.
func (p Place) AppendText(dst []byte) []byte {
	if p.Cells != "" {
		return append(dst, p.Cells...)
	}
	dst = hex.AppendEncode(dst, binary.BigEndian.AppendUint32(nil, p.Tag))
	dst = strconv.AppendUint(append(dst, '.'), p.Refresh, 10)
	return strconv.AppendUint(append(dst, '.'), p.Command, 10)
}

// parsePlace reads what AppendText wrote, and nothing else.
func parsePlace(text string) (p Place, ok bool) {
	tag, rest, _ := strings.Cut(text, ".")
	refresh, command, _ := strings.Cut(rest, ".")
	t, err1 := strconv.ParseUint(tag, 16, 32)
	r, err2 := strconv.ParseUint(refresh, 10, 64)
	c, err3 := strconv.ParseUint(command, 10, 64)
	p = Place{Tag: uint32(t), Refresh: r, Command: c}
	if err1 != nil || err2 != nil || err3 != nil || string(p.AppendText(nil)) != text {
		return Place{}, false
	}
	return p, true
}
