package verify

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/meterd/meterd/retention/disk"
)

// Sections of a checkpoint that are read here (shard/FORMAT.md).
const (
	sectionShard     = 2
	sectionPools     = 4
	sectionTotals    = 5
	sectionCatalogue = 10
	sectionDays      = 12
)

// checkpoint is the newest one. It was copied while events went on, so each number in it lies between what the groups
// up to begin say and what the groups up to end say: it is compared with the recount at both. Beside the log from begin
// on that is all that the daemon goes on with.
type checkpoint struct {
	r          *disk.CheckpointReader
	begin, end uint64
}

// bound says at which of its ends a checkpoint is compared.
type bound int

const (
	atBegin bound = iota // nothing in it is less than the recount
	atEnd                // nothing in it is more
)

// holds compares a number of the checkpoint with the recounted one.
func (b bound) holds(said, counted uint64) bool {
	if b == atBegin {
		return said >= counted
	}
	return said <= counted
}

// catalogue reads the records of administration.
func (c *checkpoint) catalogue(to *catalogue) error {
	return c.r.Sections(func(kind uint16, data []byte) error {
		if kind != sectionCatalogue {
			return nil
		}
		return eachRecord(data, func(key, value []byte) error { return to.put(key, value, checkpointed) })
	})
}

var errSection = errors.New("a section of the checkpoint is damaged")

