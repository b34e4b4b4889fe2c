package query

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/license"
)

// When licences run dry: renewals of each day, and first connects as in the last four weeks.
func TestOutlookRunsDry(t *testing.T) {
	due := func(days ...uint32) []uint32 { return append(days, make([]uint32, 91-len(days))...) }
	for _, tt := range []struct {
		o    Outlook
		days int
		ok   bool
	}{
		{Outlook{Due: due()}, 0, false},
		{Outlook{Due: due(1)}, 0, true},
		{Outlook{Due: due(1), Available: 1}, 0, false},
		{Outlook{Due: due(1, 0, 1), Available: 1}, 2, true},
		{Outlook{Due: due(), Available: 10, Activated: 28}, 10, true}, // One a day: the eleventh finds none.
		{Outlook{Due: due(0, 0, 0, 0, 5), Available: 10, Activated: 28}, 5, true},
		{Outlook{Due: due(), Available: 90, Activated: 28}, 90, true},
		{Outlook{Due: due(), Available: 91, Activated: 28}, 0, false},
		{Outlook{Due: due(), Available: 2, Activated: 1}, 83, true}, // The third comes within the twelfth week.
	} {
		if days, ok := tt.o.RunsDry(); days != tt.days || ok != tt.ok {
			t.Errorf("%+v: %d, %t; want %d, %t", tt.o, days, ok, tt.days, tt.ok)
		}
	}
}

// Which devices are counted on which day, for several products in one pass.
func TestOutlooks(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{"validity":"P60D"}`, 100)
	d.product("q", `{"validity":"P10D"}`, 5)
	d.product("unasked", `{"validity":"P1D"}`, 5)
	d.submit(visit("p", "old") + visit("p", "excepted") + visit("q", "d1") + visit("unasked", "d"))
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SetRenewal(by, "p", true, []string{"excepted"})
		return next, ch, err
	})
	d.clock.pass(31 * 24 * time.Hour)
	d.submit(visit("p", "new"))
	asked := func(p *license.Product) bool { return p.Name != "unasked" }
	for range 2 { // Also after a restart.
		list, err := d.Outlooks(t.Context(), 91, asked)
		d.must(err)
		p, q := list[d.productOf("p").ID], list[d.productOf("q").ID]
		if len(list) != 2 || p.Available != 97 || q.Available != 4 || p.Activated != 1 || q.Activated != 0 {
			t.Errorf("p %+v, q %+v", p, q)
		}
		count := func(list []uint32) (days []int) {
			for day, n := range list {
				for range n {
					days = append(days, day)
				}
			}
			return days
		}
		if e, r, s := count(p.Ending), count(p.Renewing), count(p.Due); !slices.Equal(e, []int{29, 29, 60}) ||
			!slices.Equal(r, []int{29, 60}) || !slices.Equal(s, []int{60}) {
			t.Errorf("p ends %d, is renewed %d, is due %d", e, r, s)
		}
		if n := count(q.Ending); n != nil { // It has ended.
			t.Errorf("q ends %d", n)
		}
		d.restart()
	}
	if list, err := d.Outlooks(
		t.Context(),
		91,
		func(*license.Product) bool { return false },
	); err != nil ||
		len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Outlooks(ctx, 91, asked); !errors.Is(err, context.Canceled) {
		t.Errorf("it goes on although nobody waits: %v", err)
	}
}
