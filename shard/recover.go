package shard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
)

// recover joins control records, checkpoint and log into the state. Whatever of them overlaps changes nothing.
func (e *Engine) recover() error {
	began := time.Now()
	cat, err := license.Load(e.scanControl, e.o.Region, e.o.Retention)
	if err != nil {
		return err
	}
	e.catalogue.Store(cat)
	j := &joiner{e: e, cat: cat, serials: map[uint32]uint64{}}
	begin, end, err := j.checkpoint()
	if err != nil {
		return err
	}
	last, lastMs := e.o.Log.Last()
	e.producers.Passed(begin) // A checkpoint waits for the ledger.
	if last < end {
		return fmt.Errorf(
			"the commit log ends at group %d, but the checkpoint reflects group %d: the log lost its tail; restore the data directory from a backup",
			last,
			end,
		)
	}
	restored := time.Now()
	if err := errors.Join(j.replay(begin+1), j.close()); err != nil {
		return fmt.Errorf("replay the commit log: %w", err)
	}
	if err := j.checkLedger(); err != nil {
		return err
	}
	e.sealedSeq.Store(last)
	e.durableSeq.Store(last)
	e.checkpoint.begin.Store(begin)
	e.sinceRows.Store(int64(j.rows))
	e.commands.Start(cat.Seq)
	e.clock = newDecidedClock(e.o.Clock, max(lastMs, j.lastMs))
	e.producers.Restored(max(lastMs, j.lastMs))
	if err := e.count(cat); err != nil {
		return err
	}
	e.logger.Info("state recovered", "devices", e.table.Len(), "groups_replayed", last-begin, "rows_replayed", j.rows,
		"checkpoint_seconds", restored.Sub(began).Seconds(), "replay_seconds", time.Since(restored).Seconds())
	return nil
}

func (e *Engine) scanControl(prefix string, fn func(key, value []byte) error) error {
	return e.o.Ledger.Scan([]byte(prefix), nil, false, func(k, v []byte) (bool, error) {
		return true, fn(k, v)
	})
}

// count counts active and online devices anew and gives the table room for the first batch.
func (e *Engine) count(cat *license.Catalogue) error {
	for s := range shards {
		for slot := range e.table.Slots(s) {
			p := cat.ProductByID(slot.Product())
			if p == nil {
				continue
			}
			if slot.License().State() == counters.LicenseActive {
				p.State.Active.Add(1)
			}
			if slot.Session().Online() {
				p.State.Online.Add(1)
			}
		}
	}
	return e.grow(0)
}

// joiner applies what recovery reads. It is the law in code: every step takes the larger of two values.
type joiner struct {
	e       *Engine
	cat     *license.Catalogue
	serials map[uint32]uint64 // the last serial of each product that the ledger has
	index   *counters.Index
	shares  []joinShare
	rows    uint64
	seq     uint64 // of the group in hand
	lastMs  int64
}

// checkpoint loads the newest checkpoint, if there is one.
func (j *joiner) checkpoint() (begin, end uint64, err error) {
	r, err := j.e.o.Checkpoints.Latest()
	if err != nil || r == nil {
		return 0, 0, err
	}
	defer r.Close()
	loads := newShardLoader(j.e.table, j.e.o.Lanes)
	defer func() { _ = loads.wait() }() // On every way out; its error is looked at below.
	shard, image, bytes := -1, []byte(nil), int64(0)
	load := func() error {
		if shard < 0 {
			return nil
		}
		full := image
		image = nil // The loader's now.
		return loads.load(shard, full)
	}
	err = r.Sections(func(kind uint16, data []byte) error {
		bytes += int64(len(data))
		if kind != sectionShard {
			return j.section(kind, data)
		}
		if len(data) == 0 {
			return errors.New("a section of the device table is empty")
		}
		if int(data[0]) != shard {
			if err := load(); err != nil {
				return err
			}
			shard = int(data[0])
		}
		image = append(image, data[1:]...)
		return nil
	})
	if err == nil {
		err = load()
	}
	if loaded := loads.wait(); err == nil {
		err = loaded
	}
	if err != nil {
		return 0, 0, fmt.Errorf("load the checkpoint: %w", err)
	}
	j.e.checkpoint.bytes.Store(bytes)
	j.e.checkpoint.last.Store(time.Now().UnixNano())
	return r.B(), r.E(), nil
}

