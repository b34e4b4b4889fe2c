package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/meterd/meterd/retention/disk"
)

// The position lies in a row of its own, before all others; FORMAT.md draws it.
const (
	positionKey     = "\x00position"
	positionVersion = 1
	positionBytes   = 1 + 8 + 16 + 4
)

// appendPosition returns the row's value. valueLog is the number of the value log file that its transaction writes to.
func appendPosition(dst []byte, p Position, valueLog uint32) []byte {
	dst = append(dst, positionVersion)
	dst = binary.BigEndian.AppendUint64(dst, p.Seq)
	dst = append(dst, p.Chain[:]...)
	return binary.BigEndian.AppendUint32(dst, valueLog)
}

func decodePosition(v []byte) (p Position, valueLog uint32, err error) {
	switch {
	case len(v) > 0 && v[0] != positionVersion:
		return p, 0, fmt.Errorf("its position has version %d, this meterd knows %d", v[0], positionVersion)
	case len(v) != positionBytes:
		return p, 0, fmt.Errorf("its position has %d bytes", len(v))
	}
	p.Seq = binary.BigEndian.Uint64(v[1:])
	copy(p.Chain[:], v[9:])
	return p, binary.BigEndian.Uint32(v[25:]), nil
}

// readPosition reads the row, and refuses a directory that has lost its newest value log file since: Badger would give
// the number to another one, and pointers would lead to other rows' values.
func (s *Store) readPosition() error {
	value, found, err := s.get(nil, []byte(positionKey))
	if err != nil {
		return err
	}
	var p Position
	if found {
		var valueLog uint32
		if p, valueLog, err = decodePosition(value); err != nil {
			return disk.Damage(s.path, "%v", err)
		}
		// Badger has begun a file of its own behind those that were there.
		if newest := s.names.newestValueLog(); newest <= valueLog {
			return disk.Damage(s.path, "value log file %06d is missing", valueLog)
		}
	}
	s.position.Store(&p)
	return nil
}

// follows reports whether the position may move to another one.
func (p Position) follows(to Position) error {
	switch {
	case to.Seq < p.Seq:
		return fmt.Errorf("the position would go back from group %d to %d", p.Seq, to.Seq)
	case to.Seq == p.Seq && to != p:
		return fmt.Errorf("group %d is of another history", to.Seq)
	case to.Seq == 0:
		return errors.New("groups begin at 1")
	}
	return nil
}
