package record

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
	"pgregory.net/rapid"
)

// Whatever is put in comes out again, in its order; a Builder starts afresh after every Finish.
func TestChunkRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Builder
		for range rapid.IntRange(1, 3).Draw(t, "chunks") {
			var want written
			for _, s := range drawBatches(t) {
				s(&b, &want)
				if b.Rows() != len(want.rows) {
					t.Fatalf("%d rows, want %d", b.Rows(), len(want.rows))
				}
			}
			bindings := len(want.devices) + len(want.producers) + len(want.forgotten)
			if empty := len(want.rows)+len(want.effects)+bindings == 0; b.Empty() != empty {
				t.Fatalf("empty %t, want %t", b.Empty(), empty)
			}
			before := []byte("before")
			raw := b.Finish(before)
			if !bytes.HasPrefix(raw, before) || b.Rows() != 0 || !b.Empty() || b.Bytes() != 0 {
				t.Fatalf("after Finish: %d rows, empty %t, %d bytes", b.Rows(), b.Empty(), b.Bytes())
			}
			got, err := read(raw[len(before):])
			if err != nil {
				t.Fatal(err)
			}
			if d := difference(&got, &want); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func TestChunkOfNothing(t *testing.T) {
	var b Builder
	raw := b.Finish(nil)
	if want := append([]byte{Version, 0}, make([]byte, columns)...); !bytes.Equal(raw, want) {
		t.Errorf("got %x, want %x", raw, want)
	}
	c, err := Open(raw)
	if err != nil || c.Rows() != 0 {
		t.Fatalf("%d rows, %v", c.Rows(), err)
	}
	if s := c.Scan(); s.Next() || s.Err() != nil {
		t.Error("nothing has a row")
	}
}

// Batches without rows say nothing, and the ones around them keep their times and holders.
func TestChunkWithEmptyBatches(t *testing.T) {
	var b Builder
	b.BeginBatch(1000, 7)
	b.BeginBatch(2000, 8)
	b.EndBatch()
	b.EndBatch()
	b.BeginBatch(1500, 9) // decided times of one lane never go back, but nothing here relies on it
	b.Other(event.Connect, 1, 0, 0)
	b.BeginBatch(3000, 0)
	b.BeginBatch(4000, 10)
	b.Other(event.Disconnect, 2, 0, 0)
	b.BeginBatch(5000, 11)
	got, err := read(b.Finish(nil))
	want := written{rows: []Row{
		{Type: event.Connect, Ordinal: 1, DecidedMs: 1500, Holder: 9},
		{Type: event.Disconnect, Ordinal: 2, DecidedMs: 4000, Holder: 10},
	}}
	if d := difference(&got, &want); err != nil || d != "" {
		t.Error(d, err)
	}
}

// Days stand as runs: many of them, back and forth, with rows between them that have none.
func TestChunkOverManyDays(t *testing.T) {
	var b Builder
	var want written
	b.BeginBatch(1, 0)
	for i := range 500 {
		r := Row{Type: event.Up, Ordinal: uint64(i), DecidedMs: 1, Day: uint32(i / 7 * (i % 3)), Up: 1, Used: 1}
		add(&b, "message", &r)
		other := Row{Type: event.OTA, Ordinal: uint64(i), DecidedMs: 1, Used: 3}
		add(&b, "other", &other)
		want.rows = append(want.rows, r, other)
	}
	got, err := read(b.Finish(nil))
	if d := difference(&got, &want); err != nil || d != "" {
		t.Error(d, err)
	}
}

// What only the raw log keeps, each alone and all together.
func TestAttach(t *testing.T) {
	id, topic, payload := []byte("ota-1"), []byte("a/b/ü"), bytes.Repeat([]byte{0, 255}, 100_000)
	rows := []Row{
		{},
		{ID: id},
		{Topic: topic},
		{TimeMs: 1},
		{TimeMs: -1},
		{TimeMs: 1 << 62},
		{Payload: payload},
		{ID: id, Topic: topic, TimeMs: 1_799_999_999_999, Payload: payload},
		{Topic: topic, Payload: payload[:1]},
		{IsCut: true},
		{ID: id, Topic: topic, Payload: payload[:1], IsCut: true, TimeMs: 1},
	}
	var b Builder
	var want written
	b.BeginBatch(1_800_000_000_000, 3)
	for i := range rows {
		r := &rows[i]
		r.Type, r.DecidedMs, r.Holder, r.Ordinal = event.OTA, 1_800_000_000_000, 3, uint64(i)
		b.Other(r.Type, r.Ordinal, 0, 0)
		b.Attach(&Extras{ID: r.ID, Topic: r.Topic, Payload: r.Payload, IsCut: r.IsCut, TimeMs: r.TimeMs})
		want.rows = append(want.rows, *r)
	}
	raw := b.Finish(nil)
	got, err := read(raw)
	if d := difference(&got, &want); err != nil || d != "" {
		t.Fatal(d, err)
	}
	// Slices lie in place and cannot grow into what follows.
	_ = append(got.rows[1].ID, "xxxx"...)
	again, err := read(raw)
	if d := difference(&again, &want); err != nil || d != "" {
		t.Error(d, err)
	}
}

func TestIsMessage(t *testing.T) {
	tests := []struct {
		typ  event.Type
		code event.Code
		want bool
	}{
		{event.Up, event.Accepted, true},
		{event.Down, event.Accepted, true},
		{event.Up, event.MessageQuotaExceeded, false},
		{event.Connect, event.Accepted, false}, // R14
		{event.Disconnect, event.Accepted, false},
		{event.OTA, event.Accepted, false},
		{event.OTAVoid, event.Accepted, false},
	}
	for _, tt := range tests {
		if got := (&Row{Type: tt.typ, Code: tt.code}).IsMessage(); got != tt.want {
			t.Errorf("%s %s: %t", tt.typ, tt.code, got)
		}
	}
}

// sample is a chunk with something in every column.
func sample() []byte {
	var b Builder
	b.BindDevice(Device{Ordinal: 1<<39 - 1, Product: 1, Name: []byte("d1")})
	b.BindProducer(Producer{Ordinal: 1, Account: 2, SeenMs: 3, Name: []byte("gw-1")})
	b.ForgetProducer(4)
	b.BeginBatch(1_800_000_000_000, 1)
	b.Message(event.Up, 1<<39-1, 120, 2500, 1499, 1)
	b.Attach(&Extras{Topic: []byte("topic"), Payload: []byte("payload"), IsCut: true, TimeMs: 1_800_000_000_001})
	b.Denied(event.Connect, event.LicenseExhausted, 5, 0, 300)
	b.DeniedMessage(event.Down, 7, 200, QuotaNumbers{1500, 1500, 1_800_086_400_000}, 2500, 9)
	b.DeniedUpgrade(event.OTA, 7, 1<<40, 1500, QuotaNumbers{1, 1, 1_800_086_400_000})
	b.Stranger(event.Up, event.NotActivated, 1, []byte("d2"), 5)
	b.Other(event.OTA, 9, 1<<40, 3)
	b.Attach(&Extras{ID: []byte("ota-1")})
	b.Message(event.Up, 3, 7, 2501, 9, 1)
	b.Attach(&Extras{WouldDeny: event.MessageQuotaExceeded, Quota: QuotaNumbers{9, 10, 5}, DayUsed: 10})
	b.Message(event.Down, 11, 1, 2501, 0, 1)
	b.Session(11, 1)
	b.License(11, 2)
	b.OTA(OTA{Ordinal: 11, Word: 3, Day: 2500})
	b.Closed(WordMessages, 11, 4)
	b.Grant(Grant{Ordinal: 11, License: 5, ActivationS: 6, Pool: 7, PoolDrawn: 8, GiftsDrawn: 9, Serial: 10})
	b.Pool(Pool{ID: 1, Drawn: 2, Returned: 3})
	b.End(End{Ordinal: 11, Serial: 1, EndedS: 1_800_000_000, How: EndOffline})
	b.Command(Command{Seq: 1, Ordinal: 11, Account: 2, Holder: 1, Change: 4, AtMs: 5, Reason: event.Suspended})
	b.Upgrade(
		Upgrade{
			Ordinal:   11,
			ID:        []byte("ota-1"),
			Size:      1,
			Month:     2,
			Allowance: 3,
			Packs:     []PackUnits{{4, 5}, {6, 7}},
			Voided:    true,
			VoidDay:   2501,
		},
	)
	b.Claim(Claim{Producer: 1, Sequence: 2, Hash: [16]byte{3}, AtMs: 1_800_000_000_000, Answer: []byte("answer")})
	b.Run(Run{Number: 1, Tag: 2, FirstCommand: 3, FirstChange: 4})
	b.DayEnd(DayEnd{Product: 1, Day: 2500})
	b.Quota(Quota{Ordinal: 1, Day: 2, Percent: 80, Used: 1200, Limit: 1500})
	return b.Finish(nil)
}

// A chunk that was cut anywhere, or has more behind it, is refused before a row is read.
func TestOpenRefusesWhatWasCut(t *testing.T) {
	whole := sample()
	if _, err := read(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := Open(whole[:n:n]); err == nil {
			t.Errorf("the first %d of %d bytes were opened", n, len(whole))
		}
	}
	if _, err := Open(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte behind the last column was taken")
	}
	for _, version := range []byte{0, Version + 1, 255} {
		other := bytes.Clone(whole)
		other[0] = version
		if _, err := Open(other); err == nil || !strings.Contains(err.Error(), "version") {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// Columns that contradict each other are found while they are read.
func TestScanRefusesContradictions(t *testing.T) {
	row := func(b *Builder) {
		b.BeginBatch(1, 0)
		b.Message(event.Up, 1, 1, 1, 1, 0)
	}
	tests := []struct {
		why    string
		damage func(b *Builder)
	}{
		{"a row of no batch", func(b *Builder) { b.cols[colBatches] = b.cols[colBatches][:0] }},
		{"a batch without its number of rows", func(b *Builder) { b.cols[colBatches] = []byte{2, 0} }},
		{"a batch of fewer rows", func(b *Builder) { b.cols[colBatches] = []byte{2, 0, 0} }},
		{"a type that is none", func(b *Builder) { b.cols[colKinds][0] = 7 }},
		{"no type", func(b *Builder) { b.cols[colKinds][0] = 0 }},
		{"no size", func(b *Builder) { b.cols[colSizes] = b.cols[colSizes][:0] }},
		{"half a size", func(b *Builder) { b.cols[colSizes] = []byte{0x80} }},
		{"a size over 64 bits", func(b *Builder) { b.cols[colSizes] = bytes.Repeat([]byte{0xff}, 11) }},
		{"no ordinal", func(b *Builder) { b.ordinals = b.ordinals[:0] }},
		{"no units up", func(b *Builder) { b.cols[colUps] = b.cols[colUps][:0] }},
		{"no units down", func(b *Builder) { b.cols[colDowns] = b.cols[colDowns][:0] }},
		{"no day", func(b *Builder) { b.dayRun = 0 }},
		{"a day of no rows", func(b *Builder) { b.dayRun = 0; b.cols[colDays] = []byte{0, 1} }},
		{"denied without a code", func(b *Builder) { b.cols[colKinds][0] |= kindDenied }},
		{"named without a name", func(b *Builder) { b.cols[colKinds][0] |= kindNamed }},
		{"extras that are not there", func(b *Builder) { b.cols[colKinds][0] |= kindExtra }},
		{"a payload that is not there", func(b *Builder) { b.cols[colKinds][0] |= kindPayload }},
		{
			"a payload that is longer than there is",
			func(b *Builder) { b.cols[colKinds][0] |= kindPayload; b.cols[colPayloads] = []byte{5, 'x'} },
		},
		{
			"an extra without its topic",
			func(b *Builder) { b.cols[colKinds][0] |= kindExtra; b.cols[colExtras] = []byte{extraTopic} },
		},
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			var b Builder
			row(&b)
			b.EndBatch()
			tt.damage(&b)
			c, err := Open(b.Finish(nil))
			if err != nil {
				return
			}
			s := c.Scan()
			for s.Next() {
				t.Errorf("read %+v", s.Row)
			}
			if s.Err() == nil {
				t.Error("no error")
			}
			if s.Next() {
				t.Error("it went on behind the error")
			}
		})
	}
}

func TestBindingsAndEffectsRefuseDamage(t *testing.T) {
	long := append([]byte{bindingDevice, 1, 1, 65}, bytes.Repeat([]byte{'x'}, 65)...)
	for _, column := range [][]byte{
		{bindingDevice},
		{bindingDevice, 1},
		{bindingDevice, 1, 1},
		{bindingDevice, 1, 1, 2, 'x'},
		{0, 1, 1, 1, 'x'},
		{4, 1, 1, 1, 'x'},
		{bindingProducer, 1, 1, 1, 'x'},
		{bindingForgotten},
		{bindingForgotten, 0x80, 0x80, 0x80, 0x80, 0x10},
		{bindingDevice, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 1, 'x'},
		long,
	} {
		var b Builder
		b.cols[colBindings] = column
		if w, err := read(b.Finish(nil)); err == nil {
			t.Errorf("the bindings %x were read as %+v", column, w)
		}
	}
	for _, column := range [][]byte{
		{0},
		{10},
		{255},
		{effectSession},
		{effectSession, 1, 0, 0, 0, 0, 0, 0, 0},
		{effectClosed, 2, 1},
		{effectGrant, 1},
		{effectPool, 1, 1},
		{effectEnd, 1, 1, 1},
		{effectCommand, 1, 1, 1, 1, 1, 1},
		{effectRun, 1, 1, 1},
		{effectUpgrade, 1, 5, 'x'},
		{effectUpgrade, 1, 1, 'x', 1, 1, 1, 0, 2, 1, 1},
		{effectClaim, 1, 1, 0, 0, 0},
		append([]byte{effectDecided}, make([]byte, 15)...),
		append(append([]byte{effectDecided}, make([]byte, 16)...), 1, 0),
		append(append([]byte{effectDecided}, make([]byte, 16)...), 1, 4),
		append(append([]byte{effectClaim, 1, 1}, make([]byte, 16)...), 1, 2, 'x'),
	} {
		var b Builder
		b.cols[colEffects] = column
		if w, err := read(b.Finish(nil)); err == nil {
			t.Errorf("the effects %x were read as %+v", column, w)
		}
	}
}

// A producer's ordinal that no word can hold is damage, not another producer.
func TestBindingsRefuseAProducerOutOfBounds(t *testing.T) {
	var b Builder
	b.cols[colBindings] = []byte{bindingProducer, 0x81, 0x80, 0x80, 0x80, 0x10, 1, 1, 'x', 0} // 2^32 + 1
	if w, err := read(b.Finish(nil)); err == nil {
		t.Errorf("read as %+v", w.producers)
	}
}

// An error of the caller stops the walk and comes back as it is.
func TestWalksHandOnErrors(t *testing.T) {
	c, err := Open(sample())
	if err != nil {
		t.Fatal(err)
	}
	stop, calls := errors.New("stop"), 0
	err = c.Bindings(bindingsLog{device: func(Device) error { calls++; return stop }})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("bindings: %v after %d calls", err, calls)
	}
	if err := c.Effects(stopping{stop}); !errors.Is(err, stop) {
		t.Errorf("effects: %v", err)
	}
}

type stopping struct{ err error }

func (s stopping) Word(int, uint64, uint64) error   { return s.err }
func (s stopping) Closed(int, uint64, uint64) error { return s.err }
func (s stopping) OTA(OTA) error                    { return s.err }
func (s stopping) DayEnd(DayEnd) error              { return s.err }
func (s stopping) Grant(Grant) error                { return s.err }
func (s stopping) Pool(Pool) error                  { return s.err }
func (s stopping) End(End) error                    { return s.err }
func (s stopping) Command(Command) error            { return s.err }
func (s stopping) Upgrade(Upgrade) error            { return s.err }
func (s stopping) Claim(Claim) error                { return s.err }
func (s stopping) Run(Run) error                    { return s.err }
func (s stopping) Quota(Quota) error                { return s.err }
func (s stopping) Decided(Decided) error            { return s.err }

func TestCompressor(t *testing.T) {
	c, err := NewCompressor(1)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var b Builder
		var want written
		for _, s := range drawBatches(t) {
			s(&b, &want)
		}
		raw := b.Finish(nil)
		stored := c.Compress([]byte("x"), raw)
		back, err := c.Decompress([]byte("yy"), stored[1:])
		if err != nil || stored[0] != 'x' || string(back[:2]) != "yy" || !bytes.Equal(back[2:], raw) {
			t.Fatalf("%d bytes came back as %d, %v", len(raw), len(back)-2, err)
		}
	})
	for _, damaged := range [][]byte{{0}, []byte("no zstd at all"), c.Compress(nil, sample())[:20]} {
		if raw, err := c.Decompress(nil, damaged); err == nil {
			t.Errorf("%x was inflated to %d bytes", damaged, len(raw))
		}
	}
}

// A small chunk is stored as it is, in a frame that every reader of zstd takes.
func TestPlainFrames(t *testing.T) {
	c, err := NewCompressor(1)
	if err != nil {
		t.Fatal(err)
	}
	raw := bytes.Repeat([]byte{7}, plainBytesMax+1)
	for _, n := range []int{1, 255, 256, 257, 511, plainBytesMax, plainBytesMax + 1} {
		stored := c.Compress(nil, raw[:n])
		if back, err := c.Decompress(nil, stored); err != nil || !bytes.Equal(back, raw[:n]) {
			t.Errorf("%d bytes came back as %d, %v", n, len(back), err)
		}
		if isPlain := len(stored) > n; isPlain != (n <= plainBytesMax) {
			t.Errorf("%d bytes are stored as %d", n, len(stored))
		}
	}
}

// A few bytes that claim to be gigabytes are refused, not inflated.
func TestDecompressIsBounded(t *testing.T) {
	c, err := NewCompressor(1)
	if err != nil {
		t.Fatal(err)
	}
	bomb := c.Compress(nil, make([]byte, RawBytesMax+1))
	if raw, err := c.Decompress(nil, bomb); err == nil {
		t.Errorf("%d bytes were inflated to %d", len(bomb), len(raw))
	}
}
