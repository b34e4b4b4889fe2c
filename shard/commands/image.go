package commands

import (
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

const (
	// entryBytes is the size of a disconnect in a checkpoint.
	entryBytes = 8 + 8 + 4 + 4 + 8 + 8 + 1
	// runBytes is the size of a run in a checkpoint.
	runBytes = 8 + 4 + 8 + 8
)

// WriteKept hands the disconnects that are kept to put, in pieces that put must not keep. What comes while it works is
// left out: it is in groups behind those that the checkpoint must have. What it leaves out because a device has
// connected may follow from a decision that is not durable, so the checkpoint must wait for the group that is open when
// it returns.
func (c *Commands) WriteKept(put func(piece []byte) error) error {
	var piece []byte
	after, last := uint64(0), c.last.Load()
	for end := false; !end; {
		piece, after, end = c.copyKept(piece, after, last)
		if len(piece) > sectionBytes || (end && len(piece) > 0) {
			if err := put(piece); err != nil {
				return err
			}
			piece = piece[:0]
		}
	}
	return nil
}

// copyKept appends a few disconnects behind sequence after and up to last.
func (c *Commands) copyKept(dst []byte, after, last uint64) (piece []byte, next uint64, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	steps := blockEntries
	end = c.kept.all.each(after, func(e *entry) bool {
		if steps == 0 {
			return false
		}
		if e.Seq > last {
			steps = -1
			return false
		}
		steps--
		after = e.Seq
		dst = appendEntry(dst, &e.Command)
		return true
	})
	return dst, after, end || steps < 0
}

func appendEntry(dst []byte, m *record.Command) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, m.Seq)
	dst = binary.LittleEndian.AppendUint64(dst, m.Ordinal)
	dst = binary.LittleEndian.AppendUint32(dst, m.Account)
	dst = binary.LittleEndian.AppendUint32(dst, m.Holder)
	dst = binary.LittleEndian.AppendUint64(dst, m.Change)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(m.AtMs))
	return append(dst, byte(m.Reason))
}

// ReadKept joins a piece that WriteKept wrote. It is called before Start, perhaps before the devices are there.
func (c *Commands) ReadKept(data []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(data)%entryBytes != 0 {
		return errors.New("the section of commands is damaged")
	}
	for ; len(data) > 0; data = data[entryBytes:] {
		m := record.Command{
			Seq: binary.LittleEndian.Uint64(data), Ordinal: binary.LittleEndian.Uint64(data[8:]),
			Account: binary.LittleEndian.Uint32(data[16:]), Holder: binary.LittleEndian.Uint32(data[20:]),
			Change: binary.LittleEndian.Uint64(data[24:]), AtMs: int64(binary.LittleEndian.Uint64(data[32:])),
			Reason: event.Code(data[40]),
		}
		if m.Ordinal > uint64(counters.OrdinalMax) || m.Account == 0 {
			return errors.New("the section of commands is damaged")
		}
		if err := c.join(m); err != nil {
			return err
		}
	}
	return nil
}

// AppendRuns appends the starts of the daemon that are remembered, this one's if it was recorded: at most runsMax.
func (c *Commands) AppendRuns(dst []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.history.runs {
		dst = appendRun(dst, r)
	}
	return dst
}

func appendRun(dst []byte, r record.Run) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, r.Number)
	dst = binary.LittleEndian.AppendUint32(dst, r.Tag)
	dst = binary.LittleEndian.AppendUint64(dst, r.FirstCommand)
	return binary.LittleEndian.AppendUint64(dst, r.FirstChange)
}

// ReadRuns joins what AppendRuns wrote. It is called before Start.
func (c *Commands) ReadRuns(data []byte) error {
	if len(data)%runBytes != 0 {
		return errors.New("the section of runs is damaged")
	}
	for ; len(data) > 0; data = data[runBytes:] {
		c.JoinRun(record.Run{
			Number: binary.LittleEndian.Uint64(data), Tag: binary.LittleEndian.Uint32(data[8:]),
			FirstCommand: binary.LittleEndian.Uint64(data[12:]), FirstChange: binary.LittleEndian.Uint64(data[20:]),
		})
	}
	return nil
}
