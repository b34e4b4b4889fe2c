package archive

import (
	"encoding/binary"
	"hash/crc32"
	"testing"
	"time"
)

// reopen closes the archive and opens it with another retention.
func (e *early) reopen(retention time.Duration) {
	e.t.Helper()
	if err := e.s.Close(); err != nil {
		e.t.Fatal(err)
	}
	e.o.Retention = retention
	e.open()
}

// TestLongerRetention: what a shorter retention has removed does not come back with a longer one, so the archive says
// that it begins behind that; with the retention that it was kept with, and with a shorter one, nothing is missing.
func TestLongerRetention(t *testing.T) {
	e := newEarly(t, Options{})
	e.reopen(day)
	for i := range 2 * 12 {
		if e.run(); i%4 == 3 {
			e.tidy()
		}
	}
	first := e.groups[0].firstMs
	if e.s.OldestMs() <= first {
		t.Fatal("nothing was removed")
	}
	for _, keep := range []time.Duration{day, 12 * time.Hour} {
		e.reopen(keep)
		if from := e.s.AvailableFromMs(); from != 0 {
			t.Fatalf("with %s it begins at %d", keep, from)
		}
		e.proves(keep.String())
	}
	for _, keep := range []time.Duration{7 * day, 14 * day, day} {
		e.reopen(keep)
		if from := e.s.AvailableFromMs(); from <= first || from > e.nowMs-day.Milliseconds() {
			t.Fatalf("with %s it begins at %d, it is %d", keep, from, e.nowMs)
		}
		e.proves(keep.String())
	}
	if err := e.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLongerRetentionOfPlans: what a plan's log days have removed is over with a longer retention too.
func TestLongerRetentionOfPlans(t *testing.T) {
	e := newEarly(t, Options{})
	for range 2 { // The plans have log days behind the first run.
		g := e.next(30, time.Hour)
		g.days = map[uint32]uint32{1: 1, 2: 1, 3: 1}
		g.feed(t, e.s)
		if err := e.s.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	e.nowMs += 2 * day.Milliseconds()
	e.tidy()
	e.reopen(14 * day)
	if x := e.s.Stats(); x.Rows != 30 || e.s.AvailableFromMs() != 0 {
		t.Fatalf("%d rows, it begins at %d", x.Rows, e.s.AvailableFromMs())
	}
	if err := e.s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestOlderManifest: a manifest of version 2 does not say what was removed.
func TestOlderManifest(t *testing.T) {
	b := (&manifest{next: 4, availableFrom: 3}).append(nil)
	b = b[:len(b)-4-2] // The retention and up to when it has removed, both 0.
	b[len(manifestMagic)] = 2
	m, err := decodeManifest(binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
	if err != nil || m.next != 4 || m.availableFrom != 3 {
		t.Fatalf("%+v: %v", m, err)
	}
}
