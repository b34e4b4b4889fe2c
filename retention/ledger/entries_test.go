package ledger

import (
	"fmt"
	"path/filepath"
	"testing"
)

// TestEntries copies an instant to another store: the same rows and the times when they are over, and none of those
// that came later.
func TestEntries(t *testing.T) {
	a, err := Open(small(filepath.Join(t.TempDir(), "ledger")))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var want []string
	for i := range 300 {
		e := Entry{Key: fmt.Appendf(nil, "k%05d", i), Value: make([]byte, 40*(i%70)), UntilMs: int64(i%3) * 5000}
		want = append(want, fmt.Sprintf("%s %d %d", e.Key, len(e.Value), e.UntilMs))
		if err := a.Write([]Entry{e}, at(uint64(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	instant, err := a.OpenInstant()
	if err != nil {
		t.Fatal(err)
	}
	defer instant.Close()
	later := []Entry{{Key: []byte("k00001"), Delete: true}, {Key: []byte("later"), Value: []byte("x")}}
	if err := a.Write(later, at(301)); err != nil {
		t.Fatal(err)
	}
	b, err := Open(small(filepath.Join(t.TempDir(), "ledger")))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	parts := NewParts(b)
	err = instant.Entries(func(e Entry) error {
		e.Key, e.Value = append([]byte(nil), e.Key...), append([]byte(nil), e.Value...)
		return parts.Add(e)
	})
	if err == nil {
		err = parts.Finish(instant.Position())
	}
	if err != nil {
		t.Fatal(err)
	}
	copied, err := b.OpenInstant()
	if err != nil {
		t.Fatal(err)
	}
	defer copied.Close()
	var got []string
	err = copied.Entries(func(e Entry) error {
		got = append(got, fmt.Sprintf("%s %d %d", e.Key, len(e.Value), e.UntilMs))
		return nil
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || b.Position() != at(300) {
		t.Errorf("%d rows of %d are copied, up to group %d: %v", len(got), len(want), b.Position().Seq, err)
	}
}
