package rows

import (
	"context"
	"fmt"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/usage/snapshot"
)

// product is one product in the scope.
type product struct {
	*license.Product
	licenses license.Counts
	usage    snapshot.Usage // within the month, by the totals
	days     []uint32       // of the month for which the ledger has closed days of devices

	// of its rows so far
	sum          snapshot.Usage
	rows, active uint64
}

// prepare reads what is about the product as a whole, and compares the totals of the state with the ledger's.
func (s *Source) prepare(ctx context.Context, p *product) error {
	if err := s.checkKept(p); err != nil {
		return err
	}
	totals := s.o.State.Totals(p.ID)
	newest, err := s.o.Ledger.Totals(p.ID)
	if err != nil {
		return err
	}
	if err := p.compareTotals(&totals.Totals, &newest.Totals); err != nil {
		return err
	}
	if p.usage, err = s.within(p); err != nil {
		return err
	}
	p.State.Account.Lock()
	p.licenses = p.Licenses()
	p.State.Account.Unlock()
	if d := p.differs("licenses_used", "totals", totals.Licenses, "pools", p.licenses.Used); d != nil {
		return d
	}
	if err := s.listDays(p); err != nil {
		return err
	}
	return s.countLicenses(ctx, p)
}

// listDays looks for the days of the month, up to the running one, that have closed days of devices.
func (s *Source) listDays(p *product) error {
	end := min(calendar.FirstDay(s.o.Month+1), calendar.WindowAt(s.o.State.AtMs, p.Zone).Day+1)
	for day := calendar.FirstDay(s.o.Month); ; day++ {
		next, found, err := s.o.Ledger.NextDay(p.ID, day)
		if err != nil || !found || next >= end {
			return err
		}
		day = next
		p.days = append(p.days, day)
	}
}

// checkKept refuses a month of which the ledger lacks something.
func (s *Source) checkKept(p *product) error {
	sinceMs := s.o.State.AtMs - endedMs(s.o.Month)
	if s.o.Retention > 0 && sinceMs >= s.o.Retention.Milliseconds() {
		return notKept("the usage of this month is no longer kept (--usage-retention)")
	}
	shortest, untilMs, err := s.o.Ledger.WrittenFor(s.o.Retention, s.o.State.AtMs)
	if err != nil {
		return err
	}
	if shortest > 0 && sinceMs >= shortest.Milliseconds() && s.o.Month <= calendar.WindowAt(untilMs, p.Zone).Month {
		return notKept("the usage of this month is no longer kept: --usage-retention was shorter when it was written")
	}
	fromMs, err := s.o.Ledger.AvailableFromMs()
	if err != nil {
		return err
	}
	if startMs, _ := calendar.MonthBounds(s.o.Month, p.Zone); fromMs > max(startMs, p.CreatedAtMs) {
		return notKept("the ledger lacks usage from before " + string(event.AppendTime(nil, fromMs)))
	}
	return nil
}

// endedMs returns an instant by which a month is over in every time zone: rows of the ledger are kept from then on.
func endedMs(month uint32) int64 { return calendar.DayEndedMs(calendar.FirstDay(month+1) - 1) }

func notKept(why string) error {
	return &event.Problem{Code: event.InvalidArgument, Field: "period", Detail: "period: " + why}
}

// within returns what the product used within the month: what it had used when the month ended, or until now, less what
// it had used before.
func (s *Source) within(p *product) (u snapshot.Usage, err error) {
	var ends [2]record.Totals
	for i, day := range []uint32{calendar.FirstDay(s.o.Month), calendar.FirstDay(s.o.Month + 1)} {
		var from uint32
		if ends[i], from, err = s.o.Ledger.TotalsBeforeDay(p.ID, day); err != nil {
			return u, err
		}
		if from != 0 {
			return u, notKept("the ledger does not reach back to the beginning of this month")
		}
	}
	t := ends[1].Clone()
	t.Subtract(&ends[0])
	return snapshot.Usage{
		MessagesUp: t.MessagesUp, MessagesDown: t.MessagesDown, MessagesDenied: t.MessagesDenied(),
		OTAUnits:      int64(t.OTAAllowance + t.OTAPacks - t.VoidAllowance - t.VoidPacks),
		OTATopupUnits: int64(t.OTAPacks - t.VoidPacks),
		OTADenied:     t.OTADenied(), LicensesConsumed: t.Licenses,
	}, nil
}

