package record

import (
	"bytes"
	"testing"

	"github.com/meterd/meterd/event"
)

// What lies on disk is what FORMAT.md draws, byte by byte. A change here is a change of the format: raise Version.
func TestChunkIsAsDrawn(t *testing.T) {
	var b Builder
	b.BindDevice(Device{Ordinal: 0x0102030405, Product: 300, Name: []byte("d1")})
	b.BindProducer(Producer{Ordinal: 7, Account: 2, SeenMs: 3, Name: []byte("gw")})
	b.ForgetProducer(9)
	b.BeginBatch(1000, 7)
	b.Message(event.Up, 0x0102030405, 120, 2500, 200, 3)
	b.Attach(&Extras{Topic: []byte("t"), Payload: []byte("xyz"), IsCut: true, TimeMs: 999})
	b.DeniedMessage(event.Down, 1, 5, QuotaNumbers{1500, 1500, 2000}, 2500, 9)
	b.DeniedUpgrade(event.OTA, 1, 5, 1500, QuotaNumbers{1, 1, 3000})
	b.Attach(&Extras{Requested: 300, TopupAvailable: 2})
	b.DeniedMessage(event.Down, 1, 5, QuotaNumbers{1500, 1500, 2000}, 2500, 10)
	b.BeginBatch(1001, 0)
	b.Stranger(event.Connect, event.LicenseExhausted, 1, []byte("d2"), 0)
	b.Other(event.OTA, 2, 4, 6)
	b.Attach(&Extras{ID: []byte("id"), WouldDeny: event.OTAQuotaExceeded, Quota: QuotaNumbers{1, 2, 3000}, DayUsed: 6})
	b.Session(1, 0x1122334455667788)
	b.Decided(&Decided{Key: EventKey([]byte("0123456789abcdef")), AtS: 300, Outcome: OutcomeObserved})

	first := (&quotaRun{limit: 1500, resetsMs: 2000}).place()
	second := (&quotaRun{limit: 1, more: -1499, resetsMs: 3000}).place()
	third := (&quotaRun{limit: 1, more: -4, resetsMs: 3000}).place()
	quotasColumn := []byte{
		1, byte(first<<1 | 1), 0xdc, 0x0b, 0, 0xa0, 0x1f, // 1500, no more than the row's use, 2000 ms
		1, byte(second<<1 | 1), 1, 0xb5, 0x17, 0xd0, 0x0f, // 1, 1499 less, +1000 ms
		1, byte(first << 1), // as the first
		1, byte(third<<1 | 1), 1, 7, 0, // 1, 4 less, as the one before
	}
	cols := [columns][]byte{
		0: {1, 0x85, 0x88, 0x8c, 0x90, 0x10, 0xac, 2, 2, 'd', '1', 2, 7, 2, 2, 'g', 'w', 6, 3, 9},
		1: {0xd0, 0x0f, 7, 4, 2, 0, 2}, // +1000 ms, holder 7, 4 rows; +1 ms, none, 2 rows
		2: {
			3 | 1<<5 | 1<<6,
			4 | 1<<3 | 1<<7,
			5 | 1<<3 | 1<<5,
			4 | 1<<3 | 1<<7,
			1 | 3<<3,
			5 | 1<<5,
		}, // up extra payload; down denied counted; ota denied extra; down as before; connect denied named; ota extra
		3:  {1, 2, 1, 3},
		4:  {1, 0, 0, 0, 0},
		5:  {2, 0, 0, 0, 0},
		6:  {3, 0, 0, 0, 0},
		7:  {4, 0, 0, 0, 0},
		8:  {5, 1, 1, 1, 2},
		9:  {120, 5, 5, 5, 0, 4},
		10: {1, 0xc4, 0x13}, // one message of day 2500
		11: {0xc8, 1},
		12: {3},
		13: {0xdc, 0x0b, 0xdc, 0x0b, 0xdc, 0x0b, 6},
		14: {0xc4, 0x13, 9, 0xc4, 0x13, 10},
		15: {1, 2, 'd', '2'},
		// topic and time, 1 ms before it was decided, cut; 300 units needed, 2 in packs; id, code 2
		16: {2 | 4 | 8, 1, 't', 1, 32, 0xac, 2, 2, 1 | 16, 2, 'i', 'd', 2},
		17: {3, 'x', 'y', 'z'},
		18: append([]byte{1, 1, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 14}, "0123456789abcdef\xac\x02\x03"...),
		19: quotasColumn,
	}
	want := []byte{4, 6}
	for _, c := range cols {
		want = append(want, byte(len(c)))
	}
	want = append(want, bytes.Join(cols[:], nil)...)
	if got := b.Finish(nil); !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
}

