package counters

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// model is what the table must agree with: a map, and the words as a sequence of decisions left them.
type model struct {
	tab   *Table
	order []string // by insertion, for drawing one
	want  map[string]MessageWord
	at    map[string]Ordinal
}

func (m *model) check(tb rapid.TB) {
	tb.Helper()
	if m.tab.Len() != len(m.want) {
		tb.Fatalf("%d devices, want %d", m.tab.Len(), len(m.want))
	}
	keys, found := make([]Key, 0, len(m.order)), make([]*Slot, len(m.order))
	for _, name := range m.order {
		keys = append(keys, m.tab.KeyOf(1, []byte(name)))
	}
	m.tab.FindBatch(keys, found)
	for i, name := range m.order {
		s := m.tab.Find(keys[i])
		if s == nil || s != found[i] || s.Message() != m.want[name] {
			tb.Fatalf("device %q: slot %p, in a batch %p", name, s, found[i])
		}
		if o, had := m.at[name]; had && o != s.Ordinal() || m.tab.SlotOf(s.Ordinal()) != s {
			tb.Fatalf("device %q: its ordinal changed from %d to %d", name, o, s.Ordinal())
		}
		m.at[name] = s.Ordinal()
	}
}

func TestSequencesAgainstModel(t *testing.T) {
	most := 2000
	if raceEnabled {
		most = 50
	}
	rapid.Check(t, func(rt *rapid.T) {
		tab, err := New(Options{Seed: 0x5eed})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() {
			if err := tab.Close(); err != nil {
				t.Error(err)
			}
		}()
		m := &model{tab, nil, map[string]MessageWord{}, map[string]Ordinal{}}
		rt.Repeat(map[string]func(*rapid.T){
			"insert": func(rt *rapid.T) {
				for range rapid.IntRange(1, most).Draw(rt, "n") {
					name := fmt.Sprintf("%s-%d", strings.Repeat("n", len(m.order)%50), len(m.order))
					put(t, m.tab, 1, name)
					m.order = append(m.order, name)
					m.want[name] = 0
				}
			},
			"count": func(rt *rapid.T) {
				if len(m.order) == 0 {
					rt.Skip("no device yet")
				}
				name := rapid.SampledFrom(m.order).Draw(rt, "name")
				day, up := rapid.Uint32Range(0, 5).Draw(rt, "day"), rapid.Bool().Draw(rt, "up")
				s := m.tab.Find(m.tab.KeyOf(1, []byte(name)))
				cur := m.want[name].At(day)
				out := s.CountMessage(day, up, 1, 4)
				if out.OK != (cur.Used() < 4) {
					rt.Fatalf("%x on day %d: %+v", m.want[name], day, out)
				}
				if out.OK {
					m.want[name] = out.After
				}
			},
			"grow": func(rt *rapid.T) {
				if err := m.tab.Grow(
					rapid.IntRange(0, 20000).Draw(rt, "need"),
					rapid.IntRange(0, 1<<20).Draw(rt, "budget"),
				); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) { m.check(rt) },
		})
	})
}
