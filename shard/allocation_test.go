package shard

import (
	"fmt"
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
			if err := m.DurableInLedger(); err != nil { // Else it works when it likes, which would count, too.
				t.Fatal(err)
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

// Nor does an event that is remembered by its source and id allocate, nor a duplicate of it: what is allocated now and
// then is the memory of all.
func TestNoCloudEventAllocates(t *testing.T) {
	const events, batches = 1000, 40
	m := newMachine(t)
	m.product("p", `{"messages_per_day":null}`, 0)
	m.submit(line("connect", "p", "d"))
	var requests []*Request
	for b := range batches {
		list := make([]string, events)
		for i := range list {
			list[i] = cloud("up", "/a", fmt.Sprint(b, "-", i))
		}
		requests = append(requests, clouds(t, list...))
	}
	// One request's memory is used for all, as the door does.
	r := &Request{}
	for _, pass := range []string{"events", "duplicates"} {
		next := 0
		send := func() {
			r.Batch = requests[next].Batch
			next++
			if err := m.Submit(r); err != nil || r.Result.Accepted != events {
				t.Fatal(r.Result.Accepted, err)
			}
		}
		for range 10 {
			send()
		}
		n := testing.AllocsPerRun(batches-11, send)
		t.Logf("%.0f allocations a batch of %d %s", n, events, pass)
		if n > events/5 {
			t.Errorf("%.0f allocations a batch of %d %s", n, events, pass)
		}
	}
	if n := m.repeats.Len(); n != events*batches {
		t.Errorf("%d are remembered", n)
	}
}
