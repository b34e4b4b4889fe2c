package shard

import (
	"strings"
	"testing"

	"github.com/meterd/meterd/shard/claims"
)

// What a batch allocates does not depend on how many events it has: the group does, and remembering its sequence, but
// no event.
func TestNoEventAllocates(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":null}`, 0)
	m.submit(line("connect", "p", "d1") + line("connect", "p", "d2"))
	var sequence uint64
	allocations := func(events int) float64 {
		r := request(t, strings.Repeat(line("up", "p", "d1")+line("down", "p", "d2"), events/2))
		r.Producer, r.Claim = []byte("gw"), &claims.Claim{}
		send := func() {
			sequence++
			*r.Claim = claims.Claim{Sequence: sequence}
			if err := m.Submit(r); err != nil || r.Result.Accepted != events {
				t.Fatal(r.Result.Accepted, err)
			}
		}
		for range 20 {
			send() // Lanes, buffers and the producer's memory grow to what they need.
		}
		return testing.AllocsPerRun(100, send)
	}
	few, many := allocations(10), allocations(20_000)
	t.Logf("%.0f allocations a batch of 10, %.0f a batch of 20,000", few, many)
	if many > few+10 {
		t.Errorf("a batch of 10 events allocates %.0f times, one of 20,000 %.0f times", few, many)
	}
}
