package bench

import "sync/atomic"

// source makes the batches of one caller.
type source interface {
	// fill appends the lines of the next batch to dst and returns how many events they are; none at the end.
	fill(dst []byte) ([]byte, int)
}

// connects is the source of first connects. Callers share next, so that together they connect each device once.
type connects struct {
	lines   *lines
	next    *atomic.Int64
	devices int
	batch   int
}

func (c *connects) fill(dst []byte) ([]byte, int) {
	to := int(c.next.Add(int64(c.batch)))
	from := to - c.batch
	to = min(to, c.devices)
	for device := from; device < to; device++ {
		dst = c.lines.appendConnect(dst, device)
	}
	return dst, max(to-from, 0)
}

// messages is the source of messages that are uniform over the devices; it never ends.
type messages struct {
	lines   *lines
	draws   draws
	devices int
	batch   int
}

func (m *messages) fill(dst []byte) ([]byte, int) {
	for range m.batch {
		dst = m.lines.appendMessage(dst, messageOf(m.draws.next(), m.devices))
	}
	return dst, m.batch
}

// tally knows how many messages each device was sent.
type tally struct{ up, down []uint32 }

func newTally(devices int) tally {
	return tally{up: make([]uint32, devices), down: make([]uint32, devices)}
}

// add draws the first n messages of a stream again.
func (t *tally) add(d draws, n uint64) {
	devices := len(t.up)
	for range n {
		m := messageOf(d.next(), devices)
		if m.down {
			t.down[m.device]++
		} else {
			t.up[m.device]++
		}
	}
}
