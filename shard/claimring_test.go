package shard

import (
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A ring is a sorted list, whatever comes in whatever order and wherever it begins.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring[uint64]
		var model []uint64
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			sequence := rapid.Uint64Range(0, 60).Draw(t, "sequence")
			want, known := slices.BinarySearch(model, sequence)
			i, found := r.search(sequence)
			if i != want || found != known {
				t.Fatalf("%d of %v: at %d, %v", sequence, model, i, found)
			}
			switch {
			case !found:
				r.insert(i, sequence, sequence*3)
				model = slices.Insert(model, i, sequence)
			case rapid.Bool().Draw(t, "first"):
				r.remove(0)
				model = model[1:]
			default:
				r.remove(i)
				model = slices.Delete(slices.Clone(model), i, i+1)
			}
			for i, sequence := range model {
				if r.n != len(model) || r.sequence(i) != sequence || *r.value(i) != sequence*3 {
					t.Fatalf("%d of %d is %d, not %d of %d", i, r.n, r.sequence(i), sequence, len(model))
				}
			}
		}
	})
}

// claimOne is what a request with a sequence does to what is remembered.
func claimOne(tb testing.TB, p *producerClaims, seq uint64, g *group, buf, answer []byte) {
	if _, mine, err := p.begin(Claim{Sequence: seq, Hash: [16]byte{byte(seq)}}, 1, buf); !mine || err != nil {
		tb.Fatal(mine, err)
	}
	p.decide(seq, g, 1, answer)
	p.durable(seq)
}

// A request with a sequence allocates nothing once its producer has sent as many as are remembered, in order or nearly
// so.
func TestClaimDoesNotAllocate(t *testing.T) {
	for _, bytes := range []int{10, answerBytesShort, answerBytesInline} {
		p, g, answer, buf := newProducerClaims(), newGroup(), make([]byte, bytes), make([]byte, 0, 64)
		next := uint64(0)
		step := func() {
			for _, k := range []uint64{1, 0, 3, 2} {
				claimOne(t, p, next+k, g, buf, answer)
			}
			if before, mine, err := p.begin(
				Claim{Sequence: next, Hash: [16]byte{byte(next)}},
				1,
				buf,
			); mine || err != nil ||
				len(before.answer) != bytes {
				t.Fatalf("again: %+v, %v, %v", before, mine, err)
			}
			next += 4
		}
		for range claimsKept {
			step()
		}
		if n := testing.AllocsPerRun(200, step); n != 0 {
			t.Errorf("answers of %d bytes: %v allocations for four requests and a retry", bytes, n)
		}
		if p.known.n != claimsKept || p.inFlight != 0 {
			t.Errorf("%d are remembered, %d in flight", p.known.n, p.inFlight)
		}
	}
}

// What is remembered of a producer is as large as its comment says.
func TestClaimsMemory(t *testing.T) {
	const producers = 1000
	for _, test := range []struct{ answer, bytesMax int }{{11, 56}, {answerBytesInline, 130}} {
		var before, after runtime.MemStats
		g, answer := newGroup(), make([]byte, test.answer)
		runtime.GC()
		runtime.ReadMemStats(&before)
		var c claims
		for producer := range uint32(producers) {
			for seq := range uint64(2 * claimsKept) {
				claimOne(t, c.of(producer+1), seq, g, nil, answer)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / producers
		t.Logf("answers of %d bytes: %.0f bytes a producer, %.1f a sequence", test.answer, each, each/claimsKept)
		if each > float64(test.bytesMax*claimsKept) {
			t.Errorf("%.1f bytes a sequence, at most %d", each/claimsKept, test.bytesMax)
		}
		runtime.KeepAlive(&c)
	}
}

// BenchmarkClaim is the whole cost of a sequence: begun, decided, durable.
func BenchmarkClaim(b *testing.B) {
	p, g, answer, buf := newProducerClaims(), newGroup(), make([]byte, 10), make([]byte, 0, 64)
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		claimOne(b, p, seq, g, buf, answer)
	}
}
