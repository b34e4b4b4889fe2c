package sealed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

// Schedule says what snapshots are made without being asked for.
type Schedule struct{ Daily, Monthly bool }

// ParseSchedule reads the flag --snapshot-at: daily, monthly, both with a comma, or none.
func ParseSchedule(text string) (s Schedule, err error) {
	if text == "none" {
		return s, nil
	}
	for word := range strings.SplitSeq(text, ",") {
		switch word {
		case "daily":
			s.Daily = true
		case "monthly":
			s.Monthly = true
		default:
			return Schedule{}, errors.New("must be daily, monthly, daily,monthly or none")
		}
	}
	return s, nil
}

// A day is over when it is over in the zone of every product: the schedule makes one snapshot of all accounts then, of
// the month that the day belongs to. A month is over likewise; its snapshot is final. After the last day of a month
// that is one and the same. What was missed is made at the start: of days the newest alone, since a snapshot shows
// usage as of now, and of months each, behind the newest one that the schedule has made or found when it began. The
// audit log says which. Where that is not known the newest month alone is due: those before may have been made, and
// moved away.

// due returns the next snapshot that the schedule wants at nowMs, ok is false if there is none. since is when the data
// directory was made: days and months that were over before are not wanted.
func (m *Maker) due(s Schedule, since, nowMs int64) (r Request, ok bool) {
	all := ""
	r.Account, r.Token, r.Note = &all, scheduleName, m.o.Note
	list := m.o.Products("")
	if len(list) == 0 {
		return r, false
	}
	day, month := ^uint32(0), ^uint32(0)
	dayDone, monthDone := ^uint32(0), ^uint32(0)
	for _, p := range list {
		w := calendar.WindowAt(nowMs, p.Zone)
		day, month = min(day, w.Day), min(month, w.Month)
		first := calendar.WindowAt(since, p.Zone)
		dayDone, monthDone = min(dayDone, first.Day), min(monthDone, first.Month)
	}
	// The running ones are not over; those before the first are done.
	doneDay, doneMonth := m.scheduled()
	doneMonth = max(doneMonth, m.gone)
	doneDay = max(doneDay, calendar.DayName(dayDone-1))
	lastMonth := calendar.MonthName(month - 1)
	if s.Monthly && doneMonth < lastMonth && monthDone < month {
		next := month - 1
		if done, known := calendar.ParseMonth(doneMonth); known {
			next = max(monthDone, month-min(month, monthsMissedMax), done+1)
		}
		r.Period, r.month = calendar.MonthName(next), calendar.MonthName(next)
		if last := calendar.DayName(
			day - 1,
		); s.Daily && doneDay < last && next == month-1 &&
			strings.HasPrefix(last, r.month) {
			r.day = last
		}
		return r, true
	}
	if last := calendar.DayName(day - 1); s.Daily && doneDay < last {
		r.Period, r.day = last[:len("2026-11")], last
		return r, true
	}
	return r, false
}

// beginSchedule notes that a monthly schedule has begun, if that is not known: the months that are over are not missed
// later, and those from now on are. Nothing is due. A node of a cluster that does not know it makes the newest month
// alone, if nobody has made it.
func (m *Maker) beginSchedule(s Schedule) error {
	list := m.o.Products("")
	if _, month := m.scheduled(); !s.Monthly || month != "" || len(list) == 0 {
		return nil
	}
	running := ^uint32(0)
	for _, p := range list {
		running = min(running, calendar.WindowAt(m.o.NowMs(), p.Zone).Month)
	}
	return m.store.move(func(p *positions) bool {
		p.Month = calendar.MonthName(running - 1)
		return true
	})
}

// scheduled returns the newest day and month that the schedule has made a snapshot for, or found when it began, "" for
// none. The audit log says so whichever node made it, and wherever the snapshot lies.
func (m *Maker) scheduled() (day, month string) {
	day, month = m.store.scheduled()
	noted, over := m.o.Record.scheduled()
	return max(day, noted), max(month, over)
}

