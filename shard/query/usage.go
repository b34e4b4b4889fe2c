package query

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
)

// ErrZoneOffset means that a time zone is not a whole number of quarters of an hour from UTC when a window begins or
// ends: usage is not kept by less.
var ErrZoneOffset = errors.New("its offset from UTC must be a multiple of 15 minutes wherever a window begins or ends")

// UsageQuery says what usage is told of. Times are Unix milliseconds.
type UsageQuery struct {
	Products []*license.Product
	// FromMs and ToMs, half open, are rounded outward to quarters of an hour.
	FromMs, ToMs int64
	NowMs        int64 // of the call
	Span         calendar.Span
	Zone         *time.Location
}

// UsageRow is what a product used in a window, or in the part of it that was asked for.
type UsageRow struct {
	Product      *license.Product
	FromMs, ToMs int64 // half open, Unix milliseconds
	// Running says that the row is not over: ToMs is later than the time of the call.
	Running                   bool
	MessagesUp, MessagesDown  uint64
	MessagesDenied, OTADenied uint64
	OTAUnits, OTATopupUnits   int64 // voids are taken off in their month, which may make them negative (R17)
	LicensesConsumed          uint64
}

// isEmpty reports whether a row shows nothing that was used.
func (r *UsageRow) isEmpty() bool {
	return r.MessagesUp|r.MessagesDown|r.MessagesDenied|r.OTADenied|r.LicensesConsumed == 0 &&
		r.OTAUnits|r.OTATopupUnits == 0
}

func (r *UsageRow) fill(before, after *record.Totals) {
	r.MessagesUp, r.MessagesDown = after.MessagesUp-before.MessagesUp, after.MessagesDown-before.MessagesDown
	r.MessagesDenied = after.MessagesDenied() - before.MessagesDenied()
	r.OTADenied = after.OTADenied() - before.OTADenied()
	r.LicensesConsumed = after.Licenses - before.Licenses
	r.OTATopupUnits = int64(after.OTAPacks-before.OTAPacks) - int64(after.VoidPacks-before.VoidPacks)
	r.OTAUnits = r.OTATopupUnits +
		int64(after.OTAAllowance-before.OTAAllowance) - int64(after.VoidAllowance-before.VoidAllowance)
}

// Usage tells what products used, window by window. It belongs to one goroutine.
type Usage struct {
	r        *Reader
	products []*license.Product // that are not told of yet
	at       []int64            // where windows meet, Unix milliseconds: one more than there are windows
	nowMs    int64              // of the call
	days     map[string][]uint32
	// availableFromMs is where rows begin if that is later than what was asked for, else 0.
	availableFromMs int64
}

// Usage begins to tell what products used. Everything that was acknowledged before the call is in it.
func (r *Reader) Usage(q UsageQuery) (*Usage, error) {
	u := &Usage{r: r, products: q.Products, nowMs: q.NowMs, days: map[string][]uint32{}}
	from := q.FromMs - floorMod(q.FromMs, record.QuarterMs)
	kept, err := r.usageKeptMs(q.NowMs)
	if err != nil {
		return nil, err
	}
	if from < kept {
		from, u.availableFromMs = kept, kept
	}
	if err := u.divide(from, q.ToMs+floorMod(-q.ToMs, record.QuarterMs), &q); err != nil {
		return nil, err
	}
	return u, r.engine.DurableInLedger()
}

// usageKeptMs returns the instant from which on usage is kept: the beginning of the month (UTC) that lies a retention
// back, or of the first month that the calendar counts.
func (r *Reader) usageKeptMs(nowMs int64) (int64, error) {
	month, err := r.usageMonthKept(nowMs, time.UTC)
	startMs, _ := calendar.MonthBounds(month, time.UTC)
	return startMs, err
}

