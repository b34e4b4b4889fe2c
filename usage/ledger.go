package usage

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// Key spaces of the ledger; FORMAT.md draws keys and values.
const (
	keyLicenses   = "L" // + product, last serial of the block
	keyEnds       = "E" // + product, serial: each licence ends once
	keyTotals     = "Q" // + product, quarter of an hour, day
	keyDays       = "Y" // + product, kind of day, day
	keyNewest     = "T" // + product
	keyDevices    = "D" // + level, product, day, first ordinal, group
	keyMerged     = "G" // + product: the last day whose device-days are merged
	keyOTA        = "O" // + product, month, ordinal, day
	keyVoids      = "V" // + product, month of the void, ordinal, day, id
	keyUpgrades   = "I" // + product, device with its length, id
	keyAnswers    = "C" // + producer, sequence
	keyBegin      = "B" // the instant before which groups are missing
	keyRetentions = "R" // for how long rows are kept
)

// Ledger is the view. Its reading methods are safe for concurrent use, also beside Apply: each sees what was applied
// before it.
type Ledger struct {
	*Rows
	store     Store
	retention time.Duration
	// Of merging device-days, Apply's alone: where it goes on, how many it gathers at a time and may merge in one call,
	// and how many more in this one.
	merging              merging
	mergeRows, mergeLeft int
	// merged is the last day whose device-days are merged, by product; Apply's alone.
	merged  map[uint32]uint32
	isTidy  bool // there are no blocks on level 0 of days that are merged; Apply's alone
	isNoted bool // the row of retentions has retention; Apply's alone
}

// Options is what a Ledger is made of.
type Options struct {
	Store Store
	// Retention is how long usage of a calendar month is kept after its end; 0 keeps it for ever. Licences, their ends
	// and the audit log are always kept.
	Retention time.Duration
}

// Store is an ordered map on disk whose transactions carry the position that they lead to: ledger.Store.
type Store interface {
	Position() ledger.Position
	Write(entries []ledger.Entry, to ledger.Position) error
	WritePart(entries []ledger.Entry) error
	Reader
	// Maintain deletes some rows whose time is over at nowMs, Unix milliseconds, and gives back some of their space.
	Maintain(ctx context.Context, nowMs int64) error
	// Instant returns the rows as they stand now, whatever is written later.
	Instant() (ledger.Reader, error)
	Close() error
}

// New returns the view that a store keeps.
func New(o Options) *Ledger {
	return &Ledger{
		Rows: NewRows(o.Store), store: o.Store, retention: o.Retention, mergeRows: mergeRows, merged: map[uint32]uint32{},
	}
}

// Name implements views.View.
func (l *Ledger) Name() string { return "ledger" }

// Position implements views.View.
func (l *Ledger) Position() views.Position { return views.Position(l.store.Position()) }

// Instant are the ledger's rows as they stood at one group.
type Instant struct {
	*Rows
	reader ledger.Reader
}

// Instant returns the rows as they stand now; it must be closed. It is called between two calls of Apply (views.Pin).
func (l *Ledger) Instant() (*Instant, error) {
	r, err := l.store.Instant()
	if err != nil {
		return nil, err
	}
	return &Instant{Rows: NewRows(r), reader: r}, nil
}

// Position returns the group.
func (i *Instant) Position() views.Position { return views.Position(i.reader.Position()) }

// Close lets the rows go. It may be called again.
func (i *Instant) Close() error { return i.reader.Close() }

// Close implements views.View.
func (l *Ledger) Close() error { return l.store.Close() }

// Skip implements views.View.
func (l *Ledger) Skip(to views.Position, availableFromMs int64) error {
	value := binary.BigEndian.AppendUint64(nil, uint64(availableFromMs))
	return l.store.Write([]ledger.Entry{{Key: []byte(keyBegin), Value: value}}, ledger.Position(to))
}

func key32(space string, n uint32) []byte { return binary.BigEndian.AppendUint32([]byte(space), n) }

func key64(space string, n uint32, m uint64) []byte {
	return binary.BigEndian.AppendUint64(key32(space, n), m)
}

func upgradeKey(product uint32, device, id []byte) []byte {
	k := append(key32(keyUpgrades, product), byte(len(device)))
	return append(append(k, device...), id...)
}

// Upgrade returns what is known of the OTA of a device by its id, nil if nothing (R17).
func (l *Ledger) Upgrade(product uint32, device, id []byte) (*record.Upgrade, error) {
	value, found, err := l.store.Get(upgradeKey(product, device, id))
	if err != nil || !found {
		return nil, err
	}
	up, err := record.DecodeUpgrade(value)
	return &up, err
}

// Answer returns the answer to a producer's sequence, nil if it is not there.
func (l *Ledger) Answer(producer uint32, sequence uint64) ([]byte, error) {
	value, found, err := l.store.Get(key64(keyAnswers, producer, sequence))
	if err != nil || !found {
		return nil, err
	}
	return value, nil
}

// Audit calls fn for audit entries, newest first, beginning before change before (0: with the newest), until fn
// returns false.
func (l *Ledger) Audit(before uint64, fn func(license.AuditEntry) bool) error {
	var start []byte
	if before > 0 {
		start = license.AuditKey(before - 1)
	}
	return l.audit(start, true, fn)
}

// AuditFrom calls fn for audit entries behind change after, oldest first, until fn returns false.
func (l *Ledger) AuditFrom(after uint64, fn func(license.AuditEntry) bool) error {
	return l.audit(license.AuditKey(after+1), false, fn)
}

func (l *Ledger) audit(start []byte, reverse bool, fn func(license.AuditEntry) bool) error {
	return l.store.Scan([]byte(license.KeyAudit), start, reverse, func(k, v []byte) (bool, error) {
		entry, err := license.DecodeAudit(k, v)
		if err != nil {
			return false, err
		}
		return fn(entry), nil
	})
}
