package license

import (
	"fmt"

	"github.com/meterd/meterd/event"
)

// What records say of names (FORMAT.md).
type (
	givenRecord struct {
		Cell    int    `json:"cell"`
		Number  uint64 `json:"number"`
		Open    bool   `json:"open,omitempty"`
		SinceMs int64  `json:"since_ms"`
		Deleted bool   `json:"deleted,omitempty"` // nothing else stands beside it
	}
	refusedRecord struct {
		UpTo uint64 `json:"up_to"`
	}
	mirroredRecord struct {
		Seq uint64 `json:"seq"`
	}
)

func givenRecordKey(kind NameKind, name string) []byte {
	return append([]byte{keyName, byte(kind)}, name...)
}

func (g *Given) record() Put {
	return put(givenRecordKey(g.Kind, g.Name), givenRecord{
		Cell: g.Cell, Number: g.Number, Open: g.Open, SinceMs: g.SinceMs,
	})
}

func (c *Catalogue) refusedRecord() Put {
	return put([]byte{keyRefused}, refusedRecord{UpTo: c.names.refusedTo})
}

func (c *Catalogue) mirroredRecord() Put {
	return put([]byte{keyMirrored}, mirroredRecord{Seq: c.names.mirrored})
}

// nameRecords hands out what concerns other cells: nothing, if there are none.
func (c *Catalogue) nameRecords(hand func(Put) error) error {
	for _, g := range c.allGiven() {
		if err := hand(g.record()); err != nil {
			return err
		}
	}
	if c.names.refusedTo != 0 {
		if err := hand(c.refusedRecord()); err != nil {
			return err
		}
	}
	if c.names.mirrored != 0 {
		return hand(c.mirroredRecord())
	}
	return nil
}

// given takes the record of a name.
func (l *Loader) given(key, value []byte) error {
	var r givenRecord
	if err := decode(key, value, max(len(key), 3), &r); err != nil {
		return err
	}
	kind, name := NameKind(key[1]), string(key[2:])
	old := l.c.Given(kind, name)
	switch {
	case nameKinds[kind] == "":
		return fmt.Errorf("name %q is of a kind that this program does not know: it was written by a newer version", key)
	case r.Deleted && old != nil:
		l.c.dropGiven(old)
		return nil
	case r.Deleted:
		return nil
	case !event.ValidName([]byte(name)) || r.Cell < 1 || r.Number == 0 || r.Number > l.c.Seq:
		return fmt.Errorf("%s %q has a damaged record: %s", kind, name, value)
	case l.whole && old != nil:
		return fmt.Errorf("%s %q is given twice", kind, name)
	}
	l.c.putGiven(&Given{Kind: kind, Name: name, Cell: r.Cell, Number: r.Number, Open: r.Open, SinceMs: r.SinceMs})
	return nil
}

// refused takes the record of the reservations that are refused.
func (l *Loader) refused(key, value []byte) error {
	var r refusedRecord
	if err := decode(key, value, 1, &r); err != nil {
		return err
	}
	if r.UpTo < l.c.names.refusedTo {
		return fmt.Errorf("reservations up to %d were refused, and are up to %d", l.c.names.refusedTo, r.UpTo)
	}
	l.c.names.refusedTo = r.UpTo
	return nil
}

// mirrored takes the record of what tokens and webhooks were taken from.
func (l *Loader) mirrored(key, value []byte) error {
	var r mirroredRecord
	if err := decode(key, value, 1, &r); err != nil {
		return err
	}
	if r.Seq < l.c.names.mirrored {
		return fmt.Errorf("tokens are those of change %d of cell 0, and were those of change %d", r.Seq, l.c.names.mirrored)
	}
	l.c.names.mirrored = r.Seq
	return nil
}
