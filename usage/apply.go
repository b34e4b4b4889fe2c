package usage

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// Apply implements views.View. One call merges a bounded number of device-days: the position moves to a group that ends
// days in the call that merges the last of them.
func (l *Ledger) Apply(groups []*views.Group, devices views.Devices) error {
	if !l.isNoted {
		if err := l.noteRetention(groups[0].LastMs); err != nil {
			return err
		}
		l.isNoted = true
	}
	if err := l.tidy(); err != nil {
		return err
	}
	l.mergeLeft = l.mergeRows
	t := newGathered(devices, l)
	for i, g := range groups {
		if err := t.group(g); err != nil {
			return fmt.Errorf("group %d: %w", g.Seq, err)
		}
		if t.bytes < transactionBytes && len(t.days.ends) == 0 && i < len(groups)-1 {
			continue
		}
		done, err := l.flush(t, g.Position)
		if err != nil || !done {
			return err
		}
		t = newGathered(devices, l)
	}
	return nil
}

// flush writes what was gathered up to a group. done is false if the position has not moved, since days that the group
// ends are not merged yet: the next call of Apply goes on.
func (l *Ledger) flush(t *gathered, to views.Position) (done bool, err error) {
	if len(t.days.ends) == 0 {
		return true, l.write(t.entries(to.Seq), to)
	}
	if l.merging.group != to.Seq { // Else a call before has written them.
		p := ledger.NewParts(l.store)
		if err := p.Add(t.entries(to.Seq)...); err != nil {
			return false, err
		}
		if err := p.Flush(); err != nil {
			return false, err
		}
	}
	return l.endDays(t.days.ends, to)
}

// write writes entries in one transaction with the position, or the first ones of very many in transactions before.
func (l *Ledger) write(entries []ledger.Entry, to views.Position) error {
	p := ledger.NewParts(l.store)
	if err := p.Add(entries...); err != nil {
		return err
	}
	return p.Finish(ledger.Position(to))
}

// gathered holds the ledger's rows of some groups. Of two rows with one key the later one holds.
type gathered struct {
	ledger   *Ledger
	devices  views.Devices
	bytes    int
	lastMs   int64 // the last decided time of the groups
	licenses []views.License
	ends     []endRow
	upgrades map[string]record.Upgrade
	answers  map[string][]byte
	totals   totals
	audit    []license.AuditEntry
	days     days
}

type endRow struct {
	record.End
	product uint32
}

func newGathered(devices views.Devices, l *Ledger) *gathered {
	return &gathered{
		ledger: l, devices: devices, days: newDays(), upgrades: map[string]record.Upgrade{}, answers: map[string][]byte{},
		totals: newTotals(l.store),
	}
}

func (t *gathered) group(g *views.Group) error {
	t.lastMs = g.LastMs
	for i := range g.Head.Totals {
		bytes, err := t.totals.put(&g.Head.Totals[i])
		if err != nil {
			return err
		}
		t.bytes += bytes
	}
	for _, encoded := range g.Head.Changes {
		ch, err := license.DecodeChange(encoded)
		if err != nil {
			return err
		}
		if ch.Audit.Action != "" {
			t.audit = append(t.audit, ch.Audit)
			t.bytes += rowBytes + len(encoded)
		}
		bytes, err := t.totals.created(&ch)
		if err != nil {
			return err
		}
		t.bytes += bytes
	}
	for _, column := range g.Effects {
		if err := record.ReadEffects(column, t); err != nil {
			return err
		}
	}
	return nil
}

// Grant implements record.Effects.
func (t *gathered) Grant(g record.Grant) error {
	product, name := t.devices.Name(counters.Ordinal(g.Ordinal))
	if product == 0 {
		return unknownDevice(g.Ordinal)
	}
	t.licenses = append(t.licenses, views.License{
		Serial: g.Serial, Product: product, Device: string(name), Pool: g.Pool, ActivatedS: g.ActivationS,
		Generation: counters.LicenseWord(g.License).Generation(),
	})
	t.bytes += rowBytes + len(name)
	return nil
}

// End implements record.Effects.
func (t *gathered) End(e record.End) error {
	product, _ := t.devices.Name(counters.Ordinal(e.Ordinal))
	if product == 0 {
		return unknownDevice(e.Ordinal)
	}
	t.ends = append(t.ends, endRow{End: e, product: product})
	t.bytes += 2 * rowBytes
	return nil
}