func (j *joiner) section(kind uint16, data []byte) error {
	switch kind {
	case sectionMeta:
		if len(data) != metaBytes {
			return errors.New("the section with the last times and serials has another length")
		}
		j.lastMs = max(j.lastMs, int64(binary.LittleEndian.Uint64(data)))
		j.serial(binary.LittleEndian.Uint64(data[8:]))
		if control := binary.LittleEndian.Uint64(data[16:]); control > j.cat.Seq {
			return fmt.Errorf("it was made under control record %d, but the ledger ends at %d", control, j.cat.Seq)
		}
		j.e.commands.JoinLast(binary.LittleEndian.Uint64(data[24:]))
		return nil
	case sectionProducers:
		return j.e.producers.LoadSection(data)
	case sectionPools:
		return j.poolEntries(data)
	case sectionTotals:
		return j.totals(data)
	case sectionCommands:
		return j.e.commands.ReadKept(data)
	case sectionRuns:
		return j.e.commands.ReadRuns(data)
	default:
		return fmt.Errorf("section of unknown kind %d: it was written by a newer version", kind)
	}
}

func (j *joiner) serial(n uint64) {
	if n > j.e.serial.Load() {
		j.e.serial.Store(n)
	}
}

func (j *joiner) poolEntries(data []byte) error {
	if len(data)%poolBytes != 0 {
		return errors.New("the section of pools is damaged")
	}
	for ; len(data) > 0; data = data[poolBytes:] {
		id := binary.LittleEndian.Uint32(data[1:])
		drawn, returned := binary.LittleEndian.Uint64(data[5:]), binary.LittleEndian.Uint64(data[13:])
		var err error
		if data[0] == giftsEntry {
			err = j.gifts(id, drawn)
		} else {
			err = j.Pool(record.Pool{ID: id, Drawn: drawn, Returned: returned})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *joiner) totals(data []byte) error {
	for len(data) > 0 {
		if len(data) < 2 {
			return errors.New("the section of totals is damaged")
		}
		n := int(binary.LittleEndian.Uint16(data))
		if n < 8 || len(data) < 2+n {
			return errors.New("the section of totals is damaged")
		}
		row := data[2 : 2+n]
		sum, err := record.DecodeTotals(row[8:])
		if err != nil {
			return err
		}
		j.e.totals.join(
			record.Quarter{Product: binary.LittleEndian.Uint32(row), Number: binary.LittleEndian.Uint32(row[4:])},
			&sum,
		)
		data = data[2+n:]
	}
	return nil
}

func (j *joiner) bindDevice(d record.Device) error {
	_, err := j.e.table.BindAt(counters.Ordinal(d.Ordinal), d.Product, d.Name)
	return err
}

func (j *joiner) slot(ordinal uint64) (*counters.Slot, error) {
	slot := j.e.table.SlotOf(counters.Ordinal(ordinal))
	if slot == nil {
		return nil, fmt.Errorf("a record names device %d, which no record has bound", ordinal)
	}
	return slot, nil
}

// Word implements record.Effects.
func (j *joiner) Word(index int, ordinal, word uint64) error {
	slot, err := j.slot(ordinal)
	if err == nil {
		slot.Join(index, word)
	}
	return err
}

// Closed implements record.Effects: the ledger's, not the state's.
func (j *joiner) Closed(int, uint64, uint64) error { return nil }

// Grant implements record.Effects.
func (j *joiner) Grant(g record.Grant) error {
	slot, err := j.slot(g.Ordinal)
	if err != nil {
		return err
	}
	activated := g.ActivationS - epochS
	w := counters.LicenseWord(g.License)
	j.e.table.JoinLicense(slot, w, counters.Grant{ActivatedAt: uint64(activated), Serial: g.Serial, Pool: g.Pool})
	j.serial(g.Serial)
	if err := j.Pool(record.Pool{ID: g.Pool, Drawn: g.PoolDrawn}); err != nil {
		return err
	}
	product := slot.Product()
	if err := j.gifts(product, g.GiftsDrawn); err != nil {
		return err
	}
	return j.licenseRow(LicenseRow{
		Serial:     g.Serial,
		Product:    product,
		Ordinal:    slot.Ordinal(),
		Pool:       g.Pool,
		ActivatedS: g.ActivationS,
		Generation: w.Generation(),
	})
}

// checkLedger refuses a ledger that is newer than log and checkpoint: rows are written when their group is durable, so
// it can only be that an older log was put beside it, and serials would be given out twice (R4).
func (j *joiner) checkLedger() error {
	for _, p := range j.cat.Products("") {
		last, err := j.e.lastSerial(p.ID)
		if err != nil {
			return err
		}
		if given := j.e.serial.Load(); last > given {
			return fmt.Errorf(
				"the ledger has licence %d of product %s, but log and checkpoint end at licence %d: they are from different instants; restore the whole data directory from one backup",
				last,
				p.Name,
				given,
			)
		}
	}
	return nil
}

// licenseRow queues a row that the ledger may not have yet. Serials of a product rise with the groups, so what is above
// the ledger's last is missing and nothing else.
func (j *joiner) licenseRow(r LicenseRow) error {
	last, known := j.serials[r.Product]
	if !known {
		var err error
		if last, err = j.e.lastSerial(r.Product); err != nil {
			return err
		}
		j.serials[r.Product] = last
	}
	if r.Serial <= last {
		return nil
	}
	return j.queue(&group{licenses: []LicenseRow{r}})
}

// queue hands rows to the ledger again; what it has already, it gets once more under the same key.
func (j *joiner) queue(g *group) error {
	j.e.rows.add(g, j.e.failed)
	if j.e.rows.len() >= licenseRowsMax {
		return j.e.flushRows()
	}
	return nil
}

// End implements record.Effects.
func (j *joiner) End(end record.End) error {
	slot, err := j.slot(end.Ordinal)
	if err != nil {
		return err
	}
	return j.queue(&group{ends: []endRow{{End: end, product: slot.Product()}}})
}

// Claim implements record.Effects.
func (j *joiner) Claim(r record.Claim) error {
	long, err := j.e.producers.RestoreClaim(r, j.seq)
	if err != nil || long == nil {
		return err
	}
	// More of the group may follow: the ledger has all of the one before it.
	return j.queue(&group{seq: j.seq - 1, answers: []answerRow{{key: claims.AnswerKey(r.Producer, r.Sequence), value: long}}})
}

// Upgrade implements record.Effects. Of two states of one upgrade the voided one is the later (R17).
func (j *joiner) Upgrade(u record.Upgrade) error {
	product, name := j.e.table.Name(counters.Ordinal(u.Ordinal))
	if product == 0 {
		return fmt.Errorf("an upgrade names device %d, which no record has bound", u.Ordinal)
	}
	u.ID = bytes.Clone(u.ID)
	key := appendUpgradeKey(nil, product, name, u.ID)
	if have, _ := j.e.upgrades.find(key, 0); have != nil && have.Voided {
		return nil
	}
	if !u.Voided {
		stored, err := j.e.storedUpgrade(key)
		if err != nil {
			return err
		}
		if stored != nil {
			return nil // The same, or voided since.
		}
	}
	j.e.upgrades.put(key, &u)
	return j.queue(&group{upgrades: []upgradeRow{{key: string(key), upgrade: u}}})
}

// Pool implements record.Effects.
func (j *joiner) Pool(p record.Pool) error {
	pool := j.cat.Pool(p.ID)
	if pool == nil {
		return fmt.Errorf("a record draws from pool %d, of which the ledger has no record", p.ID)
	}
	pool.Drawn, pool.Returned = max(pool.Drawn, p.Drawn), max(pool.Returned, p.Returned)
	return nil
}

func (j *joiner) gifts(product uint32, drawn uint64) error {
	p := j.cat.ProductByID(product)
	if p == nil {
		return fmt.Errorf("a record names product %d, of which the ledger has no record", product)
	}
	p.State.GiftsDrawn = max(p.State.GiftsDrawn, drawn)
	return nil
}

// shardLoader loads shards of the device table, several at a time.
type shardLoader struct {
	table *counters.Table
	busy  chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex
	err   error
}

func newShardLoader(t *counters.Table, workers int) *shardLoader {
	return &shardLoader{table: t, busy: make(chan struct{}, workers)}
}

// load loads one shard in the background and keeps image; it returns the first error so far.
func (l *shardLoader) load(shard int, image []byte) error {
	l.busy <- struct{}{}
	l.wg.Go(func() {
		defer func() { <-l.busy }()
		if err := l.table.LoadShard(shard, image); err != nil {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.err == nil {
				l.err = err
			}
		}
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// wait returns when all are loaded, with the first error.
func (l *shardLoader) wait() error {
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
