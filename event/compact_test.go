package event

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func anyVerdict(t *rapid.T) Verdict {
	v := Verdict{
		Code: Code(
			rapid.IntRange(0, int(Codes)-1).Draw(t, "code"),
		),
		Scope: Scope(rapid.IntRange(0, int(ScopeAccount)).Draw(t, "scope")),
		Fault: Fault(rapid.IntRange(0, len(faultTable)-1).Draw(t, "fault")),
	}
	for _, n := range v.numbers() {
		*n = rapid.SampledFrom([]uint64{0, 1, 1500, 1 << 40}).Draw(t, "number")
	}
	if rapid.Bool().Draw(t, "window") {
		v.WindowStartMs = rapid.Int64Range(-1<<50, 1<<50).Draw(t, "start")
		v.ResetsAtMs = v.WindowStartMs + rapid.Int64Range(0, 31*86_400_000).Draw(t, "length")
	}
	return v
}

func sameResult(a, b *Result) bool {
	return a.Accepted == b.Accepted && a.Last == b.Last && slices.Equal(a.Denials, b.Denials) &&
		slices.Equal(a.WouldDeny, b.WouldDeny)
}

// What is remembered of an answer is all of it, whatever the verdicts and whether they repeat.
func TestCompactRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Result{Accepted: rapid.IntRange(0, EventsMax).Draw(t, "accepted"), Last: anyVerdict(t)}
		verdicts := rapid.SliceOfN(rapid.Custom(anyVerdict), 1, 3).Draw(t, "verdicts")
		for index := range rapid.IntRange(0, 40).Draw(t, "events") {
			if rapid.Bool().Draw(t, "denied") {
				r.Denials = append(r.Denials, Denial{index, rapid.SampledFrom(verdicts).Draw(t, "verdict")})
			} else if rapid.Bool().Draw(t, "would deny") {
				r.WouldDeny = append(r.WouldDeny, Denial{index, rapid.SampledFrom(verdicts).Draw(t, "verdict")})
			}
		}
		written := r.Append(nil)
		var got Result
		if err := got.Decode(written); err != nil || !sameResult(&got, &r) {
			t.Fatalf("%+v is remembered as %+v, %v", r, got, err)
		}
		if len(written) > 0 && got.Decode(written[:len(written)-1]) == nil {
			t.Fatal("an answer without its last byte is taken")
		}
	})
}

// Answers that an older meterd remembered are still given.
func TestCompactVersion1(t *testing.T) {
	v := Verdict{
		Code:          MessageQuotaExceeded,
		Limit:         1500,
		Used:          1500,
		WindowStartMs: 86_400_000,
		ResetsAtMs:    2 * 86_400_000,
	}
	want := Result{Accepted: 2, Last: v, Denials: []Denial{{1, v}, {2, v}, {7, v}}}
	b := v.append([]byte{1, 2})
	b = append(b, 3)
	for _, step := range []uint64{1, 1, 5} {
		b = v.append(binary.AppendUvarint(b, step))
	}
	var got Result
	if err := got.Decode(b); err != nil || !sameResult(&got, &want) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A batch that is denied whole for one reason takes a byte an event.
func TestCompactDenials(t *testing.T) {
	r := Result{}
	v := Verdict{
		Code:          MessageQuotaExceeded,
		Limit:         1500,
		Used:          1500,
		WindowStartMs: 86_400_000,
		ResetsAtMs:    2 * 86_400_000,
	}
	for i := range 1000 {
		r.Denials = append(r.Denials, Denial{i, v})
	}
	if n := len(r.Append(nil)); n > 1050 {
		t.Errorf("a thousand denials take %d bytes", n)
	}
}

func FuzzCompact(f *testing.F) {
	v := Verdict{Code: Suspended, Scope: ScopeAccount}
	f.Add((&Result{Accepted: 1, Denials: []Denial{{1, v}, {2, v}}}).Append(nil))
	f.Add((&Result{Accepted: 1, Denials: []Denial{{1, v}}, WouldDeny: []Denial{{2, v}, {3, v}}}).Append(nil))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Result
		if r.Decode(b) != nil {
			return
		}
		if err := again.Decode(r.Append(nil)); err != nil || !sameResult(&again, &r) {
			t.Fatalf("%x: %+v, then %+v, %v", b, r, again, err)
		}
	})
}

// No answer to a batch is longer than CompactBytesMax says, and the longest comes near it.
func TestCompactBytesMax(t *testing.T) {
	start := time.Date(4199, 12, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	v := Verdict{
		Code: OTAQuotaExceeded, Scope: ScopeAccount, Limit: 1<<32 - 1, Used: 1<<32 - 1, Requested: 1<<32 - 1,
		TopupAvailable: 1<<64 - 1, WindowStartMs: start, ResetsAtMs: start + 31*86_400_000,
	}
	for _, events := range []int{0, 1, 2, EventsMax} {
		r := Result{Accepted: EventsMax, Last: v}
		for i := range events {
			v.Fault = Fault(i % 2) // None repeats the one before.
			if i%4 < 2 {
				r.Denials = append(r.Denials, Denial{i, v})
			} else {
				r.WouldDeny = append(r.WouldDeny, Denial{i, v})
			}
		}
		n, most := len(r.Append(nil)), CompactBytesMax(events)
		if n > most || n < most*9/10 {
			t.Errorf("%d denials take %d bytes, at most %d", events, n, most)
		}
	}
}
