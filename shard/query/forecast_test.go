package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/license"
	"pgregory.net/rapid"
)

// The arithmetic by hand: times are in days from now, licences run out where the first is asked for that is not there.
func TestForecastArithmetic(t *testing.T) {
	const now, day = int64(1_800_000_000), int64(86400)
	for _, tt := range []struct {
		why                    string
		weeks                  int
		ends                   []int64 // in tenths of a day
		activations, available uint64
		after                  []int64
		dry                    int64 // in tenths of a day, 0 for never
		risk                   uint64
	}{
		{"nothing happens", 2, nil, 0, 0, []int64{0, 0}, 0, 0},
		{"nothing is needed", 2, nil, 0, 7, []int64{7, 7}, 0, 0},
		{"exactly enough", 1, []int64{10, 20}, 0, 2, []int64{0}, 0, 0},
		{"one is missing", 1, []int64{10, 20}, 0, 1, []int64{-1}, 20, 1},
		{"none is there", 1, []int64{10, 20}, 0, 0, []int64{-2}, 10, 2},
		{"some end at the same time, some of them find one", 1, []int64{10, 20, 20, 20, 30}, 0, 2, []int64{-3}, 20, 3},
		{"the last second of a week is in it, the next one is not", 2, []int64{70, 70}, 0, 1, []int64{1, -1}, 70, 1},
		{"one activation a week comes in its middle", 2, nil, 1, 1, []int64{0, -1}, 105, 0},
		{"seven a week come one a day, at noon", 1, nil, 7, 3, []int64{-4}, 35, 0},
		{"a renewal before an activation at the same time", 1, []int64{35}, 1, 1, []int64{-1}, 35, 0},
		{"activations leave renewals without", 2, []int64{80, 90}, 2, 3, []int64{1, -3}, 87, 1},
		{"a device that ends after the weeks is at no risk", 1, []int64{10}, 1, 0, []int64{-2}, 10, 1},
	} {
		var ends []int64
		for _, e := range tt.ends {
			ends = append(ends, now+e*day/10)
		}
		got := forecast(now, tt.weeks, ends, tt.activations, tt.available)
		var after []int64
		for w, week := range got.Weeks {
			after = append(after, week.AvailableAfter)
			if week.FromS != now+int64(w)*7*day || week.ToS != week.FromS+7*day || week.Activations != tt.activations {
				t.Errorf("%s: week %d is %+v", tt.why, w, week)
			}
		}
		dry := int64(0)
		if got.RunsDryS != 0 {
			dry = (got.RunsDryS - now) * 10 / day
		}
		if !slices.Equal(after, tt.after) || dry != tt.dry || got.DevicesAtRisk != tt.risk {
			t.Errorf(
				"%s: %v, dry after %d, %d at risk; want %v, %d, %d",
				tt.why,
				after,
				dry,
				got.DevicesAtRisk,
				tt.after,
				tt.dry,
				tt.risk,
			)
		}
	}
}

// Whoever plays the weeks through, one licence after the other, finds what the arithmetic says.
func TestForecastIsWhatWouldHappen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const now = int64(1_800_000_000)
		weeks := rapid.IntRange(1, 5).Draw(t, "weeks")
		activations := rapid.Uint64Range(0, 6).Draw(t, "activations")
		available := rapid.Uint64Range(0, 40).Draw(t, "available")
		// Coarse times, so that many are the same, and the same as activations'.
		ends := rapid.SliceOfN(rapid.Int64Range(0, int64(weeks)*28-1), 0, 30).Draw(t, "ends")
		for i := range ends {
			ends[i] = now + ends[i]*weekS/28
		}
		slices.Sort(ends)
		got := forecast(now, weeks, ends, activations, available)
		checkForecast(t, got, playThrough(now, weeks, ends, activations, available))
	})
}

func checkForecast(t *rapid.T, got, want Forecast) {
	if got.RunsDryS != want.RunsDryS || got.DevicesAtRisk != want.DevicesAtRisk {
		t.Fatalf(
			"dry at %d, %d at risk; played through: %d, %d",
			got.RunsDryS,
			got.DevicesAtRisk,
			want.RunsDryS,
			want.DevicesAtRisk,
		)
	}
	for w := range want.Weeks {
		if g := got.Weeks[w]; g.Renewals != want.Weeks[w].Renewals || g.AvailableAfter != want.Weeks[w].AvailableAfter {
			t.Fatalf("week %d: %+v; played through: %+v", w, g, want.Weeks[w])
		}
	}
}

