package sealed

import (
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
)

// scope is what a request means.
type scope struct {
	account string
	month   uint32
}

// scope reads a request, or says what is wrong with it.
func (m *Maker) scope(r *Request) (s scope, err error) {
	if r.Bound != "" && r.Account != nil && *r.Account != r.Bound {
		return s, noAccount(*r.Account)
	}
	s.account = r.Bound
	if r.Bound == "" && r.Account != nil {
		s.account = *r.Account
	}
	period := r.Period
	if r.Corrects != "" {
		old := m.store.Get(r.Corrects)
		if old == nil && m.Awaited(r.Corrects) {
			return s, &event.Problem{
				Code: event.Overloaded, Detail: "corrects: the snapshot is not on this node yet; send it again",
			}
		}
		if old == nil || r.Bound != "" && old.AccountName() != r.Bound {
			return s, &event.Problem{
				Code: event.NotFound, Field: "corrects", Detail: "corrects: there is no snapshot called " + clip(r.Corrects),
			}
		}
		if r.Bound == "" && r.Account == nil {
			s.account = old.AccountName()
		}
		if period == "" {
			period = old.Period
		}
		if s.account != old.AccountName() || period != old.Period {
			return s, invalid("corrects", "a correction has the account and the period of what it corrects")
		}
	}
	catalogue := m.o.Catalogue()
	if s.account != "" && catalogue.Account(s.account) == nil {
		return s, noAccount(s.account)
	}
	nowMs := m.o.NowMs()
	first, last := running(m.o.Products(s.account), nowMs)
	if period == "" {
		s.month = first
		return s, nil
	}
	month, ok := calendar.ParseMonth(period)
	switch {
	case !ok:
		return s, invalid("period", "must be a month such as 2026-11")
	case month > last:
		return s, invalid("period", "the month has not begun")
	}
	s.month = month
	return s, nil
}

// running returns the months that run: in the zone that is furthest behind, and in the one that is furthest ahead.
// Without products it is the month of UTC.
func running(list []*license.Product, nowMs int64) (first, last uint32) {
	first = calendar.WindowAt(nowMs, time.UTC).Month
	last = first
	for i, p := range list {
		month := calendar.WindowAt(nowMs, p.Zone).Month
		if i == 0 {
			first, last = month, month
		}
		first, last = min(first, month), max(last, month)
	}
	return first, last
}

func noAccount(name string) error {
	return &event.Problem{
		Code: event.NotFound, Field: "account", Detail: "account: there is none called " + clip(name),
	}
}

func invalid(field, detail string) error {
	return &event.Problem{Code: event.InvalidArgument, Field: field, Detail: field + ": " + detail}
}

// clip bounds what of a request's text is sent back.
func clip(s string) string { return s[:min(len(s), nameBytesMax)] }
