package record

import (
	"bytes"
	"testing"

	"github.com/meterd/meterd/event"
)

// Arbitrary bytes are refused, or walked without a panic, a read outside of them, or a step too many; what was walked
// to its end and is put into a Builder comes out again.
func FuzzOpen(f *testing.F) {
	whole := sample()
	f.Add(whole)
	f.Add((&Builder{}).Finish(nil))
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{Version})
	f.Add([]byte{Version, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0xff
		f.Add(damaged)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		guarded := make([]byte, len(raw), len(raw)+16) // a slice that reaches behind raw would hold these
		copy(guarded, raw)
		copy(guarded[len(raw):cap(guarded)], bytes.Repeat([]byte{0xEE}, 16))
		c, err := Open(guarded)
		if err != nil {
			return
		}
		inside := func(b []byte) {
			if cap(b) != len(b) || len(b) > len(raw) {
				t.Fatalf("a slice of %d bytes could grow to %d", len(b), cap(b))
			}
		}
		steps := 0
		count := func() {
			if steps++; steps > 3*len(raw)+3 { // rows, bindings and effects take a byte each
				t.Fatalf("%d bytes give more than %d rows, bindings and effects", len(raw), steps)
			}
		}
		bindings := c.Bindings(bindingsLog{
			device:    func(d Device) error { inside(d.Name); count(); return nil },
			producer:  func(p Producer) error { inside(p.Name); count(); return nil },
			forgotten: func(uint32) error { count(); return nil },
		})
		effects := c.Effects(counting{count: count, inside: inside})
		s := c.Scan()
		for s.Next() {
			for _, b := range [][]byte{s.Row.Name, s.Row.ID, s.Row.Topic, s.Row.Payload} {
				if b != nil {
					inside(b)
				}
			}
			count()
		}
		if s.Err() == nil && bindings == nil && effects == nil {
			rewrite(t, guarded)
		}
	})
}

type counting struct {
	count  func()
	inside func([]byte)
}

func (c counting) Word(int, uint64, uint64) error   { c.count(); return nil }
func (c counting) Closed(int, uint64, uint64) error { c.count(); return nil }
func (c counting) OTA(OTA) error                    { c.count(); return nil }
func (c counting) DayEnd(DayEnd) error              { c.count(); return nil }
func (c counting) Grant(Grant) error                { c.count(); return nil }
func (c counting) Pool(Pool) error                  { c.count(); return nil }
func (c counting) End(End) error                    { c.count(); return nil }
func (c counting) Command(Command) error            { c.count(); return nil }
func (c counting) Upgrade(u Upgrade) error          { c.inside(u.ID); c.count(); return nil }
func (c counting) Run(Run) error                    { c.count(); return nil }
func (c counting) Quota(Quota) error                { c.count(); return nil }
func (c counting) Decided(Decided) error            { c.count(); return nil }
func (c counting) Claim(m Claim) error              { c.inside(m.Answer); c.count(); return nil }

// rewrite puts the rows of a chunk that could be read into a Builder, each with the call that makes such a row, and
// reads them again.
func rewrite(t *testing.T, raw []byte) {
	from, err := read(raw)
	if err != nil {
		t.Fatalf("read once, and not again: %v", err)
	}
	var b Builder
	var want written
	for i := range from.rows {
		r := from.rows[i]
		call := callOf(&r)
		if call == "" {
			continue
		}
		b.BeginBatch(r.DecidedMs, r.Holder)
		add(&b, call, &r)
		want.rows = append(want.rows, r)
	}
	got, err := read(b.Finish(nil))
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(&got, &want); d != "" {
		t.Fatal(d)
	}
}

// callOf names the Builder's call that makes a row, "" for rows that a reader takes and no call makes: of an unknown
// device, but accepted as a message or counted.
func callOf(r *Row) string {
	switch {
	case r.Named && (r.Counted || r.IsMessage()):
		return ""
	case r.Named:
		return "stranger"
	case r.IsMessage() && !r.Counted:
		return "message"
	case r.Counted && r.Code == event.MessageQuotaExceeded && r.Quota.Used == r.Used:
		return "counted"
	case r.Counted || r.Code == event.MessageQuotaExceeded:
		return ""
	case r.Code == event.OTAQuotaExceeded:
		return "upgrade"
	case r.Code != event.Accepted:
		return "denied"
	}
	return "other"
}
