package recovery

import (
	"fmt"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard/record"
)

// restJoiner joins what a cut reads at once: catalogue, pools and totals.
type restJoiner struct {
	ignore
	j       *Joiner
	devices Devices
}

func (r restJoiner) join(d *decoded) error {
	for i := range d.Head.Totals {
		r.j.s.Totals.Join(&d.Head.Totals[i])
	}
	for i := range d.Chunks {
		if err := d.Chunks[i].Effects(r); err != nil {
			return err
		}
	}
	r.j.lastMs = max(r.j.lastMs, d.LastMs)
	return r.j.joinChanges(d)
}

// Pool implements record.Effects.
func (r restJoiner) Pool(p record.Pool) error { return r.j.Pool(p) }

// Grant implements record.Effects: what it says about pools.
func (r restJoiner) Grant(g record.Grant) error {
	product, _ := r.devices.Name(counters.Ordinal(g.Ordinal))
	if product == 0 {
		return fmt.Errorf("a record names device %d, which no record has bound", g.Ordinal)
	}
	if err := r.j.Pool(record.Pool{ID: g.Pool, Drawn: g.PoolDrawn}); err != nil {
		return err
	}
	return r.j.gifts(product, g.GiftsDrawn)
}

// deviceJoiner joins the devices of some shards.
type deviceJoiner struct {
	ignore
	j      *Joiner
	shards shardRange
}

func (t deviceJoiner) join(d *decoded) error {
	for i := range d.Chunks {
		if err := d.Chunks[i].Bindings(t); err != nil {
			return err
		}
	}
	for i := range d.Chunks {
		if err := d.Chunks[i].Effects(t); err != nil {
			return err
		}
	}
	return t.j.joinWords(d)
}

func (t deviceJoiner) holds(ordinal uint64) bool { return t.shards.holds(counters.Ordinal(ordinal)) }

// Device implements record.Bindings.
func (t deviceJoiner) Device(d record.Device) error {
	if !t.holds(d.Ordinal) {
		return nil
	}
	return t.j.bindDevice(d)
}

// Word implements record.Effects.
func (t deviceJoiner) Word(index int, ordinal, word uint64) error {
	if !t.holds(ordinal) {
		return nil
	}
	return t.j.Word(index, ordinal, word)
}

// OTA implements record.Effects.
func (t deviceJoiner) OTA(o record.OTA) error { return t.Word(record.WordOTA, o.Ordinal, o.Word) }

// Grant implements record.Effects: what it says about the device.
func (t deviceJoiner) Grant(g record.Grant) error {
	if !t.holds(g.Ordinal) {
		return nil
	}
	slot, err := t.j.slot(g.Ordinal)
	if err != nil {
		return err
	}
	t.j.joinLicense(slot, &g)
	return nil
}

// ignore implements record.Effects and record.Bindings and joins nothing.
type ignore struct{}

func (ignore) Device(record.Device) error       { return nil }
func (ignore) Producer(record.Producer) error   { return nil }
func (ignore) Forgotten(uint32) error           { return nil }
func (ignore) Word(int, uint64, uint64) error   { return nil }
func (ignore) OTA(record.OTA) error             { return nil }
func (ignore) Closed(int, uint64, uint64) error { return nil }
func (ignore) DayEnd(record.DayEnd) error       { return nil }
func (ignore) Grant(record.Grant) error         { return nil }
func (ignore) Pool(record.Pool) error           { return nil }
func (ignore) End(record.End) error             { return nil }
func (ignore) Command(record.Command) error     { return nil }
func (ignore) Upgrade(record.Upgrade) error     { return nil }
func (ignore) Claim(record.Claim) error         { return nil }
func (ignore) Run(record.Run) error             { return nil }
func (ignore) Quota(record.Quota) error         { return nil }
func (ignore) Decided(record.Decided) error     { return nil }
