package archive

import (
	"fmt"
	"testing"
	"time"
)

// TestHistory: whatever is gathered, written, merged and removed, each device's rows are those of the log that are not
// over, in both directions.
func TestHistory(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			h := newHistory(seed, 12)
			h.unknown = 6
			o := Options{Retention: 2 * day, Path: t.TempDir() + "/archive", memoryBytes: 60_000, blockRows: int(8 - 3*seed)}
			s := testStore(t, o)
			runs := 0
			for i := range 160 {
				lasts := time.Minute * 30
				if i%3 > 0 {
					lasts = 0
				}
				g := h.next(1+h.dice.IntN(20), lasts)
				g.feed(t, s)
				if s.Due(h.nowMs) && h.dice.IntN(4) > 0 {
					if err := s.WriteRun(); err != nil {
						t.Fatal(err)
					}
					runs++
				}
				if h.dice.IntN(10) == 0 {
					if err := s.Tidy(t.Context(), h.nowMs); err != nil {
						t.Fatal(err)
					}
				}
				if i%40 == 39 {
					h.compare(t, s, h.nowMs)
				}
				if i%67 == 49 { // What was in memory only comes again.
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					s = testStore(t, o)
					for _, g := range h.groups {
						if g.seq > s.Position().Seq {
							g.feed(t, s)
						}
					}
					h.compare(t, s, h.nowMs)
				}
			}
			x := s.Stats()
			t.Logf("%d rows, %d runs written, %+v", len(h.rows), runs, x)
			if x.Spans == 0 || x.Runs == 0 {
				t.Errorf("spans and runs must be met: %+v", x)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestRunAge: rows are written when they are an hour old, or as old as is said, and at the end of their span.
func TestRunAge(t *testing.T) {
	for _, tt := range []struct {
		age, now time.Duration
		want     bool
	}{
		{0, 59 * time.Minute, false},
		{0, time.Hour, true},
		{3 * day, 23 * time.Hour, false},
		{3 * day, day, true},
		{time.Minute, time.Minute, true},
	} {
		h := newHistory(1, 5)
		s := testStore(t, Options{Retention: 7 * day, Path: t.TempDir() + "/archive", RunAge: tt.age})
		g := h.next(1, 0)
		g.feed(t, s)
		if got := s.Due(beginMs + tt.now.Milliseconds()); got != tt.want {
			t.Errorf("with an age of %v a run is due after %v: %v", tt.age, tt.now, got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
