package query

import (
	"errors"
	"log/slog"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// Ledger is what the ledger lists.
type Ledger interface {
	Audit(before uint64, fn func(license.AuditEntry) bool) error
	Licenses(product uint32, after uint64, fn func([]views.License) (more bool, err error)) error
	// Totals returns what a product has used in all, TotalsBefore what it had used before a quarter of an hour, or before
	// quarter from if that is not known any more.
	Totals(product uint32) (record.BucketTotals, error)
	TotalsBefore(product, quarter uint32) (sum record.Totals, from uint32, err error)
	// TotalsAt sets sums to what a product had used before each of some instants, or before quarter from.
	TotalsAt(at []record.Bucket, sums []record.Totals) (from uint32, err error)
	// WrittenFor returns the shortest time for which usage is kept that was written up to untilMs, if that is shorter than
	// retention, which holds at nowMs; else 0.
	WrittenFor(retention time.Duration, nowMs int64) (shortest time.Duration, untilMs int64, err error)
	DeviceLedger
}

// Options is what a Reader is made of.
type Options struct {
	Engine *shard.Engine
	RawLog RawLog // of Engine
	Ledger Ledger // of Engine
	// Retention is how long the raw log is kept.
	Retention time.Duration
	// UsageRetention is how long usage of a month is kept after its end; 0: for ever.
	UsageRetention time.Duration
	Logger         *slog.Logger // told when the ledger cannot be read; nil: nobody is
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	if o.Engine == nil || o.RawLog == nil || o.Ledger == nil {
		errs = append(errs, errors.New("query: Engine, RawLog and Ledger are needed"))
	}
	if o.Retention <= 0 {
		errs = append(errs, errors.New("query: Retention must be positive"))
	}
	return errors.Join(errs...)
}

// Reader answers questions. It is safe for concurrent use, as long as its engine is open.
type Reader struct {
	engine    *shard.Engine
	raw       RawLog
	ledger    Ledger
	retention time.Duration
	logger    *slog.Logger

	usageRetention time.Duration
	usesAtOnce     int // devices whose sums are gathered at once
}

// New returns a Reader.
func New(o Options) (*Reader, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reader{
		engine: o.Engine, raw: o.RawLog, ledger: o.Ledger, retention: o.Retention, logger: o.Logger,
		usageRetention: o.UsageRetention, usesAtOnce: deviceUsesAtOnce,
	}, nil
}

// View runs fn as shard.Engine.View does: fn must be short, and keeps nothing but values that were copied out.
func (r *Reader) View(fn func(*View)) error {
	return r.engine.View(func(v *shard.View) { fn(&View{v}) })
}

// Audit calls fn for audit entries, newest first, beginning before change before (0: with the newest), until fn returns
// false. What was answered before the call is there.
func (r *Reader) Audit(before uint64, fn func(license.AuditEntry) bool) error {
	if err := r.engine.DurableInLedger(); err != nil {
		return err
	}
	return r.ledgerErr(r.ledger.Audit(before, fn))
}

// ledgerErr turns an error of reading the ledger into shard.ErrLedgerLags, which concerns the request alone.
func (r *Reader) ledgerErr(err error) error {
	if err == nil {
		return nil
	}
	r.logger.Error("the ledger cannot be read", "error", err)
	return shard.ErrLedgerLags
}
