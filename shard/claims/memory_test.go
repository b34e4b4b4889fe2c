package claims

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/meterd/meterd/shard/record"
)

// doneGroup is a group that is durable.
type doneGroup struct{}

func (doneGroup) IsDone() bool { return true }

// bind returns the producer of a name, bound if it is new.
func bind(tb testing.TB, ps *Producers, name string) *Producer {
	tb.Helper()
	p, err := ps.Bind(&record.Builder{}, 1, []byte(name), 1)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// claimOne is what a request with a sequence does to what is remembered.
func claimOne(tb testing.TB, p *Producer, seq uint64, buf, answer []byte) {
	if _, mine, err := p.begin(Claim{Sequence: seq, Hash: [16]byte{byte(seq)}}, 1, buf); !mine || err != nil {
		tb.Fatal(mine, err)
	}
	p.decide(seq, doneGroup{}, 1, 1, answer)
	p.settle(seq)
}

// A request with a sequence allocates nothing once its producer has sent as many as are remembered, in order or nearly
// so.
func TestClaimDoesNotAllocate(t *testing.T) {
	for _, bytes := range []int{10, shortBytesMax, AnswerBytesKept} {
		p, answer, buf := bind(t, New(Options{}), "gw"), make([]byte, bytes), make([]byte, 0, 64)
		next := uint64(0)
		step := func() {
			for _, k := range []uint64{1, 0, 3, 2} {
				claimOne(t, p, next+k, buf, answer)
			}
			before, mine, err := p.begin(Claim{Sequence: next, Hash: [16]byte{byte(next)}}, 1, buf)
			if mine || err != nil || len(before.answer) != bytes {
				t.Fatalf("again: %+v, %v, %v", before, mine, err)
			}
			next += 4
		}
		for range keptMax {
			step()
		}
		if n := testing.AllocsPerRun(200, step); n != 0 {
			t.Errorf("answers of %d bytes: %v allocations for four requests and a retry", bytes, n)
		}
		if p.known.n != keptMax || p.inFlight != 0 {
			t.Errorf("%d are remembered, %d in flight", p.known.n, p.inFlight)
		}
	}
}

// What is remembered of a producer is as large as its comment says.
func TestMemory(t *testing.T) {
	const producers = 1000
	for _, test := range []struct{ answer, bytesMax int }{{11, 56}, {AnswerBytesKept, 130}} {
		var before, after runtime.MemStats
		answer := make([]byte, test.answer)
		runtime.GC()
		runtime.ReadMemStats(&before)
		ps := New(Options{})
		for n := range producers {
			p := bind(t, ps, fmt.Sprint("gw-", n))
			for seq := range uint64(2 * keptMax) {
				claimOne(t, p, seq, nil, answer)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		each := float64(after.HeapAlloc-before.HeapAlloc) / producers
		t.Logf("answers of %d bytes: %.0f bytes a producer, %.1f a sequence", test.answer, each, each/keptMax)
		if said := float64(ps.MemoryBytes()) / producers; said < each*0.9 || said > each*1.01 {
			t.Errorf("the budget is told %.0f bytes a producer", said)
		}
		if each > float64(test.bytesMax*keptMax) {
			t.Errorf("%.1f bytes a sequence, at most %d", each/keptMax, test.bytesMax)
		}
		runtime.KeepAlive(ps)
	}
}

// BenchmarkClaim is the whole cost of a sequence: begun, decided, durable.
func BenchmarkClaim(b *testing.B) {
	p, answer, buf := bind(b, New(Options{}), "gw"), make([]byte, 10), make([]byte, 0, 64)
	b.ReportAllocs()
	for seq := uint64(0); b.Loop(); seq++ {
		claimOne(b, p, seq, buf, answer)
	}
}
