package bench

import "sync/atomic"

// source makes the batches of one caller.
type source interface {
	// fill appends the next batch to dst and returns its number of events, 0 at the end.
	fill(dst []byte) ([]byte, int)
}

// rounds is a source of one event of a kind for each device. Callers share next, so that together they send to each
// device once.
type rounds struct {
	encoder encoder
	kind    kind
	next    *atomic.Int64
	devices int
	batch   []message
}

func (c *rounds) fill(dst []byte) ([]byte, int) {
	to := int(c.next.Add(int64(len(c.batch))))
	from := to - len(c.batch)
	to = min(to, c.devices)
	if to <= from {
		return dst, 0
	}
	for device := from; device < to; device++ {
		c.batch[device-from] = message{device: int32(device), kind: c.kind, size: sizeMin}
	}
	return c.encoder.appendBatch(dst, c.batch[:to-from]), to - from
}

// roundOf returns a source for each connection of a case. Together they send one event of a kind for each device.
func roundOf(devices int, c Case, kind kind, encode func(payload draws) encoder) (sources []source) {
	next := &atomic.Int64{}
	for range c.Connections {
		sources = append(sources, &rounds{
			encoder: encode(draws{}), kind: kind, next: next, devices: devices, batch: make([]message, c.Batch),
		})
	}
	return sources
}

// messages is a source of drawn messages. It never ends.
type messages struct {
	encoder encoder
	draws   draws
	chooser chooser
	batch   []message
}

func (m *messages) fill(dst []byte) ([]byte, int) {
	for i := range m.batch {
		m.batch[i] = m.chooser.message(m.draws.next())
	}
	return m.encoder.appendBatch(dst, m.batch), len(m.batch)
}

// drawn is the initial state of a source of messages, with which the same messages can be drawn again.
type drawn struct {
	draws   draws
	chooser chooser
}

// tally counts the messages of each device.
type tally struct{ up, down []uint32 }

func newTally(devices int) tally {
	return tally{up: make([]uint32, devices), down: make([]uint32, devices)}
}

// add draws the first n messages of a source again.
func (t *tally) add(d drawn, n uint64) {
	for range n {
		if m := d.chooser.message(d.draws.next()); m.kind == down {
			t.down[m.device]++
		} else {
			t.up[m.device]++
		}
	}
}

// merge adds another tally of the same devices.
func (t *tally) merge(other *tally) {
	for i := range t.up {
		t.up[i] += other.up[i]
		t.down[i] += other.down[i]
	}
}

// of returns the counts of a device.
func (t *tally) of(device int) (up, down uint64) { return uint64(t.up[device]), uint64(t.down[device]) }

// busiest returns the device with the most messages.
func (t *tally) busiest() (device int) {
	most := uint64(0)
	for i := range t.up {
		if up, down := t.of(i); up+down > most {
			device, most = i, up+down
		}
	}
	return device
}
