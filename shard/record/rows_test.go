package record

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/meterd/meterd/event"
	"pgregory.net/rapid"
)

// written is what a test put into a Builder, and what must come out again.
type written struct {
	rows      []Row
	devices   []Device
	producers []Producer
	forgotten []uint32
	effects   []string // as effectLog writes them
}

// step is one call of a Builder, and what it adds to written.
type step func(b *Builder, w *written)

var edges = rapid.OneOf(
	rapid.SampledFrom(
		[]uint64{
			0,
			1,
			127,
			128,
			255,
			256,
			16383,
			16384,
			1<<25 - 1,
			1<<31 - 1,
			1 << 32,
			1<<39 - 1,
			1<<63 - 1,
			1 << 63,
			1<<64 - 1,
		},
	),
	rapid.Uint64(),
)

func below(t *rapid.T, limit uint64, label string) uint64 { return edges.Draw(t, label) % limit }

const (
	ordinals = 1 << 39 // 8 bits of shard, 31 of the place in its arena
	units    = 1 << 25
)

// drawBatches draws requests with rows of every kind, bindings and effects between them.
func drawBatches(t *rapid.T) (steps []step) {
	for range rapid.IntRange(0, 8).Draw(t, "batches") {
		ms, holder := int64(edges.Draw(t, "ms")>>1), uint32(below(t, 1<<20, "holder"))
		if rapid.Bool().Draw(t, "before 1970") {
			ms = -ms
		}
		ended := rapid.Bool().Draw(t, "ended")
		steps = append(steps, func(b *Builder, _ *written) { b.BeginBatch(ms, holder) })
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				steps = append(steps, drawEffect(t))
			} else {
				steps = append(steps, drawRow(t, ms, holder))
			}
		}
		if ended {
			steps = append(steps, func(b *Builder, _ *written) { b.EndBatch() })
		}
	}
	return steps
}

// drawRow draws an event of any kind with or without what only the raw log keeps.
func drawRow(t *rapid.T, ms int64, holder uint32) step {
	r := Row{
		Type: event.Type(rapid.IntRange(1, 6).Draw(t, "type")), DecidedMs: ms, Holder: holder,
		Size: int64(below(t, event.OTABytesMax+1, "size")),
	}
	call := rapid.SampledFrom([]string{"message", "message", "message", "other", "denied", "counted", "stranger"}).
		Draw(t, "row")
	switch call {
	case "message":
		r.Type = rapid.SampledFrom([]event.Type{event.Up, event.Down}).Draw(t, "direction")
		r.Day = uint32(rapid.SampledFrom([]int{0, 2500, 2501, 1<<14 - 1}).Draw(t, "day"))
		r.Up, r.Down = uint32(below(t, units, "up")), uint32(below(t, units, "down"))
		r.Used = r.Up + r.Down
	case "other":
		r.Type = rapid.SampledFrom([]event.Type{event.Connect, event.Disconnect, event.OTA, event.OTAVoid}).Draw(t, "kind")
		r.Used = uint32(below(t, units, "used"))
	case "denied":
		r.Code, r.Used = drawCode(t), uint32(below(t, units, "used"))
		switch r.Code {
		case event.MessageQuotaExceeded:
			r.Code = event.Suspended
		case event.OTAQuotaExceeded:
			call, r.Quota = "upgrade", drawNumbers(t)
		}
	case "counted":
		r.Type = rapid.SampledFrom([]event.Type{event.Up, event.Down}).Draw(t, "direction")
		r.Code, r.Counted, r.Used = event.MessageQuotaExceeded, true, uint32(below(t, units, "used"))
		r.Day, r.Denied = uint32(below(t, 1<<14, "day")), below(t, 1<<50, "denied")
		r.Quota = drawNumbers(t)
		r.Quota.Used = r.Used
	case "stranger":
		r.Named, r.Product, r.Name = true, uint32(below(t, 1<<24, "product")), drawName(t)
		if r.Code = drawCode(t); rapid.Bool().Draw(t, "accepted") {
			r.Code, r.Type = event.Accepted, event.Disconnect // the only one that is, from a device that nobody knows (R3)
		}
	}
	if !r.Named {
		r.Ordinal = below(t, ordinals, "ordinal")
	}
	drawExtras(t, &r)
	if (call == "message" || call == "other") && rapid.Bool().Draw(t, "observed") {
		r.WouldDeny, r.Quota = event.OTAQuotaExceeded, drawNumbers(t)
		if call == "message" {
			r.WouldDeny = event.MessageQuotaExceeded
		}
	}
	return func(b *Builder, w *written) {
		add(b, call, &r)
		w.rows = append(w.rows, r)
	}
}