// usageMonthKept returns the first month of a time zone of which usage is kept whole: the one that lies a retention
// back. Of what was written while the retention was shorter that one counts.
func (r *Reader) usageMonthKept(nowMs int64, zone *time.Location) (month uint32, err error) {
	const counted = (counters.EpochS + 86_400) * 1000 // The first month has begun, and is not over, in every time zone.
	monthAt := func(ms int64) uint32 { return calendar.WindowAt(max(counted, ms), zone).Month }
	if r.usageRetention > 0 {
		month = monthAt(nowMs - r.usageRetention.Milliseconds())
	}
	shortest, untilMs, err := r.ledger.WrittenFor(r.usageRetention, nowMs)
	if err != nil {
		return 0, r.ledgerErr(err)
	}
	if shortest > 0 {
		month = max(month, min(monthAt(nowMs-shortest.Milliseconds()), monthAt(untilMs)+1))
	}
	return month, nil
}

func floorMod(n, m int64) int64 { return (n%m + m) % m }

// divide finds the windows of [from, to), up to the running one.
func (u *Usage) divide(from, to int64, q *UsageQuery) error {
	running := q.Span.EndMs(q.NowMs, q.Zone)
	to = max(from, min(to, running))
	for at := from; ; {
		if !calendar.IsQuarterly(at, q.Zone) {
			return ErrZoneOffset
		}
		u.at = append(u.at, at)
		if at == to {
			return nil
		}
		at = min(q.Span.EndMs(at, q.Zone), to)
	}
}

// AvailableFromMs returns where rows begin if that is later than what was asked for, Unix milliseconds; else 0. It is
// known when Next has come to the end.
func (u *Usage) AvailableFromMs() int64 { return u.availableFromMs }

// Next appends rows of some products to dst, those of a product together and in the order of windows, without the ones
// in which nothing was used. more is false at the end.
func (u *Usage) Next(dst []UsageRow) (rows []UsageRow, more bool, err error) {
	n := min(len(u.products), max(1, usageRowsAtOnce/len(u.at)))
	some := u.products[:n]
	u.products = u.products[n:]
	told := make([]productUsage, n)
	for i, p := range some {
		told[i] = productUsage{product: p, at: u.buckets(p)}
	}
	var next atomic.Int32
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				told[i].read(u)
			}
		})
	}
	wg.Wait()
	made := 0
	for i := range told {
		made += len(told[i].rows)
	}
	dst = slices.Grow(dst, made)
	for i := range told {
		if told[i].err != nil {
			return dst, false, u.r.ledgerErr(told[i].err)
		}
		u.availableFromMs = max(u.availableFromMs, told[i].fromMs)
		dst = append(dst, told[i].rows...)
	}
	return dst, len(u.products) > 0, nil
}

// buckets returns where windows meet as the ledger has it, with the days of the product's calendar that begin there.
func (u *Usage) buckets(p *license.Product) []record.Bucket {
	days := u.days[p.ZoneName]
	if days == nil {
		days = make([]uint32, len(u.at))
		for i, at := range u.at {
			if w := calendar.WindowAt(at, p.Zone); w.DayStartMs == at {
				days[i] = w.Day
			}
		}
		u.days[p.ZoneName] = days
	}
	buckets := make([]record.Bucket, len(u.at))
	for i, at := range u.at {
		buckets[i] = record.Bucket{Product: p.ID, Quarter: uint32(at / record.QuarterMs), Day: days[i]}
	}
	return buckets
}

// productUsage is what is told of one product.
type productUsage struct {
	product *license.Product
	at      []record.Bucket
	rows    []UsageRow
	fromMs  int64 // before it usage is not known; 0: it is
	err     error
}

func (p *productUsage) read(u *Usage) {
	sums := make([]record.Totals, len(p.at))
	from, err := u.r.ledger.TotalsAt(p.at, sums)
	p.fromMs, p.err = int64(from)*record.QuarterMs, err
	if err != nil {
		return
	}
	p.rows = make([]UsageRow, 0, len(u.at)-1)
	for i := range len(u.at) - 1 {
		row := UsageRow{
			Product: p.product, FromMs: max(u.at[i], p.fromMs), ToMs: u.at[i+1],
			Running: u.at[i+1] > u.nowMs,
		}
		row.fill(&sums[i], &sums[i+1])
		if !row.isEmpty() {
			p.rows = append(p.rows, row)
		}
	}
}
