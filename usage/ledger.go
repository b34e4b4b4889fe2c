package usage

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// Key spaces of the ledger; FORMAT.md draws keys and values.
const (
	keyLicenses = "L" // + product, last serial of the block
	keyEnds     = "E" // + product, serial: each licence ends once
	keyTotals   = "Q" // + product, quarter of an hour
	keyUpgrades = "I" // + product, device with its length, id
	keyAnswers  = "C" // + producer, sequence
	keyBegin    = "B" // the instant before which groups are missing
)

// Ledger is the view. Its reading methods are safe for concurrent use, also beside Apply.
type Ledger struct {
	store Store
}

// Store is an ordered map on disk whose transactions carry the position that they lead to: ledger.Store.
type Store interface {
	Position() ledger.Position
	Write(entries []ledger.Entry, to ledger.Position) error
	WritePart(entries []ledger.Entry) error
	Get(key []byte) (value []byte, found bool, err error)
	Scan(prefix, start []byte, reverse bool, fn func(key, value []byte) (more bool, err error)) error
	// Maintain deletes some rows whose time is over at nowMs, Unix milliseconds, and gives back some of their space.
	Maintain(ctx context.Context, nowMs int64) error
	Close() error
}

// New returns the view that store keeps.
func New(store Store) *Ledger { return &Ledger{store: store} }

// Name implements views.View.
func (l *Ledger) Name() string { return "ledger" }

// Position implements views.View.
func (l *Ledger) Position() views.Position { return views.Position(l.store.Position()) }

// Close implements views.View.
func (l *Ledger) Close() error { return l.store.Close() }

// Skip implements views.View.
func (l *Ledger) Skip(to views.Position, availableFromMs int64) error {
	value := binary.BigEndian.AppendUint64(nil, uint64(availableFromMs))
	return l.store.Write([]ledger.Entry{{Key: []byte(keyBegin), Value: value}}, ledger.Position(to))
}

// AvailableFromMs implements views.Gapped: the instant before which groups are missing, Unix milliseconds, 0 if none
// are.
func (l *Ledger) AvailableFromMs() (int64, error) {
	value, found, err := l.store.Get([]byte(keyBegin))
	if err != nil || !found || len(value) != 8 {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(value)), nil
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

// Activations calls fn for every quarter of an hour of a product from number from on, with how many devices connected
// for the first time in it.
func (l *Ledger) Activations(product, from uint32, fn func(quarter uint32, activations uint64)) error {
	prefix := key32(keyTotals, product)
	start := binary.BigEndian.AppendUint32(key32(keyTotals, product), from)
	return l.store.Scan(prefix, start, false, func(k, v []byte) (bool, error) {
		if len(k) != len(prefix)+4 {
			return false, errors.New("totals have a damaged key")
		}
		t, err := record.DecodeTotals(v)
		if err != nil {
			return false, err
		}
		fn(binary.BigEndian.Uint32(k[len(prefix):]), t.Activations)
		return true, nil
	})
}

// Licenses calls fn for the licences that a product has consumed with a serial above after, a block at a time, in the
// order of serials, until fn returns false.
func (l *Ledger) Licenses(product uint32, after uint64, fn func([]views.License) (more bool, err error)) error {
	return l.store.Scan(key32(keyLicenses, product), key64(keyLicenses, product, after+1), false,
		func(_, block []byte) (bool, error) {
			var rows []views.License
			err := decodeLicenses(product, block, func(r *views.License) {
				if r.Serial > after {
					rows = append(rows, *r)
				}
			})
			if err != nil || len(rows) == 0 {
				return true, err
			}
			after = rows[len(rows)-1].Serial
			return fn(rows)
		})
}
