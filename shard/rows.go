package shard

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meterd/meterd/retention"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
)

// rowQueue holds what durable groups have for the ledger until the ledger has it. It can be lost without harm: recovery
// finds it in the log again, which does not go before a checkpoint, and a checkpoint waits for it.
type rowQueue struct {
	mu       sync.Mutex
	room     *sync.Cond
	licenses []LicenseRow
	ends     []endRow
	upgrades []upgradeRow
	answers  []answerRow
	last     uint64       // the last group that was added
	spare    []LicenseRow // memory for licenses, used again
	kick     chan struct{}
	flushing sync.Mutex // one flush at a time
}

// endRow is the end of a licence as the ledger keeps it.
type endRow struct {
	record.End
	product uint32
}

// keyEnds is followed by product and serial: each licence ends once. FORMAT.md draws the value.
const keyEnds = "E"

func (q *rowQueue) init() {
	q.room = sync.NewCond(&q.mu)
	q.kick = make(chan struct{}, 1)
}

func (q *rowQueue) len() int { return len(q.licenses) + len(q.ends) + len(q.upgrades) + len(q.answers) }

// add queues the rows of a durable group. It waits when the ledger is far behind, unless the engine failed.
func (q *rowQueue) add(g *group, failed <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(g.licenses)+len(g.ends)+len(g.upgrades)+len(g.answers) == 0 {
		q.last = max(q.last, g.seq)
		return
	}
	for q.len() >= licenseRowsMax {
		select {
		case <-failed:
			return
		default:
		}
		signal(q.kick)
		q.room.Wait()
	}
	q.licenses = append(q.licenses, g.licenses...)
	q.ends = append(q.ends, g.ends...)
	q.upgrades = append(q.upgrades, g.upgrades...)
	q.answers = append(q.answers, g.answers...)
	q.last = max(q.last, g.seq)
	if q.len() >= licenseRowsMany {
		signal(q.kick)
	}
}

// take empties the queue.
func (q *rowQueue) take() *group {
	q.mu.Lock()
	defer q.mu.Unlock()
	g := &group{seq: q.last, licenses: q.licenses, ends: q.ends, upgrades: q.upgrades, answers: q.answers}
	q.licenses, q.ends, q.upgrades, q.answers = q.spare, nil, nil, nil
	q.spare = nil
	q.room.Broadcast()
	return g
}

// reuse takes back the memory of rows that are written.
func (q *rowQueue) reuse(rows []LicenseRow) {
	clear(rows)
	if cap(rows) > 2*licenseRowsMany {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = rows[:0]
}

// runLedger writes rows from time to time. Nobody waits for it: who must see them calls flushRows.
func (e *Engine) runLedger() {
	tick := time.NewTicker(ledgerFlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-e.rows.kick:
		case <-e.stop:
			return
		}
		if err := e.flushRows(); err != nil {
			e.fail(err)
			e.rows.room.Broadcast()
			return
		}
	}
}

// flushRows writes everything that is queued now and returns when it is durable.
func (e *Engine) flushRows() error {
	q := &e.rows
	q.flushing.Lock()
	defer q.flushing.Unlock()
	g := q.take()
	licenses, ends, ups := g.licenses, g.ends, g.upgrades
	if len(licenses)+len(ends)+len(ups)+len(g.answers) == 0 {
		return nil
	}
	w := ledgerWriter{ledger: e.o.Ledger}
	err := e.putLicenses(&w, licenses)
	for i := 0; i < len(ends) && err == nil; i++ {
		err = w.put(endKey(ends[i].product, ends[i].Serial), appendEnd(nil, &ends[i].End))
	}
	// Of one group's rows those of different lanes come in any order: an upgrade that was voided in the same group is
	// written last.
	for _, voided := range []bool{false, true} {
		for i := 0; i < len(ups) && err == nil; i++ {
			if ups[i].upgrade.Voided == voided {
				err = w.put([]byte(ups[i].key), ups[i].upgrade.AppendValue(nil))
			}
		}
	}
	for i := 0; i < len(g.answers) && err == nil; i++ {
		err = w.putFor(g.answers[i].key, g.answers[i].value, claims.KeptFor+time.Hour)
	}
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return fmt.Errorf("write rows of the ledger: %w", err)
	}
	e.upgrades.flushed(ups)
	e.producers.Passed(g.seq)
	q.reuse(licenses)
	return nil
}

