package counters

import (
	"bytes"
	"errors"
	"fmt"
)

// An entry of an arena, 8-byte aligned, never across a chunk's end:
//
//	u64 serial:40 | product:24     not 0, stored last: what is 0 is a hole
//	u64 activation s:33 | pool:31
//	u8 length, name, zeros up to the next 8 bytes
const (
	entryHeadBytes = 16
	entryNameAt    = entryHeadBytes + 1
	entryWordsMin  = 3 // with a name of one byte
	productBits    = 24
)

// ErrName means that a product or a device's name is not one that the table holds.
var ErrName = errors.New("counters: product must be 1 to 2^24-1, device 1 to 64 bytes without zeros")

// errArenaFull means that a shard holds 16 GiB of names.
var errArenaFull = errors.New("counters: arena of the shard is full")

// arena keeps the names of one shard. It only grows, and nothing in it moves. Writers hold the shard's lock; readers
// hold none.
type arena struct {
	chunks directory
	end    count // in units of 8 bytes; entries end before it
}

func checkName(product uint32, name []byte) error {
	if product == 0 || product > ProductMax || len(name) == 0 || len(name) > NameBytesMax ||
		bytes.IndexByte(name, 0) >= 0 {
		return ErrName
	}
	return nil
}

// entryWords is the size of an entry in units of 8 bytes.
func entryWords(nameBytes int) int { return (entryNameAt + nameBytes + 7) / 8 }

// next returns where append will put an entry of so many words.
func (a *arena) next(words int) int {
	at := a.end.get()
	if at%chunkWords+words > chunkWords {
		at = (at/chunkWords + 1) * chunkWords
	}
	return at
}

// append adds an entry and returns its place.
func (a *arena) append(from *region, product uint32, name []byte) (uint32, error) {
	at := a.next(entryWords(len(name)))
	if at > arenaMask {
		return 0, errArenaFull
	}
	if err := a.put(from, uint32(at), product, name); err != nil {
		return 0, err
	}
	return uint32(at), nil
}

// put writes an entry at a given place, which must hold nothing. A hole is told from an entry by its words: of an
// entry's words only the second can be 0, and an entry has three at least, so two entries cannot overlap in that word
// alone.
func (a *arena) put(from *region, at, product uint32, name []byte) error {
	words := entryWords(len(name))
	if int(at)%chunkWords+words > chunkWords {
		return fmt.Errorf("counters: entry at %d crosses the end of its chunk", at)
	}
	c, err := a.chunk(from, int(at)/chunkWords)
	if err != nil {
		return err
	}
	off := int(at) % chunkWords * 8
	for i := range words {
		if c.word(off+8*i).Load() != 0 {
			return fmt.Errorf("counters: place %d of the arena is taken", at)
		}
	}
	b := c.bytes(off+entryHeadBytes, 1+len(name))
	b[0] = byte(len(name))
	copy(b[1:], name)
	c.word(off).Store(uint64(product))
	// Only now may a walk come here: it would take an entry whose first word is 0 for a hole, and look for the next one
	// inside.
	a.end.set(max(a.end.get(), int(at)+words))
	return nil
}

// chunk returns the i-th chunk, made if it is missing.
func (a *arena) chunk(from *region, i int) (block, error) {
	if c := a.chunks.get(i); !c.none() {
		return c, nil
	}
	c, err := from.alloc(chunkBytes)
	if err == nil {
		a.chunks.put(i, c)
	}
	return c, err
}

// place returns the chunk and the byte offset of a place, none if there is no chunk or the place is behind the end.
func (a *arena) place(at uint32) (block, int) {
	if int(at) >= a.end.get() {
		return block{}, 0
	}
	return a.chunks.get(int(at) / chunkWords), int(at) % chunkWords * 8
}

// entry returns the product and name at a place; product 0 if no entry is there. A place inside an entry gives an
// answer too, though none that means anything: the caller compares it with what it knows, or has the place from a slot.
func (a *arena) entry(at uint32) (product uint32, name []byte) {
	c, off := a.place(at)
	if c.none() || off+entryNameAt >= chunkBytes {
		return 0, nil
	}
	product = uint32(c.word(off).Load()) & ProductMax
	if product == 0 {
		return 0, nil
	}
	n := int(c.bytes(off+entryHeadBytes, 1)[0])
	if n == 0 || n > NameBytesMax || off+entryNameAt+n > chunkBytes {
		return 0, nil
	}
	return product, c.bytes(off+entryNameAt, n)
}
