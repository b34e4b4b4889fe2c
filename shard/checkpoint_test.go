package shard

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meterd/meterd/shard/record"
)

// What does not fit one section is cut between two entries: each section is read alone.
func TestCheckpointOfMoreThanASection(t *testing.T) {
	const many = 100_000
	tests := []struct {
		name string
		fill func(*Engine)
		lost func(*Engine) int
	}{
		{
			"totals",
			func(e *Engine) {
				e.totals.Lock()
				defer e.totals.Unlock()
				for n := uint32(1); n <= many; n++ {
					sum := record.Totals{
						MessagesUp:     1 << 60,
						MessagesDown:   1 << 60,
						MessagesDenied: uint64(n),
						OTAAllowance:   1 << 60,
						Licenses:       1 << 60,
					}
					e.totals.Join(record.Quarter{Product: n, Number: 1<<32 - 1}, &sum, 0)
				}
			},
			func(e *Engine) int {
				lost := many
				e.totals.Lock()
				defer e.totals.Unlock()
				e.totals.Each(func(record.Quarter, *record.Totals) { lost-- })
				return lost
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			tt.fill(m.Engine)
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			m.crash()
			if n := tt.lost(m.Engine); n != 0 {
				t.Errorf("%d of %d are lost", n, many)
			}
		})
	}
}

// Ids of OTAs come back from a checkpoint whatever shard of the table their devices lie in (R17).
func TestUpgradesOfAllShardsComeBack(t *testing.T) {
	const devices = 2000
	m := newMachine(t)
	m.product("p", `{}`, devices)
	m.store.refuse(errors.New("not yet")) // So that the ids stay in memory.
	var connects, upgrades strings.Builder
	for i := range devices {
		connects.WriteString(line("connect", "p", fmt.Sprint("d", i)))
		fmt.Fprintf(&upgrades, "{\"type\":\"ota\",\"product\":\"p\",\"device\":\"d%d\",\"size\":1,\"id\":\"x\"}\n", i)
	}
	m.submit(connects.String())
	m.submit(upgrades.String())
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m.crash()
	for i, code := range m.submit(upgrades.String()) { // Again: it counts nothing.
		if code != "accepted" {
			t.Fatalf("device %d: %s", i, code)
		}
	}
}
