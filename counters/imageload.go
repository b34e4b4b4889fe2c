package counters

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
)

// ErrImage means that bytes are not the image of this shard of this table.
var ErrImage = errors.New("counters: not an image of this shard")

// image is a checked one: sizes agree, and the arena can be walked.
type image struct {
	slots []byte
	names []byte
	// starts has a bit for every 8 bytes of names: an entry begins here that no slot has claimed yet.
	starts []uint64
}

// LoadShard fills an empty shard with an image from AppendShard. Everything is checked before anything changes: sizes,
// every entry of the arena, that each entry has exactly one slot, and that its name hashes into this shard. Keys are
// computed from the names, so an image of another seed is refused too. data is not kept. Different shards can be loaded
// by different goroutines; nobody is inside the gate. A checksum is the file's business.
func (t *Table) LoadShard(shard int, data []byte) error {
	img, err := parseImage(shard, data)
	if err != nil {
		return fmt.Errorf("load shard %d: %w", shard, err)
	}
	t.promised.reset(0)
	sh := &t.shards[shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.used.get() != 0 || sh.names.end.get() != 0 {
		return fmt.Errorf("load shard %d: it is not empty", shard)
	}
	used := len(img.slots) / imageSlotBytes
	h, err := t.newSlots(slotsFor(shard, used, 0))
	if err != nil {
		return fmt.Errorf("load shard %d: %w", shard, err)
	}
	if err = img.fill(t, shard, &h); err == nil {
		err = sh.names.load(&t.nameMem, img.names)
	}
	if err != nil {
		t.freeSlots(h)
		return fmt.Errorf("load shard %d: %w", shard, err)
	}
	t.freeSlots(t.tables[shard])
	t.tables[shard] = h
	sh.used.set(used)
	return nil
}

func parseImage(shard int, data []byte) (*image, error) {
	if shard < 0 || shard >= Shards || len(data) < imageHeadBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrImage, len(data))
	}
	if v := binary.LittleEndian.Uint32(data); v != imageVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", ErrImage, v, imageVersion)
	}
	if n := binary.LittleEndian.Uint32(data[4:]); n != uint32(shard) {
		return nil, fmt.Errorf("%w: it is of shard %d", ErrImage, n)
	}
	used, bytes := binary.LittleEndian.Uint64(data[8:]), binary.LittleEndian.Uint64(data[16:])
	body := data[imageHeadBytes:]
	if used > uint64(len(body)/imageSlotBytes) || bytes != uint64(len(body))-used*imageSlotBytes ||
		bytes%8 != 0 || bytes/8 > arenaMask {
		return nil, fmt.Errorf("%w: %d slots and %d bytes of names in %d bytes", ErrImage, used, bytes, len(data))
	}
	img := &image{slots: body[:used*imageSlotBytes], names: body[used*imageSlotBytes:]}
	return img, img.scan(int(used))
}

// scan checks the arena: so many entries and nothing but holes between them.
func (img *image) scan(used int) error {
	img.starts = make([]uint64, (len(img.names)/8+63)/64)
	entries := 0
	for off := 0; off < len(img.names); {
		if binary.LittleEndian.Uint64(img.names[off:]) == 0 {
			off += 8
			continue
		}
		_, name, bytes := img.entry(off)
		if name == nil {
			return fmt.Errorf("%w: damaged name at byte %d", ErrImage, off)
		}
		img.starts[off/8/64] |= 1 << (off / 8 % 64)
		entries++
		off += bytes
	}
	if entries != used {
		return fmt.Errorf("%w: %d names for %d slots", ErrImage, entries, used)
	}
	return nil
}

// entry reads the entry at a byte offset; name is nil if there is none that may stand there.
func (img *image) entry(off int) (product uint32, name []byte, bytes int) {
	rest := img.names[off:min(len(img.names), (off/chunkBytes+1)*chunkBytes)]
	if len(rest) < entryNameAt {
		return 0, nil, 0
	}
	product = uint32(binary.LittleEndian.Uint64(rest)) & ProductMax
	n := int(rest[entryHeadBytes])
	bytes = entryWords(n) * 8
	if bytes > len(rest) || checkName(product, rest[entryNameAt:entryNameAt+n]) != nil {
		return 0, nil, 0
	}
	for _, pad := range rest[entryNameAt+n : bytes] {
		if pad != 0 {
			return 0, nil, 0
		}
	}
	return product, rest[entryNameAt : entryNameAt+n], bytes
}

// fill puts the slots into an empty table. They come in the order of their hashes, so it writes straight ahead.
func (img *image) fill(t *Table, shard int, h *slots) error {
	n := 0
	for rest := img.slots; len(rest) > 0; rest = rest[imageSlotBytes:] {
		if n++; n%loadYieldEvery == 0 {
			runtime.Gosched()
		}
		seen := SeenWord(binary.LittleEndian.Uint64(rest[40:]))
		place := int(seen.Arena())
		if place/64 >= len(img.starts) || img.starts[place/64]>>(place%64)&1 == 0 {
			return fmt.Errorf("%w: a slot names place %d of the arena, where no name begins or another slot's", ErrImage, place)
		}
		img.starts[place/64] &^= 1 << (place % 64)
		product, name, _ := img.entry(place * 8)
		k := t.KeyOf(product, name)
		if k.Shard() != shard {
			return fmt.Errorf("%w: %q belongs to shard %d: another seed, or damaged", ErrImage, name, k.Shard())
		}
		if h.find(k) != nil {
			return fmt.Errorf("%w: %q of product %d is there twice", ErrImage, name, product)
		}
		w := h.addAlone(k)
		for i := 2; i < 8; i++ {
			w[i] = binary.LittleEndian.Uint64(rest[8*(i-2):])
		}
		if w[6]&(1<<suspendedShift-1) != 0 {
			return fmt.Errorf("%w: the session of %q is damaged", ErrImage, name)
		}
	}
	return nil
}

// load fills an empty arena with checked bytes. All its memory is there before it changes.
func (a *arena) load(from *region, names []byte) error {
	chunks := make([]block, 0, (len(names)+chunkBytes-1)/chunkBytes)
	for range cap(chunks) {
		c, err := from.alloc(chunkBytes)
		if err != nil {
			for _, c := range chunks {
				from.release(c, chunkBytes)
			}
			return err
		}
		chunks = append(chunks, c)
	}
	for i, c := range chunks {
		part := names[i*chunkBytes : min(len(names), (i+1)*chunkBytes)]
		copy(c.bytes(0, len(part)), part)
		a.chunks.put(i, c)
	}
	a.end.set(len(names) / 8)
	return nil
}
