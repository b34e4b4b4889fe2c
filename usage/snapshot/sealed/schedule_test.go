package sealed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/snapshot"
)

func TestParseSchedule(t *testing.T) {
	for text, want := range map[string]Schedule{
		"none": {}, "daily": {Daily: true}, "monthly": {Monthly: true}, "daily,monthly": {true, true},
		"monthly,daily": {true, true},
	} {
		if got, err := ParseSchedule(text); err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "hourly", "daily,", "daily monthly", "none,daily", "Daily"} {
		if got, err := ParseSchedule(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

// catchUp makes what the schedule wants at an instant and returns it.
func (b *bed) catchUp(s Schedule, since, at time.Time) (made []string) {
	b.t.Helper()
	b.now = at
	must(b.t, b.look())
	for {
		r, ok := b.due(s, since.UnixMilli(), at.UnixMilli())
		if !ok {
			return made
		}
		m := b.sealed(r)
		made = append(made, fmt.Sprintf("%s day=%s month=%s final=%t", m.Period, m.ScheduledDay, m.ScheduledMonth, m.Final))
	}
}

// TestSchedule has products in Shanghai (UTC+8) and New York (UTC-5): a day ends there at 05:00 UTC of the next.
func TestSchedule(t *testing.T) {
	day := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2026, month, day, hour, minute, 0, 0, time.UTC)
	}
	b := newBed(t)
	since := day(11, 23, 10, 0)
	both := Schedule{Daily: true, Monthly: true}
	for _, step := range []struct {
		at   time.Time
		want []string
	}{
		{day(11, 23, 10, 0), nil},
		{day(11, 24, 4, 59), nil}, // It is over in Shanghai alone.
		{day(11, 24, 5, 0), []string{"2026-11 day=2026-11-23 month= final=false"}},
		{day(11, 24, 23, 0), nil},
		// The daemon was down: the newest day alone.
		{day(11, 28, 8, 0), []string{"2026-11 day=2026-11-27 month= final=false"}},
		{day(12, 1, 4, 59), []string{"2026-11 day=2026-11-29 month= final=false"}},
		// The day and the month are over at once.
		{day(12, 1, 5, 0), []string{"2026-11 day=2026-11-30 month=2026-11 final=true"}},
		{day(12, 1, 5, 1), nil},
		{day(12, 2, 5, 0), []string{"2026-12 day=2026-12-01 month= final=false"}},
	} {
		if got := b.catchUp(both, since, step.at); !slices.Equal(got, step.want) {
			t.Errorf("at %s it makes %q, want %q", step.at, got, step.want)
		}
	}
	b.open() // What was made is known after a restart.
	later := time.Date(2027, 3, 9, 12, 0, 0, 0, time.UTC)
	want := []string{
		"2026-12 day= month=2026-12 final=true", "2027-01 day= month=2027-01 final=true",
		"2027-02 day= month=2027-02 final=true", "2027-03 day=2027-03-08 month= final=false",
	}
	if got := b.catchUp(both, since, later); !slices.Equal(got, want) {
		t.Errorf("after three months it makes %q, want %q", got, want)
	}
	if got := b.catchUp(Schedule{}, since, later.AddDate(1, 0, 0)); len(got) > 0 {
		t.Errorf("without a schedule it makes %q", got)
	}
}

func TestScheduleBegins(t *testing.T) {
	b := newBed(t)
	both := Schedule{Daily: true, Monthly: true}
	// On the first day of a month nothing is over that the daemon has seen.
	first := time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)
	if got := b.catchUp(both, first, first.Add(time.Hour)); len(got) > 0 {
		t.Errorf("it makes %q", got)
	}
	// A schedule that is switched on late makes the newest month.
	want := []string{"2028-11 day= month=2028-11 final=true"}
	if got := b.catchUp(Schedule{Monthly: true}, first, first.AddDate(2, 0, 0)); !slices.Equal(got, want) {
		t.Errorf("it makes %q", got)
	}
	// What was missed is bounded.
	if got := b.catchUp(Schedule{Monthly: true}, first, first.AddDate(4, 0, 0)); len(got) != monthsMissedMax {
		t.Errorf("it makes %d months, %q", len(got), got)
	}
}