// Upgrade implements record.Effects. Of two states of one upgrade the voided one is the later (R17).
func (t *gathered) Upgrade(u record.Upgrade) error {
	product, name := t.devices.Name(counters.Ordinal(u.Ordinal))
	if product == 0 {
		return unknownDevice(u.Ordinal)
	}
	t.bytes += t.days.void(product, &u)
	key := string(upgradeKey(product, name, u.ID))
	if have, known := t.upgrades[key]; known && have.Voided {
		return nil
	}
	t.upgrades[key] = u
	t.bytes += 2*rowBytes + len(key)
	return nil
}

// Claim implements record.Effects: answers that memory does not keep.
func (t *gathered) Claim(c record.Claim) error {
	if len(c.Answer) <= claims.AnswerBytesKept {
		return nil
	}
	t.answers[string(key64(keyAnswers, c.Producer, c.Sequence))] = c.Answer
	t.bytes += rowBytes + len(c.Answer)
	return nil
}

// OTA implements record.Effects.
func (t *gathered) OTA(o record.OTA) error {
	product, _ := t.devices.Name(counters.Ordinal(o.Ordinal))
	if product == 0 {
		return unknownDevice(o.Ordinal)
	}
	t.bytes += t.days.ota(product, &o)
	return nil
}

// Closed implements record.Effects.
func (t *gathered) Closed(index int, ordinal, word uint64) error {
	product, _ := t.devices.Name(counters.Ordinal(ordinal))
	if product == 0 {
		return unknownDevice(ordinal)
	}
	through, err := t.ledger.mergedOf(product)
	if err != nil {
		return err
	}
	t.bytes += closedBytes
	return t.days.add(product, index, ordinal, word, through)
}

// DayEnd implements record.Effects.
func (t *gathered) DayEnd(d record.DayEnd) error {
	t.days.ends[d.Product] = max(t.days.ends[d.Product], d.Day)
	return nil
}

// Word, Pool, Command, Run and Quota implement record.Effects: the state's or the webhooks', not the ledger's.
func (t *gathered) Word(int, uint64, uint64) error { return nil }
func (t *gathered) Pool(record.Pool) error         { return nil }
func (t *gathered) Command(record.Command) error   { return nil }
func (t *gathered) Run(record.Run) error           { return nil }
func (t *gathered) Quota(record.Quota) error       { return nil }
func (t *gathered) Decided(record.Decided) error   { return nil }

func unknownDevice(ordinal uint64) error {
	return fmt.Errorf("a record names device %d, which no record has bound", ordinal)
}

// entries returns the rows as the ledger keeps them. group is the last one that they are of.
func (t *gathered) entries(group uint64) (list []ledger.Entry) {
	put := func(key, value []byte, keep time.Duration) {
		e := ledger.Entry{Key: key, Value: value}
		if keep > 0 {
			e.UntilMs = t.lastMs + keep.Milliseconds()
		}
		list = append(list, e)
	}
	slices.SortFunc(t.licenses, func(a, b views.License) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Serial, b.Serial))
	})
	for from := 0; from < len(t.licenses); {
		to := from + 1
		for to < len(t.licenses) && to-from < licenseBlockRows && t.licenses[to].Product == t.licenses[from].Product {
			to++
		}
		last := &t.licenses[to-1]
		put(key64(keyLicenses, last.Product, last.Serial), appendLicenses(nil, t.licenses[from:to]), 0)
		from = to
	}
	for i := range t.ends {
		e := &t.ends[i]
		put(key64(keyEnds, e.product, e.Serial), binary.AppendVarint([]byte{byte(e.How)}, e.EndedS), 0)
	}
	for key, u := range t.upgrades {
		put([]byte(key), u.AppendValue(nil), upgradesKept)
	}
	for key, answer := range t.answers {
		put([]byte(key), answer, answersKept)
	}
	t.totals.entries(t.ledger.retention, func(e ledger.Entry) { list = append(list, e) })
	t.days.entries(t.ledger.codec, group, t.ledger.retention, func(e ledger.Entry) { list = append(list, e) })
	for i := range t.audit {
		r := t.audit[i].Record()
		put(r.Key, r.Value, 0)
	}
	return list
}