func TestEffectsAreAsDrawn(t *testing.T) {
	const word = 0x1122334455667788
	little := []byte{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}
	hash := [16]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	tests := []struct {
		name string
		put  func(*Builder)
		want [][]byte
	}{
		{"session", func(b *Builder) { b.Session(200, word) }, [][]byte{{1, 0xc8, 1}, little}},
		{"grant", func(b *Builder) {
			b.Grant(Grant{Ordinal: 200, License: word, ActivationS: -1, Pool: 3, PoolDrawn: 4, GiftsDrawn: 5, Serial: 6})
		}, [][]byte{{2, 0xc8, 1}, little, {1, 3, 4, 5, 6}}},
		{"licence", func(b *Builder) { b.License(200, word) }, [][]byte{{3, 0xc8, 1}, little}},
		{"OTA", func(b *Builder) { b.OTA(OTA{200, word, 2500}) }, [][]byte{{4, 0xc8, 1}, little, {0xc4, 0x13}}},
		{"pool", func(b *Builder) { b.Pool(Pool{ID: 200, Drawn: 1, Returned: 2}) }, [][]byte{{5, 0xc8, 1, 1, 2}}},
		{"closed", func(b *Builder) { b.Closed(WordDenied, 200, word) }, [][]byte{{6, 3, 0xc8, 1}, little}},
		{
			"end",
			func(b *Builder) { b.End(End{Ordinal: 200, Serial: 2, EndedS: 3, How: EndRenewalOff}) },
			[][]byte{{7, 0xc8, 1, 2, 6, 3}},
		},
		{"command", func(b *Builder) {
			b.Command(Command{Seq: 1, Ordinal: 200, Account: 9, Holder: 2, Change: 3, AtMs: 4, Reason: event.Suspended})
		}, [][]byte{{8, 1, 0xc8, 1, 9, 2, 3, 8, 6}}},
		{"upgrade", func(b *Builder) {
			b.Upgrade(
				Upgrade{
					Ordinal:   200,
					ID:        []byte("id"),
					Size:      5,
					Month:     6,
					Allowance: 7,
					Packs:     []PackUnits{{Pool: 8, Units: 9}},
					Voided:    true,
					VoidDay:   2500,
				},
			)
		}, [][]byte{{9, 0xc8, 1, 2, 'i', 'd', 5, 6, 7, 1, 0xc4, 0x13, 1, 8, 9}}},
		{"claim", func(b *Builder) {
			b.Claim(Claim{Producer: 200, Sequence: 2, Hash: hash, AtMs: 3, Answer: []byte("ok")})
		}, [][]byte{{10, 0xc8, 1, 2}, hash[:], {6, 2, 'o', 'k'}}},
		{"run", func(b *Builder) {
			b.Run(Run{Number: 1, Tag: 300, FirstCommand: 200, FirstChange: 2})
		}, [][]byte{{11, 1, 0xac, 2, 0xc8, 1, 2}}},
		{"day end", func(b *Builder) { b.DayEnd(DayEnd{Product: 200, Day: 2500}) }, [][]byte{{12, 0xc8, 1, 0xc4, 0x13}}},
		{"quota", func(b *Builder) {
			b.Quota(Quota{Ordinal: 200, Day: 300, Percent: 80, Used: 2, Limit: 200})
		}, [][]byte{{13, 0xc8, 1, 0xac, 2, 80, 2, 0xc8, 1}}},
	}
	for _, tt := range tests {
		var b Builder
		tt.put(&b)
		c, err := Open(b.Finish(nil))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := c.cols[18], bytes.Join(tt.want, nil); !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, want %x", tt.name, got, want)
		}
	}
}

func TestHeadIsAsDrawn(t *testing.T) {
	h := Head{SerialLast: 300, Totals: []BucketTotals{{
		Bucket{Product: 7, Quarter: 200, Day: 2500},
		Totals{
			MessagesUp: 1, MessagesDown: 2, OTAAllowance: 3, OTAPacks: 4, VoidAllowance: 5, VoidPacks: 6, Licenses: 7,
			Activations: 8, Denied: []Denied{{event.Up, event.MessageQuotaExceeded, 9}, {event.OTA, event.Suspended, 10}},
			WouldDeny: []Denied{{event.Down, event.MessageQuotaExceeded, 11}},
		},
	}}, Changes: [][]byte{{0xaa, 0xbb}, {0xcc}}}
	want := []byte{
		5, 0xac, 2, 1, 7, 0xc8, 1, 0xc4, 0x13, 1, 2, 3, 4, 5, 6, 7, 8, 3, 3, 1, 9, 5, 6, 10, 4, 0x81, 11,
		2, 2, 0xaa, 0xbb, 1, 0xcc,
	}
	if got := h.Append(nil); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
}
