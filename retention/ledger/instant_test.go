package ledger

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// contents returns all rows of a reader.
func contents(t testing.TB, r Reader) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := r.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
		all[string(k)] = string(v)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// An Instant shows the rows of one position for as long as it is open: what is written over, or deleted because its
// time is over, compacted and rewritten, stays as it was.
func TestInstantStaysAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s, err := Open(Options{
			Path: filepath.Join(t.TempDir(), "ledger"), size: size{memTableBytes: 1 << 20, valueLogBytes: 1 << 20},
		})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = end(s) }()
		type look struct {
			Reader
			want map[string]string
			at   Position
		}
		now := map[string]string{}
		var open []look
		check := func(l look) {
			if got := contents(t, l); !maps.Equal(got, l.want) || l.Position() != l.at {
				rt.Fatalf("the instant at %d has %d rows, not %d as it had", l.at.Seq, len(got), len(l.want))
			}
			for key, want := range l.want {
				if got, found, err := l.Get([]byte(key)); err != nil || !found || string(got) != want {
					rt.Fatalf("row %q of the instant at %d: %v, %v", key, l.at.Seq, found, err)
				}
				break
			}
		}
		for seq := uint64(1); seq <= rapid.Uint64Range(2, 25).Draw(rt, "writes"); seq++ {
			var entries []Entry
			for range rapid.IntRange(0, 30).Draw(rt, "rows") {
				key := fmt.Sprintf("k%02d", rapid.IntRange(0, 40).Draw(rt, "key"))
				value := bytes.Repeat([]byte{byte('a' + seq)}, rapid.SampledFrom([]int{0, 10, 900, 9000}).Draw(rt, "bytes"))
				entries = append(entries, Entry{
					Key: []byte(key), Value: value, UntilMs: rapid.SampledFrom([]int64{0, 1}).Draw(rt, "until"),
				})
			}
			if err := s.Write(entries, at(seq)); err != nil {
				rt.Fatal(err)
			}
			for _, e := range entries {
				now[string(e.Key)] = string(e.Value)
			}
			switch rapid.IntRange(0, 3).Draw(rt, "then") {
			case 0:
				i, err := s.Instant()
				if err != nil {
					rt.Fatal(err)
				}
				open = append(open, look{i, maps.Clone(now), at(seq)})
			case 1:
				if err := s.Maintain(t.Context(), 2000); err != nil {
					rt.Fatal(err)
				}
				now = contents(t, s)
			case 2:
				if len(open) > 0 {
					check(open[0])
					if err := open[0].Close(); err != nil {
						rt.Fatal(err)
					}
					if _, _, err := open[0].Get([]byte("k00")); err == nil {
						rt.Fatal("read after Close")
					}
					open = slices.Delete(open, 0, 1)
				}
			}
		}
		for _, l := range open {
			check(l)
		}
	})
}

// The store closes although somebody still looks: looking fails from then on, and closing the look does nothing.
func TestCloseEndsInstants(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	write(t, s, 1, row("a", "1"), row("b", "2"))
	var wg sync.WaitGroup
	begun := make(chan struct{}, 4)
	for range 4 {
		i, err := s.Instant()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer i.Close()
			for n := 0; ; n++ {
				err := i.Scan(nil, nil, false, func([]byte, []byte) (bool, error) { return true, nil })
				if n == 0 {
					begun <- struct{}{}
				}
				if err != nil {
					return
				}
			}
		})
	}
	for range 4 {
		<-begun
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := s.Instant(); err == nil {
		t.Fatal("a look at a closed ledger")
	}
}
