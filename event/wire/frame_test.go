package wire

import (
	"bytes"
	"reflect"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meterd/meterd/event"
)

// Every frame comes back as it was appended, in the bytes that Bytes said, and reading it allocates nothing.
func TestFrameRoundTrip(t *testing.T) {
	for _, f := range []Frame{
		{Kind: FrameBatch, Body: []byte("batch"), Sequence: 1},
		{Kind: FrameAnswer, Body: []byte{}, Sequence: 1<<64 - 1, Replayed: true},
		{Kind: FrameAck, Body: []byte{8, 1}},
		{Kind: FrameProblem, Body: bytes.Repeat([]byte("x"), 300), Sequence: 128},
	} {
		b := AppendFrame(nil, &f)
		got, err := DecodeFrame(b)
		if err != nil || !reflect.DeepEqual(got, f) || len(b) != f.Bytes() || len(b) > len(f.Body)+FrameOverheadMax {
			t.Errorf("%+v became %+v, %v, in %d bytes, not %d", f, got, err, len(b), f.Bytes())
		}
		if n := testing.AllocsPerRun(10, func() { _, _ = DecodeFrame(b) }); n != 0 {
			t.Errorf("reading allocates %v times", n)
		}
	}
}

// What is no frame is refused: cut off at any byte, with two bodies or none, with a body that is a number.
func TestFrameRefused(t *testing.T) {
	whole := AppendFrame(nil, &Frame{Kind: FrameBatch, Body: []byte("batch"), Sequence: 300})
	for n := range whole {
		if f, err := DecodeFrame(whole[:n]); err == nil {
			t.Errorf("cut off after %d bytes it is %+v", n, f)
		}
	}
	ack := AppendFrame(nil, &Frame{Kind: FrameAck})
	for name, b := range map[string][]byte{
		"two bodies":        append(bytes.Clone(whole), ack...),
		"nothing":           {},
		"only unknown":      protowire.AppendVarint(protowire.AppendTag(nil, 100, protowire.VarintType), 1),
		"a number as batch": protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), 1),
		"a text as number":  protowire.AppendString(protowire.AppendTag(ack, 1, protowire.BytesType), "1"),
		"a group":           protowire.AppendTag(ack, 50, protowire.StartGroupType),
		"field 0":           append(bytes.Clone(ack), 0, 0),
	} {
		if f, err := DecodeFrame(b); err == nil {
			t.Errorf("%s: it is %+v", name, f)
		}
	}
	unknown := protowire.AppendFixed32(protowire.AppendTag(bytes.Clone(ack), 70, protowire.Fixed32Type), 7)
	if f, err := DecodeFrame(unknown); err != nil || f.Kind != FrameAck {
		t.Errorf("an unknown field is not passed over: %+v, %v", f, err)
	}
}

