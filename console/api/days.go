package api

import (
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
)

// askedDays are the days of a product's calendar that a request asks for, as far as they are there.
type askedDays struct {
	from, to      uint32  // both included; from is after to if there are none
	availableFrom *string // the first day that is kept, if from was before it
}

// askedDays reads from and to: without to it is the running day, without from the first day of
// its month, or of the running one if that is to come.
func (c *call) askedDays(p *license.Product) (asked askedDays, err error) {
	running := p.Window(c.engine.NowMs()).Day
	to, isGiven, err := c.day("to")
	if err != nil {
		return asked, err
	}
	if !isGiven {
		to = running
	}
	from, isGiven, err := c.day("from")
	switch {
	case err != nil:
		return asked, err
	case !isGiven:
		from = calendar.FirstDay(calendar.MonthOf(min(to, running)))
	case from > to:
		return asked, invalid("from", "must not be after to, which is the running day without one")
	}
	return c.keptDays(p, from, min(to, running))
}

// keptDays leaves the days out that are not kept any more.
func (c *call) keptDays(p *license.Product, from, to uint32) (asked askedDays, err error) {
	kept, err := c.queries.UsageDayKept(p)
	if err != nil {
		return asked, err
	}
	asked = askedDays{from: from, to: to}
	if from < kept {
		name := calendar.DayName(kept)
		asked.from, asked.availableFrom = kept, &name
	}
	return asked, nil
}

// day returns a parameter that is a calendar day; isGiven is false without one. What lies before the days that have
// numbers is the first of them, and what lies behind the last.
func (c *call) day(name string) (day uint32, isGiven bool, err error) {
	text := c.query(name)
	if text == "" {
		return 0, false, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, false, invalid(name, "must be a day such as 2026-11-23")
	}
	day, ok := calendar.ParseDay(text)
	if !ok && at.Year() > 2020 {
		day = calendar.DayMax
	}
	return day, true, nil
}
