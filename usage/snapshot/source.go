package snapshot

import (
	"context"
	"fmt"

	"github.com/meterd/meterd/license"
)

// About says what a snapshot shows.
type About struct {
	Account string // its products alone; empty: those of all accounts
	Month   uint32 // the period, a calendar month in each product's own zone, counted from January 2020
	Group   uint64 // everything decided up to this group of the log is in it, and nothing later
	AsOfMs  int64  // the last decided time of what is in it, Unix milliseconds
	Final   bool   // the month is over for every product; without one, in every time zone
	Rows    uint64 // how many devices have a row
}

// Usage is what was used within the period (R10 to R17).
type Usage struct {
	MessagesUp, MessagesDown uint64 // units
	MessagesDenied           uint64 // units that the quota denied (R11)
	// OTAUnits are all units, OTATopupUnits those among them from packs. What was given back is deducted in the month in
	// which that happened, so both may be negative.
	OTAUnits, OTATopupUnits int64
	OTADenied               uint64 // upgrades that the quota denied
	LicensesConsumed        uint64
}

// Row is one device that was ever active.
type Row struct {
	Product    string
	Device     []byte // valid until the callback returns
	Active     bool   // as of the snapshot; else it is unactivated
	ActivatedS int64  // when its current or last licence was consumed, Unix seconds
	ExpiresS   int64  // when that licence ends or ended, Unix seconds
	Usage
}

// ProductRow is one product.
type ProductRow struct {
	Product, Account string
	DevicesActive    uint64 // as of the snapshot
	Licenses         license.Counts
	Plan             license.Plan
	PlanSinceMs      int64 // Unix milliseconds
	Usage
}

// Source gives the rows of one snapshot, all as of one instant. Its methods are called by one goroutine, in this order:
// About, Devices once, Products once, Close. An error of Devices or Products means that no snapshot can be made;
// a *Difference among them means that numbers do not add up.
type Source interface {
	About() About
	// Devices calls fn for every device in the scope, and then compares the sums of the rows with the totals of their
	// products, and both with the ledger. An error of fn's is returned as it is.
	Devices(ctx context.Context, fn func(*Row) error) error
	// Products calls fn for every product in the scope, in the order of their names. Their usage are the totals, with
	// which Devices has compared the rows.
	Products(ctx context.Context, fn func(*ProductRow) error) error
	// Close lets go of what the source holds: segments of the log, a checkpoint, a read transaction of the ledger. It
	// may be called at any time, also twice.
	Close() error
}

// Difference is the error for numbers that should be equal and are not: a snapshot of them is refused.
type Difference struct {
	Product string
	Field   string // a column of usage, or what else was compared
	// Left and Right say where the numbers come from: "rows", "totals", "ledger", "pools".
	Left, Right             string
	LeftNumber, RightNumber int64
}

func (d *Difference) Error() string {
	return fmt.Sprintf("product %q: %s is %d by the %s, but %d by the %s: numbers that do not add up make no snapshot; "+
		"run meterd verify on a copy of the data directory, and keep the directory until the cause is known",
		d.Product, d.Field, d.LeftNumber, d.Left, d.RightNumber, d.Right)
}
