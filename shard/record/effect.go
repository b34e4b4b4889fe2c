package record

import (
	"encoding/binary"
	"fmt"

	"github.com/meterd/meterd/event"
)

// Kinds of effects. The numbers are on disk.
const (
	effectSession = 1  // word 6: online, holder, suspended
	effectGrant   = 2  // a licence was consumed
	effectLicense = 3  // word 5: a licence's state or end changed
	effectOTA     = 4  // word 4
	effectPool    = 5  // a pool's totals
	effectClosed  = 6  // the word of a day that is over
	effectEnd     = 7  // a licence ended
	effectCommand = 8  // a gateway is to be told to disconnect a device
	effectUpgrade = 9  // an OTA with an id was accepted or voided
	effectClaim   = 10 // a request with a sequence was decided
	effectRun     = 11 // the daemon began to give out numbers
	effectDayEnd  = 12 // the closed words of a product up to a day are all in the log
	effectQuota   = 13 // a device has used a part of its day that somebody is told of
	effectDecided = 14 // an event that has a source and an id was decided
)

// Grant is the consumption of one licence, with the totals after it.
type Grant struct {
	Ordinal     uint64 // the device
	License     uint64 // word 5 after
	ActivationS int64  // Unix seconds
	Pool        uint32
	PoolDrawn   uint64 // of the pool, after
	GiftsDrawn  uint64 // of the product, after
	Serial      uint64
}

// Pool is the totals of a pool after an event.
type Pool struct {
	ID              uint32
	Drawn, Returned uint64
}

// End is the end of one licence (R3).
type End struct {
	Ordinal uint64 // the device
	Serial  uint64 // the licence
	EndedS  int64  // Unix seconds
	How     EndReason
}

// EndReason says what became of the device when its licence ended. The numbers are on disk.
type EndReason uint8

// The ways in which a licence ends.
const (
	EndRenewed    EndReason = 1 // the device consumed another one
	EndExhausted  EndReason = 2 // none was left
	EndRenewalOff EndReason = 3 // its renewal is switched off (R19)
	EndOffline    EndReason = 4 // the device was offline: it is renewed by its next connect, not before
)

// Command is what a gateway is to be told of a device.
type Command struct {
	Seq     uint64 // rises with every command of the daemon
	Ordinal uint64 // the device
	Account uint32 // of its product
	Holder  uint32 // the producer that held it, 0 for every gateway of the account
	Change  uint64 // of the device's session: a larger one means that the device has connected since
	AtMs    int64  // Unix milliseconds
	Reason  event.Code
}

// OTA says how a device's OTA units stand after an event.
type OTA struct {
	Ordinal uint64 // the device
	Word    uint64 // word 4
	Day     uint32 // of the event by the product's calendar; it lies in the word's month
}

// DayEnd says that no word of a product counts for Day or an earlier day any more, and that all of them that counted
// anything are in groups up to this one, as closed words.
type DayEnd struct {
	Product uint32
	Day     uint32
}

// Claim is what is remembered of a request with a sequence.
type Claim struct {
	Producer uint32 // its ordinal
	Sequence uint64
	Hash     [16]byte // of the inflated body
	AtMs     int64    // when it was decided
	Answer   []byte   // compact
}

// Run is a start of the daemon, with the first numbers that it could give out.
type Run struct {
	Number       uint64 // rises with every start that gave out any
	Tag          uint32 // drawn at random
	FirstCommand uint64
	FirstChange  uint64
}

// Quota says that a device has come to a part of the messages of its day (R10).
type Quota struct {
	Ordinal     uint64 // the device
	Day         uint32 // of the product's calendar
	Percent     uint8  // 80 or 100
	Used, Limit uint32 // units
}

// EventKey is a hash of account, source and id of a CloudEvent.
type EventKey [16]byte

// Outcome is what became of an event. The numbers are on disk; of two in the same second the larger one is the later.
type Outcome uint8

// What became of an event that is remembered by its key.
const (
	OutcomeDenied   Outcome = 1 // by the quota of messages
	OutcomeAccepted Outcome = 2
	OutcomeObserved Outcome = 3 // accepted, and the quota of messages would have denied it
)

// IsValid reports whether o is one of the above.
func (o Outcome) IsValid() bool { return o >= OutcomeDenied && o <= OutcomeObserved }

// Decided is an event that must not be decided again when it is sent again.
type Decided struct {
	Key     EventKey
	AtS     uint32 // when it was decided, Unix seconds
	Outcome Outcome
}

func (b *Builder) word(kind byte, ordinal, word uint64) {
	c := append(b.cols[colEffects], kind)
	c = binary.AppendUvarint(c, ordinal)
	b.cols[colEffects] = binary.LittleEndian.AppendUint64(c, word)
}

// Session says how the device's session stands after an event.
func (b *Builder) Session(ordinal, word uint64) { b.word(effectSession, ordinal, word) }

// License says how the device's licence stands after an event that consumed none.
func (b *Builder) License(ordinal, word uint64) { b.word(effectLicense, ordinal, word) }