func add(b *Builder, call string, r *Row) {
	switch call {
	case "message":
		b.Message(r.Type, r.Ordinal, r.Size, r.Day, r.Up, r.Down)
	case "other":
		b.Other(r.Type, r.Ordinal, r.Size, r.Used)
	case "denied":
		b.Denied(r.Type, r.Code, r.Ordinal, r.Size, r.Used)
	case "counted":
		b.DeniedMessage(r.Type, r.Ordinal, r.Size, r.Quota, r.Day, r.Denied)
	case "upgrade":
		b.DeniedUpgrade(r.Type, r.Ordinal, r.Size, r.Used, r.Quota)
	case "stranger":
		b.Stranger(r.Type, r.Code, r.Product, r.Name, r.Size)
	}
	if len(r.ID)+len(r.Topic)+len(r.Payload) > 0 || r.TimeMs != 0 || r.IsCut || r.WouldDeny != event.Accepted ||
		r.Requested != 0 {
		b.Attach(&Extras{
			ID: r.ID, Topic: r.Topic, Payload: r.Payload, IsCut: r.IsCut, TimeMs: r.TimeMs,
			WouldDeny: r.WouldDeny, Quota: r.Quota, DayUsed: r.Used,
			Requested: r.Requested, TopupAvailable: r.TopupAvailable,
		})
	}
}

// drawNumbers draws few different ones, so that rows share them.
func drawNumbers(t *rapid.T) QuotaNumbers {
	return QuotaNumbers{
		Limit:      uint32(rapid.SampledFrom([]int{0, 1, 1500, 16_000_000}).Draw(t, "limit")),
		Used:       uint32(rapid.SampledFrom([]int{0, 1, 1000}).Draw(t, "used of it")),
		ResetsAtMs: rapid.SampledFrom([]int64{0, 1_800_000_000_000, 1_800_086_400_000}).Draw(t, "resets"),
	}
}

func drawExtras(t *rapid.T, r *Row) {
	r.IsCut = rapid.Bool().Draw(t, "cut")
	if rapid.Bool().Draw(t, "id") {
		r.ID = drawName(t)
	}
	if rapid.Bool().Draw(t, "topic") {
		r.Topic = drawBytes(t, event.TopicBytesMax)
	}
	if rapid.Bool().Draw(t, "payload") {
		r.Payload = drawBytes(t, 300)
	}
	if rapid.Bool().Draw(t, "time") {
		r.TimeMs = int64(edges.Draw(t, "time ms"))
	}
	if rapid.Bool().Draw(t, "upgrade lacks") {
		r.Requested = uint32(1 + below(t, 1<<20, "requested"))
		r.TopupAvailable = edges.Draw(t, "available")
	}
}

func drawCode(t *rapid.T) event.Code {
	codes := event.EventCodes()[1:]
	return rapid.SampledFrom(codes).Draw(t, "code")
}

func drawName(t *rapid.T) []byte {
	return []byte(rapid.StringMatching(`[A-Za-z0-9._:-]{1,64}`).Draw(t, "name"))
}

// drawBytes draws some, never none: nothing is what stands for none.
func drawBytes(t *rapid.T, most int) []byte {
	n := rapid.SampledFrom([]int{1, 2, 127, 128, most}).Draw(t, "bytes")
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, min(n, most))
}

