package shard

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
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
				for n := uint32(1); n <= many; n++ {
					sum := record.BucketTotals{
						Bucket: record.Bucket{Product: n, Quarter: 1<<32 - 1, Day: record.DayMax},
						Totals: record.Totals{MessagesUp: 1 << 60, MessagesDown: 1 << 60, OTAAllowance: 1 << 60, Licenses: 1 << 60},
					}
					sum.Deny(event.Up, event.MessageQuotaExceeded, uint64(n))
					e.totals.Join(&sum)
				}
			},
			func(e *Engine) int { return many - len(e.totals.All()) },
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
