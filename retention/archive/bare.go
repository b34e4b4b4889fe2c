package archive

import (
	"encoding/binary"
	"slices"
)

// Under load nearly all rows are bare: accepted messages of known devices that have nothing but numbers. They are
// added to a block column by column, at a quarter of what a Row at a time takes.

// Messages are bare messages of one day that were decided at one instant. Its slices are as long as each other; the
// numbers of Types are those of Row.
type Messages struct {
	DecidedMs  int64
	Day        uint32
	Types      []uint8
	Ordinals   []uint64
	Sizes      []uint64
	Ups, Downs []uint32
}

// AddMessages adds rows of the group as Add does.
func (s *Store) AddMessages(x *Messages) {
	tie := s.group.tie(x.DecidedMs)
	for from := 0; from < len(x.Ordinals); {
		if s.memory.overlong() {
			s.orderLast()
		}
		from += s.memory.addMessages(x, from, tie, s.group.firstMs, s.gathered.logDays)
	}
}

// addMessages adds messages from `from` on, as many as a batch takes, and returns how many.
func (m *Memory) addMessages(x *Messages, from int, tie uint32, firstMs int64, days map[uint32]uint32) int {
	if m.rows == 0 {
		m.baseMs = firstMs
	}
	b := m.gathered(days)
	at := len(b.rows)
	n := min(len(x.Ordinals)-from, batchRowsMax-at)
	b.rows = slices.Grow(b.rows, n)[:at+n]
	rows, ms := b.rows[at:], x.DecidedMs-m.baseMs
	for i := range rows {
		k := from + i
		rows[i] = memoryRow{
			device: Known(0, x.Ordinals[k]), ms: uint32(ms), msHigh: uint16(ms >> 32), tie: tie, size: uint32(x.Sizes[k]),
			up: x.Ups[k], down: x.Downs[k], day: uint16(x.Day), kind: x.Types[k],
		}
		if x.Sizes[k]>>32 != 0 {
			rows[i].kind |= kindExtra
			rows[i].text = uint32(len(b.texts)) + 1
			b.texts = appendTexts(b.texts, &Row{Size: int64(x.Sizes[k])})
		}
	}
	m.rows += n
	return n
}

// addBare adds the bare rows that rows begin with, of which it takes the first one, and returns how many: none if the
// first one is not bare, and no more than measureRows. The block is to have rowsMax rows at most.
func (b *block) addBare(rows []memoryRow, rowsMax int, baseMs int64, orders *Orders) int {
	n := min(len(rows), measureRows-b.rows%measureRows, rowsMax-b.rows, (blockBytes-b.size+rowBytes-1)/rowBytes)
	if n = bareRows(rows[:n]); n == 0 {
		return 0
	}
	rows = rows[:n]
	for i := range rows {
		b.orders[i] = orders.next(rows[i].device, baseMs+rows[i].sinceMs(), rows[i].tie)
	}
	x := &rows[0]
	days := uint32(x.logDays)
	if b.rows == 0 {
		b.begin(Row{Device: x.device, DecidedMs: baseMs + x.sinceMs(), Tie: x.tie, Order: b.orders[0]}, days)
	}
	if days != b.last.LogDays {
		b.endLogDays()
		b.last.LogDays = days
	}
	b.maxDays, b.anyZero = max(b.maxDays, days), b.anyZero || days == 0
	b.counted(rows)
	b.placed(rows, baseMs)
	kinds := slices.Grow(b.cols[colKinds], n)[:len(b.cols[colKinds])+n]
	sizes, k := room(b.cols[colSizes], n)
	for i := range rows {
		kinds[len(kinds)-n+i] = rows[i].kind
		k += putUvarint(sizes[k:], uint64(rows[i].size))
	}
	b.cols[colKinds], b.cols[colSizes] = kinds, sizes[:k]
	b.rows += n
	b.daysRows += uint64(n)
	b.size += n * rowBytes
	b.measure()
	return n
}

// bareRows returns how many of rows, from the first on, are bare, of one product, and of one value of log days.
func bareRows(rows []memoryRow) int {
	for i := range rows {
		x := &rows[i]
		if !x.isBare() || x.logDays != rows[0].logDays || x.device.Product() != rows[0].device.Product() {
			return i
		}
	}
	return len(rows)
}

// counted appends what rows are counted with, less what the row before of the same device has. It comes before placed.
func (b *block) counted(rows []memoryRow) {
	device, c := b.last.Device, b.counts
	days, i := room(b.cols[colDays], len(rows))
	ups, j := room(b.cols[colUps], len(rows))
	downs, k := room(b.cols[colDowns], len(rows))
	for n := range rows {
		x := &rows[n]
		if x.device != device {
			device, c = x.device, counts{}
		}
		day := uint32(x.day)
		i += putVarint(days[i:], int64(day)-int64(c.day))
		if day != c.day {
			c.day, c.up, c.down = day, 0, 0
		}
		if x.kind == typeUp {
			c.up++
		} else {
			c.down++
		}
		j += putVarint(ups[j:], int64(x.up)-int64(c.up))
		k += putVarint(downs[k:], int64(x.down)-int64(c.down))
		c.up, c.down = x.up, x.down
	}
	b.cols[colDays], b.cols[colUps], b.cols[colDowns], b.counts = days[:i], ups[:j], downs[:k], c
}

// placed appends devices and places.
func (b *block) placed(rows []memoryRow, baseMs int64) {
	times, i := room(b.cols[colTimes], len(rows))
	ties, j := room(b.cols[colTies], len(rows))
	orders, k := room(b.cols[colOrders], len(rows))
	last := b.last.DecidedMs
	for n := range rows {
		x := &rows[n]
		ms := baseMs + x.sinceMs()
		if x.device != b.last.Device {
			b.endDevice()
			b.last.Device, last = x.device, b.first.DecidedMs
		}
		i += putVarint(times[i:], ms-last)
		j += putUvarint(ties[j:], uint64(x.tie))
		k += putUvarint(orders[k:], uint64(b.orders[n]))
		last = ms
		b.firstMs, b.lastMs = min(b.firstMs, ms), max(b.lastMs, ms)
		b.deviceRows++
	}
	b.last.DecidedMs = last
	b.cols[colTimes], b.cols[colTies], b.cols[colOrders] = times[:i], ties[:j], orders[:k]
}

// room returns a column with room for so many values more, and where they begin.
func room(col []byte, values int) (all []byte, at int) {
	all = slices.Grow(col, values*binary.MaxVarintLen64)
	return all[:cap(all)], len(col)
}

// putUvarint writes a value to b, which has room, and returns its length.
func putUvarint(b []byte, v uint64) int {
	if v < 0x80 {
		b[0] = byte(v)
		return 1
	}
	return binary.PutUvarint(b, v)
}

func putVarint(b []byte, v int64) int { return putUvarint(b, uint64(v)<<1^uint64(v>>63)) }
