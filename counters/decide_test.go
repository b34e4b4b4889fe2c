package counters

import (
	"testing"

	"pgregory.net/rapid"
)

// R10, R11, R13: exactly the limit, up and down together; what does not fit is denied whole and uses nothing.
func TestCountMessageToTheLimit(t *testing.T) {
	for _, limit := range []uint32{1, 2, 1500, MessagesPerDayMax} {
		s := new(Slot)
		up, down := limit/2, limit-limit/2
		if out := s.CountMessage(9, false, down, limit); !out.OK || out.After != NewMessageWord(9, 0, down) {
			t.Fatalf("limit %d: down: %+v", limit, out)
		}
		if out := s.CountMessage(9, true, up+1, limit); out.OK || s.Message() != NewMessageWord(9, 0, down) {
			t.Fatalf("limit %d: one too many: %+v", limit, out)
		}
		if out := s.CountMessage(9, true, up, limit); !out.OK || out.After != NewMessageWord(9, up, down) {
			t.Fatalf("limit %d: up: %+v", limit, out)
		}
		out := s.CountMessage(9, false, 1, limit)
		if out.OK || out.After != NewMessageWord(9, up, down) || s.Message() != out.After {
			t.Fatalf("limit %d: beyond it: %+v", limit, out)
		}
	}
}

func TestCountMessageEdges(t *testing.T) {
	s := new(Slot)
	if out := s.CountMessage(DayMax, true, 1<<32-1, 1<<32-1); out.OK || s.Message() != 0 {
		t.Errorf("units of 32 bits: %+v", out)
	}
	if out := s.CountMessage(
		DayMax,
		true,
		MessagesPerDayMax,
		1<<32-1,
	); !out.OK ||
		out.After != NewMessageWord(DayMax, MessagesPerDayMax, 0) {
		t.Errorf("no limit: %+v", out)
	}
	if out := s.CountMessage(DayMax, false, 1, 1<<32-1); out.OK {
		t.Errorf("no limit means 16,000,000: %+v", out)
	}
	s = new(Slot)
	s.CountMessage(3, true, 10, 10)
	if out := s.CountMessage(3, true, 1, 5); out.OK || out.After.Used() != 10 {
		t.Errorf("a limit under what was used: %+v", out)
	}
}

// R10, R12: a later day begins anew and closes the older one; an earlier one goes on in the later.
func TestDaysAreLazy(t *testing.T) {
	s := new(Slot)
	steps := []struct {
		day           uint32
		units         uint32
		ok            bool
		after, closed MessageWord
	}{
		{5, 3, true, NewMessageWord(5, 3, 0), 0},
		{5, 1, false, NewMessageWord(5, 3, 0), 0},
		{6, 4, false, NewMessageWord(6, 0, 0), 0}, // denied: day 5 stays in the slot
		{6, 2, true, NewMessageWord(6, 2, 0), NewMessageWord(5, 3, 0)},
		{5, 1, true, NewMessageWord(6, 3, 0), 0}, // the clock stepped back
		{4, 1, false, NewMessageWord(6, 3, 0), 0},
		{9, 1, true, NewMessageWord(9, 1, 0), NewMessageWord(6, 3, 0)},
	}
	for i, st := range steps {
		before := s.Message()
		out := s.CountMessage(st.day, true, st.units, 3)
		if out != (MessageOutcome{st.after, st.closed, st.ok}) {
			t.Fatalf("step %d: %+v", i, out)
		}
		if want := map[bool]MessageWord{true: st.after, false: before}[st.ok]; s.Message() != want {
			t.Fatalf("step %d: slot has %x, want %x", i, s.Message(), want)
		}
	}
}

// R11: denied units by day; they saturate.
func TestCountDenied(t *testing.T) {
	s := new(Slot)
	if after, closed, grown := s.CountDenied(5, 7); after != NewDeniedWord(5, 7) || closed != 0 || grown != 7 {
		t.Errorf("first: %x %x", after, closed)
	}
	if after, closed, grown := s.CountDenied(4, 1); after != NewDeniedWord(5, 8) || closed != 0 || grown != 1 {
		t.Errorf("the clock stepped back: %x %x", after, closed)
	}
	after, closed, grown := s.CountDenied(6, 1)
	if after != NewDeniedWord(6, 1) || closed != NewDeniedWord(5, 8) || grown != 1 {
		t.Errorf("next day: %x %x", after, closed)
	}
	s.Join(3, uint64(NewDeniedWord(6, DeniedMax-1)))
	if after, _, grown := s.CountDenied(6, 1<<32-1); after != NewDeniedWord(6, DeniedMax) || grown != 1 {
		t.Errorf("saturation: %x", after)
	}
}