func eachRecord(data []byte, fn func(key, value []byte) error) error {
	for len(data) > 0 {
		if len(data) < 2 {
			return errSection
		}
		n := int(binary.LittleEndian.Uint16(data))
		if data = data[2:]; len(data) < n+4 {
			return errSection
		}
		key, size := data[:n], uint64(binary.LittleEndian.Uint32(data[n:]))
		if data = data[n+4:]; uint64(len(data)) < size {
			return errSection
		}
		if err := fn(key, data[:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// shards calls fn for the image of every shard.
func (c *checkpoint) shards(fn func(shard byte, img *image) error, other func(kind uint16, data []byte) error) error {
	shard, pieces := -1, []byte(nil)
	finish := func() error {
		if shard < 0 {
			return nil
		}
		img, err := decodeImage(pieces)
		if err != nil {
			return fmt.Errorf("shard %d of the checkpoint: %w", shard, err)
		}
		return fn(byte(shard), img)
	}
	err := c.r.Sections(func(kind uint16, data []byte) error {
		if kind != sectionShard {
			return other(kind, data)
		}
		if len(data) == 0 {
			return errSection
		}
		if int(data[0]) != shard {
			if err := finish(); err != nil {
				return err
			}
			shard, pieces = int(data[0]), pieces[:0]
		}
		pieces = append(pieces, data[1:]...)
		return nil
	})
	if err != nil {
		return err
	}
	return finish()
}

// image is the device table of one shard.
type image struct {
	slots []byte // of imageSlotBytes
	arena []byte
}

const (
	imageHeadBytes = 4 + 4 + 8 + 8
	imageSlotBytes = 6 * 8
	entryHeadBytes = 16 + 1
	arenaChunk     = 16_384
)

// decodeImage reads the image of a shard (counters/FORMAT.md).
func decodeImage(b []byte) (*image, error) {
	if len(b) < imageHeadBytes || binary.LittleEndian.Uint32(b) != 1 {
		return nil, errors.New("its image has not version 1")
	}
	slots, arena := binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])
	body := b[imageHeadBytes:]
	if slots > uint64(len(body))/imageSlotBytes || arena != uint64(len(body))-slots*imageSlotBytes {
		return nil, errors.New("the sizes of its image do not add up")
	}
	return &image{slots: body[:slots*imageSlotBytes], arena: body[slots*imageSlotBytes:]}, nil
}

// slot is a device of an image: its words, and its entry among the names.
type slot struct {
	words   [4]uint64 // w2 to w5
	place   uint64
	product uint32
	name    []byte
}

// each calls fn for every device of the image.
func (m *image) each(fn func(*slot) error) error {
	for rest := m.slots; len(rest) > 0; rest = rest[imageSlotBytes:] {
		var s slot
		for i := range s.words {
			s.words[i] = binary.LittleEndian.Uint64(rest[8*i:])
		}
		s.place = binary.LittleEndian.Uint64(rest[8*5:]) & (1<<placeBits - 1)
		at := s.place * 8
		if at+entryHeadBytes > uint64(len(m.arena)) {
			return errors.New("a device's name lies behind the names")
		}
		entry := m.arena[at:]
		s.product = binary.LittleEndian.Uint32(entry) & productMax
		n := uint64(entry[entryHeadBytes-1])
		if n == 0 || entryHeadBytes+n > uint64(len(entry)) || at%arenaChunk+entryHeadBytes+n > arenaChunk {
			return errors.New("a device's name is damaged")
		}
		s.name = entry[entryHeadBytes : entryHeadBytes+n]
		if err := fn(&s); err != nil {
			return err
		}
	}
	return nil
}

// bindOld takes the names of devices that the log, which began later, does not bind.
func (c *checkpoint) bindOld(r *recount) error {
	return c.shards(func(shard byte, img *image) error {
		return img.each(func(s *slot) error {
			d := r.devices.bind(uint64(shard)<<placeBits|s.place, s.product, s.name)
			d.said = saidVague | saidVague<<1
			return nil
		})
	}, func(uint16, []byte) error { return nil })
}

// compare compares the checkpoint with the recount at one of its ends.
func (c *checkpoint) compare(r *recount, at bound) error {
	devices := uint32(0)
	err := c.shards(func(shard byte, img *image) error {
		return img.each(func(s *slot) error {
			d := r.devices.find(uint64(shard)<<placeBits | s.place)
			if d == nil && at == atBegin {
				return nil // It is newer than the beginning.
			}
			if d == nil || d.product != s.product || string(r.devices.nameOf(d)) != string(s.name) {
				return r.differs("the checkpoint has a device %s of product %d that no record bound", s.name, s.product)
			}
			devices++
			return r.compareWords(d, &s.words, at)
		})
	}, func(kind uint16, data []byte) error { return r.compareSection(kind, data, at) })
	if err != nil {
		return err
	}
	if at == atBegin && devices < r.devices.count {
		return r.differs("the checkpoint has %d of %d devices", devices, r.devices.count)
	}
	return nil
}

// compareWords compares the words of a device. A word that the recount does not know, since the log began later and
// says nothing of it, is taken from the checkpoint at its end.
func (r *recount) compareWords(d *device, words *[4]uint64, at bound) error {
	for i, said := range words {
		if !d.knows(i) {
			if at == atEnd {
				d.words[i] = said
				d.know(i)
				r.figures.WordsTaken++
			}
			continue
		}
		counted := d.words[i]
		ok := at.holds(said, counted)
		if i == 3 {
			ok = at.holds(licenseOf(said), licenseOf(counted))
		}
		if ok {
			r.figures.Words++
			continue
		}
		when := "day " + dayName(dayOf(said))
		switch {
		case i == 2:
			when = "month " + monthName(monthOf(said))
		case i == 3:
			when = "licence"
		}
		return r.differs("%s, %s: the checkpoint says %s, recounted are %s%s", r.deviceName(d), when, countsText(i, said),
			countsText(i, counted), otherDay(i, said, counted))
	}
	return nil
}

// otherDay says of which day or month the recounted word is, if that is another one.
func otherDay(i int, said, counted uint64) string {
	switch {
	case i < 2 && dayOf(said) != dayOf(counted):
		return " of day " + dayName(dayOf(counted))
	case i == 2 && monthOf(said) != monthOf(counted):
		return " of month " + monthName(monthOf(counted))
	}
	return ""
}

func (r *recount) compareSection(kind uint16, data []byte, at bound) error {
	in := input{b: data}
	switch kind {
	case sectionPools:
		for len(in.b) > 0 && in.err == nil {
			entry := in.take(21)
			if entry == nil {
				return errSection
			}
			id := binary.LittleEndian.Uint32(entry[1:])
			drawn, returned := binary.LittleEndian.Uint64(entry[5:]), binary.LittleEndian.Uint64(entry[13:])
			if err := r.comparePool(entry[0], id, drawn, returned, at); err != nil {
				return err
			}
		}
	case sectionTotals:
		for len(in.b) > 0 && in.err == nil {
			size := in.take(2)
			if size == nil {
				return errSection
			}
			entry := in.take(uint64(binary.LittleEndian.Uint16(size)))
			if len(entry) < 10 {
				return errSection
			}
			if err := r.compareTotal(entry, at); err != nil {
				return err
			}
		}
	case sectionDays:
		for len(in.b) > 0 && in.err == nil {
			entry := in.take(6)
			if entry == nil {
				return errSection
			}
			p := r.cat.product(binary.LittleEndian.Uint32(entry))
			day := uint32(binary.LittleEndian.Uint16(entry[4:]))
			if p != nil && (p.isNew || p.closedThrough > 0) && !at.holds(uint64(day), uint64(p.closedThrough)) {
				return r.differs("product %s: the checkpoint says that its days up to %s have ended, the log up to %s", p.name,
					dayName(day), dayName(p.closedThrough))
			}
		}
	}
	return nil
}

func (r *recount) comparePool(kind byte, id uint32, drawn, returned uint64, at bound) error {
	if kind == 1 {
		p := r.cat.product(id)
		if p == nil && at == atEnd {
			return r.differs("the checkpoint has product %d, which no change has made", id)
		}
		if p == nil || !p.giftsKnown || at.holds(drawn, p.gifts) {
			return nil
		}
		return r.differs("product %s: the checkpoint says %d gifts drawn, recounted are %d", p.name, drawn, p.gifts)
	}
	q := r.cat.pools[id]
	switch {
	case q == nil && at == atEnd:
		return r.differs("the checkpoint has pool %d, which no change has made", id)
	case q == nil:
	case !q.known && at == atEnd:
		q.drawn, q.returned, q.known = drawn, returned, true
	case q.known && (!at.holds(drawn, q.drawn) || !at.holds(returned, q.returned)):
		return r.differs("%s: the checkpoint says %d drawn and %d returned, recounted are %d and %d", r.poolName(q), drawn,
			returned, q.drawn, q.returned)
	case q.known:
		r.figures.Pools++
	}
	return nil
}

func (r *recount) compareTotal(entry []byte, at bound) error {
	in := input{b: entry[10:]}
	var said totals
	said.decode(&in)
	if err := in.done(); err != nil {
		return fmt.Errorf("totals in the checkpoint: %w", err)
	}
	id := binary.LittleEndian.Uint32(entry)
	p := r.cat.product(id)
	if p == nil && at == atEnd {
		return r.differs("the checkpoint has totals of product %d, which no change has made", id)
	}
	if p == nil || !p.totalKnown {
		return nil
	}
	var err error
	said.compare(&p.total, at.holds, func(name string, a, b uint64) {
		err = r.differs("product %s: the checkpoint says %s %d, recounted are %d", p.name, name, a, b)
	})
	return err
}

// list returns the products in the order of their numbers.
func (c *catalogue) list() []*product {
	return slices.DeleteFunc(slices.Clone(c.products), func(p *product) bool { return p == nil })
}