// drawEffect draws a binding or an effect of any kind.
func drawEffect(t *rapid.T) step {
	ordinal, word := below(t, ordinals, "ordinal"), edges.Draw(t, "word")
	id, n, m := uint32(below(t, 1<<31, "id")), edges.Draw(t, "n"), edges.Draw(t, "m")
	log := func(e Effects, do func(Effects) error) {
		if err := do(e); err != nil {
			t.Fatal(err)
		}
	}
	effect := func(put func(*Builder), do func(Effects) error) step {
		return func(b *Builder, w *written) {
			put(b)
			log(&effectLog{&w.effects}, do)
		}
	}
	switch rapid.SampledFrom([]string{
		"device", "producer", "forgotten", "session", "license", "ota", "closed", "grant",
		"pool", "end", "command", "upgrade", "claim", "run", "day end", "quota", "decided",
	}).
		Draw(t, "effect") {
	case "device":
		d := Device{Ordinal: ordinal, Product: uint32(below(t, 1<<24, "product")), Name: drawName(t)}
		return func(b *Builder, w *written) { b.BindDevice(d); w.devices = append(w.devices, d) }
	case "producer":
		p := Producer{Ordinal: uint32(below(t, 1<<20, "holder")), Account: id, SeenMs: int64(word), Name: drawName(t)}
		return func(b *Builder, w *written) { b.BindProducer(p); w.producers = append(w.producers, p) }
	case "forgotten":
		return func(b *Builder, w *written) { b.ForgetProducer(id); w.forgotten = append(w.forgotten, id) }
	case "session":
		return effect(
			func(b *Builder) { b.Session(ordinal, word) },
			func(e Effects) error { return e.Word(WordSession, ordinal, word) },
		)
	case "license":
		return effect(
			func(b *Builder) { b.License(ordinal, word) },
			func(e Effects) error { return e.Word(WordLicense, ordinal, word) },
		)
	case "ota":
		return effect(
			func(b *Builder) { b.OTA(OTA{ordinal, word, id}) },
			func(e Effects) error { return e.OTA(OTA{ordinal, word, id}) },
		)
	case "day end":
		d := DayEnd{Product: id, Day: uint32(below(t, 1<<14, "day"))}
		return effect(func(b *Builder) { b.DayEnd(d) }, func(e Effects) error { return e.DayEnd(d) })
	case "closed":
		index := rapid.SampledFrom([]int{WordMessages, WordDenied}).Draw(t, "index")
		return effect(
			func(b *Builder) { b.Closed(index, ordinal, word) },
			func(e Effects) error { return e.Closed(index, ordinal, word) },
		)
	case "grant":
		g := Grant{
			Ordinal:     ordinal,
			License:     word,
			ActivationS: int64(n),
			Pool:        id,
			PoolDrawn:   m,
			GiftsDrawn:  n,
			Serial:      word ^ m,
		}
		return effect(func(b *Builder) { b.Grant(g) }, func(e Effects) error { return e.Grant(g) })
	case "pool":
		p := Pool{ID: id, Drawn: n, Returned: m}
		return effect(func(b *Builder) { b.Pool(p) }, func(e Effects) error { return e.Pool(p) })
	case "end":
		end := End{Ordinal: ordinal, Serial: n, EndedS: int64(m), How: EndReason(rapid.IntRange(1, 4).Draw(t, "how"))}
		return effect(func(b *Builder) { b.End(end) }, func(e Effects) error { return e.End(end) })
	case "command":
		c := Command{
			Seq:     n,
			Ordinal: ordinal,
			Account: uint32(word),
			Holder:  id,
			Change:  m >> 24,
			AtMs:    int64(word),
			Reason:  drawCode(t),
		}
		return effect(func(b *Builder) { b.Command(c) }, func(e Effects) error { return e.Command(c) })
	case "run":
		r := Run{Number: n, Tag: id, FirstCommand: m, FirstChange: word}
		return effect(func(b *Builder) { b.Run(r) }, func(e Effects) error { return e.Run(r) })
	case "quota":
		q := Quota{
			Ordinal: ordinal, Day: id >> 8, Percent: uint8(rapid.SampledFrom([]int{80, 100}).Draw(t, "percent")),
			Used: id, Limit: uint32(m),
		}
		return effect(func(b *Builder) { b.Quota(q) }, func(e Effects) error { return e.Quota(q) })
	case "decided":
		d := Decided{
			Key: EventKey(bytes.Repeat([]byte{byte(m)}, 16)), AtS: uint32(word),
			Outcome: Outcome(rapid.IntRange(1, 3).Draw(t, "outcome")),
		}
		return effect(func(b *Builder) { b.Decided(&d) }, func(e Effects) error { return e.Decided(d) })
	case "claim":
		c := Claim{
			Producer: id,
			Sequence: n,
			Hash:     [16]byte(bytes.Repeat([]byte{byte(m)}, 16)),
			AtMs:     int64(word),
			Answer:   drawBytes(t, 200),
		}
		return effect(func(b *Builder) { b.Claim(c) }, func(e Effects) error { return e.Claim(c) })
	default:
		u := drawUpgrade(t)
		u.Ordinal, u.ID = ordinal, drawName(t)
		return effect(func(b *Builder) { b.Upgrade(u) }, func(e Effects) error { return e.Upgrade(u) })
	}
}

