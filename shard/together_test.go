package shard

import (
	"testing"
	"testing/synctest"

	"github.com/meterd/meterd/shard/claims"
)

// Requests that are decided before one of them is waited for are stored together, however it is waited for.
func TestStoredTogether(t *testing.T) {
	for name, wait := range map[string]func(*machine, *Request){
		"Settle": func(m *machine, r *Request) {
			if err := m.Settle(r); err != nil {
				t.Error(err)
			}
		},
		"Watch": func(m *machine, r *Request) {
			c := make(chan struct{}, 1)
			for range 2 {
				if !m.Watch(r, c) {
					t.Error("what is open is durable")
				}
			}
			<-c
			if !r.IsDurable() || m.Watch(r, c) {
				t.Error("what is durable is watched")
			}
		},
		"View": func(m *machine, _ *Request) {
			if err := m.View(func(*View) {}); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMachine(t)
				m.product("p", `{}`, 10)
				if _, err := m.claimed("gw", 1, line("connect", "p", "d")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // The sealer rests.
				before := len(m.log.snapshot())
				var all []*Request
				for i := range 10 {
					r := request(t, line("up", "p", "d"))
					if i%2 == 0 {
						r.Producer, r.Claim = []byte("gw"), &claims.Claim{Sequence: uint64(i + 2)}
					}
					if err := m.Decide(r); err != nil {
						t.Fatal(err)
					}
					all = append(all, r)
				}
				synctest.Wait()
				if n := len(m.log.snapshot()); n != before {
					t.Fatalf("%d groups were stored before anybody waited", n-before)
				}
				wait(m, all[len(all)/2])
				for i, r := range all {
					if !r.IsDurable() {
						t.Errorf("request %d is not durable", i)
					}
					if err := m.Settle(r); err != nil || r.Result.Accepted != 1 {
						t.Errorf("request %d: %d accepted, %v", i, r.Result.Accepted, err)
					}
				}
				if n := len(m.log.snapshot()); n != before+1 {
					t.Errorf("they were stored in %d groups", n-before)
				}
			})
		})
	}
}