// TestScheduleAfterMoving has all snapshots be moved away: what was made is not made again, for the audit log names it.
// Without that, too, the newest day and month alone are.
func TestScheduleAfterMoving(t *testing.T) {
	b := newBed(t)
	both := Schedule{Daily: true, Monthly: true}
	since := time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)
	at := time.Date(2027, 1, 9, 12, 0, 0, 0, time.UTC)
	for month := 2; month <= 12; month++ {
		b.catchUp(both, since, time.Date(2026, time.Month(month+1), 1, 12, 0, 0, 0, time.UTC))
	}
	b.catchUp(both, since, at)
	move := func(pattern string) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(b.path, pattern))
		must(t, err)
		if len(names) == 0 {
			t.Fatal("there is nothing to move away")
		}
		for _, name := range names {
			must(t, os.RemoveAll(name))
		}
		b.open()
	}
	move("s0*")
	if got := b.catchUp(both, since, at.Add(time.Hour)); len(got) > 0 {
		t.Errorf("without snapshots it makes %q", got)
	}
	want := []string{"2027-01 day=2027-01-09 month= final=false"}
	if got := b.catchUp(both, since, at.AddDate(0, 0, 1)); !slices.Equal(got, want) {
		t.Errorf("a day later it makes %q", got)
	}
	move("*")
	if got := b.catchUp(both, since, at.AddDate(0, 0, 1)); len(got) > 0 {
		t.Errorf("without POSITIONS it makes %q", got)
	}
	b.entries = nil
	b.open()
	want = []string{"2026-12 day= month=2026-12 final=true", "2027-01 day=2027-01-09 month= final=false"}
	if got := b.catchUp(both, since, at.AddDate(0, 0, 1)); !slices.Equal(got, want) {
		t.Errorf("without the audit log it makes %q", got)
	}
}

// TestScheduleDownEarly is down over the ends of months before it has made anything: it makes each.
func TestScheduleDownEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.now = now
		run := func() {
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				b.Run(ctx, Schedule{Monthly: true}, now)
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
			cancel()
			<-done
		}
		run()
		b.now = now.AddDate(0, 2, 0)
		b.open()
		run()
		var months []string
		b.store.List(0, func(m *Manifest) bool { months = append(months, m.Period); return true })
		if want := []string{"2026-12", "2026-11"}; !slices.Equal(months, want) {
			t.Errorf("it has made %q", months)
		}
	})
}

// TestRun waits for midnight, and tries again later and later.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		// The bubble begins in 2000, before there are numbers of days.
		clock := func() time.Time { return time.Now().AddDate(26, 0, 0) }
		b.o.NowMs = func() int64 { return clock().UnixMilli() }
		created := clock()
		failing := 3
		note := b.o.Note
		b.o.Note = func(action, target string, detail any) error {
			if failing > 0 {
				failing--
				return errUnwritten
			}
			return note(action, target, detail)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.Run(ctx, Schedule{Daily: true}, created)
		}()
		time.Sleep(5*time.Hour + 2*time.Minute) // Midnight of New York and two attempts.
		synctest.Wait()
		if b.failsWith() == "" || b.store.last() != nil {
			t.Errorf("it is failing with %q, %v", b.failsWith(), b.store.last())
		}
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if last := b.store.last(); b.failsWith() != "" || last == nil || last.MadeBy != "schedule" {
			t.Errorf("it is failing with %q, %v", b.failsWith(), last)
		}
		cancel()
		<-done
	})
}

// failsWith returns what the schedule was last refused for.
func (b *bed) failsWith() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failing
}

