package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/backup"
	"github.com/meterd/meterd/docs"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage/history"
)

// Engine keeps the state; *shard.Engine is one.
type Engine interface {
	Catalogue() *license.Catalogue
	NowMs() int64
	ClockLeapt() bool
	Views() []views.Status
	ConfirmClock(name string, token *access.Token) error
	Durable() error
	DurableInLedger() error
	Administer(name string, token *access.Token, fn shard.ChangeFunc) error
	Producers(account uint32, after shard.ProducerKey, n int) []shard.Producer
	EraseLog(name string, token *access.Token, product string, device []byte) (untilMs int64, err error)
}

// Queries looks at what Engine keeps; *query.Reader is one.
type Queries interface {
	View(fn func(*query.View)) error
	Held(ctx context.Context, producers map[uint32]int64) error
	Licenses(q query.LicenseQuery, fn func(*query.License) bool) error
	DeviceLog(ctx context.Context, q query.LogQuery, fn func(*query.LogEntry) bool) error
	ProductLog(ctx context.Context, q query.ProductLogQuery, fn func(*query.LogEntry) bool) error
	AdmitProductLog() (leave func(), err error)
	FollowDevice(
		ctx context.Context, q query.LogQuery, idle func(query.ProductPlace), fn func(*query.LogEntry) bool,
	) error
	FollowProduct(
		ctx context.Context, q query.ProductLogQuery, idle func(query.ProductPlace), fn func(*query.LogEntry) bool,
	) error
	LogAvailableFromMs(p *license.Product, fromMs int64) (int64, error)
	Forecast(p *license.Product, weeks int) (query.Forecast, error)
	Usage(q query.UsageQuery) (*query.Usage, error)
	UsageDayKept(p *license.Product) (uint32, error)
	DeviceDays(p *license.Product, device []byte, from, to uint32) (list []query.DeviceDay, isKnown bool, err error)
	EachDeviceDay(
		ctx context.Context, p *license.Product, from, to uint32, fn func(device string, days []query.DeviceDay) error,
	) error
	TopDevices(ctx context.Context, q query.TopQuery) ([]query.DeviceUse, error)
	WhatIf(ctx context.Context, p *license.Product, from, to, messagesPerDay uint32) (*query.WhatIf, error)
	Audit(before uint64, fn func(license.AuditEntry) bool) error
}

// History answers PromQL; *history.History is one.
type History interface {
	Query(ctx context.Context, q history.Query) (history.Answer, error)
	// Status says how the history stands, in lines for people.
	Status() []string
}

// Options is what a Handler is made of.
type Options struct {
	Engine  Engine
	Queries Queries
	// Snapshots makes and keeps sealed snapshots; nil: there are no calls for them.
	Snapshots Snapshots
	// Webhooks delivers what webhooks are told; nil: there are no calls for them.
	Webhooks Webhooks
	// History answers PromQL; nil: it is switched off.
	History History
	// Backup opens the data directory as of now, to be copied; nil: there is no call for that.
	Backup  func(ctx context.Context) (*backup.Cut, error)
	Logger  *slog.Logger // told what could not be answered; nil: nobody is
	Metrics *metric.Set  // what /metrics shows; New adds to it
	// Ready reports whether events are taken: not while the daemon recovers or drains.
	Ready func() bool
	// Loopback lets /metrics be read without a token.
	Loopback bool
	// TimeZone is given to products that name none; UTC by default.
	TimeZone string
	// DiskFree returns the bytes that are free for the data directory.
	DiskFree func() uint64
	// Disk says what the data directory takes.
	Disk func() Disk
	// Health says what on the disk is damaged, in lines for people; nil: nobody looks.
	Health  func() []string
	Version string // of the daemon, for people
	Demo    bool   // the daemon shows made-up data
	Cluster string // the name of the cluster that it is of; empty: it is alone
	// Hop is what nodes of the cluster know each other by; empty: no node forwards to this one.
	Hop access.Hop
	// Cell says what of a cluster the engine decides for.
	Cell Cell
}

func (o *Options) fill() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TimeZone == "" {
		o.TimeZone = "UTC"
	}
}

// Validate reports every fault of the options at once; zeroes stand for defaults.
func (o Options) Validate() error {
	o.fill()
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("console/api: "+what))
		}
	}
	need(o.Engine != nil, "Engine is needed")
	need(o.Queries != nil, "Queries is needed")
	need(o.Metrics != nil, "Metrics is needed")
	need(o.Ready != nil, "Ready is needed")
	need(o.DiskFree != nil, "DiskFree is needed")
	need(o.Disk != nil, "Disk is needed")
	if _, err := calendar.ParseZone(o.TimeZone); err != nil {
		errs = append(errs, fmt.Errorf("console/api: TimeZone %q: %w", o.TimeZone, err))
	}
	return errors.Join(errs...)
}

// Handler answers people. It is safe for concurrent use.
type Handler struct {
	o         Options
	engine    Engine
	queries   Queries
	webhooks  Webhooks
	logger    *slog.Logger
	penalties *access.Penalties
	readers   readPlaces // of logs
	sorted    readPlaces // of logs of products that are read as a whole
	followers readPlaces // of logs, of what comes
	downloads readPlaces // of sealed files
	backups   readPlaces
	usages    readPlaces
	lookers   readPlaces // of all devices
	signIns   oneTime[invitation]
	tickets   oneTime[ticket]
	usageBody int // bytes of an answer about usage that are gathered before it is sent
	openAPI   func() ([]byte, error)
	route     fasthttp.RequestHandler
}

// New returns a Handler and adds its gauges to o.Metrics, once for each set.
func New(o Options) (*Handler, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.fill()
	h := &Handler{
		o: o, engine: o.Engine, queries: o.Queries, webhooks: o.Webhooks, logger: o.Logger,
		penalties: access.NewPenalties(nil),
		readers:   readPlaces{most: logReadersMax, mostAToken: logReadersATokenMax},
		sorted:    readPlaces{most: sortedStreamsMax, mostAToken: sortedStreamsATokenMax},
		followers: readPlaces{most: logFollowersMax, mostAToken: logFollowersATokenMax},
		downloads: readPlaces{most: downloadsMax, mostAToken: downloadsATokenMax},
		backups:   readPlaces{most: backupsMax, mostAToken: backupsMax},
		usages:    readPlaces{most: usageReadersMax, mostAToken: usageReadersATokenMax},
		lookers:   readPlaces{most: deviceLookersMax, mostAToken: deviceLookersATokenMax},
		signIns:   oneTime[invitation]{within: signInCodeFor, most: signInCodesMax, mostAToken: signInCodesATokenMax},
		tickets:   oneTime[ticket]{within: ticketFor, most: ticketsMax, mostAToken: ticketsATokenMax},
	}
	h.usageBody = usageBodyBytes
	h.openAPI = sync.OnceValues(docs.OpenAPI) // Most daemons are never asked.
	h.route = h.routes().Handler
	h.registerMetrics()
	return h, nil
}

// Handle answers one request.
func (h *Handler) Handle(ctx *fasthttp.RequestCtx) { h.route(ctx) }
