package record

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
)

func drawHead(t *rapid.T) Head {
	h := Head{SerialLast: edges.Draw(t, "serial")}
	for range rapid.IntRange(0, 5).Draw(t, "totals") {
		b := Bucket{
			Product: uint32(below(t, 1<<24, "product")), Quarter: uint32(edges.Draw(t, "quarter")),
			Day: uint32(below(t, DayMax+1, "day")),
		}
		h.Totals = append(h.Totals, BucketTotals{b, drawTotals(t)})
	}
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		h.Changes = append(h.Changes, rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "change"))
	}
	return h
}

func TestHeadRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawHead(t)
		b := want.Append([]byte("x"))
		got, err := DecodeHead(b[1:])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		for n := range len(b) - 1 {
			if _, err := DecodeHead(b[1 : 1+n]); err == nil {
				t.Fatalf("the first %d of %d bytes were taken", n, len(b)-1)
			}
		}
		if _, err := DecodeHead(append(b[1:], 0)); err == nil {
			t.Fatal("a byte behind the last change was taken")
		}
		for v := range 256 {
			b[1] = byte(v)
			if _, err := DecodeHead(b[1:]); (err == nil) != (v == headVersion || v == headVersionMin) {
				t.Fatalf("version %d: %v", v, err)
			}
		}
	})
}

func TestUpgradeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawUpgrade(t)
		b := want.AppendValue([]byte("x"))
		got, err := DecodeUpgrade(b[1:])
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		for n := range len(b) - 1 {
			if _, err := DecodeUpgrade(b[1 : 1+n]); err == nil {
				t.Fatalf("the first %d of %d bytes were taken", n, len(b)-1)
			}
		}
		if _, err := DecodeUpgrade(append(b[1:], 0)); err == nil {
			t.Fatal("a byte behind the last pack was taken")
		}
	})
}

func FuzzDecodeHead(f *testing.F) {
	f.Add((&Head{}).Append(nil))
	f.Add((&Head{SerialLast: 1<<64 - 1, Totals: []BucketTotals{
		{Bucket{1, 2, 3}, Totals{MessagesUp: 3}},
		{Bucket{4, 5, DayMax}, Totals{Denied: []Denied{{event.Up, event.Suspended, 6}}}},
	}}).Append(nil))
	f.Add([]byte{})
	f.Add(
		[]byte{headVersion, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	) // so many totals, and none there
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeHead(b)
		if err != nil {
			if h.SerialLast != 0 || h.Totals != nil {
				t.Fatalf("refused and returned all the same: %+v", h)
			}
			return
		}
		if len(h.Totals) > len(b) {
			t.Fatalf("%d totals in %d bytes", len(h.Totals), len(b))
		}
		again, err := DecodeHead(h.Append(nil))
		if err != nil || !reflect.DeepEqual(again, h) {
			t.Fatalf("%+v is read again as %+v, %v", h, again, err)
		}
	})
}

func FuzzDecodeUpgrade(f *testing.F) {
	f.Add((&Upgrade{}).AppendValue(nil))
	f.Add(
		(&Upgrade{Size: 1 << 40, Month: 83, Allowance: 1, Packs: []PackUnits{{1, 2}, {3, 65535}}, Voided: true}).AppendValue(
			nil,
		),
	)
	f.Add([]byte{0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := DecodeUpgrade(b)
		if err != nil {
			return
		}
		if len(u.Packs) > len(b) {
			t.Fatalf("%d packs in %d bytes", len(u.Packs), len(b))
		}
		again, err := DecodeUpgrade(u.AppendValue(nil))
		if err != nil || !reflect.DeepEqual(again, u) {
			t.Fatalf("%+v is read again as %+v, %v", u, again, err)
		}
	})
}