// scheduled is what the snapshots that are here say.
func (s *Store) scheduled() (day, month string) {
	s.mu.Lock()
	day, month = s.positions.Day, s.positions.Month
	s.mu.Unlock()
	s.List(0, func(m *Manifest) bool {
		day, month = max(day, m.ScheduledDay), max(month, m.ScheduledMonth)
		return day == "" || month == ""
	})
	return day, month
}

// scheduleName is who has scheduled snapshots made, in the audit log and in manifests.
const scheduleName = "schedule"

// begin completes the audit log after a crash, and finds what was sealed elsewhere. Until the audit log can be read it
// tries again. It returns false when ctx has ended.
func (m *Maker) begin(ctx context.Context) bool {
	wait, failed := retryFirst, false
	for {
		select {
		case m.place <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		err := m.completeAudit()
		<-m.place
		if err == nil {
			return true
		}
		if !failed {
			m.o.Logger.Error("what the audit log says of snapshots is not known, or it lacks one that was sealed before a "+
				"crash; it is tried again", "error", err)
		}
		failed = true
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
		wait = min(2*wait, retryMin)
	}
}

// since is when the data directory was made: in a cluster, the first of them. The audit log begins with its
// administrator.
func (m *Maker) since(created time.Time) int64 {
	ms := created.UnixMilli()
	if began := m.o.Record.sinceMs(); began > 0 {
		return min(ms, began)
	}
	return ms
}

// Run completes the audit log after a crash, makes what the schedule wants, and removes what is kept no longer, until
// ctx ends. created is when the data directory was made. What cannot be done is tried again, later and later.
func (m *Maker) Run(ctx context.Context, s Schedule, created time.Time) {
	if !m.begin(ctx) {
		return
	}
	if !s.Daily && !s.Monthly && m.o.Keep == 0 {
		return
	}
	tick := time.NewTimer(0)
	defer tick.Stop()
	retry := retryMin
	var removeAfter time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		wait := scheduleEvery
		r, ok := m.due(s, m.since(created), m.o.NowMs())
		if !ok {
			m.noteSchedule(&r, m.beginSchedule(s))
			if now := time.Now(); now.After(removeAfter) {
				removed, err := m.removeOld()
				if err != nil {
					m.o.Logger.Error("an old snapshot could not be removed; it is tried again", "error", err)
					removeAfter = now.Add(retryMax)
				} else if removed {
					wait = 0
				}
			}
		} else {
			_, err := m.Make(ctx, r)
			if ctx.Err() != nil {
				return
			}
			var p *event.Problem
			switch {
			case errors.As(err, &p) && p.Code == event.InvalidArgument && r.month != "":
				m.o.Logger.Error("a month that was missed can no longer be made up for", "period", r.Period, "error", err)
				m.gone, wait, err = r.month, 0, nil
			case err == nil:
				retry, wait = retryMin, 0 // Perhaps another month was missed.
			default:
				wait, retry = retry, min(2*retry, retryMax)
			}
			m.noteSchedule(&r, err)
		}
		tick.Reset(wait)
	}
}

// MakeDue makes what the schedule wants by now, for who moves the clock by itself and does not call Run. since is when
// the first day began.
func (m *Maker) MakeDue(ctx context.Context, s Schedule, since time.Time) error {
	for {
		r, ok := m.due(s, since.UnixMilli(), m.o.NowMs())
		if !ok {
			return m.beginSchedule(s)
		}
		if _, err := m.Make(ctx, r); err != nil {
			return err
		}
	}
}

// noteSchedule keeps whether the schedule fails, and logs what is new about it.
func (m *Maker) noteSchedule(r *Request, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	m.mu.Lock()
	changed := text != m.failing
	m.failing = text
	m.mu.Unlock()
	if err != nil && changed {
		m.o.Logger.Error("a scheduled snapshot could not be made; it is tried again", "period", r.Period,
			"error", fmt.Errorf("schedule: %w", err))
	}
}
