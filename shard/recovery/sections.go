package recovery

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard/record"
)

// checkpoint loads the newest checkpoint, if there is one.
func (j *Joiner) checkpoint() (begin, end uint64, err error) {
	r, err := j.o.Checkpoints.Latest()
	if err != nil {
		return 0, 0, err
	}
	if r == nil {
		return 0, 0, j.catalogueEnds()
	}
	defer r.Close()
	j.begin, j.seq = r.B(), r.E()
	loads := newShardLoader(j.s.Table, j.o.Lanes)
	defer func() { _ = loads.wait() }() // On every way out; its error is looked at below.
	bytes := int64(0)
	err = r.Sections(func(kind uint16, data []byte) error {
		bytes += int64(len(data))
		if kind == sectionShard {
			return loads.piece(data)
		}
		if kind == sectionUpgrades { // They name devices.
			if err := errors.Join(loads.flush(), loads.wait()); err != nil {
				return err
			}
		}
		return j.section(kind, data)
	})
	if err == nil {
		err = errors.Join(loads.flush(), j.catalogueEnds())
	}
	if loaded := loads.wait(); err == nil {
		err = loaded
	}
	if err != nil {
		return 0, 0, fmt.Errorf("load the checkpoint: %w", err)
	}
	j.checkpointBytes = bytes
	return r.B(), r.E(), nil
}

func (j *Joiner) section(kind uint16, data []byte) error {
	if kind == sectionCatalogue {
		return j.catalogueEntries(data)
	}
	if err := j.catalogueEnds(); err != nil {
		return err
	}
	switch kind {
	case sectionMeta:
		if len(data) != metaBytes {
			return errors.New("the section with the last times and serials has another length")
		}
		j.lastMs = max(j.lastMs, int64(binary.LittleEndian.Uint64(data)))
		j.serial(binary.LittleEndian.Uint64(data[8:]))
		j.s.LedgerFloor.Store(binary.LittleEndian.Uint64(data[16:]))
		j.s.Commands.JoinLast(binary.LittleEndian.Uint64(data[24:]))
		return nil
	case sectionProducers:
		return j.s.Producers.LoadSection(data)
	case sectionPools:
		return j.poolEntries(data)
	case sectionDays:
		return j.dayEntries(data)
	case sectionTotals:
		return j.totals(data)
	case sectionCommands:
		return j.s.Commands.ReadKept(data)
	case sectionRuns:
		return j.s.Commands.ReadRuns(data)
	case sectionDecided:
		return j.s.Duplicates.LoadSection(data)
	case sectionUpgrades:
		return decodeUpgrades(data, func(seq uint64, u record.Upgrade) error {
			if seq > j.begin && j.s.Table.SlotOf(counters.Ordinal(u.Ordinal)) == nil {
				return nil // It is newer than the copy of its device: replay brings both.
			}
			return j.upgrade(seq, u)
		})
	default:
		return fmt.Errorf("section of unknown kind %d: it was written by a newer version", kind)
	}
}

var errCatalogue = errors.New("the section of accounts and products is damaged")

func (j *Joiner) catalogueEntries(data []byte) error {
	if j.loader == nil {
		return errCatalogue
	}
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 6+int(binary.LittleEndian.Uint16(data)) {
			return errCatalogue
		}
		key := data[2 : 2+int(binary.LittleEndian.Uint16(data))]
		data = data[2+len(key):]
		n := uint64(binary.LittleEndian.Uint32(data))
		if uint64(len(data)) < 4+n {
			return errCatalogue
		}
		if err := j.loader.Put(key, data[4:4+n]); err != nil {
			return err
		}
		data = data[4+n:]
	}
	return nil
}

// catalogueEnds completes the catalogue of the checkpoint; without one it is that of a new daemon.
func (j *Joiner) catalogueEnds() (err error) {
	if j.loader != nil {
		j.cat, err = j.loader.Catalogue()
		j.loader = nil
	}
	return err
}

func (j *Joiner) poolEntries(data []byte) error {
	if len(data)%poolBytes != 0 {
		return errors.New("the section of pools is damaged")
	}
	for ; len(data) > 0; data = data[poolBytes:] {
		id := binary.LittleEndian.Uint32(data[1:])
		drawn, returned := binary.LittleEndian.Uint64(data[5:]), binary.LittleEndian.Uint64(data[13:])
		var err error
		if data[0] == giftsEntry {
			err = j.gifts(id, drawn)
		} else {
			err = j.Pool(record.Pool{ID: id, Drawn: drawn, Returned: returned})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *Joiner) dayEntries(data []byte) error {
	if len(data)%dayBytes != 0 {
		return errors.New("the section of closed days is damaged")
	}
	for ; len(data) > 0; data = data[dayBytes:] {
		d := record.DayEnd{
			Product: binary.LittleEndian.Uint32(data), Day: uint32(binary.LittleEndian.Uint16(data[4:])),
		}
		if err := j.DayEnd(d); err != nil {
			return err
		}
	}
	return nil
}

func (j *Joiner) totals(data []byte) error {
	return eachEntry(data, func(row []byte) error {
		t, err := decodeTotals(row)
		if err != nil {
			return err
		}
		j.s.Totals.Join(&t)
		return nil
	})
}
