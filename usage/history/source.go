package history

import (
	"context"
	"time"

	"github.com/meterd/meterd/event"
)

// Source is what samples are taken of. Its methods are safe for concurrent use.
type Source interface {
	// Now returns every product as it stands in a durable group, and the time of that look, Unix milliseconds.
	Now() (products []Product, atMs int64, err error)
	// Settle returns when everything that was decided before the call is in what Quarters reads.
	Settle() error
	// Before returns what a product had used before a quarter of an hour, numbered since the Unix epoch.
	Before(product, quarter uint32) (Usage, error)
	// Quarters calls fn for what a product had used at the end of each quarter in which it used anything, from one quarter
	// on, ascending, until fn returns false.
	Quarters(product, from uint32, fn func(quarter uint32, u *Usage) (more bool)) error
}

// Product is a product at an instant.
type Product struct {
	ID            uint32
	Account, Name string
	Usage         Usage
	// Of licences and devices, now: what the ledger does not keep.
	LicensesTotal, LicensesUsed, LicensesAvailable uint64
	DevicesActive, DevicesOnline                   uint64
}

// Usage is what a product has used since it was made. Every number only grows.
type Usage struct {
	Up, Down                 uint64 // units
	OTAAllowance, OTAPacks   uint64 // units
	VoidAllowance, VoidPacks uint64 // units given back (R17)
	Licenses                 uint64
	Denied                   []Denied // ascending
	WouldDeny                []Denied // ascending; accepted, since the product only observes its quotas
}

// Denied is how much was denied of one type for one reason, or would have been: units of messages (R13), else events.
type Denied struct {
	Type  event.Type
	Code  event.Code
	Count uint64
}

// Room says how the disk stands.
type Room struct {
	// Short: nothing is written.
	Short func() bool
	// Full: the children end.
	Full func() bool
}

// Starter starts the child of a store.
type Starter interface {
	// Start starts the process. It ends with ours, however that ends.
	Start(store ChildOptions) (Process, error)
}

// ChildOptions is what a child is started with.
type ChildOptions struct {
	Name string // of the store, one word
	// Directory is the working directory; Path and Socket are relative to it.
	Directory, Path, Socket           string
	Retention, Resolution, StaleAfter time.Duration
	CacheBytes                        int64
}

// Process is a child.
type Process interface {
	// Opened is closed when its files are open.
	Opened() <-chan struct{}
	// Ended is closed when it has ended; Err then says how.
	Ended() <-chan struct{}
	Err() error
	// Faulted reports whether it ended by a fault of its own, and not by a signal from outside.
	Faulted() bool
	// End asks it to flush and end; Kill ends it at once.
	End()
	Kill()
	PID() int
}

// store is where samples are written to and read from.
type store interface {
	// write adds samples, all or none, as Prometheus writes them. shown: queries see them when it returns.
	write(ctx context.Context, body []byte, shown bool) error
	// get asks a reading path with an encoded query.
	get(ctx context.Context, path, query string) (Answer, error)
}
