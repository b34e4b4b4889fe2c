package archive

import (
	"testing"
	"time"
)

// TestLateRows: rows that are over by the wall clock before they are archived, of a daemon that was stopped for long or
// of a copy that follows late, are archived all the same, and go as all others do.
func TestLateRows(t *testing.T) {
	h := newHistory(1, 3)
	h.nowMs = time.Now().Add(-20 * day).UnixMilli()
	s := testStore(t, Options{Retention: 2 * day, Path: t.TempDir() + "/archive"})
	for range 5 {
		g := h.next(10, time.Hour)
		g.feed(t, s)
		if err := s.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	for ordinal := range uint64(3) {
		if have, want := read(t, s, query(ordinal), h.nowMs), h.want(s, ordinal, h.seq, h.nowMs); len(have) != len(want) {
			t.Errorf("device %d has %d rows of %d", ordinal, len(have), len(want))
		}
	}
	if err := s.Tidy(t.Context(), h.nowMs+(10*day).Milliseconds()); err != nil {
		t.Fatal(err)
	}
	if x := s.Stats(); x.Runs+x.Spans != 0 {
		t.Errorf("they are still there: %+v", x)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
