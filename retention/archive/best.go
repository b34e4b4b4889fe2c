package archive

import (
	"slices"
)

// best keeps the first of many rows that come in any order: at most so many, and of so many bytes. Every row that was
// added and comes before one that it has is in it, too.
type best struct {
	oldest            direction
	rowsMax, bytesMax int

	heap  []bestRow // the row on top comes after all others
	bytes int       // of texts and payloads
	// cut is the first place that was turned away: nothing there or behind it is taken any more.
	cut   ProductPlace
	isCut bool
}

// bestRow is a row whose slices are its own.
type bestRow struct {
	Row
	place ProductPlace
	texts []byte   // what the slices of Row lie in
	key   entryKey // of the block that has its payload, if Payload does not
	from  int      // byte of that payload
	size  int      // of it
}

// bestTextsKept is what of a row's memory is used again for another.
const bestTextsKept = 1 << 10

func (b *best) reset() { b.heap, b.bytes, b.cut, b.isCut = b.heap[:0], 0, ProductPlace{}, false }

// takes reports whether a row at p would be kept.
func (b *best) takes(p ProductPlace) bool {
	if b.isCut && b.oldest.compare(p, b.cut) >= 0 {
		return false
	}
	return len(b.heap) < b.rowsMax || b.rowsMax > 0 && b.oldest.compare(p, b.heap[0].place) < 0
}

// isFullOf reports whether no row that was decided at an instant would be kept, since there are enough that come
// before: so it need not be noted that it is not.
func (b *best) isFullOf(decidedMs int64) bool {
	if len(b.heap) < b.rowsMax || b.rowsMax == 0 {
		return false
	}
	last := b.heap[0].place.DecidedMs
	return bool(b.oldest) && decidedMs > last || !bool(b.oldest) && decidedMs < last
}

// turnAway notes that there is a row at p that is not kept.
func (b *best) turnAway(p ProductPlace) {
	if !b.isCut || b.oldest.compare(p, b.cut) < 0 {
		b.cut, b.isCut = p, true
	}
}

// add keeps a copy of r if it is among the first. Its payload is copied if it has one; else key, from and size say
// where that is.
func (b *best) add(r *Row, key entryKey, from, size int) {
	place := r.ProductPlace()
	if !b.takes(place) {
		b.turnAway(place)
		return
	}
	if len(b.heap) == b.rowsMax {
		b.turnAway(b.heap[0].place)
		b.bytes -= len(b.heap[0].texts)
		b.heap[0].set(r, place, key, from, size)
		b.bytes += len(b.heap[0].texts)
		b.down()
	} else {
		n := len(b.heap)
		b.heap = slices.Grow(b.heap, 1)[:n+1]
		b.heap[n].set(r, place, key, from, size)
		b.bytes += len(b.heap[n].texts)
		b.up()
	}
	for b.bytes > b.bytesMax && len(b.heap) > 0 {
		b.drop()
	}
}

// drop takes the last row out.
func (b *best) drop() {
	b.turnAway(b.heap[0].place)
	b.bytes -= len(b.heap[0].texts)
	last := len(b.heap) - 1
	b.heap[0], b.heap[last] = b.heap[last], b.heap[0]
	b.heap = b.heap[:last]
	b.down()
}

func (x *bestRow) set(r *Row, place ProductPlace, key entryKey, from, size int) {
	if cap(x.texts) > bestTextsKept {
		x.texts = nil
	}
	need := len(r.Name) + len(r.ID) + len(r.Topic) + len(r.Payload)
	texts := slices.Grow(x.texts[:0], need)
	*x = bestRow{Row: *r, place: place, key: key, from: from, size: size}
	for _, t := range []*[]byte{&x.Name, &x.ID, &x.Topic, &x.Payload} {
		if n := len(*t); n > 0 {
			at := len(texts)
			texts = append(texts, *t...)
			*t = texts[at : at+n : at+n]
		} else {
			*t = nil
		}
	}
	x.texts = texts
}

func (b *best) after(i, j int) bool { return b.oldest.compare(b.heap[i].place, b.heap[j].place) > 0 }

func (b *best) up() {
	for i := len(b.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !b.after(i, parent) {
			return
		}
		b.heap[i], b.heap[parent] = b.heap[parent], b.heap[i]
		i = parent
	}
}

func (b *best) down() {
	for i := 0; ; {
		last, left := i, 2*i+1
		for _, child := range []int{left, left + 1} {
			if child < len(b.heap) && b.after(child, last) {
				last = child
			}
		}
		if last == i {
			return
		}
		b.heap[i], b.heap[last] = b.heap[last], b.heap[i]
		i = last
	}
}

// sorted returns the rows in their order. They are valid until reset; nothing may be added before.
func (b *best) sorted() []bestRow {
	slices.SortFunc(b.heap, func(x, y bestRow) int { return b.oldest.compare(x.place, y.place) })
	return b.heap
}