// putLicenses writes licence rows in blocks, serials of one product in their order: what is above the ledger's last is
// missing after a crash, and nothing else.
func (e *Engine) putLicenses(w *ledgerWriter, rows []LicenseRow) error {
	for i := range rows {
		if rows[i].Device == "" {
			_, name := e.table.Name(rows[i].Ordinal)
			rows[i].Device = string(name)
		}
	}
	slices.SortFunc(rows, func(a, b LicenseRow) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Serial, b.Serial))
	})
	for from := 0; from < len(rows); {
		to := from + 1
		for to < len(rows) && to-from < licenseBlockRows && rows[to].Product == rows[from].Product {
			to++
		}
		if err := w.put(licensesKey(rows[from].Product, rows[to-1].Serial), appendLicenses(nil, rows[from:to])); err != nil {
			return err
		}
		from = to
	}
	return nil
}

func endKey(product uint32, serial uint64) []byte {
	k := binary.BigEndian.AppendUint32([]byte(keyEnds), product)
	return binary.BigEndian.AppendUint64(k, serial)
}

func appendEnd(dst []byte, e *record.End) []byte {
	dst = append(dst, byte(e.How))
	return binary.AppendVarint(dst, e.EndedS)
}

// ledgerWriter gathers entries into transactions that the ledger takes for certain.
type ledgerWriter struct {
	ledger  Ledger
	entries []retention.Entry
	bytes   int
}

func (w *ledgerWriter) put(key, value []byte) error { return w.putFor(key, value, 0) }

// putFor is put for what may go after a while; 0 keeps it.
func (w *ledgerWriter) putFor(key, value []byte, keep time.Duration) error {
	n := len(key) + len(value) + 32
	if w.bytes+n > retention.LedgerTransactionBytesMax || len(w.entries) == retention.LedgerTransactionEntriesMax {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.entries = append(w.entries, retention.Entry{Key: key, Value: value, Keep: keep})
	w.bytes += n
	return nil
}

func (w *ledgerWriter) flush() error {
	if len(w.entries) == 0 {
		return nil
	}
	err := w.ledger.Write(w.entries)
	w.entries, w.bytes = nil, 0
	return err
}

// upgradeRow is an OTA with an id as the ledger keeps it.
type upgradeRow struct {
	key     string
	upgrade record.Upgrade
}

// keyUpgrades is followed by product, the device's name with its length before it, and the id. FORMAT.md draws the
// value.
const keyUpgrades = "I"

func appendUpgradeKey(dst []byte, product uint32, device, id []byte) []byte {
	dst = append(dst, keyUpgrades...)
	dst = binary.BigEndian.AppendUint32(dst, product)
	dst = append(dst, byte(len(device)))
	dst = append(dst, device...)
	return append(dst, id...)
}

// upgrades are the OTAs with ids that the ledger does not have yet. What it has is read from there, before the gate is
// entered.
type upgrades struct {
	mu      sync.Mutex
	pending map[string]*record.Upgrade
	epoch   uint64 // raised when something went from pending to the ledger
}

func (u *upgrades) init() { u.pending = map[string]*record.Upgrade{} }

// flushed forgets what the ledger has now, unless it was voided meanwhile.
func (u *upgrades) flushed(rows []upgradeRow) {
	if len(rows) == 0 {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.epoch++
	for _, r := range rows {
		if p := u.pending[r.key]; p != nil && p.Voided == r.upgrade.Voided {
			delete(u.pending, r.key)
		}
	}
}

func (u *upgrades) now() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.epoch
}

// find returns the pending upgrade of a key. stale is true if it is not pending, but may have come to the ledger since
// epoch.
func (u *upgrades) find(key []byte, epoch uint64) (up *record.Upgrade, stale bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	up = u.pending[string(key)]
	return up, up == nil && u.epoch != epoch
}

func (u *upgrades) put(key []byte, up *record.Upgrade) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pending[string(key)] = up
}

// stored reads an upgrade from the ledger, nil if it has none.
func (e *Engine) storedUpgrade(key []byte) (*record.Upgrade, error) {
	value, found, err := e.o.Ledger.Get(key)
	if err != nil || !found {
		return nil, err
	}
	up, err := record.DecodeUpgrade(value)
	return &up, err
}
