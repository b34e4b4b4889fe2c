package ledger

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/disk"
)

// TestProve: a table that goes bad, or away, after it was opened is found by whoever proves, and the store has failed.
func TestProve(t *testing.T) {
	_, closed := twoStores(t)
	for what, spoil := range map[string]func(path string){
		"flipped": func(path string) { flip(t, path, find(t, path, "small value of")) },
		"removed": func(path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		dir := clone(t, closed)
		o, said := told(small(dir))
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		read := int64(0)
		if err := s.Prove(func(n int64) error { read += n; return nil }); err != nil || read == 0 {
			t.Fatalf("%d bytes were read: %v", read, err)
		}
		enough := errors.New("enough")
		if err := s.Prove(func(int64) error { return enough }); !errors.Is(err, enough) || s.Err() != nil {
			t.Fatalf("it goes on: %v, %v", err, s.Err())
		}
		i, err := s.OpenInstant()
		if err != nil {
			t.Fatal(err)
		}
		path := named(t, dir, ".sst")[0]
		spoil(path)
		err = i.Prove(func(int64) error { return nil })
		if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
		if s.Err() == nil || len(said()) == 0 {
			t.Errorf("%s: the store has not failed, or nobody is told: %v, %v", what, s.Err(), said())
		}
		if err := s.Close(); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: closed: %v", what, err)
		}
	}
}
