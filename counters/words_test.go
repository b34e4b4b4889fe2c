package counters

import (
	"testing"

	"pgregory.net/rapid"
)

// edges are a field's values where packing goes wrong first.
func edges(most uint64) *rapid.Generator[uint64] {
	return rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, most - 1, most}), rapid.Uint64Range(0, most))
}

func TestWordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(most uint64) uint32 { return uint32(edges(most).Draw(t, "field")) }
		day, up, down := n(DayMax), n(unitsMask), n(unitsMask)
		if w := NewMessageWord(day, up, down); w.Day() != day || w.Up() != up || w.Down() != down || w.Used() != up+down {
			t.Fatalf("%x: %d %d %d", w, day, up, down)
		}
		denied := edges(DeniedMax).Draw(t, "denied")
		if w := NewDeniedWord(day, denied); w.Day() != day || w.Denied() != denied {
			t.Fatalf("%x: %d %d", w, day, denied)
		}
		month, voids, allow, packs, refused := n(
			MonthMax,
		), n(
			VoidsPerMonthMax,
		), n(
			otaAllowMask,
		), n(
			PackUnitsPerMonthMax,
		), n(
			OTADeniedMax,
		)
		if w := NewOTAWord(month, voids, allow, packs, refused); w.Month() != month || w.Voids() != voids ||
			w.Allowance() != allow || w.Packs() != packs || w.Denied() != refused {
			t.Fatalf("%x: %d %d %d %d %d", w, month, voids, allow, packs, refused)
		}
		gen, state, version, sec := n(
			GenerationMax,
		), LicenseState(
			n(3),
		), n(
			ValidityVersionMax,
		), edges(
			SecondMax,
		).Draw(t, "sec")
		if w := NewLicenseWord(gen, state, version, sec); w.Generation() != gen || w.State() != state ||
			w.ValidityVersion() != version || w.Expiry() != sec {
			t.Fatalf("%x: %d %d %d %d", w, gen, state, version, sec)
		}
		change, online, holder, susp := edges(ChangeMax).Draw(t, "change"), n(1) == 1, n(HolderMax), n(1) == 1
		w := NewSessionWord(change, online, holder, susp)
		if w.Change() != change || w.Online() != online || w.Holder() != holder || w.Suspended() != susp || w&3 != 0 {
			t.Fatalf("%x: %d %v %d %v", w, change, online, holder, susp)
		}
		place := n(arenaMask)
		if w := NewSeenWord(sec, place); w.LastSeen() != sec || w.Arena() != place {
			t.Fatalf("%x: %d %d", w, sec, place)
		}
	})
}

func TestWithChangesOneField(t *testing.T) {
	m := NewMessageWord(7, 1, 2)
	d := NewDeniedWord(7, 1)
	o := NewOTAWord(7, 1, 2, 3, 4)
	l := NewLicenseWord(7, LicenseActive, 2, 3)
	s := NewSessionWord(7, true, 5, false)
	for _, c := range []struct {
		name      string
		got, want uint64
	}{
		{"message up", uint64(m.WithUp(9)), uint64(NewMessageWord(7, 9, 2))},
		{"message down", uint64(m.WithDown(9)), uint64(NewMessageWord(7, 1, 9))},
		{"denied", uint64(d.WithDenied(9)), uint64(NewDeniedWord(7, 9))},
		{"ota voids", uint64(o.WithVoids(9)), uint64(NewOTAWord(7, 9, 2, 3, 4))},
		{"ota allowance", uint64(o.WithAllowance(9)), uint64(NewOTAWord(7, 1, 9, 3, 4))},
		{"ota packs", uint64(o.WithPacks(9)), uint64(NewOTAWord(7, 1, 2, 9, 4))},
		{"ota denied", uint64(o.WithDenied(9)), uint64(NewOTAWord(7, 1, 2, 3, 9))},
		{"licence generation", uint64(l.WithGeneration(9)), uint64(NewLicenseWord(9, LicenseActive, 2, 3))},
		{"licence state", uint64(l.WithState(LicenseEnded)), uint64(NewLicenseWord(7, LicenseEnded, 2, 3))},
		{"licence expiry", uint64(l.WithExpiry(8, 9)), uint64(NewLicenseWord(7, LicenseActive, 8, 9))},
		{"session change", uint64(s.WithChange(9)), uint64(NewSessionWord(9, true, 5, false))},
		{"session online", uint64(s.WithOnline(false)), uint64(NewSessionWord(7, false, 5, false))},
		{"session holder", uint64(s.WithHolder(9)), uint64(NewSessionWord(7, true, 9, false))},
		{"session suspended", uint64(s.WithSuspended(true)), uint64(NewSessionWord(7, true, 5, true))},
		{"seen", uint64(NewSeenWord(1, 5).WithLastSeen(9)), uint64(NewSeenWord(9, 5))},
	} {
		if c.got != c.want {
			t.Errorf("%s: %x, want %x", c.name, c.got, c.want)
		}
	}
}

func TestFieldsAreChecked(t *testing.T) {
	for name, f := range map[string]func(){
		"day":        func() { NewMessageWord(DayMax+1, 0, 0) },
		"up":         func() { NewMessageWord(0, unitsMask+1, 0) },
		"down":       func() { NewMessageWord(0, 0, unitsMask+1) },
		"denied day": func() { NewDeniedWord(DayMax+1, 0) },
		"denied":     func() { NewDeniedWord(0, DeniedMax+1) },
		"month":      func() { NewOTAWord(MonthMax+1, 0, 0, 0, 0) },
		"voids":      func() { NewOTAWord(0, VoidsPerMonthMax+1, 0, 0, 0) },
		"allowance":  func() { NewOTAWord(0, 0, otaAllowMask+1, 0, 0) },
		"packs":      func() { NewOTAWord(0, 0, 0, PackUnitsPerMonthMax+1, 0) },
		"ota denied": func() { NewOTAWord(0, 0, 0, 0, OTADeniedMax+1) },
		"generation": func() { NewLicenseWord(GenerationMax+1, 0, 0, 0) },
		"state":      func() { NewLicenseWord(0, 4, 0, 0) },
		"version":    func() { NewLicenseWord(0, 0, ValidityVersionMax+1, 0) },
		"expiry":     func() { NewLicenseWord(0, 0, 0, SecondMax+1) },
		"change":     func() { NewSessionWord(ChangeMax+1, false, 0, false) },
		"holder":     func() { NewSessionWord(0, false, HolderMax+1, false) },
		"seen":       func() { NewSeenWord(SecondMax+1, 0) },
		"arena":      func() { NewSeenWord(0, arenaMask+1) },
		"count day":  func() { new(Slot).CountMessage(DayMax+1, true, 1, 1) },
	} {
		t.Run(name, func(t *testing.T) { mustPanic(t, f) })
	}
}

func mustPanic(t *testing.T, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("it did not panic")
		}
	}()
	f()
}