func TestSession(t *testing.T) {
	s := new(Slot)
	step := func(name string, out SessionOutcome, changed bool, online bool, holder uint32, suspended bool) {
		t.Helper()
		w := s.Session()
		if out.Changed() != changed || out.After != w || w.Online() != online || w.Holder() != holder ||
			w.Suspended() != suspended {
			t.Fatalf(
				"%s: changed %v, online %v, holder %d, suspended %v",
				name,
				out.Changed(),
				w.Online(),
				w.Holder(),
				w.Suspended(),
			)
		}
		if want := out.Before.Change() + flag(changed); w.Change() != want {
			t.Fatalf("%s: change %d, want %d", name, w.Change(), want)
		}
	}
	step("connect", s.SetOnline(4), true, true, 4, false)
	step("again", s.SetOnline(4), false, true, 4, false)
	step("another gateway", s.SetOnline(5), true, true, 5, false)
	step("late disconnect of the first", s.SetOffline(4, false), false, true, 5, false)
	step("disconnect", s.SetOffline(5, false), true, false, 5, false)
	step("disconnect again", s.SetOffline(5, false), false, false, 5, false)
	step("connect without a producer", s.SetOnline(0), true, true, 0, false)
	step("anybody's disconnect", s.SetOffline(9, false), true, false, 0, false)
	step("connect", s.SetOnline(HolderMax), true, true, HolderMax, false)
	step("whoever holds it", s.SetOffline(0, true), true, false, HolderMax, false)
	step("connect", s.SetOnline(6), true, true, 6, false)
	step("suspend", s.SetSuspended(true), true, false, 6, true)
	step("suspend again", s.SetSuspended(true), false, false, 6, true)
	step("connect of a suspended one", s.SetOnline(7), false, false, 6, true)
	step("let go", s.SetSuspended(false), true, false, 6, false)

	s.Join(6, uint64(NewSessionWord(ChangeMax, true, 1, false)))
	step("changes used up", s.SetOffline(1, false), false, true, 1, false)
}

func TestSessionTransitions(t *testing.T) {
	s := new(Slot)
	if out := s.SetOnline(1); !out.WentOnline() || out.WentOffline() {
		t.Error("connect")
	}
	if out := s.SetOnline(2); out.WentOnline() || out.WentOffline() {
		t.Error("handover")
	}
	if out := s.SetSuspended(true); !out.WentOffline() || out.WentOnline() {
		t.Error("suspension")
	}
}

func TestTouchOnlyRises(t *testing.T) {
	s := new(Slot)
	s.w[7].Store(uint64(NewSeenWord(0, 77)))
	for _, sec := range []uint64{5, 3, SecondMax, 9} {
		s.Touch(sec)
	}
	if s.Seen() != NewSeenWord(SecondMax, 77) {
		t.Errorf("%x", s.Seen())
	}
}

