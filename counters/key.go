package counters

import (
	"math/bits"

	"github.com/zeebo/xxh3"
)

// Key is what a slot is found by, its first two words: 104 bits of the device's name, keyed, and the product in full.
type Key struct{ Hi, Lo uint64 }

// goldenRatio spreads the product's number over the seed.
const goldenRatio = 0x9E37_79B9_7F4A_7C15

// KeyOf returns the key of a device. It keeps nothing of device and needs no gate.
func (t *Table) KeyOf(product uint32, device []byte) Key {
	h := xxh3.Hash128Seed(device, t.seed^uint64(product)*goldenRatio)
	if h.Hi == 0 {
		h.Hi = 1 // An empty slot is 0.
	}
	return Key{Hi: h.Hi, Lo: h.Lo&^ProductMax | uint64(product)&ProductMax}
}

// Product returns the product's number.
func (k Key) Product() uint32 { return uint32(k.Lo) & ProductMax }

// Shard returns the shard that the device is in.
func (k Key) Shard() int { return int(k.Hi >> (64 - shardBits)) }

// home returns the group that a search begins in, of so many. It keeps the order of hashes, whatever the capacity: so
// growth and loading read and write straight ahead.
func (k Key) home(groups uint64) uint64 {
	g, _ := bits.Mul64(k.Hi<<shardBits, groups)
	return g
}

// tag returns the byte that stands for the key in its group: 7 bits that neither shard nor home use, and the highest
// bit, because 0 is an empty slot.
func (k Key) tag() uint64 { return k.Lo>>57 | 0x80 }

// Ordinal names a device for ever, in log records and checkpoints: shard:8 | place in the shard's arena:31, in units of
// 8 bytes.
type Ordinal uint64

// OrdinalMax is the largest Ordinal.
const OrdinalMax Ordinal = 1<<(shardBits+arenaBits) - 1

func newOrdinal(shard int, place uint32) Ordinal {
	return Ordinal(shard)<<arenaBits | Ordinal(place)
}

// FirstOrdinal returns the smallest Ordinal that a device of a shard can have. That of shard Shards is behind all.
func FirstOrdinal(shard int) Ordinal { return newOrdinal(shard, 0) }

// Shard returns the shard of the device.
func (o Ordinal) Shard() int { return int(o>>arenaBits) & (Shards - 1) }

// Number returns a number that no other device of the shard has. Numbers are dense enough to index an array: there is
// one for every 24 bytes of the shard's names.
func (o Ordinal) Number() int { return int(o.place() / entryWordsMin) }

func (o Ordinal) place() uint32 { return uint32(o & arenaMask) }