func TestFrameBodies(t *testing.T) {
	p := &event.Problem{Code: event.SequenceReused, Detail: "détail", Field: "sequence"}
	r, err := DecodeRefusal(AppendRefusal(nil, p, 1500))
	want := Refusal{
		Status: 422, Code: "sequence_reused", Title: p.Code.Title(), Detail: "détail", RetryAfterMs: 1500, Field: "sequence",
	}
	if err != nil || r != want {
		t.Errorf("the problem is %+v, %v", r, err)
	}
	c := Command{ID: "0000002a.1.2", Type: CommandDisconnect, Product: "p", Device: "d", Reason: "suspended"}
	if got, err := DecodeCommand(AppendCommand(nil, &c)); err != nil || got != c {
		t.Errorf("the command is %+v, %v", got, err)
	}
	for _, w := range []Welcome{
		{Credit: 64, CreditBytes: 1 << 26, EventsMax: 65536, FrameBytesMax: 1 << 26, IdleMs: 60_000, CommandsCredit: 256},
		{HasSequences: true},
		{HasSequences: true, LastSequence: 1 << 63, OldestRemembered: 7, Credit: 1},
	} {
		if got, err := DecodeWelcome(AppendWelcome(nil, &w)); err != nil || got != w {
			t.Errorf("the welcome is %+v, %v", got, err)
		}
	}
	if n, err := DecodeCount(AppendCount(nil, 64)); err != nil || n != 64 {
		t.Errorf("the count is %d, %v", n, err)
	}
	result := &event.Result{Accepted: 3, Denials: []event.Denial{
		{Index: 1, Verdict: event.Verdict{Code: event.MessageQuotaExceeded, Limit: 9, Used: 8, ResetsAtMs: 77}},
		{Index: 300, Verdict: event.Verdict{Code: event.InvalidEvent, Fault: event.FaultDevice}},
	}}
	var a Answer
	if err := a.Decode(AppendResultProtobuf(nil, result)); err != nil {
		t.Fatal(err)
	}
	wantAnswer := Answer{Accepted: 3, Denied: []Denial{
		{Index: 1, Code: "message_quota_exceeded", Limit: 9, Used: 8, ResetsAtMs: 77},
		{Index: 300, Code: "invalid_event", Field: "device", Detail: event.FaultDevice.Detail()},
	}}
	if !reflect.DeepEqual(a, wantAnswer) {
		t.Errorf("the answer is %+v", a)
	}
}

// Whatever arrives, no decoder panics; what DecodeFrame takes is a message for the official codec too, and comes back.
func FuzzDecodeFrame(f *testing.F) {
	f.Add(AppendFrame(nil, &Frame{Kind: FrameBatch, Body: []byte("batch"), Sequence: 300}))
	f.Add(AppendFrame(nil, &Frame{Kind: FrameAck, Body: AppendCount(nil, 3)}))
	f.Add(AppendFrame(nil, &Frame{Kind: FrameCommand, Body: AppendCommand(nil, &Command{ID: "a", Device: "d"})}))
	f.Add(AppendFrame(nil, &Frame{Kind: FrameWelcome, Body: AppendWelcome(nil, &Welcome{HasSequences: true, Credit: 9})}))
	f.Add(AppendFrame(nil, &Frame{Kind: FrameAnswer, Replayed: true, Body: AppendResultProtobuf(nil, &event.Result{
		Denials: []event.Denial{{Verdict: event.Verdict{Code: event.Suspended, Scope: event.ScopeProduct}}},
	})}))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:len(b):len(b)]
		_, _ = DecodeRefusal(b)
		_, _ = DecodeCommand(b)
		_, _ = DecodeWelcome(b)
		_, _ = DecodeCount(b)
		_ = (&Answer{}).Decode(b)
		frame, err := DecodeFrame(b)
		if err != nil {
			return
		}
		var want Frame
		for rest := b; len(rest) > 0; {
			number, kind, n := protowire.ConsumeField(rest)
			if n < 0 {
				t.Fatalf("the official codec says %v", protowire.ParseError(n))
			}
			_, _, tag := protowire.ConsumeTag(rest)
			value := rest[tag:n]
			switch {
			case number == 1 && kind == protowire.VarintType:
				want.Sequence, _ = protowire.ConsumeVarint(value)
			case number == 9 && kind == protowire.VarintType:
				v, _ := protowire.ConsumeVarint(value)
				want.Replayed = v != 0
			case number >= 2 && number <= 8:
				want.Kind = FrameKind(number)
				want.Body, _ = protowire.ConsumeBytes(value)
			}
			rest = rest[n:]
		}
		if !reflect.DeepEqual(frame, want) && !(bytes.Equal(frame.Body, want.Body) && len(want.Body) == 0) {
			t.Fatalf("it is %+v, for the official codec %+v", frame, want)
		}
		again, err := DecodeFrame(AppendFrame(nil, &frame))
		if err != nil || !bytes.Equal(again.Body, frame.Body) || again.Sequence != frame.Sequence ||
			again.Kind != frame.Kind || again.Replayed != frame.Replayed {
			t.Fatalf("%+v came back as %+v, %v", frame, again, err)
		}
	})
}