// TestScheduleGone has the only month that was missed be gone, or somebody else make what failed: nothing fails any
// more.
func TestScheduleGone(t *testing.T) {
	for name, answer := range map[string]error{
		"gone": invalid("period", "no longer kept"), "made by somebody else": errors.New("broken"),
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBed(t)
			clock := func() time.Time { return time.Now().AddDate(26, 6, 0) }
			b.o.NowMs = func() int64 { return clock().UnixMilli() }
			b.now = clock()
			cut := b.o.Cut
			b.o.Cut = func(context.Context, string, uint32) (snapshot.Source, error) { return nil, answer }
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				b.Run(ctx, Schedule{Monthly: true}, clock().AddDate(0, -1, 0))
			}()
			synctest.Wait()
			if text := b.failsWith(); (text != "") != (problem(answer) == nil) {
				t.Errorf("%s: it fails with %q", name, text)
			}
			b.place <- struct{}{}
			b.o.Cut = cut
			<-b.place
			if problem(answer) == nil {
				b.sealed(Request{month: "2026-06"})
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if text := b.failsWith(); text != "" {
				t.Errorf("%s: it still fails with %q", name, text)
			}
			cancel()
			<-done
		})
	}
}

// TestScheduleBehindRetention has been down for longer than usage is kept: it goes on with the months that are.
func TestScheduleBehindRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		clock := func() time.Time { return time.Now().AddDate(26, 6, 0) }
		b.o.NowMs = func() int64 { return clock().UnixMilli() }
		b.now = clock()
		must(t, b.store.move(func(p *positions) bool { p.Month = "2025-12"; return true }))
		cut := b.o.Cut
		b.o.Cut = func(ctx context.Context, account string, month uint32) (snapshot.Source, error) {
			if calendar.MonthName(month) < "2026-04" {
				return nil, invalid("period", "no longer kept")
			}
			return cut(ctx, account, month)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.Run(ctx, Schedule{Monthly: true}, clock().AddDate(0, -5, 0))
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		var months []string
		b.store.List(0, func(m *Manifest) bool { months = append(months, m.Period); return true })
		if want := []string{"2026-05", "2026-04"}; !slices.Equal(months, want) || b.failsWith() != "" {
			t.Errorf("it has made %q, and fails with %q", months, b.failsWith())
		}
		cancel()
		<-done
	})
}

// TestRunRemoves removes beside the schedule, also without one.
func TestRunRemoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		b.keep = time.Hour
		b.open()
		b.twoMonths()
		b.now = b.now.AddDate(0, 0, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.Run(ctx, Schedule{}, now)
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		cancel()
		<-done
		if got := b.ids(); slices.Contains(got, "s00000001") || len(got) != 6 {
			t.Errorf("there are %q", got)
		}
	})
}

// TestMakeDue: who moves the clock by itself has all made that is due by then, in the schedule's name, and nothing
// twice.
func TestMakeDue(t *testing.T) {
	b := newBed(t)
	since := time.Date(2026, 11, 29, 10, 0, 0, 0, time.UTC)
	both := Schedule{Daily: true, Monthly: true}
	for _, step := range []struct {
		at   time.Time
		made int
		last string
	}{
		{since, 0, ""},
		{since.Add(24 * time.Hour), 1, "2026-11-29 "},
		{since.Add(48 * time.Hour), 2, "2026-11-30 2026-11"},
		{since.Add(49 * time.Hour), 2, "2026-11-30 2026-11"},
	} {
		b.now = step.at
		must(t, b.MakeDue(t.Context(), both, since))
		made, last := 0, ""
		b.store.List(0, func(m *Manifest) bool {
			if made++; made == 1 {
				last = m.ScheduledDay + " " + m.ScheduledMonth
			}
			if m.MadeBy != scheduleName {
				t.Errorf("%s was made by %s", m.ID, m.MadeBy)
			}
			return true
		})
		if made != step.made || last != step.last {
			t.Errorf("at %s there are %d, the last one is of %q", step.at, made, last)
		}
	}
}
