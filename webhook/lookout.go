package webhook

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

// lookout looks for what the log does not say: stock that runs low, days ahead, whether ingest is stopped. What it has
// told is kept in the transaction of the message, so that it is told once. It belongs to one goroutine.
type lookout struct {
	s       *Service
	engine  Engine
	queries Queries
	told    map[string]told // by key
	stopped map[string]int64

	stockAt, outlookAt time.Time // of the last look
	outlookTook        time.Duration
}

// told is what a hook was told of a product (FORMAT.md).
type told struct {
	// Days is the warning before running dry that was told.
	Days int `json:"days,omitempty"`
	// Day is the product's day whose summary of licences that end was told.
	Day uint32 `json:"day,omitempty"`
}

// Kinds of what was told.
const (
	toldLicenses = 'L'
	toldPacks    = 'P'
	toldDry      = 'F'
	toldEnding   = 'E'
)

func toldKey(hook uint64, kind byte, product uint32) []byte {
	return binary.BigEndian.AppendUint32(append(hookKey(keyTold, hook), kind), product)
}

// stopRecord says since when ingest is stopped.
type stopRecord struct {
	SinceMs int64 `json:"since_ms"`
}

func newLookout(s *Service, engine Engine, queries Queries) (*lookout, error) {
	l := &lookout{s: s, engine: engine, queries: queries, told: map[string]told{}, stopped: map[string]int64{}}
	err := s.store.Scan([]byte(keyTold), nil, false, func(k, v []byte) (bool, error) {
		var t told
		if err := json.Unmarshal(v, &t); err != nil {
			return false, fmt.Errorf("what a webhook was told is damaged: %x: %w", k, err)
		}
		l.told[string(k)] = t
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	err = s.store.Scan([]byte(keyStop), nil, false, func(k, v []byte) (bool, error) {
		var r stopRecord
		if err := json.Unmarshal(v, &r); err != nil {
			return false, fmt.Errorf("what webhooks were told of ingest is damaged: %w", err)
		}
		l.stopped[string(k[len(keyStop):])] = r.SinceMs
		return true, nil
	})
	return l, err
}

// news is what one look has found: messages, and what was told with them.
type news struct {
	list    []addressed
	rows    []ledger.Entry
	changed map[string]*told // nil: nothing is told any more
}

func (n *news) tell(h *license.Hook, m *message) { n.list = append(n.list, addressed{h.ID, m}) }

func (n *news) note(key []byte, t *told) {
	if n.changed == nil {
		n.changed = map[string]*told{}
	}
	n.changed[string(key)] = t
	if t == nil {
		n.rows = append(n.rows, remove(key))
		return
	}
	n.rows = append(n.rows, put(key, t))
}

// publish queues what was found. What fails is found again.
func (l *lookout) publish(n *news) error {
	if len(n.list)+len(n.rows) == 0 {
		return nil
	}
	if err := l.s.queue.add(n.list, n.rows, nil); err != nil {
		return err
	}
	for key, t := range n.changed {
		if t == nil {
			delete(l.told, key)
		} else {
			l.told[key] = *t
		}
	}
	return nil
}

// tick looks at what is due.
func (l *lookout) tick(ctx context.Context) {
	cat := l.engine.Catalogue()
	hooks, _ := cat.Hooks()
	l.report("ingest", l.ingest(hooks))
	if len(hooks) == 0 {
		return
	}
	now := time.Now()
	if now.Sub(l.stockAt) >= stockEvery {
		l.stockAt = now
		l.forget(hooks)
		l.report("stock", l.stock(ctx, hooks))
	}
	if pause := min(max(outlookMin, outlookShare*l.outlookTook), outlookMax); now.Sub(l.outlookAt) >= pause {
		l.outlookAt = now
		l.report("outlook", l.outlook(ctx, hooks))
		l.outlookTook = time.Since(now)
	}
}

func (l *lookout) report(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) { // The daemon stops.
		l.s.logger.Error("what webhooks are to be told cannot be looked up; it is tried again", "look", what, "error", err)
	}
}

// forget lets go of what deleted hooks were told: their rows are removed with their queues.
func (l *lookout) forget(hooks []*license.Hook) {
	there := map[uint64]bool{}
	for _, h := range hooks {
		there[h.ID] = true
	}
	for key := range l.told {
		if !there[binary.BigEndian.Uint64([]byte(key[1:]))] {
			delete(l.told, key)
		}
	}
}

// ingest tells when ingest stops and when it goes on.
func (l *lookout) ingest(hooks []*license.Hook) error {
	for _, reason := range shard.StopReasons() {
		since, was := l.stopped[reason]
		is := l.engine.IngestStopped(reason)
		if is == was {
			continue
		}
		e, nowMs := license.HookIngestResumed, time.Now().UnixMilli()
		key := []byte(keyStop + reason)
		row := remove(key)
		if is {
			e, since = license.HookIngestStopped, nowMs
			row = put(key, stopRecord{since})
		}
		m := newMessage(e, nowMs, ingestData{Reason: reason, StoppedAt: rfc3339(since)}, reason, since)
		n := news{rows: []ledger.Entry{row}}
		for _, h := range hooks {
			if h.Wants(e, 0) {
				n.tell(h, m)
			}
		}
		if err := l.publish(&n); err != nil {
			return err
		}
		delete(l.stopped, reason)
		if is {
			l.stopped[reason] = since
		}
	}
	return nil
}

// wanting returns the hooks that want any of some events of a product.
func wanting(hooks []*license.Hook, p *license.Product, events ...license.HookEvent) (list []*license.Hook) {
	for _, h := range hooks {
		if h.Events.HasAny(events...) && (h.AccountID == 0 || h.AccountID == p.AccountID) {
			list = append(list, h)
		}
	}
	return list
}

// stock tells of products whose licences or packs have run low.
func (l *lookout) stock(ctx context.Context, hooks []*license.Hook) error {
	lowEvents := []license.HookEvent{license.HookLicensesLow, license.HookPacksLow}
	if !anyWants(hooks, lowEvents...) {
		return nil
	}
	end := false
	for id := uint32(1); !end && ctx.Err() == nil; {
		var n news
		err := l.queries.View(func(v *query.View) {
			for looked := 0; looked < stockProducts; looked++ {
				if end = id > v.Catalogue.ProductIDMax(); end {
					return
				}
				p := v.Catalogue.ProductByID(id)
				id++
				if p == nil {
					continue
				}
				if list := wanting(hooks, p, lowEvents...); len(list) > 0 {
					l.low(&n, list, p, v)
				}
			}
		})
		if err == nil {
			err = l.publish(&n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func anyWants(hooks []*license.Hook, events ...license.HookEvent) bool {
	for _, h := range hooks {
		if h.Events.HasAny(events...) {
			return true
		}
	}
	return false
}

// low looks at one product.
func (l *lookout) low(n *news, hooks []*license.Hook, p *license.Product, v *query.View) {
	p.State.Account.Lock()
	licenses, packs := p.LotCounts(), p.Topups()
	p.State.Account.Unlock()
	for _, h := range hooks {
		if h.Events.Has(license.HookLicensesLow) {
			l.lowOf(n, h, license.HookLicensesLow, toldLicenses, h.LicensesLowPercent, licenses, p, v.NowMs)
		}
		if h.Events.Has(license.HookPacksLow) {
			l.lowOf(n, h, license.HookPacksLow, toldPacks, h.PacksLowPercent, packs, p, v.NowMs)
		}
	}
}

// lowOf tells a hook when a stock has come to its percentage, once until it is above it again. The message's id is of
// the total that there was, so that units which come back and go again are no news.
func (l *lookout) lowOf(
	n *news, h *license.Hook, e license.HookEvent, kind byte, percent uint32, c license.Counts, p *license.Product,
	nowMs int64,
) {
	key := toldKey(h.ID, kind, p.ID)
	_, was := l.told[string(key)]
	is := c.Total > 0 && c.Available*100 <= c.Total*uint64(percent)
	switch {
	case is && !was:
		data := stockData{
			Account: p.Account, Product: p.Name, Total: c.Total, Used: c.Used, Available: c.Available, Percent: percent,
		}
		n.tell(h, newMessage(e, nowMs, data, p.Name, c.Total, percent))
		n.note(key, &told{})
	case !is && was:
		n.note(key, nil)
	}
}

// dryDays are the warnings before a product's licences run dry, the last one first.
var dryDays = []int{7, 30, 90}

// warning returns the last warning that is due so many days before, 0 if none is.
func warning(days int, runsDry bool) int {
	for _, due := range dryDays {
		if runsDry && days <= due {
			return due
		}
	}
	return 0
}

// outlook tells of products whose licences run dry, and of licences that end, once a day.
func (l *lookout) outlook(ctx context.Context, hooks []*license.Hook) error {
	events := []license.HookEvent{license.HookLicensesDry, license.HookLicensesEnding}
	if !anyWants(hooks, events...) {
		return nil
	}
	list, err := l.queries.Outlooks(ctx, outlookDays, func(p *license.Product) bool {
		return len(wanting(hooks, p, events...)) > 0
	})
	if err != nil {
		return err
	}
	cat := l.engine.Catalogue()
	for _, h := range hooks {
		var n news
		for id := uint32(1); id <= cat.ProductIDMax(); id++ {
			p, o := cat.ProductByID(id), list[id]
			if p == nil || o == nil || h.AccountID != 0 && h.AccountID != p.AccountID {
				continue
			}
			if h.Events.Has(license.HookLicensesDry) {
				l.dry(&n, h, p, o)
			}
			if h.Events.Has(license.HookLicensesEnding) {
				l.ending(&n, h, p, o)
			}
		}
		if err := l.publish(&n); err != nil {
			return err
		}
	}
	return nil
}

// dry tells a hook that a product's licences run dry, once for each warning. It is told again when the licences have
// lasted for a quarter longer than the warning says.
func (l *lookout) dry(n *news, h *license.Hook, p *license.Product, o *query.Outlook) {
	days, runsDry := o.RunsDry()
	due := warning(days, runsDry)
	key := toldKey(h.ID, toldDry, p.ID)
	was := l.told[string(key)].Days
	switch {
	case due != 0 && (was == 0 || due < was):
		data := dryData{
			Account: p.Account, Product: p.Name, Days: due, Available: o.Available,
			RunsDryOn: time.Unix(o.NowS+int64(days)*86400, 0).In(p.Zone).Format(time.DateOnly),
		}
		today := calendar.WindowAt(o.NowS*1000, p.Zone).Day
		n.tell(h, newMessage(license.HookLicensesDry, o.NowS*1000, data, p.Name, due, today))
		n.note(key, &told{Days: due})
	case was != 0 && (!runsDry || days > was+was/4):
		if due == 0 {
			n.note(key, nil)
		} else {
			n.note(key, &told{Days: due})
		}
	}
}

// ending tells a hook how many licences of a product end soon, once on each of the product's days with any.
func (l *lookout) ending(n *news, h *license.Hook, p *license.Product, o *query.Outlook) {
	today := calendar.WindowAt(o.NowS*1000, p.Zone).Day
	key := toldKey(h.ID, toldEnding, p.ID)
	if was, ok := l.told[string(key)]; ok && was.Day >= today {
		return
	}
	var ending, renewing uint64
	for day := range endingDays {
		ending += uint64(o.Ending[day])
		renewing += uint64(o.Renewing[day])
	}
	if ending == 0 {
		return
	}
	day := calendar.DayName(today)
	n.tell(h, newMessage(license.HookLicensesEnding, o.NowS*1000, endingData{
		Account: p.Account, Product: p.Name, Day: day, Days: endingDays, Ending: ending, Renewing: renewing,
		Available: o.Available,
	}, p.Name, day))
	n.note(key, &told{Day: today})
}