// differs returns a *snapshot.Difference if two numbers do.
func (p *product) differs(field, left string, l uint64, right string, r uint64) error {
	if l == r {
		return nil
	}
	return &snapshot.Difference{
		Product: p.Name, Field: field, Left: left, LeftNumber: int64(l), Right: right, RightNumber: int64(r),
	}
}

// compareTotals compares the totals of the state with the ledger's.
func (p *product) compareTotals(state, ledger *record.Totals) error {
	if state.Equal(ledger) {
		return nil
	}
	for _, f := range []struct {
		name string
		of   func(*record.Totals) uint64
	}{
		{"messages_up", func(t *record.Totals) uint64 { return t.MessagesUp }},
		{"messages_down", func(t *record.Totals) uint64 { return t.MessagesDown }},
		{"messages_denied", (*record.Totals).MessagesDenied},
		{"ota_units from the allowance", func(t *record.Totals) uint64 { return t.OTAAllowance }},
		{"ota_topup_units", func(t *record.Totals) uint64 { return t.OTAPacks }},
		{"ota_units given back to the allowance", func(t *record.Totals) uint64 { return t.VoidAllowance }},
		{"ota_topup_units given back", func(t *record.Totals) uint64 { return t.VoidPacks }},
		{"ota_denied", (*record.Totals).OTADenied},
		{"licenses_consumed", func(t *record.Totals) uint64 { return t.Licenses }},
		{"activations", func(t *record.Totals) uint64 { return t.Activations }},
	} {
		if d := p.differs(f.name, "totals", f.of(state), "ledger", f.of(ledger)); d != nil {
			return d
		}
	}
	for _, d := range append(state.Clone().Denied, ledger.Denied...) {
		field := fmt.Sprintf("%s denied as %s", d.Type, d.Code)
		left, right := state.DeniedWith(d.Type, d.Code), ledger.DeniedWith(d.Type, d.Code)
		if d := p.differs(field, "totals", left, "ledger", right); d != nil {
			return d
		}
	}
	for _, d := range append(state.Clone().WouldDeny, ledger.WouldDeny...) {
		field := fmt.Sprintf("%s that would be denied as %s", d.Type, d.Code)
		left, right := state.WouldDenyWith(d.Type, d.Code), ledger.WouldDenyWith(d.Type, d.Code)
		if d := p.differs(field, "totals", left, "ledger", right); d != nil {
			return d
		}
	}
	panic("BUG: totals that differ have equal fields")
}

// compareRows compares the sums of the rows with the totals.
func (p *product) compareRows() error {
	for _, f := range []struct {
		name string
		of   func(*snapshot.Usage) int64
	}{
		{"messages_up", func(u *snapshot.Usage) int64 { return int64(u.MessagesUp) }},
		{"messages_down", func(u *snapshot.Usage) int64 { return int64(u.MessagesDown) }},
		{"messages_denied", func(u *snapshot.Usage) int64 { return int64(u.MessagesDenied) }},
		{"ota_units", func(u *snapshot.Usage) int64 { return u.OTAUnits }},
		{"ota_topup_units", func(u *snapshot.Usage) int64 { return u.OTATopupUnits }},
		{"ota_denied", func(u *snapshot.Usage) int64 { return int64(u.OTADenied) }},
		{"licenses_consumed", func(u *snapshot.Usage) int64 { return int64(u.LicensesConsumed) }},
	} {
		if d := p.differs(f.name, "rows", uint64(f.of(&p.sum)), "totals", uint64(f.of(&p.usage))); d != nil {
			return d
		}
	}
	return nil
}
