package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// listWriter keeps the keys of each transaction, and fails after some.
type listWriter struct {
	parts [][]string
	at    Position
	left  int
}

var errListWriter = errors.New("the disk is on fire")

func (w *listWriter) Write(entries []Entry, to Position) error {
	w.at = to
	return w.WritePart(entries)
}

func (w *listWriter) WritePart(entries []Entry) error {
	if w.left--; w.left < 0 {
		return errListWriter
	}
	bytes, keys := 0, []string{}
	for _, e := range entries {
		bytes += len(e.Key) + len(e.Value) + 32
		keys = append(keys, string(e.Key))
	}
	if bytes > TransactionBytesMax || len(entries) > TransactionEntriesMax {
		return ErrTooLarge
	}
	w.parts = append(w.parts, keys)
	return nil
}

// However many entries there are, and however large, each is written once, in its order, in transactions that fit; the
// position moves with the last alone.
func TestParts(t *testing.T) {
	for _, c := range []struct{ entries, bytes, transactions int }{
		{0, 0, 1},
		{1, 10, 1},
		{TransactionEntriesMax, 10, 1},
		{TransactionEntriesMax + 1, 10, 2},
		{3 * TransactionEntriesMax, 10, 3},
		{10, TransactionBytesMax / 4, 4},
	} {
		w := &listWriter{left: 100}
		p := NewParts(w)
		var want, got []string
		for i := range c.entries {
			key := fmt.Sprintf("k%09d", i)
			want = append(want, key)
			if err := p.Add(Entry{Key: []byte(key), Value: make([]byte, c.bytes)}); err != nil {
				t.Fatal(err)
			}
		}
		if w.at != (Position{}) {
			t.Errorf("%+v: the position has moved before the end", c)
		}
		if err := p.Finish(Position{Seq: 7}); err != nil || w.at.Seq != 7 {
			t.Fatalf("%+v: at %d, %v", c, w.at.Seq, err)
		}
		for _, keys := range w.parts {
			got = append(got, keys...)
		}
		if !slices.Equal(got, want) || len(w.parts) != c.transactions {
			t.Errorf("%+v: %d entries in %d transactions", c, len(got), len(w.parts))
		}
	}
}

// An error is told, nothing is written behind it, and without entries Flush writes nothing.
func TestPartsFail(t *testing.T) {
	w := &listWriter{left: 1}
	p := NewParts(w)
	if err := p.Flush(); err != nil || len(w.parts) != 0 {
		t.Errorf("%d transactions, %v", len(w.parts), err)
	}
	err := p.Add(make([]Entry, 3*TransactionEntriesMax)...)
	if !errors.Is(err, errListWriter) || len(w.parts) != 1 {
		t.Errorf("%d transactions, %v", len(w.parts), err)
	}
}
