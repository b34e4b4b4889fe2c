package views

import (
	"context"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

// Position is a place in the log: a group and the hash of the chain that ends with it. The zero Position lies before
// the first group. Package retention/ledger declares the same again, for it imports nothing of shard. Package usage
// converts one into the other, which compiles only while their fields are the same.
type Position struct {
	Seq   uint64
	Chain [16]byte
}

// Group is a durable group of the log as views get it. It must not be changed; its slices may be kept.
type Group struct {
	Position
	FirstMs, LastMs int64       // decided times, Unix milliseconds
	Head            record.Head // totals and administrative changes
	Effects         [][]byte    // columns of record.ReadEffects
	Catalogue       *license.Catalogue
}

func (g *Group) bytes() int {
	n := groupOverheadBytes + len(g.Head.Totals)*groupTotalsBytes
	for _, e := range g.Effects {
		n += len(e)
	}
	for _, c := range g.Head.Changes {
		n += len(c)
	}
	return n
}

// groupTotalsBytes is about the size of one product's totals in a head, with its denials.
const groupTotalsBytes = 192

// Devices says which device an ordinal of a record names. It is safe for concurrent use.
type Devices interface {
	Name(counters.Ordinal) (product uint32, name []byte)
}

// View is computed from the log. Its methods are called by one goroutine, but Position by any. It is an Applier or a
// LogReader, too.
type View interface {
	// Name is one word, for logs and metrics.
	Name() string
	// Position is the last group that the view holds durably.
	Position() Position
	// Skip moves the position over groups that the log no longer has: what the view shows begins behind them.
	Skip(to Position, availableFromMs int64) error
	// Close ends the view.
	Close() error
}

// Slight is a view that writes next to nothing. It does not rest while the disk runs short: it would hold segments of
// the log that are many times as large as what it writes.
type Slight interface {
	// Slight does nothing: it marks the view.
	Slight()
}

// Applier is a View that is given the groups.
type Applier interface {
	View
	// Apply adds groups, which follow each other and the view's position, and returns when they are durable, with the
	// position moved. It may return before, so that a call takes no longer than a second: with the position moved to one
	// of the groups, or not at all if a group takes several calls. Then, as after an error, it is called again with the
	// groups behind the position.
	Apply(groups []*Group, devices Devices) error
}

// LogReader is a View that reads the log itself: it needs events, which groups do not have, since handing them over
// would hold some 50 MB a second in memory for the slowest view. It never rests, for it frees segments of the log.
type LogReader interface {
	View
	// Follow reads the log up to group last, which is durable. Position says how much of it is durable in the view. It is
	// called about every second, also when there is nothing new, and ends early when ctx does.
	Follow(ctx context.Context, last uint64, devices Devices) error
	// PositionMs is the decided time of the last event of Position, Unix milliseconds.
	PositionMs() int64
}

// Gapped is a view that can say behind which gap it begins.
type Gapped interface {
	// AvailableFromMs returns the instant before which the view has not everything, Unix milliseconds: what the last Skip
	// was told, or a later one; 0 if nothing is missing.
	AvailableFromMs() (int64, error)
}

// License is one consumption of a licence as the ledger keeps it, for ever (R7).
type License struct {
	Serial     uint64 // unique in the daemon; of one product they rise with time
	Product    uint32
	Device     string
	Pool       uint32
	ActivatedS int64 // Unix seconds
	Generation uint32
}
