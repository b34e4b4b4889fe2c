package license

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/persist"
)

// Erasure says that topic and payload of a device's log entries are read by nobody any more, and leave the disk. It is
// a record of the catalogue until no entry of that time can be read and none is on the disk. A device has one at most.
type Erasure struct {
	Product uint32
	Device  string
	// Known says that the device had an ordinal when it was erased last: entries from then on stand under it.
	Known   bool
	Ordinal uint64
	Seq     uint64 // the number of the change that erased last: it names the record's version
	SinceMs int64  // when it was erased first, Unix milliseconds: how old the promise is
	UntilMs int64  // entries decided until then are concerned, this millisecond included
}

// erasures are those of a catalogue.
type erasures struct {
	byName persist.Map[*Erasure]
	seq    uint64 // of the change that changed them last
}

// erasureName names the erasure of a device.
func erasureName(product uint32, device string) string {
	return string(binary.BigEndian.AppendUint32(nil, product)) + device
}

// EraseLog erases topic and payload of everything that was decided so far for a device, whether it was ever active or
// not. Verdicts, sizes and times stay. ordinal is the device's, if it is known.
func (c *Catalogue) EraseLog(
	by Actor, product, device string, known bool, ordinal uint64,
) (*Catalogue, *Change, *Erasure, error) {
	if !event.ValidName([]byte(device)) {
		return nil, nil, nil, badName("device")
	}
	p := c.Product([]byte(product))
	n := c.next()
	x := &Erasure{
		Product: p.ID, Device: device, Known: known, Ordinal: ordinal, Seq: n.Seq, SinceMs: by.AtMs, UntilMs: by.AtMs,
	}
	if old, _ := c.erasures.byName.Get([]byte(erasureName(p.ID, device))); old != nil {
		x.SinceMs = old.SinceMs
	} else if c.erasures.byName.Len() >= erasuresMax {
		return nil, nil, nil, &event.Problem{Code: event.Overloaded, Detail: fmt.Sprintf(
			"the logs of %d devices were erased within the log's retention, the most that is kept; send it again later",
			erasuresMax)}
	}
	n.putErasure(x)
	ch := n.change(by, "device.erase_logs", p.Name+"/"+device, map[string]any{})
	ch.put(x.record())
	return n, ch, x, nil
}

// EndErasures drops erasures that have nothing left to hide, those that were not renewed since they were looked up.
// Nobody is told: the change has no audit entry, and no time, which the caller sets. It returns nils if none was
// dropped.
func (c *Catalogue) EndErasures(list []*Erasure) (*Catalogue, *Change) {
	n := c.next()
	ch := &Change{Seq: n.Seq}
	for _, x := range list {
		name := erasureName(x.Product, x.Device)
		if held, _ := n.erasures.byName.Get([]byte(name)); held == nil || held.Seq != x.Seq {
			continue
		}
		n.dropErasure(name)
		ch.put(put(erasureKey(x.Product, x.Device), erasureRecord{Ended: true}))
	}
	if len(ch.Puts) == 0 {
		return nil, nil
	}
	return n, ch
}

// ErasedUntilMs returns until when topics and payloads of a device are erased, Unix milliseconds, 0 for none. It does
// not keep device.
func (c *Catalogue) ErasedUntilMs(product uint32, device []byte) int64 {
	if c.erasures.byName.Len() == 0 {
		return 0
	}
	x, _ := c.erasures.byName.Get(append(binary.BigEndian.AppendUint32(nil, product), device...))
	if x == nil {
		return 0
	}
	return x.UntilMs
}

// ErasuresSeq returns the number of the change that changed the erasures last: while it is the same, so are they. It is
// not less than the Seq of any.
func (c *Catalogue) ErasuresSeq() uint64 { return c.erasures.seq }

// Erasures returns all erasures in the order of products and devices; the slice is the caller's.
func (c *Catalogue) Erasures() []*Erasure {
	list := make([]*Erasure, 0, c.erasures.byName.Len())
	for _, x := range c.erasures.byName.All() {
		list = append(list, x)
	}
	slices.SortFunc(list, func(a, b *Erasure) int {
		return strings.Compare(erasureName(a.Product, a.Device), erasureName(b.Product, b.Device))
	})
	return list
}

// ErasuresBefore returns the erasures of nothing but entries that were decided before an instant, Unix milliseconds.
func (c *Catalogue) ErasuresBefore(ms int64) (list []*Erasure) {
	for _, x := range c.erasures.byName.All() {
		if x.UntilMs < ms {
			list = append(list, x)
		}
	}
	return list
}

// putErasure adds or replaces x in a catalogue that is still being built.
func (c *Catalogue) putErasure(x *Erasure) {
	c.erasures.byName.Set(c.Seq, erasureName(x.Product, x.Device), x)
	c.erasures.seq = max(c.erasures.seq, x.Seq)
}

// dropErasure takes an erasure from a catalogue that is still being built.
func (c *Catalogue) dropErasure(name string) {
	c.erasures.byName.Delete(c.Seq, name)
	c.erasures.seq = max(c.erasures.seq, c.Seq)
}

// erasureRecord is what a record says of an erasure.
type erasureRecord struct {
	Seq     uint64 `json:"seq,omitempty"`
	SinceMs int64  `json:"since_ms,omitempty"`
	UntilMs int64  `json:"until_ms,omitempty"`
	Known   bool   `json:"known,omitempty"`
	Ordinal uint64 `json:"ordinal,omitempty"`
	Ended   bool   `json:"ended,omitempty"` // nothing else stands beside it
}

func erasureKey(product uint32, device string) []byte {
	return append(key32(keyErasure, product), device...)
}

func (x *Erasure) record() Put {
	return put(erasureKey(x.Product, x.Device), erasureRecord{
		Seq: x.Seq, SinceMs: x.SinceMs, UntilMs: x.UntilMs, Known: x.Known, Ordinal: x.Ordinal,
	})
}

// erasure takes the record of an erasure.
func (l *Loader) erasure(key, value []byte) error {
	var r erasureRecord
	if err := decode(key, value, max(len(key), 1+4+1), &r); err != nil {
		return err
	}
	product, device := binary.BigEndian.Uint32(key[1:]), string(key[1+4:])
	if r.Ended {
		l.c.dropErasure(erasureName(product, device))
		return nil
	}
	switch {
	case l.c.ProductByID(product) == nil:
		return fmt.Errorf("record %x is about product %d, of which there is no record", key, product)
	case r.Seq == 0 || r.Seq > l.c.Seq || r.SinceMs > r.UntilMs || !event.ValidName([]byte(device)):
		return fmt.Errorf("the erasure of the log of device %q has a damaged record: %s", device, value)
	}
	l.c.putErasure(&Erasure{
		Product: product, Device: device, Known: r.Known, Ordinal: r.Ordinal,
		Seq: r.Seq, SinceMs: r.SinceMs, UntilMs: r.UntilMs,
	})
	return nil
}
