package verify

import "fmt"

// Kinds of effects (shard/record/FORMAT.md).
const (
	effectSession = 1
	effectGrant   = 2
	effectLicense = 3
	effectOTA     = 4
	effectPool    = 5
	effectClosed  = 6
	effectEnd     = 7
	effectCommand = 8
	effectUpgrade = 9
	effectClaim   = 10
	effectRun     = 11
	effectDayEnd  = 12
	effectQuota   = 13
	effectDecided = 14
)

// effects are those of one chunk that are recounted, each kind in its order.
type effects struct {
	grants   []grant
	licenses []deviceWord // without a grant
	otas     []otaEffect  // words and upgrades, as they alternate
	pools    []pooled
	closed   []deviceWord
	ends     []ended
	dayEnds  []dayEnd
}

type grant struct {
	ordinal      uint64
	word         uint64 // w5
	activatedS   int64  // Unix seconds
	pool         uint32
	drawn, gifts uint64
	serial       uint64
}

// deviceWord is a word of a device; index is its place in the slot.
type deviceWord struct {
	ordinal, word uint64
	index         byte
}

// otaEffect is a word 4, or an upgrade with an id.
type otaEffect struct {
	ordinal uint64
	word    uint64 // w4
	day     uint32
	upgrade *upgrade // nil: it is a word
}

type upgrade struct {
	id        []byte
	encoded   []byte // as the ledger keeps it
	size      int64
	month     uint32
	allowance uint32
	packs     []packUnits
	voided    bool
	voidDay   uint32
}

type packUnits struct{ pool, units uint32 }

func (u *upgrade) packUnits() (n uint64) {
	for _, p := range u.packs {
		n += uint64(p.units)
	}
	return n
}

type pooled struct {
	pool            uint32
	drawn, returned uint64
}

type ended struct {
	ordinal, serial uint64
	endedS          int64
	how             byte
}

type dayEnd struct{ product, day uint32 }

func (e *effects) reset() {
	e.grants, e.licenses, e.otas, e.pools = e.grants[:0], e.licenses[:0], e.otas[:0], e.pools[:0]
	e.closed, e.ends, e.dayEnds = e.closed[:0], e.ends[:0], e.dayEnds[:0]
}

// decode reads the effects of a chunk. What is kept aliases the column.
func (e *effects) decode(column []byte) error {
	e.reset()
	in := input{b: column}
	for len(in.b) > 0 {
		if kind := in.u8(); !e.one(kind, &in) {
			return fmt.Errorf("effects: unknown kind %d: a newer meterd wrote it", kind)
		}
	}
	if in.err != nil {
		return fmt.Errorf("effects: %w", in.err)
	}
	return nil
}

func (e *effects) one(kind byte, in *input) bool {
	switch kind {
	case effectSession:
		in.uvarint()
		in.u64()
	case effectGrant:
		e.grants = append(e.grants, grant{
			ordinal: in.upTo(ordinalMax), word: in.u64(), activatedS: in.varint(), pool: in.u32(), drawn: in.uvarint(),
			gifts: in.uvarint(), serial: in.uvarint(),
		})
	case effectLicense:
		e.licenses = append(e.licenses, deviceWord{ordinal: in.upTo(ordinalMax), word: in.u64(), index: 5})
	case effectOTA:
		e.otas = append(e.otas, otaEffect{ordinal: in.upTo(ordinalMax), word: in.u64(), day: uint32(in.upTo(dayMax))})
	case effectPool:
		e.pools = append(e.pools, pooled{pool: in.u32(), drawn: in.uvarint(), returned: in.uvarint()})
	case effectClosed:
		w := deviceWord{index: in.u8()}
		w.ordinal, w.word = in.upTo(ordinalMax), in.u64()
		e.closed = append(e.closed, w)
	case effectEnd:
		e.ends = append(e.ends, ended{
			ordinal: in.upTo(ordinalMax), serial: in.uvarint(), endedS: in.varint(), how: in.u8(),
		})
	case effectUpgrade:
		o := otaEffect{ordinal: in.upTo(ordinalMax), upgrade: &upgrade{}}
		o.upgrade.id = in.take(uint64(in.u8()))
		o.upgrade.decode(in)
		e.otas = append(e.otas, o)
	case effectDayEnd:
		e.dayEnds = append(e.dayEnds, dayEnd{product: in.u32(), day: uint32(in.upTo(dayMax))})
	default:
		return skipEffect(kind, in)
	}
	return true
}

// skipEffect passes over an effect that nothing is recounted from.
func skipEffect(kind byte, in *input) bool {
	switch kind {
	case effectCommand:
		for range 5 {
			in.uvarint()
		}
		in.varint()
		in.u8()
	case effectClaim:
		in.uvarint()
		in.uvarint()
		in.take(16)
		in.varint()
		in.text()
	case effectRun:
		for range 4 {
			in.uvarint()
		}
	case effectQuota:
		in.uvarint()
		in.uvarint()
		in.u8()
		in.uvarint()
		in.uvarint()
	case effectDecided:
		in.take(16)
		in.uvarint()
		in.u8()
	default:
		return false
	}
	return true
}

func (u *upgrade) decode(in *input) {
	from := in.b
	u.size = int64(in.uvarint())
	u.month, u.allowance = uint32(in.upTo(monthMax)), in.u32()
	u.voided = in.u8() == 1
	u.voidDay = uint32(in.upTo(dayMax))
	for n := in.uvarint(); n > 0 && in.err == nil; n-- {
		u.packs = append(u.packs, packUnits{pool: in.u32(), units: in.u32()})
	}
	if in.err == nil {
		u.encoded = from[:len(from)-len(in.b)]
	}
}
