package api

import (
	"context"
	"fmt"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

// askedLog is the log of a device or of a product, as a request asks for it.
type askedLog interface {
	product() *license.Product
	filter() *query.LogFilter
	// each calls fn for the entries, at most limit of them, in their order, until fn returns false. A product's are sorted
	// on the disk with limit 0; only who was admitted may ask so.
	each(ctx context.Context, from Queries, limit int, fn func(*query.LogEntry) bool) error
	// follow calls fn for the entries oldest first, and then for those that come, until fn returns false or ctx ends. idle
	// is told now and then, while none comes, behind which place the log goes on.
	follow(ctx context.Context, from Queries, idle func(query.ProductPlace), fn func(*query.LogEntry) bool) error
	// goOn makes each and follow begin behind an entry.
	goOn(at query.ProductPlace)
	// cursor names the place to go on at, and place reads such a name.
	cursor(at query.ProductPlace) *string
	place(cursor string) (at query.ProductPlace, ok bool)
	show(e *query.LogEntry) any
}

// deviceLog is a device's log.
type deviceLog struct{ q query.LogQuery }

func (l *deviceLog) product() *license.Product { return l.q.Product }
func (l *deviceLog) filter() *query.LogFilter  { return &l.q.LogFilter }

func (l *deviceLog) each(ctx context.Context, from Queries, _ int, fn func(*query.LogEntry) bool) error {
	return from.DeviceLog(ctx, l.q, fn)
}

func (l *deviceLog) follow(
	ctx context.Context, from Queries, idle func(query.ProductPlace), fn func(*query.LogEntry) bool,
) error {
	return from.FollowDevice(ctx, l.q, idle, fn)
}

func (l *deviceLog) goOn(at query.ProductPlace) { l.q.After = at.Place }

func (l *deviceLog) cursor(at query.ProductPlace) *string {
	return cursorOf(uint64(at.DecidedMs), at.Tie)
}

func (l *deviceLog) place(cursor string) (at query.ProductPlace, ok bool) {
	var ms uint64
	ok = readCursor(cursor, &ms, &at.Tie)
	at.DecidedMs = int64(ms)
	return at, ok
}

func (l *deviceLog) show(e *query.LogEntry) any { return showLogEntry(e) }

// productLog is the log of all devices of a product.
type productLog struct{ q query.ProductLogQuery }

// productLogAnswer is an entry of a product's log.
type productLogAnswer struct {
	Device string `json:"device"`
	logAnswer
}

func (l *productLog) product() *license.Product { return l.q.Product }
func (l *productLog) filter() *query.LogFilter  { return &l.q.LogFilter }

func (l *productLog) each(ctx context.Context, from Queries, limit int, fn func(*query.LogEntry) bool) error {
	q := l.q
	q.Limit = limit
	return from.ProductLog(ctx, q, fn)
}

func (l *productLog) follow(
	ctx context.Context, from Queries, idle func(query.ProductPlace), fn func(*query.LogEntry) bool,
) error {
	return from.FollowProduct(ctx, l.q, idle, fn)
}

func (l *productLog) goOn(at query.ProductPlace) { l.q.After = at }

func (l *productLog) cursor(at query.ProductPlace) *string {
	return cursorOf(uint64(at.DecidedMs), at.Tie, uint64(at.Device.InProduct()))
}

func (l *productLog) place(cursor string) (at query.ProductPlace, ok bool) {
	var ms, device uint64
	ok = readCursor(cursor, &ms, &at.Tie, &device)
	at.DecidedMs, at.Device = int64(ms), query.LogDevice(device)
	return at, ok
}

func (l *productLog) show(e *query.LogEntry) any {
	return productLogAnswer{Device: string(e.Device), logAnswer: showLogEntry(e)}
}

// deviceLogQuery reads what the request asks of a device's log.
func (c *call) deviceLogQuery() (q query.LogQuery, err error) {
	if q.Product, err = c.product(); err != nil {
		return q, err
	}
	if q.Device, err = c.device(); err != nil {
		return q, err
	}
	if q.LogFilter, err = c.logFilter(); err != nil {
		return q, err
	}
	var ms uint64
	_, err = c.cursorNumbers(&ms, &q.After.Tie)
	q.After.DecidedMs = int64(ms)
	return q, err
}

// productLogQuery reads what the request asks of a product's log.
func (c *call) productLogQuery() (q query.ProductLogQuery, err error) {
	if q.Product, err = c.product(); err != nil {
		return q, err
	}
	if q.LogFilter, err = c.logFilter(); err != nil {
		return q, err
	}
	var ms, device uint64
	_, err = c.cursorNumbers(&ms, &q.After.Tie, &device)
	q.After.DecidedMs = int64(ms)
	q.After.Device = query.LogDevice(device)
	return q, err
}

// logFilter reads which entries the request asks for, and in which direction.
func (c *call) logFilter() (f query.LogFilter, err error) {
	if f.FromMs, _, err = c.instant("from"); err != nil {
		return f, err
	}
	to, until, err := c.instant("to")
	if err != nil {
		return f, err
	}
	if until {
		f.ToMs = max(to, 1) // 0 would mean the present; nothing was decided before 1970 either way.
	}
	var types []string
	for t := event.Connect; int(t) < event.Types; t++ {
		types = append(types, t.String())
	}
	kind, err := c.choice("type", types...)
	if err != nil {
		return f, err
	}
	f.Type = event.ParseType([]byte(kind))
	if err := c.verdict(&f); err != nil {
		return f, err
	}
	if f.Topic = []byte(c.query("topic")); len(f.Topic) > event.TopicBytesMax {
		return f, invalid("topic", fmt.Sprintf("must have %d bytes at most", event.TopicBytesMax))
	}
	order, err := c.choice("order", "asc", "desc")
	f.Oldest = order == "asc"
	return f, err
}

// verdict reads which verdict the request asks for, of those that are logged.
func (c *call) verdict(f *query.LogFilter) error {
	var names []string
	codes := map[string]event.Code{}
	for _, code := range event.EventCodes() {
		if code != event.UnknownProduct && code != event.InvalidEvent {
			names, codes[code.String()] = append(names, code.String()), code
		}
	}
	name, err := c.choice("verdict", names...)
	f.Verdict, f.ByVerdict = codes[name], name != ""
	return err
}