// playThrough is the forecast by brute force: every renewal and every activation in its turn, renewals first.
func playThrough(now int64, weeks int, ends []int64, activations, available uint64) (f Forecast) {
	type ask struct {
		at      int64
		renewal bool
	}
	f.Weeks = make([]ForecastWeek, weeks)
	left := int64(available)
	for w := range weeks {
		from, to := now+int64(w)*weekS, now+int64(w+1)*weekS
		var asks []ask
		for _, e := range ends {
			if from <= e && e < to {
				asks = append(asks, ask{e, true})
			}
		}
		f.Weeks[w].Renewals = uint64(len(asks))
		for n := range int64(activations) {
			asks = append(asks, ask{from + (2*n+1)*weekS/(2*int64(activations)), false})
		}
		slices.SortStableFunc(asks, func(a, b ask) int { return int(a.at - b.at) })
		for _, a := range asks {
			left--
			if left < 0 && f.RunsDryS == 0 {
				f.RunsDryS = a.at
			}
			if left < 0 && a.renewal {
				f.DevicesAtRisk++
			}
		}
		f.Weeks[w].AvailableAfter = left
	}
	return f
}

// Which devices a forecast counts: those that are active, were seen within 30 days and are renewed; and which
// activations: first connects of the last four weeks, also those that only the ledger has, and after a restart.
func TestForecastCounts(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{"validity":"P60D"}`, 100)
	d.product("other", `{"validity":"P1D"}`, 100)
	days := func(n int) { d.clock.pass(time.Duration(n) * 24 * time.Hour) }
	type counts struct {
		renewals, activations uint64 // activations a week
		after                 int64
	}
	check := func(why string, want counts) {
		t.Helper()
		f, err := d.Forecast(d.productOf("p"), 10)
		d.must(err)
		last := f.Weeks[len(f.Weeks)-1]
		got := counts{activations: last.Activations, after: last.AvailableAfter}
		for _, w := range f.Weeks {
			got.renewals += w.Renewals
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", why, got, want)
		}
	}
	d.submit(visit("p", "offline") + visit("p", "silent") + visit("p", "chatty") + visit("p", "excepted"))
	d.submit(visit("other", "d"))
	check("at first", counts{4, 1, 96 - 10 - 4})
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SetRenewal(by, "p", true, []string{"excepted", "nobody"})
		return next, ch, err
	})
	check("one is not renewed", counts{3, 1, 96 - 10 - 3})
	d.must(d.engine.Checkpoint()) // The totals are in the ledger now.
	days(27)
	d.submit(visit("p", "chatty") + visit("p", "new") + visit("p", "new"))
	check("five of four weeks are two a week", counts{4, 2, 95 - 20 - 4})
	d.restart()
	check("after a restart", counts{4, 2, 95 - 20 - 4})
	days(2)
	check("the first connects are over", counts{4, 1, 95 - 10 - 4})
	days(2)
	check("who was not seen for 30 days is not expected back", counts{2, 1, 95 - 10 - 2})
	days(30)
	check("chatty ended, new was not seen", counts{0, 0, 95})
}

// A forecast looks at more devices than one look inside the gate takes.
func TestForecastOfMany(t *testing.T) {
	d := newDaemon(t)
	const n = 2*forecastScan + 17
	d.product("p", `{"validity":"P1D"}`, n-1) // And a gift.
	for from := 0; from < n; from += 1000 {
		var b strings.Builder
		for i := from; i < min(from+1000, n); i++ {
			b.WriteString(line("connect", "p", fmt.Sprint("d", i)))
		}
		d.submit(b.String())
	}
	f, err := d.Forecast(d.productOf("p"), 1)
	if err != nil || f.Weeks[0].Renewals != n || f.Weeks[0].AvailableAfter != -int64(n+(n+3)/4) || f.DevicesAtRisk != n {
		t.Errorf("%+v, %v", f, err)
	}
}
