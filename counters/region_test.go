package counters

import (
	"testing"

	"pgregory.net/rapid"
)

type held struct {
	b    block
	n    int
	mark byte
}

// Blocks never overlap, are zero when they are handed out, and what is released merges back into whole slabs.
func TestRegion(t *testing.T) {
	steps := 60
	if raceEnabled {
		steps = 10
	}
	rapid.Check(t, func(t *rapid.T) {
		r := new(region)
		defer func() {
			if err := r.close(); err != nil {
				t.Error(err)
			}
		}()
		var all []held
		mark := byte(0)
		release := func(i int) {
			h := all[i]
			for _, c := range h.b.bytes(0, h.n) {
				if c != h.mark {
					t.Fatalf("a block of %d bytes was overwritten", h.n)
				}
			}
			r.release(h.b, h.n)
			all = append(all[:i], all[i+1:]...)
		}
		for range rapid.IntRange(1, steps).Draw(t, "steps") {
			if len(all) > 0 && rapid.IntRange(0, 2).Draw(t, "release") == 0 {
				release(rapid.IntRange(0, len(all)-1).Draw(t, "which"))
				continue
			}
			n := rapid.IntRange(1, 3*hugePageBytes/2).Draw(t, "bytes")
			b, err := r.alloc(n)
			if err != nil {
				t.Fatal(err)
			}
			mark++
			mem := b.bytes(0, n)
			for i := range mem {
				if mem[i] != 0 {
					t.Fatalf("byte %d of %d is not zero", i, n)
				}
				mem[i] = mark
			}
			all = append(all, held{b, n, mark})
		}
		for len(all) > 0 {
			release(len(all) - 1)
		}
		if r.handedOut() != 0 {
			t.Fatalf("%d bytes are still out", r.handedOut())
		}
		for _, s := range r.slabs {
			if len(s.free) != 1 || s.free[0] != (span{0, len(s.mem)}) {
				t.Fatalf("a slab did not merge: %v", s.free)
			}
		}
	})
}

func TestRegionTakesLargerThanASlab(t *testing.T) {
	r := new(region)
	b, err := r.alloc(slabBytes + 1)
	if err != nil {
		t.Fatal(err)
	}
	b.bytes(0, slabBytes+1)[slabBytes] = 1
	r.release(b, slabBytes+1)
	if r.mapped() != slabBytes+hugePageBytes {
		t.Errorf("%d bytes mapped", r.mapped())
	}
	stray := new(region)
	s, err := stray.alloc(64)
	if err != nil {
		t.Fatal(err)
	}
	mustPanic(t, func() { r.release(s, 64) })
	for _, r := range []*region{r, stray} {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
}
