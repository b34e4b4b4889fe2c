package record

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func drawTotals(t *rapid.T) (sum Totals) {
	for _, f := range sum.fields() {
		*f = edges.Draw(t, "field") >> 1 // no sum of two may wrap
	}
	return sum
}

// Recovery joins totals in any order, with any overlap, as often as it likes.
func TestTotalsJoin(t *testing.T) {
	join := func(a, b Totals) Totals { a.Join(&b); return a }
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawTotals(t), drawTotals(t), drawTotals(t)
		switch {
		case join(a, b) != join(b, a):
			t.Fatalf("not commutative: %+v, %+v", a, b)
		case join(a, join(b, c)) != join(join(a, b), c):
			t.Fatalf("not associative: %+v, %+v, %+v", a, b, c)
		case join(a, a) != a:
			t.Fatalf("not idempotent: %+v", a)
		case join(a, Totals{}) != a:
			t.Fatalf("nothing changes something: %+v", a)
		}
		j := join(a, b)
		for i, f := range j.fields() {
			if x, y := *a.fields()[i], *b.fields()[i]; *f < x || *f < y || (*f != x && *f != y) {
				t.Fatalf("field %d of %d and %d is %d", i, x, y, *f)
			}
		}
	})
}

func TestTotalsAdd(t *testing.T) {
	add := func(a, b Totals) Totals { a.Add(&b); return a }
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawTotals(t), drawTotals(t), drawTotals(t)
		switch {
		case add(a, b) != add(b, a):
			t.Fatalf("not commutative: %+v, %+v", a, b)
		case add(a, add(b, c)) != add(add(a, b), c):
			t.Fatalf("not associative: %+v, %+v, %+v", a, b, c)
		case add(a, Totals{}) != a:
			t.Fatalf("nothing changes something: %+v", a)
		}
		sum := add(a, b)
		for i, f := range sum.fields() {
			if *f != *a.fields()[i]+*b.fields()[i] {
				t.Fatalf("field %d is %d", i, *f)
			}
		}
		// What was added is the larger one: a record of totals after its events beats every earlier one.
		joined := sum
		joined.Join(&a)
		if joined != sum {
			t.Fatalf("%+v and then %+v joins to %+v", a, sum, joined)
		}
	})
}

// fields names every field: one that is forgotten there would be lost at every restart.
func TestTotalsFields(t *testing.T) {
	var sum Totals
	for i, f := range sum.fields() {
		*f = uint64(i + 1)
	}
	v := reflect.ValueOf(sum)
	for i := range v.NumField() {
		if v.Field(i).Uint() != uint64(i+1) {
			t.Errorf("%s is field %d of fields", v.Type().Field(i).Name, v.Field(i).Uint())
		}
	}
}

func TestTotalsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTotals(t)
		b := want.Append([]byte("x"))
		got, err := DecodeTotals(b[1:])
		if err != nil || got != want || b[0] != 'x' {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		if _, err := DecodeTotals(b[1 : len(b)-1]); err == nil {
			t.Fatal("cut totals were taken")
		}
		if _, err := DecodeTotals(append(b[1:], 0)); err == nil {
			t.Fatal("a byte behind the last field was taken")
		}
	})
}

func drawHead(t *rapid.T) Head {
	h := Head{SerialLast: edges.Draw(t, "serial")}
	for range rapid.IntRange(0, 5).Draw(t, "totals") {
		h.Totals = append(h.Totals, QuarterTotals{
			Quarter: Quarter{Product: uint32(below(t, 1<<24, "product")), Number: uint32(edges.Draw(t, "quarter"))},
			Totals:  drawTotals(t),
		})
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
		b[1]++
		if _, err := DecodeHead(b[1:]); err == nil {
			t.Fatal("another version was taken")
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

func FuzzDecodeTotals(f *testing.F) {
	f.Add((&Totals{}).Append(nil))
	f.Add((&Totals{MessagesUp: 1, Activations: 1<<64 - 1}).Append(nil))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum, err := DecodeTotals(b)
		if err != nil {
			if sum != (Totals{}) {
				t.Fatalf("refused and returned all the same: %+v", sum)
			}
			return
		}
		again, err := DecodeTotals(sum.Append(nil))
		if err != nil || again != sum {
			t.Fatalf("%+v is read again as %+v, %v", sum, again, err)
		}
	})
}

func FuzzDecodeHead(f *testing.F) {
	f.Add((&Head{}).Append(nil))
	f.Add(
		(&Head{SerialLast: 1<<64 - 1, Totals: []QuarterTotals{
			{Quarter{1, 2}, Totals{MessagesUp: 3}},
			{Quarter{4, 5}, Totals{Activations: 6}},
		}}).Append(
			nil,
		),
	)
	f.Add([]byte{})
	f.Add([]byte{Version, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}) // so many totals, and none there
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
