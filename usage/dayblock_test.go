package usage

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard/views"
)

// blockRows reads a block as readers do.
func blockRows(c *dayCodec, first uint64, block []byte) (rows []views.DeviceDay, err error) {
	err = safely(func() error {
		b, err := openDayBlock(first, block)
		if err != nil {
			return err
		}
		rows, err = c.decode(nil, &b)
		return err
	})
	return rows, err
}

// Device-days come out of their block as they went in.
func TestDayBlockRoundTrip(t *testing.T) {
	c := newDayCodec()
	rapid.Check(t, func(t *rapid.T) {
		var want []views.DeviceDay
		ordinal := rapid.Uint64Range(0, 1<<38).Draw(t, "first")
		steps := rapid.SampledFrom([]uint64{1, 3, 300, 1 << 26})
		units := rapid.OneOf(
			rapid.SampledFrom([]uint32{0, 1, 255, 256, counters.MessagesPerDayMax}),
			rapid.Uint32Range(0, 2000),
		)
		for range rapid.SampledFrom([]int{1, 2, 3, 50, 300}).Draw(t, "rows") {
			want = append(want, views.DeviceDay{
				Ordinal: ordinal, Up: units.Draw(t, "up"), Down: units.Draw(t, "down"),
				Denied: rapid.SampledFrom([]uint64{0, 0, 7, counters.DeniedMax}).Draw(t, "denied"),
			})
			ordinal += steps.Draw(t, "step")
		}
		block := c.append([]byte("x"), want)
		got, err := blockRows(c, want[0].Ordinal, block[1:])
		if err != nil || !slices.Equal(got, want) || block[0] != 'x' {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		b, err := openDayBlock(want[0].Ordinal, block[1:])
		if err != nil || b.last != want[len(want)-1].Ordinal {
			t.Fatalf("its last ordinal is %d, %v; want %d", b.last, err, want[len(want)-1].Ordinal)
		}
	})
}

// Blocks and keys are what FORMAT.md draws, byte by byte. A change here is a change of the format.
func TestDayRowsAreAsDrawn(t *testing.T) {
	c := newDayCodec()
	got := c.append(
		nil,
		[]views.DeviceDay{{Ordinal: 300, Up: 1}, {Ordinal: 303, Up: 513, Down: 7}, {Ordinal: 306, Up: 3, Down: 7}},
	)
	want := []byte{
		1, 3, 6,
		1, 1, 3, // steps: one byte, alike
		2, 0, 1, 1, 3, 0, 0, 2, 0, // up: two bytes, raw
		1, 0, 0, 7, 7, // down
		0, // denied
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	for name, pair := range map[string][2][]byte{
		"block": {
			dayKey(levelMerged, 300, 2500, 1<<32+7, 9),
			[]byte("D\x01\x00\x00\x01\x2c\x09\xc4\x01\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x09"),
		},
		"merged": {mergedKey(300), []byte("G\x00\x00\x01\x2c")},
		"ota":    {otaKey(300, 82, 7, 2500), []byte("O\x00\x00\x01\x2c\x00\x52\x00\x00\x00\x00\x07\x09\xc4")},
		"void": {
			voidKey(300, 82, 7, 2500, []byte("id")), []byte("V\x00\x00\x01\x2c\x00\x52\x00\x00\x00\x00\x07\x09\xc4id"),
		},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("the key of %s is %x, want %x", name, pair[0], pair[1])
		}
	}
}

// A million device-days of a product take at most four bytes each, keys included.
func TestBytesADeviceDay(t *testing.T) {
	const devices, bytesMax = 1_000_000, 4
	c := newDayCodec()
	r := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		name  string
		step  func() uint64 // of 8 bytes of a shard's arena
		units func() (up, down uint32, denied uint64)
	}{
		{"a report every quarter of an hour, few commands", func() uint64 { return 3 }, func() (uint32, uint32, uint64) {
			return 96 - uint32(r.IntN(4)), uint32(r.ExpFloat64()), 0
		}},
		{
			"any number up to 1500, half as many down, products mixed", func() uint64 { return 3 * (1 + uint64(r.IntN(4))) },
			func() (up, down uint32, denied uint64) {
				up, down = uint32(r.IntN(1000)), uint32(r.IntN(500))
				if up+down > 1400 {
					denied = uint64(r.IntN(300))
				}
				return up, down, denied
			},
		},
	} {
		all, n := 0, 0
		rows := make([]views.DeviceDay, 0, dayBlockRows)
		for n < devices {
			rows = rows[:0]
			ordinal := uint64(n) * 3
			for len(rows) < dayBlockRows && n < devices {
				d := views.DeviceDay{Ordinal: ordinal}
				d.Up, d.Down, d.Denied = tt.units()
				rows = append(rows, d)
				ordinal += tt.step()
				n++
			}
			all += dayKeyBytes + len(c.append(nil, rows))
		}
		each := float64(all) / devices
		t.Logf("%s: %.2f bytes a device-day", tt.name, each)
		if each > bytesMax {
			t.Errorf("%s: %.2f bytes a device-day, at most %d", tt.name, each, bytesMax)
		}
	}
}

// Arbitrary bytes are refused, or are device-days that are read again.
func FuzzDecodeDays(f *testing.F) {
	c := newDayCodec()
	f.Add(uint64(0), []byte{})
	f.Add(uint64(7), []byte{dayBlockVersion})
	f.Add(uint64(7), []byte{dayBlockVersion + 1, 1, 0, 0, 0, 0, 0})
	f.Add(uint64(math.MaxUint64), c.append(nil, []views.DeviceDay{{Ordinal: 9, Up: 1}, {Ordinal: 10, Denied: 1 << 49}}))
	var many []views.DeviceDay
	for i := range uint64(dayBlockRows) {
		many = append(
			many,
			views.DeviceDay{Ordinal: 5 + 3*i, Up: uint32(i % 9), Down: uint32(i * i % 1000), Denied: i / 4000},
		)
	}
	whole := c.append(nil, many)
	f.Add(uint64(5), whole)
	f.Add(uint64(5), whole[:len(whole)/2])
	for _, at := range []int{1, 3, 5, 7, 20, len(whole) - 1} {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x55
		f.Add(uint64(5), damaged)
	}
	f.Fuzz(func(t *testing.T, first uint64, block []byte) {
		rows, err := blockRows(c, first, block)
		if errors.As(err, &errPanicked{}) {
			t.Fatal(err)
		}
		if err != nil {
			if len(rows) > 0 {
				t.Fatalf("%d rows of a block that is damaged: %v", len(rows), err)
			}
			return
		}
		for i := range rows {
			if i > 0 && rows[i].Ordinal <= rows[i-1].Ordinal || rows[i].Ordinal > uint64(counters.OrdinalMax) {
				t.Fatalf("device %d stands behind %+v", rows[i].Ordinal, rows[max(i-1, 0)])
			}
		}
		again, err := blockRows(c, rows[0].Ordinal, c.append(nil, rows))
		if err != nil || !slices.Equal(again, rows) {
			t.Fatalf("%d rows are read again as %d, %v", len(rows), len(again), err)
		}
	})
}
