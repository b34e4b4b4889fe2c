package archive

import "cmp"

// blockList gives blocks in the order of their keys.
type blockList interface {
	// next returns the next block, valid until it is called again; found is false behind the last one.
	next() (key entryKey, rows []byte, found bool, err error)
	// payloads returns those of the block that next has returned.
	payloads() ([]byte, error)
	// damaged wraps an error in a block.
	damaged(err error) error
}

// merged calls fn for the rows of all lists in the order of devices and places, many at a time; they are valid until it
// returns. No row was decided before baseMs. Lists hold whole groups.
//
//	list 0   ███████▓▓▓▓▒▒▒▒▒░░░   a block or two of each list are rows in memory
//	list 1   █████▓▓▓▓▓▓▓▒▒░░░░░
//	list 2   ██████▓▓▓▒▒▒▒▒▒▒▒░░
//	         └──┬──┘ before the first device whose rows may be in memory in part: sorted, given to fn
//
// Then the list of that device goes on. A device of more rows than fit is given list by list: those that one list has
// come before or behind those of any other.
func merged(lists []blockList, baseMs int64, fn func(*batch) error) error {
	m := merging{baseMs: baseMs, deviceBytes: deviceBytes, fn: fn}
	return m.run(lists)
}

func (m *merging) run(lists []blockList) error {
	m.sides = make([]side, len(lists))
	for i := range lists {
		m.sides[i].list = lists[i]
		if err := m.more(&m.sides[i]); err != nil {
			return err
		}
	}
	for {
		first, next, before := m.look()
		if first == nil {
			return nil
		}
		if through := first.front() | (1<<productAt - 1); through < before {
			before, next = through+1, nil
		}
		if err := m.give(before); err != nil {
			return err
		}
		if next == nil {
			continue
		}
		if next.bytes() < m.deviceBytes {
			if err := m.more(next); err != nil {
				return err
			}
			continue
		}
		if err := m.device(next.front()); err != nil {
			return err
		}
	}
}

// merging is what merged works with.
type merging struct {
	sides       []side
	baseMs      int64
	deviceBytes int
	fn          func(*batch) error
	unpack      unpacker
	part        batch // what is given, unsorted
	given       batch
	sorting     sorting
}

// side is a list whose next rows are in memory.
type side struct {
	list  blockList
	rows  batch
	at    int  // the first one that was not given
	ended bool // no block follows
}

const noDevice = ^Device(0)

// front returns the device of the next row.
func (s *side) front() Device {
	if s.at == len(s.rows.rows) {
		return noDevice
	}
	return s.rows.rows[s.at].device
}

// back returns the first device whose rows may not all be in memory.
func (s *side) back() Device {
	if s.ended {
		return noDevice
	}
	return s.rows.rows[len(s.rows.rows)-1].device
}

// bytes is what the rows take that were not given.
func (s *side) bytes() int {
	return (len(s.rows.rows)-s.at)*memoryRowBytes + len(s.rows.texts) - s.rows.textsFrom(s.at)
}

// more reads the next block of a list, if there is one, behind the rows that were not given.
func (m *merging) more(s *side) error {
	rest := batch{rows: s.rows.rows[:0], texts: s.rows.texts[:0]}
	rest.append(&s.rows, s.at, len(s.rows.rows))
	s.rows, s.at = rest, 0
	key, raw, found, err := s.list.next()
	if err != nil || !found {
		s.ended = true
		return err
	}
	return m.unpack.add(&s.rows, key, raw, s.list, m.baseMs)
}

// look returns which side has the first row, nil if none has any, and which is the first to have a device whose rows
// may not all be in memory, nil if none is.
func (m *merging) look() (first, next *side, before Device) {
	front := noDevice
	before = noDevice
	for i := range m.sides {
		s := &m.sides[i]
		if d := s.front(); d < front {
			first, front = s, d
		}
		if d := s.back(); d < before {
			next, before = s, d
		}
	}
	return first, next, before
}

// give gives the rows of all devices before one.
func (m *merging) give(before Device) error {
	m.part.rows, m.part.texts = m.part.rows[:0], m.part.texts[:0]
	for i := range m.sides {
		s := &m.sides[i]
		end := s.at
		for end < len(s.rows.rows) && s.rows.rows[end].device < before {
			end++
		}
		m.part.append(&s.rows, s.at, end)
		s.at = end
	}
	if len(m.part.rows) == 0 {
		return nil
	}
	rows := m.sorting.byDevice(m.part.rows)
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && rows[to].device == rows[from].device {
			to++
		}
		settle(rows[from:to])
		from = to
	}
	m.given = batch{rows: rows, texts: m.part.texts}
	return m.fn(&m.given)
}

// device gives all rows of a device, side by side.
func (m *merging) device(d Device) error {
	for {
		var least *side
		for i := range m.sides {
			if s := &m.sides[i]; s.front() == d && (least == nil || s.comesBefore(least)) {
				least = s
			}
		}
		if least == nil {
			return nil
		}
		for least.front() == d {
			end := least.at
			for end < len(least.rows.rows) && least.rows.rows[end].device == d {
				end++
			}
			m.given = batch{rows: least.rows.rows[least.at:end], texts: least.rows.texts}
			if err := m.fn(&m.given); err != nil {
				return err
			}
			least.at = end
			if end == len(least.rows.rows) && !least.ended {
				if err := m.more(least); err != nil {
					return err
				}
			}
		}
	}
}

// comesBefore reports whether the next row of s was decided before that of o, of the same device.
func (s *side) comesBefore(o *side) bool {
	x, y := &s.rows.rows[s.at], &o.rows.rows[o.at]
	return cmp.Or(cmp.Compare(x.sinceMs(), y.sinceMs()), cmp.Compare(x.tie, y.tie)) < 0
}

// append appends copies of rows of another batch, from `from` to before to. Both may share their memory, if what is
// copied lies behind.
func (b *batch) append(o *batch, from, to int) {
	first, end := o.textsFrom(from), o.textsFrom(to)
	at, less := len(b.rows), uint32(first-len(b.texts))
	b.rows = append(b.rows, o.rows[from:to]...)
	if first == end {
		return
	}
	b.texts = append(b.texts, o.texts[first:end]...)
	for i := range b.rows[at:] {
		if x := &b.rows[at+i]; x.text != 0 {
			x.text -= less
		}
	}
}

// textsFrom returns where the texts of a row begin, or of the first one behind it that has any.
func (b *batch) textsFrom(i int) int {
	for ; i < len(b.rows) && len(b.texts) > 0; i++ {
		if b.rows[i].text != 0 {
			return int(b.rows[i].text) - 1
		}
	}
	return len(b.texts)
}
