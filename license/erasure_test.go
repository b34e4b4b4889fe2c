package license

import (
	"fmt"
	"testing"

	"github.com/meterd/meterd/event"
)

// erase erases the log of a device and returns what stands then.
func (b *book) erase(product, device string, known bool, ordinal uint64) *Erasure {
	b.Helper()
	next, ch, x, err := b.cat.EraseLog(b.by(), product, device, known, ordinal)
	b.keep(next, ch, err)
	return x
}

// A device that is erased again is erased until then, and what was promised first stays as old as it is.
func TestEraseAgain(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.product("p1", "acme", "")
	one := b.erase("p1", "d1", false, 0)
	if got := b.cat.ErasedUntilMs(1, []byte("d1")); got != b.atMs || one.SinceMs != b.atMs || one.Seq != b.cat.Seq {
		t.Errorf("erased until %d at %d: %+v", got, b.atMs, one)
	}
	if b.cat.ErasedUntilMs(1, []byte("d2")) != 0 || b.cat.ErasedUntilMs(2, []byte("d1")) != 0 {
		t.Error("others are erased, too")
	}
	if e := b.lastAudit(); e.Action != "device.erase_logs" || e.Target != "p1/d1" || b.cat.AccountOf(&e) != "acme" {
		t.Errorf("audited as %+v", e)
	}
	two := b.erase("p1", "d1", true, 9)
	if two.SinceMs != one.SinceMs || two.UntilMs != b.atMs || !two.Known || two.Ordinal != 9 || two.Seq <= one.Seq {
		t.Errorf("%+v, then %+v", one, two)
	}
	if seq := b.cat.ErasuresSeq(); seq != two.Seq || len(b.cat.Erasures()) != 1 {
		t.Errorf("changed by %d: %v", seq, b.cat.Erasures())
	}
	// Whoever has looked the first one up does not end the second one.
	if next, ch := b.cat.EndErasures([]*Erasure{one}); next != nil || ch != nil {
		t.Error("an erasure ends that was renewed")
	}
	if over := b.cat.ErasuresBefore(two.UntilMs); len(over) != 0 {
		t.Errorf("%v is over", over)
	}
	next, ch := b.cat.EndErasures(b.cat.ErasuresBefore(two.UntilMs + 1))
	ch.AtMs = b.by().AtMs
	b.keep(next, ch, nil)
	if b.cat.ErasedUntilMs(1, []byte("d1")) != 0 || b.replica.ErasedUntilMs(1, []byte("d1")) != 0 ||
		b.cat.ErasuresSeq() != b.cat.Seq {
		t.Error("it has not ended")
	}
}

// lastAudit returns the newest entry of the audit log.
func (b *book) lastAudit() AuditEntry {
	b.Helper()
	e, err := DecodeAudit(AuditKey(b.cat.Seq), b.ledger[string(AuditKey(b.cat.Seq))])
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func TestErasuresAreBounded(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.product("p1", "acme", "")
	for i := range erasuresMax {
		b.cat.putErasure(&Erasure{Product: 1, Device: fmt.Sprint("x", i), Seq: 1})
	}
	next, _, _, err := b.cat.EraseLog(b.by(), "p1", "more", false, 0)
	wantProblem(t, err, event.Overloaded, "")
	if next != nil {
		t.Error("refused and made all the same")
	}
	if _, _, _, err := b.cat.EraseLog(b.by(), "p1", "x7", false, 0); err != nil {
		t.Errorf("one that is there is refused: %v", err)
	}
	_, _, _, err = b.cat.EraseLog(b.by(), "p1", "no name", false, 0)
	wantProblem(t, err, event.InvalidArgument, "device")
}

// Records that no program has written are refused.
func TestErasureRecords(t *testing.T) {
	for _, c := range []struct{ key, value string }{
		{"E\x00\x00\x00\x01", `{"seq":2,"since_ms":1,"until_ms":1}`},
		{"E\x00\x00\x00\x02d1", `{"seq":2,"since_ms":1,"until_ms":1}`},
		{"E\x00\x00\x00\x01d1", `{"since_ms":1,"until_ms":1}`},
		{"E\x00\x00\x00\x01d1", `{"seq":99,"since_ms":1,"until_ms":1}`},
		{"E\x00\x00\x00\x01d1", `{"seq":2,"since_ms":2,"until_ms":1}`},
		{"E\x00\x00\x00\x01d/1", `{"seq":2,"since_ms":1,"until_ms":1}`},
		{"E\x00\x00\x00\x01d1", `nothing`},
	} {
		ledger := sample(t)
		ledger[c.key] = []byte(c.value)
		if _, err := load(ledger, "default", week); err == nil {
			t.Errorf("%q: %s is loaded", c.key, c.value)
		}
	}
}