// R15, R16: the allowance first, then packs, whole or not at all.
func TestTake(t *testing.T) {
	for _, c := range []struct {
		name                string
		w                   OTAWord
		month, units, limit uint32
		packs               uint64
		want                OTAOutcome
	}{
		{"allowance", 0, 5, 1, 1, 0, OTAOutcome{After: NewOTAWord(5, 0, 1, 0, 0), FromAllowance: 1, OK: true}},
		{"6 MB without packs", 0, 5, 2, 1, 0, OTAOutcome{After: NewOTAWord(5, 0, 0, 0, 1)}},
		{
			"6 MB with a pack", 0, 5, 2, 1, 1, OTAOutcome{
				After: NewOTAWord(5, 0, 1, 1, 0), FromAllowance: 1, FromPacks: 1, OK: true,
			},
		},
		{
			"packs only", NewOTAWord(5, 2, 1, 3, 4), 5, 2, 1, 9, OTAOutcome{
				After: NewOTAWord(5, 2, 1, 5, 4), FromPacks: 2, OK: true,
			},
		},
		{
			"next month", NewOTAWord(5, 2, 1, 3, 4), 6, 1, 1, 0, OTAOutcome{
				After: NewOTAWord(6, 0, 1, 0, 0), FromAllowance: 1, OK: true,
			},
		},
		{
			"next month, denied", NewOTAWord(5, 0, 0, 0, 1), 6, 2, 1, 0, OTAOutcome{
				After: NewOTAWord(6, 0, 0, 0, 1),
			},
		},
		{
			"next month, nothing counted", NewOTAWord(5, 2, 0, 0, 0), 6, 1, 1, 0, OTAOutcome{
				After: NewOTAWord(6, 0, 1, 0, 0), FromAllowance: 1, OK: true,
			},
		},
		{"clock stepped back", NewOTAWord(5, 0, 1, 0, 0), 4, 1, 1, 0, OTAOutcome{After: NewOTAWord(5, 0, 1, 0, 1)}},
		{
			"last pack unit", NewOTAWord(5, 0, 0, 65534, 0), 5, 1, 0, 9, OTAOutcome{
				After: NewOTAWord(5, 0, 0, 65535, 0), FromPacks: 1, OK: true,
			},
		},
		{
			"pack units of the month used up", NewOTAWord(5, 0, 0, 65534, 0), 5, 2, 0, 9, OTAOutcome{
				After: NewOTAWord(5, 0, 0, 65534, 1),
			},
		},
		{
			"denied saturates", NewOTAWord(5, 0, 0, 0, OTADeniedMax), 5, 1, 0, 0, OTAOutcome{
				After: NewOTAWord(5, 0, 0, 0, OTADeniedMax),
			},
		},
		{"huge", 0, 5, 1<<32 - 1, 1<<32 - 1, 1 << 63, OTAOutcome{After: NewOTAWord(5, 0, 0, 0, 1)}},
		{
			"allowance lowered below use", NewOTAWord(5, 0, 3, 0, 0), 5, 1, 2, 1, OTAOutcome{
				After: NewOTAWord(5, 0, 3, 1, 0), FromPacks: 1, OK: true,
			},
		},
		{
			"largest allowance", NewOTAWord(5, 0, 999, 0, 0), 5, 1, 1000, 0, OTAOutcome{
				After: NewOTAWord(5, 0, 1000, 0, 0), FromAllowance: 1, OK: true,
			},
		},
	} {
		if got := c.w.Take(c.month, c.units, c.limit, c.packs); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// R17: what is given back lowers the counts and raises the word all the same.
func TestGiveBack(t *testing.T) {
	w := NewOTAWord(5, 0, 1, 3, 2)
	if after, ok := w.GiveBack(5, 5, 1, 2); !ok || after != NewOTAWord(5, 1, 0, 1, 2) || after <= w {
		t.Errorf("same month: %x %v", after, ok)
	}
	if after, ok := w.GiveBack(5, 4, 1, 2); !ok || after != w {
		t.Errorf("closed month: %x %v", after, ok)
	}
	if after, ok := w.GiveBack(6, 5, 1, 2); !ok || after != w {
		t.Errorf("a month that is over, and the device has none of the running one: %x %v", after, ok)
	}
	for name, c := range map[string]struct {
		w             OTAWord
		month, al, pk uint32
	}{
		"future month": {w, 6, 0, 0},
		"voids are up": {w.WithVoids(VoidsPerMonthMax), 5, 1, 1},
		"allowance":    {w, 5, 2, 0},
		"packs":        {w, 5, 0, 4},
	} {
		if after, ok := c.w.GiveBack(5, c.month, c.al, c.pk); ok || after != c.w {
			t.Errorf("%s: %x %v", name, after, ok)
		}
	}
}

// The word of a device's upgrades never falls, whatever happens to it: else the join of records would lose something.
func TestOTAWordOnlyRises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := OTAWord(0)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			month := rapid.Uint32Range(3, 6).Draw(t, "month")
			units := rapid.Uint32Range(0, 40000).Draw(t, "units")
			var next OTAWord
			if rapid.Bool().Draw(t, "void") {
				next, _ = w.GiveBack(rapid.Uint32Range(3, 6).Draw(t, "running"), month, units%3, units%100)
			} else {
				next = w.Take(month, units, 3, rapid.Uint64Range(0, 70000).Draw(t, "packs")).After
			}
			if next < w {
				t.Fatalf("%x fell to %x", w, next)
			}
			w = next
		}
	})
}

// The join of any words is the same in any order, any grouping and any number of times.
func TestJoinLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type put struct {
			word int
			v    uint64
		}
		draw := rapid.Custom(func(t *rapid.T) put {
			return put{rapid.IntRange(2, 7).Draw(t, "word"), rapid.Uint64().Draw(t, "value")}
		})
		puts := rapid.SliceOfN(draw, 1, 30).Draw(t, "records")
		apply := func(groups ...[]put) [8]uint64 {
			s := new(Slot)
			for _, g := range groups {
				for _, p := range g {
					s.Join(p.word, p.v)
				}
			}
			return *s.plain()
		}
		want := apply(puts)
		if got := apply(rapid.Permutation(puts).Draw(t, "order")); got != want {
			t.Fatalf("commutative: %x, want %x", got, want)
		}
		cut := rapid.IntRange(0, len(puts)).Draw(t, "cut")
		left, right := new(Slot), new(Slot)
		*left.plain(), *right.plain() = apply(puts[:cut]), apply(puts[cut:])
		for w := 2; w < 8; w++ {
			left.Join(w, right.w[w].Load())
		}
		if *left.plain() != want {
			t.Fatalf("associative: %x, want %x", *left.plain(), want)
		}
		if got := apply(puts, puts[:cut], puts); got != want {
			t.Fatalf("idempotent: %x, want %x", got, want)
		}
	})
}

func TestJoinRefusesKeys(t *testing.T) {
	for _, w := range []int{-1, 0, 1, 8} {
		mustPanic(t, func() { new(Slot).Join(w, 1) })
	}
}
