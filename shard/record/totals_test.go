package record

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
)

// drawTotals draws totals of which no sum of two wraps.
func drawTotals(t *rapid.T) (sum Totals) {
	for _, f := range sum.fields() {
		*f = edges.Draw(t, "field") >> 1
	}
	for range rapid.IntRange(0, 4).Draw(t, "denied") {
		typ := event.Type(rapid.IntRange(1, event.Types-1).Draw(t, "type"))
		code := event.Code(rapid.IntRange(1, 3).Draw(t, "code"))
		if sum.DeniedWith(typ, code) == 0 {
			sum.Deny(typ, code, edges.Draw(t, "count")>>1)
		}
		if rapid.Bool().Draw(t, "observed") && sum.WouldDenyWith(typ, code) == 0 {
			sum.Observe(typ, code, edges.Draw(t, "count")>>1)
		}
	}
	return sum
}

// Recovery joins totals in any order, with any overlap, as often as it likes.
func TestTotalsJoin(t *testing.T) {
	join := func(a, b Totals) *Totals { a = a.Clone(); a.Join(&b); return &a }
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawTotals(t), drawTotals(t), drawTotals(t)
		switch {
		case !join(a, b).Equal(join(b, a)):
			t.Fatalf("not commutative: %+v, %+v", a, b)
		case !join(a, *join(b, c)).Equal(join(*join(a, b), c)):
			t.Fatalf("not associative: %+v, %+v, %+v", a, b, c)
		case !join(a, a).Equal(&a):
			t.Fatalf("not idempotent: %+v", a)
		case !join(a, Totals{}).Equal(&a):
			t.Fatalf("nothing changes something: %+v", a)
		}
		j := join(a, b)
		for i, f := range j.fields() {
			if x, y := *a.fields()[i], *b.fields()[i]; *f < x || *f < y || (*f != x && *f != y) {
				t.Fatalf("field %d of %d and %d is %d", i, x, y, *f)
			}
		}
		for _, d := range j.Denied {
			if x, y := a.DeniedWith(d.Type, d.Code), b.DeniedWith(d.Type, d.Code); d.Count != max(x, y) {
				t.Fatalf("%+v of %d and %d", d, x, y)
			}
		}
		for _, d := range j.WouldDeny {
			if x, y := a.WouldDenyWith(d.Type, d.Code), b.WouldDenyWith(d.Type, d.Code); d.Count != max(x, y) {
				t.Fatalf("%+v of %d and %d", d, x, y)
			}
		}
	})
}

func TestTotalsAdd(t *testing.T) {
	add := func(a, b Totals) *Totals { a = a.Clone(); a.Add(&b); return &a }
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawTotals(t), drawTotals(t), drawTotals(t)
		switch {
		case !add(a, b).Equal(add(b, a)):
			t.Fatalf("not commutative: %+v, %+v", a, b)
		case !add(a, *add(b, c)).Equal(add(*add(a, b), c)):
			t.Fatalf("not associative: %+v, %+v, %+v", a, b, c)
		case !add(a, Totals{}).Equal(&a):
			t.Fatalf("nothing changes something: %+v", a)
		}
		sum := add(a, b)
		for i, f := range sum.fields() {
			if *f != *a.fields()[i]+*b.fields()[i] {
				t.Fatalf("field %d is %d", i, *f)
			}
		}
		// What was added is the larger one: a record of totals after its events beats every earlier one.
		joined := sum.Clone()
		joined.Join(&a)
		if !joined.Equal(sum) {
			t.Fatalf("%+v and then %+v joins to %+v", a, sum, joined)
		}
		less := sum.Clone()
		less.Subtract(&a)
		if !less.Equal(&b) {
			t.Fatalf("%+v and %+v, less the first, are %+v", a, b, less)
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
	for i := range v.NumField() - len(sum.lists()) { // The last are the denials.
		if v.Field(i).Uint() != uint64(i+1) {
			t.Errorf("%s is field %d of fields", v.Type().Field(i).Name, v.Field(i).Uint())
		}
	}
}

// What is derived counts what its rule says, and nothing else.
func TestTotalsDenied(t *testing.T) {
	var sum Totals
	for typ := event.Connect; typ <= event.OTAVoid; typ++ {
		for code := event.MessageQuotaExceeded; code <= event.PayloadTooLarge; code++ {
			sum.Deny(typ, code, uint64(typ)*100+uint64(code))
			sum.Observe(typ, code, 1) // It was accepted.
		}
	}
	if got := sum.MessagesDenied(); got != 301+401 {
		t.Errorf("%d messages denied", got)
	}
	if got := sum.OTADenied(); got != 502 {
		t.Errorf("%d upgrades denied", got)
	}
}

func TestTotalsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawTotals(t)
		b := want.Append([]byte("x"))
		got, err := DecodeTotals(b[1:])
		if err != nil || !reflect.DeepEqual(got, want) || b[0] != 'x' {
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

func FuzzDecodeTotals(f *testing.F) {
	f.Add((&Totals{}).Append(nil))
	f.Add((&Totals{MessagesUp: 1, Activations: 1<<64 - 1}).Append(nil))
	f.Add(
		(&Totals{Denied: []Denied{{event.Up, event.NotActivated, 1}, {event.OTA, event.Suspended, 1 << 60}}}).Append(nil),
	)
	would := []Denied{{event.Up, event.MessageQuotaExceeded, 7}, {event.OTA, event.OTAQuotaExceeded, 1}}
	f.Add((&Totals{WouldDeny: would, Denied: would}).Append(nil))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 2, 3, 0x81, 1, 3, 1, 1}) // in the wrong order
	f.Add((&Totals{Denied: []Denied{{event.OTA, event.Suspended, 1}, {event.Up, event.Suspended, 1}}}).Append(nil))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 100))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		sum, err := DecodeTotals(b)
		if err != nil {
			if !sum.Equal(&Totals{}) {
				t.Fatalf("refused and returned all the same: %+v", sum)
			}
			return
		}
		if len(sum.Denied)+len(sum.WouldDeny) > len(b) {
			t.Fatalf("%d denials in %d bytes", len(sum.Denied), len(b))
		}
		again, err := DecodeTotals(sum.Append(nil))
		if err != nil || !again.Equal(&sum) {
			t.Fatalf("%+v is read again as %+v, %v", sum, again, err)
		}
		joined := sum.Clone()
		joined.Join(&sum)
		if !joined.Equal(&sum) {
			t.Fatalf("%+v joined with itself is %+v", sum, joined)
		}
	})
}