// OTA says how a device's OTA units stand after an event.
func (b *Builder) OTA(o OTA) {
	b.word(effectOTA, o.Ordinal, o.Word)
	b.putUvarint(colEffects, uint64(o.Day))
}

// Closed keeps the word of a day that is over: index is its place in the slot.
func (b *Builder) Closed(index int, ordinal, word uint64) {
	c := append(b.cols[colEffects], effectClosed, byte(index))
	c = binary.AppendUvarint(c, ordinal)
	b.cols[colEffects] = binary.LittleEndian.AppendUint64(c, word)
}

// Grant says that a licence was consumed.
func (b *Builder) Grant(g Grant) {
	c := append(b.cols[colEffects], effectGrant)
	c = binary.AppendUvarint(c, g.Ordinal)
	c = binary.LittleEndian.AppendUint64(c, g.License)
	c = binary.AppendVarint(c, g.ActivationS)
	c = binary.AppendUvarint(c, uint64(g.Pool))
	c = binary.AppendUvarint(c, g.PoolDrawn)
	c = binary.AppendUvarint(c, g.GiftsDrawn)
	b.cols[colEffects] = binary.AppendUvarint(c, g.Serial)
}

// Pool says how a pool's totals stand.
func (b *Builder) Pool(p Pool) {
	c := append(b.cols[colEffects], effectPool)
	c = binary.AppendUvarint(c, uint64(p.ID))
	c = binary.AppendUvarint(c, p.Drawn)
	b.cols[colEffects] = binary.AppendUvarint(c, p.Returned)
}

// End says that a licence ended.
func (b *Builder) End(e End) {
	c := append(b.cols[colEffects], effectEnd)
	c = binary.AppendUvarint(c, e.Ordinal)
	c = binary.AppendUvarint(c, e.Serial)
	c = binary.AppendVarint(c, e.EndedS)
	b.cols[colEffects] = append(c, byte(e.How))
}

// Command says that a gateway is to be told.
func (b *Builder) Command(m Command) {
	c := append(b.cols[colEffects], effectCommand)
	c = binary.AppendUvarint(c, m.Seq)
	c = binary.AppendUvarint(c, m.Ordinal)
	c = binary.AppendUvarint(c, uint64(m.Account))
	c = binary.AppendUvarint(c, uint64(m.Holder))
	c = binary.AppendUvarint(c, m.Change)
	c = binary.AppendVarint(c, m.AtMs)
	b.cols[colEffects] = append(c, byte(m.Reason))
}

// Claim says what was answered to a request with a sequence.
func (b *Builder) Claim(m Claim) {
	c := append(b.cols[colEffects], effectClaim)
	c = binary.AppendUvarint(c, uint64(m.Producer))
	c = binary.AppendUvarint(c, m.Sequence)
	c = append(c, m.Hash[:]...)
	c = binary.AppendVarint(c, m.AtMs)
	c = binary.AppendUvarint(c, uint64(len(m.Answer)))
	b.cols[colEffects] = append(c, m.Answer...)
}

// Run says that the daemon was started and gives out numbers.
func (b *Builder) Run(m Run) {
	c := append(b.cols[colEffects], effectRun)
	c = binary.AppendUvarint(c, m.Number)
	c = binary.AppendUvarint(c, uint64(m.Tag))
	c = binary.AppendUvarint(c, m.FirstCommand)
	b.cols[colEffects] = binary.AppendUvarint(c, m.FirstChange)
}

// DayEnd says that the days of a product up to one are closed.
func (b *Builder) DayEnd(d DayEnd) {
	c := append(b.cols[colEffects], effectDayEnd)
	c = binary.AppendUvarint(c, uint64(d.Product))
	b.cols[colEffects] = binary.AppendUvarint(c, uint64(d.Day))
}

// Quota says that a device has come to a part of its day.
func (b *Builder) Quota(q Quota) {
	c := append(b.cols[colEffects], effectQuota)
	c = binary.AppendUvarint(c, q.Ordinal)
	c = binary.AppendUvarint(c, uint64(q.Day))
	c = append(c, q.Percent)
	c = binary.AppendUvarint(c, uint64(q.Used))
	b.cols[colEffects] = binary.AppendUvarint(c, uint64(q.Limit))
}

// Decided says that an event with a source and an id was decided.
func (b *Builder) Decided(d *Decided) {
	c := append(b.cols[colEffects], effectDecided)
	c = append(c, d.Key[:]...)
	c = binary.AppendUvarint(c, uint64(d.AtS))
	b.cols[colEffects] = append(c, byte(d.Outcome))
}

// Effects receives the effects of a chunk.
type Effects interface {
	// Word joins a word of a device: index is its place in the slot (FORMAT.md of the device table).
	Word(index int, ordinal, word uint64) error
	OTA(OTA) error
	// Closed is the word of a day that is over.
	Closed(index int, ordinal, word uint64) error
	DayEnd(DayEnd) error
	Grant(Grant) error
	Pool(Pool) error
	End(End) error
	Command(Command) error
	Upgrade(Upgrade) error
	Claim(Claim) error
	Run(Run) error
	Quota(Quota) error
	Decided(Decided) error
}

