package shard

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Pages of any length hold each producer once, in the order of names, whatever order they came in.
func TestProducersInOrder(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":100}`, 1)
	var want []string
	for _, i := range rand.New(rand.NewPCG(1, 2)).Perm(60) {
		name := fmt.Sprintf("gw-%d", i)
		if _, err := m.claimed(name, 1, line("connect", "p", "d")); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	for _, n := range []int{1, 2, 7, 29, 30, 60, 1000} {
		var got []string
		for page := m.Producers(0, ProducerKey{}, n); len(page) > 0; {
			for _, p := range page {
				if got = append(got, p.Name); p.Last != 1 || p.Ordinal == 0 {
					t.Fatalf("%+v", p)
				}
			}
			page = m.Producers(0, page[len(page)-1].ProducerKey, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %q", n, got)
		}
	}
}