func drawUpgrade(t *rapid.T) Upgrade {
	u := Upgrade{
		Size: int64(below(t, event.OTABytesMax+1, "size")), Month: uint32(below(t, 1<<10, "month")),
		Allowance: uint32(below(t, 1<<10, "allowance")), Voided: rapid.Bool().Draw(t, "voided"),
		VoidDay: uint32(below(t, 1<<14, "void day")),
	}
	for range rapid.IntRange(0, 3).Draw(t, "packs") {
		u.Packs = append(u.Packs, PackUnits{Pool: uint32(below(t, 1<<31, "pool")), Units: uint32(below(t, 1<<16, "units"))})
	}
	return u
}

// effectLog writes effects down, one a line.
type effectLog struct{ lines *[]string }

func (l *effectLog) write(format string, args ...any) error {
	*l.lines = append(*l.lines, fmt.Sprintf(format, args...))
	return nil
}

func (l *effectLog) Word(index int, ordinal, word uint64) error {
	return l.write("word %d of %d: %x", index, ordinal, word)
}

func (l *effectLog) Closed(index int, ordinal, word uint64) error {
	return l.write("closed %d of %d: %x", index, ordinal, word)
}

func (l *effectLog) OTA(o OTA) error         { return l.write("ota %+v", o) }
func (l *effectLog) DayEnd(d DayEnd) error   { return l.write("day end %+v", d) }
func (l *effectLog) Grant(g Grant) error     { return l.write("grant %+v", g) }
func (l *effectLog) Pool(p Pool) error       { return l.write("pool %+v", p) }
func (l *effectLog) End(e End) error         { return l.write("end %+v", e) }
func (l *effectLog) Command(c Command) error { return l.write("command %+v", c) }
func (l *effectLog) Claim(m Claim) error     { return l.write("claim %+v", m) }

func (l *effectLog) Run(r Run) error { return l.write("run %+v", r) }

func (l *effectLog) Quota(q Quota) error { return l.write("quota %+v", q) }

func (l *effectLog) Decided(d Decided) error { return l.write("decided %+v", d) }

func (l *effectLog) Upgrade(u Upgrade) error { return l.write("upgrade %+v", u) }

// bindingsLog hands bindings to what a test does with them.
type bindingsLog struct {
	device    func(Device) error
	producer  func(Producer) error
	forgotten func(uint32) error
}

func (l bindingsLog) Device(d Device) error     { return l.device(d) }
func (l bindingsLog) Producer(p Producer) error { return l.producer(p) }
func (l bindingsLog) Forgotten(n uint32) error  { return l.forgotten(n) }

// read walks a chunk whole, bindings first.
func read(raw []byte) (w written, err error) {
	c, err := Open(raw)
	if err != nil {
		return w, err
	}
	err = c.Bindings(bindingsLog{
		device:    func(d Device) error { w.devices = append(w.devices, d); return nil },
		producer:  func(p Producer) error { w.producers = append(w.producers, p); return nil },
		forgotten: func(n uint32) error { w.forgotten = append(w.forgotten, n); return nil },
	})
	if err != nil {
		return w, err
	}
	if err := c.Effects(&effectLog{&w.effects}); err != nil {
		return w, err
	}
	s := c.Scan()
	for s.Next() {
		w.rows = append(w.rows, s.Row)
	}
	return w, s.Err()
}

// difference says where two chunks' content differs first, "" if nowhere.
func difference(got, want *written) string {
	line := func(v any) string { return fmt.Sprintf("%+v", v) }
	lists := []struct {
		name      string
		got, want []string
	}{
		{"row", lines(got.rows, line), lines(want.rows, line)},
		{"device", lines(got.devices, line), lines(want.devices, line)},
		{"producer", lines(got.producers, line), lines(want.producers, line)},
		{"forgotten producer", lines(got.forgotten, line), lines(want.forgotten, line)},
		{"effect", got.effects, want.effects},
	}
	for _, l := range lists {
		for i := range min(len(l.got), len(l.want)) {
			if l.got[i] != l.want[i] {
				return fmt.Sprintf("%s %d is\n%s, want\n%s", l.name, i, l.got[i], l.want[i])
			}
		}
		if !slices.Equal(l.got, l.want) {
			return fmt.Sprintf("%d of %s, want %d", len(l.got), l.name, len(l.want))
		}
	}
	return ""
}

func lines[T any](list []T, line func(any) string) (out []string) {
	for i := range list {
		out = append(out, line(list[i]))
	}
	return out
}