// The places of the words in a device's slot.
const (
	WordMessages = 2
	WordDenied   = 3
	WordOTA      = 4
	WordLicense  = 5
	WordSession  = 6
)

// Effects calls e for every effect of the chunk, in order.
func (c *Chunk) Effects(e Effects) error { return ReadEffects(c.EffectsColumn(), e) }

// EffectsColumn returns the encoded effects of the chunk, in place: what a view reads that needs no rows.
func (c *Chunk) EffectsColumn() []byte { return c.cols[colEffects] }

// ReadEffects calls e for every effect of a chunk's column, in order.
func ReadEffects(column []byte, e Effects) error {
	r := reader{b: column}
	for len(r.b) > 0 {
		if err := oneEffect(&r, e); err != nil {
			return fmt.Errorf("effects: %w", err)
		}
	}
	return nil
}

// wordOf is the place of the word that an effect carries.
var wordOf = [...]byte{effectSession: WordSession, effectLicense: WordLicense}

func oneEffect(r *reader, e Effects) error {
	switch kind := r.byte(); kind {
	case effectSession, effectLicense:
		ordinal, word := r.uvarint(), r.uint64()
		if r.err != nil {
			return r.err
		}
		return e.Word(int(wordOf[kind]), ordinal, word)
	case effectOTA:
		o := OTA{Ordinal: r.uvarint(), Word: r.uint64(), Day: uint32(r.uvarint())}
		if r.err != nil {
			return r.err
		}
		return e.OTA(o)
	case effectClosed:
		index, ordinal, word := int(r.byte()), r.uvarint(), r.uint64()
		if r.err != nil {
			return r.err
		}
		return e.Closed(index, ordinal, word)
	case effectGrant:
		g := Grant{Ordinal: r.uvarint(), License: r.uint64(), ActivationS: r.varint()}
		pool := r.uvarint()
		g.PoolDrawn, g.GiftsDrawn, g.Serial = r.uvarint(), r.uvarint(), r.uvarint()
		if r.err != nil {
			return r.err
		}
		g.Pool = uint32(pool)
		return e.Grant(g)
	case effectPool:
		id := r.uvarint()
		p := Pool{ID: uint32(id), Drawn: r.uvarint(), Returned: r.uvarint()}
		if r.err != nil {
			return r.err
		}
		return e.Pool(p)
	default:
		return laterEffect(kind, r, e)
	}
}

func laterEffect(kind byte, r *reader, e Effects) error {
	switch kind {
	case effectEnd:
		end := End{Ordinal: r.uvarint(), Serial: r.uvarint(), EndedS: r.varint(), How: EndReason(r.byte())}
		if r.err != nil {
			return r.err
		}
		return e.End(end)
	case effectCommand:
		c := Command{Seq: r.uvarint(), Ordinal: r.uvarint(), Account: uint32(r.uvarint())}
		c.Holder, c.Change, c.AtMs, c.Reason = uint32(r.uvarint()), r.uvarint(), r.varint(), event.Code(r.byte())
		if r.err != nil {
			return r.err
		}
		return e.Command(c)
	case effectUpgrade:
		ordinal := r.uvarint()
		id := r.bytes(uint64(r.byte()))
		u := r.upgrade()
		if r.err != nil {
			return r.err
		}
		u.Ordinal, u.ID = ordinal, id
		return e.Upgrade(u)
	case effectClaim:
		c := Claim{Producer: uint32(r.uvarint()), Sequence: r.uvarint()}
		copy(c.Hash[:], r.bytes(uint64(len(c.Hash))))
		c.AtMs = r.varint()
		c.Answer = r.bytes(r.uvarint())
		if r.err != nil {
			return r.err
		}
		return e.Claim(c)
	case effectRun:
		m := Run{Number: r.uvarint(), Tag: uint32(r.uvarint()), FirstCommand: r.uvarint(), FirstChange: r.uvarint()}
		if r.err != nil {
			return r.err
		}
		return e.Run(m)
	case effectDayEnd:
		d := DayEnd{Product: uint32(r.uvarint()), Day: uint32(r.uvarint())}
		if r.err != nil {
			return r.err
		}
		return e.DayEnd(d)
	case effectQuota:
		q := Quota{Ordinal: r.uvarint(), Day: uint32(r.uvarint()), Percent: r.byte()}
		q.Used, q.Limit = uint32(r.uvarint()), uint32(r.uvarint())
		if r.err != nil {
			return r.err
		}
		return e.Quota(q)
	case effectDecided:
		var d Decided
		copy(d.Key[:], r.bytes(uint64(len(d.Key))))
		d.AtS, d.Outcome = uint32(r.uvarint()), Outcome(r.byte())
		switch {
		case r.err != nil:
			return r.err
		case !d.Outcome.IsValid():
			return fmt.Errorf("unknown outcome %d of an event", d.Outcome)
		}
		return e.Decided(d)
	default:
		return fmt.Errorf("unknown kind %d", kind)
	}
}
