package commands

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
	"pgregory.net/rapid"
)

// What is kept is bounded, and an account gives up its oldest only while none keeps more than it does.
func TestNoAccountPushesOutASmallerOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKept(rapid.IntRange(1, 40).Draw(t, "max"))
		want := map[uint32][]uint64{} // by account, in order
		for seq := range uint64(rapid.IntRange(1, 200).Draw(t, "n")) {
			account := uint32(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 2, 3, 4}).Draw(t, "account"))
			k.put(record.Command{Seq: seq + 1, Ordinal: seq, Account: account})
			want[account] = append(want[account], seq+1)
			most := 0
			for _, list := range want {
				most = max(most, len(list))
			}
			if n := total(want); n > k.max {
				var gave uint32
				for id, list := range want {
					if l := k.of(id); len(list) == most && (l == nil || l.n < len(list)) {
						gave = id
					}
				}
				if gave == 0 {
					t.Fatalf("of %d entries none of an account with %d was given up", n, most)
				}
				want[gave] = want[gave][1:]
			}
			for id, list := range want {
				if got := fmt.Sprint(seqs(k.of(id))); got != fmt.Sprint(list) {
					t.Fatalf("account %d keeps %s, want %v", id, got, list)
				}
			}
			if k.all.n != total(want) || len(k.devices) != k.all.n || len(k.largest) != len(k.accounts) {
				t.Fatalf("%d in all, %d devices, %d and %d accounts", k.all.n, len(k.devices), len(k.accounts), len(k.largest))
			}
		}
	})
}

func total(lists map[uint32][]uint64) (n int) {
	for _, l := range lists {
		n += len(l)
	}
	return n
}

func seqs(l *list) []uint64 {
	list := []uint64{}
	if l != nil {
		l.each(0, func(e *entry) bool { list = append(list, e.Seq); return true })
	}
	return list
}

// What is over goes by itself, before it pushes out what is not: connected devices' at once, others' after a day.
func TestWhatIsOverIsTidied(t *testing.T) {
	e := newEngine(3000)
	c := e.started()
	for o := range uint64(3000) {
		e.putOffline(c, o+1)
		if o >= 1000 {
			e.sessions[o+1].Add(1)
		}
	}
	if n := c.kept.all.n; n > 1000+1000+2*holdSteps {
		t.Errorf("%d kept where 1000 devices are offline", n)
	}
	for range 3000/(tidyHolds*holdSteps) + 1 {
		c.Tidy()
	}
	if n := c.kept.all.n; n != 1000 {
		t.Errorf("%d kept where 1000 devices are offline", n)
	}
	c.Publish(c.Last())
	e.nowMs.Add(keptFor.Milliseconds() - 1)
	if got, _, _ := all(t, c, Place{}, Listener{}); len(got) != 1000 {
		t.Errorf("%d are heard after almost a day", len(got))
	}
	e.nowMs.Add(1)
	if got, _, _ := all(t, c, Place{}, Listener{}); len(got) != 0 {
		t.Errorf("%d are heard after a day", len(got))
	}
	c.Tidy()
	if n := c.kept.all.n; n != 0 ||
		len(c.kept.devices)+len(c.kept.accounts)+len(c.kept.largest)+len(c.kept.all.blocks) != 0 {
		t.Errorf("%d kept after a day", n)
	}
}

// Of two disconnects of one device, and one that was renewed, the one that was decided last counts, in whatever order
// their records come.
func TestTheLastDecisionCounts(t *testing.T) {
	e := newEngine(1)
	c := e.started()
	first := e.putOffline(c, 1)
	e.sessions[1].Add(1)
	second := e.putOffline(c, 1)
	renewed, _ := e.renew(c, 1)
	c.Publish(c.Last())
	for _, list := range [][]record.Command{
		{first, second, renewed}, {renewed, second, first}, {second, first, renewed, first}, {renewed, first, second, second},
	} {
		again := e.commands()
		for _, m := range list {
			if err := again.Join(m); err != nil {
				t.Fatal(err)
			}
		}
		again.Start(0)
		got, p := page(t, again, Place{}, Listener{})
		if fmt.Sprint(got) != "[device 1 license_exhausted]" || p.Items[0].Place.Command != second.Seq {
			t.Errorf("of %+v was heard %v", list, p.Items)
		}
	}
}

// A record that no run of the daemon can have made is refused.
func TestJoinRefusesDamage(t *testing.T) {
	c := newEngine(4).commands()
	good := record.Command{Seq: 3, Ordinal: 1, Account: 1, Change: 1, AtMs: 1, Reason: event.Suspended}
	if err := c.Join(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*record.Command){
		"no sequence":                 func(m *record.Command) { m.Seq = 0 },
		"the sequence of another one": func(m *record.Command) { m.Ordinal = 2 },
		"no reason":                   func(m *record.Command) { m.Reason = event.Accepted },
		"an unknown reason":           func(m *record.Command) { m.Reason = event.Codes },
	} {
		m := good
		change(&m)
		if err := c.Join(m); err == nil {
			t.Errorf("%s: %+v was joined", name, m)
		}
	}
}

// The devices go round: each was put offline long ago and has connected since, or never was; in random order, which is
// the worst, and as a suspension goes through the table.
func BenchmarkAdd(b *testing.B) {
	const devices = 1 << 20
	for _, bench := range []struct {
		name string
		next func(n uint64) uint64
	}{
		{"inTurn", func(n uint64) uint64 { return n%devices + 1 }},
		{"random", func(uint64) uint64 { return rand.Uint64N(devices) + 1 }},
	} {
		b.Run(fmt.Sprintf("kept=%d/%s", devices, bench.name), func(b *testing.B) {
			e := newEngine(devices)
			c := e.started()
			for o := range uint64(devices) {
				e.putOffline(c, o+1)
			}
			b.ReportAllocs()
			n := uint64(0)
			for b.Loop() {
				e.putOffline(c, bench.next(n))
				n++
			}
		})
	}
}
