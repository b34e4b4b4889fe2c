package disk

import (
	"errors"
	"io"
	"os"
	"slices"
	"testing"
)

func installed(t *testing.T, c *Checkpoints) []uint64 {
	t.Helper()
	list, err := c.list()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A checkpoint that is held stays whole while newer ones come and go, can be read from any place, and is gone when it
// is let go; after a crash the next checkpoint removes it.
func TestCheckpointIsHeld(t *testing.T) {
	c := openCheckpoints(t)
	if r, err := c.Hold(); r != nil || err != nil {
		t.Fatalf("%v of none, %v", r, err)
	}
	writeCheckpoint(t, c, 10, 11, section{1, []byte("one")}, section{2, []byte("two")}, section{3, []byte("three")})
	held, err := c.Hold()
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Hold()
	if err != nil {
		t.Fatal(err)
	}
	for b := uint64(20); b <= 40; b += 10 {
		writeCheckpoint(t, c, b, b+1)
	}
	if got := installed(t, c); !slices.Equal(got, []uint64{10, 40}) {
		t.Fatalf("installed are %v", got)
	}
	var places []int64
	if err := held.Places(
		func(at int64, _ uint16, _ []byte) error { places = append(places, at); return nil },
	); err != nil {
		t.Fatal(err)
	}
	for i, at := range places {
		var got []uint16
		err := held.From(at, func(kind uint16, _ []byte) error {
			if kind == 3 {
				return io.EOF
			}
			got = append(got, kind)
			return nil
		})
		if want := []uint16{1, 2}[min(i, 2):]; err != nil || !slices.Equal(got, want) {
			t.Fatalf("from place %d: %v, not %v; %v", i, got, want, err)
		}
	}
	boom := errors.New("boom")
	if err := held.From(places[0], func(uint16, []byte) error { return boom }); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if got := installed(t, c); !slices.Equal(got, []uint64{10, 40}) {
		t.Fatalf("held once more, but installed are %v", got)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if got := installed(t, c); !slices.Equal(got, []uint64{40}) {
		t.Fatalf("installed are %v", got)
	}
	if _, err := c.Hold(); err != nil { // And then a crash.
		t.Fatal(err)
	}
	writeCheckpoint(t, c, 50, 51)
	if c, err = OpenCheckpoints(c.path); err != nil {
		t.Fatal(err)
	}
	if b, _, _, err := readCheckpoint(c); err != nil || b != 50 {
		t.Fatalf("B %d, %v", b, err)
	}
	writeCheckpoint(t, c, 60, 61)
	entries, err := os.ReadDir(c.path)
	if err != nil || len(entries) != 1 {
		t.Fatalf("files: %v, %v", entries, err)
	}
}

// A flipped byte within a part is found when that part is read.
func TestCheckpointPartIsChecked(t *testing.T) {
	c, path, data := small(t)
	r, err := c.Latest()
	if err != nil {
		t.Fatal(err)
	}
	var last int64
	if err := r.Places(func(at int64, _ uint16, _ []byte) error { last = at; return nil }); err != nil {
		t.Fatal(err)
	}
	r.Close()
	data[last+sectionHeaderBytes] ^= 1
	write(t, path, data)
	if r, err = c.Latest(); err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = r.From(last, func(uint16, []byte) error { return nil })
	refused(t, err, path)
}
