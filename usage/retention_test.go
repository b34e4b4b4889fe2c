package usage

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/meterd/meterd/shard/views"
)

// Whatever retentions follow each other, what was written for a shorter one is known to be, until the one that holds
// hides it anyway. A start that applies nothing changes nothing.
func TestWrittenFor(t *testing.T) {
	const month = 30 * 24 * time.Hour
	type step struct {
		months    int // from the first
		retention time.Duration
		shortest  time.Duration
		until     int // months
	}
	for name, steps := range map[string][]step{
		"longer": {
			{0, month, 0, 0},
			{2, 3 * month, month, 2},
			{3, 3 * month, month, 2},
			{3, 13 * month, month, 3},
			{40, 13 * month, month, 3},
			{40, 24 * month, 13 * month, 40},
		},
		"shorter":   {{0, 13 * month, 0, 0}, {2, month, 0, 0}, {3, month, 0, 0}, {4, 13 * month, month, 4}},
		"for ever":  {{0, 0, 0, 0}, {2, month, 0, 0}, {3, 0, month, 3}, {9, 0, month, 3}, {10, 2 * month, month, 3}},
		"as it was": {{0, month, 0, 0}, {2, 3 * month, month, 2}, {3, month, 0, 0}, {9, 3 * month, month, 9}},
	} {
		store := newMapStore()
		for seq, s := range steps {
			atMs := 1_790_000_000_000 + int64(s.months)*month.Milliseconds()
			l := New(Options{Store: store, Retention: s.retention})
			for _, applied := range []bool{false, true} {
				shortest, untilMs, err := l.WrittenFor(s.retention, atMs)
				want := int64(0)
				if s.shortest > 0 {
					want = 1_790_000_000_000 + int64(s.until)*month.Milliseconds()
				}
				if err != nil || shortest != s.shortest || untilMs != want {
					t.Errorf("%s, %+v, applied %t: %s until %d, want %d; %v", name, s, applied, shortest, untilMs, want, err)
				}
				if !applied {
					g := &views.Group{Position: views.Position{Seq: uint64(seq + 1)}, FirstMs: atMs, LastMs: atMs}
					if err := l.Apply([]*views.Group{g}, threeProducts{}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// The row comes before the rows that are kept for the time that it says, so that no crash lets it be forgotten.
func TestRetentionIsNotedFirst(t *testing.T) {
	store := newMapStore()
	store.parts = 1
	g := &views.Group{Position: views.Position{Seq: 1}}
	l := New(Options{Store: store, Retention: time.Hour})
	if err := l.Apply([]*views.Group{g}, threeProducts{}); !errors.Is(err, errFailed) {
		t.Fatal(err)
	}
	if have, found, err := l.retentions(); err != nil || !found || have != (retentions{now: time.Hour}) ||
		store.at.Seq != 0 {
		t.Errorf("%+v, %t, %v at %d", have, found, err, store.at.Seq)
	}
	store.put([]byte(keyRetentions), []byte{1})
	if _, _, err := l.WrittenFor(time.Hour, 1); err == nil {
		t.Error("a damaged row says something")
	}
}

func FuzzDecodeRetentions(f *testing.F) {
	f.Add(retentions{time.Hour, time.Minute, 1_790_000_000_000}.encode())
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, row []byte) {
		r, err := decodeRetentions(row)
		if err == nil && !bytes.Equal(r.encode(), row) {
			t.Errorf("%x is %+v, which is %x", row, r, r.encode())
		}
	})
}
