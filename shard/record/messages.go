package record

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/event"
)

// Messages reads chunks whose rows are all accepted messages of known devices, as nearly all are under load, column by
// column: 4 ns a row where a Scanner, which has every row whole, takes 20. It keeps its memory from chunk to chunk. One
// goroutine uses it.
type Messages struct {
	// Bare has Each take only chunks whose messages are nothing but numbers: no id, topic, claimed time or payload. Runs
	// have their types and sizes then.
	Bare  bool
	run   MessageRun
	cols  [columns]reader
	first int // of the chunk's rows, the next one
}

// MessageRun are messages that follow each other, were decided at one instant, and are of one day. Its slices are as
// long as each other.
type MessageRun struct {
	DecidedMs int64
	Day       uint32
	Ordinals  []uint64
	Ups       []uint32 // units of the day after the message
	Downs     []uint32
	Types     []byte // event.Type; nil unless Bare
	Sizes     []uint64
}

// Each calls fn for the runs of a chunk in their order; what they hold is valid until fn returns. It reports false,
// having called nothing, if the chunk has other rows too: those are a Scanner's. Sizes are looked at if Bare is set,
// payloads never.
func (m *Messages) Each(c *Chunk, fn func(*MessageRun) error) (bool, error) {
	if len(c.cols[colCodes])|len(c.cols[colUsed])|len(c.cols[colNames]) != 0 || !onlyMessages(c.cols[colKinds], m.Bare) {
		return false, nil
	}
	for p := range ordinalBytes {
		if len(c.cols[colShards+p]) < c.rows {
			return true, fmt.Errorf("column %d: %w", colShards+p, errShort)
		}
	}
	for i := range c.cols {
		m.cols[i] = reader{b: c.cols[i]}
	}
	m.first, m.run.DecidedMs, m.run.Day = 0, 0, 0
	dayLeft := 0
	for m.first < c.rows {
		n, err := m.batch()
		if err != nil {
			return true, err
		}
		for n > 0 {
			if dayLeft == 0 {
				if dayLeft, err = m.day(); err != nil {
					return true, err
				}
			}
			k := min(n, dayLeft)
			if err := m.read(c, k); err != nil {
				return true, err
			}
			if err := fn(&m.run); err != nil {
				return true, err
			}
			n, dayLeft = n-k, dayLeft-k
		}
	}
	return true, nil
}

// onlyMessages reports whether all kinds are those of accepted messages, with nothing attached if bare.
func onlyMessages(kinds []byte, bare bool) bool {
	attached := byte(kindExtra | kindPayload)
	if bare {
		attached = 0
	}
	for _, k := range kinds {
		if k &^= attached; k != byte(event.Up) && k != byte(event.Down) {
			return false
		}
	}
	return true
}

// batch begins the next batch and returns how many of its rows are in the chunk.
func (m *Messages) batch() (rows int, err error) {
	r := &m.cols[colBatches]
	m.run.DecidedMs += r.varint()
	r.uvarint() // The holder.
	n := r.uvarint()
	left := len(m.cols[colKinds].b) - m.first
	if r.err != nil {
		return 0, fmt.Errorf("batches: %w", r.err)
	}
	if len(r.b) == 0 && n < uint64(left) {
		return 0, errors.New("rows: more than the batches have")
	}
	return int(min(n, uint64(left))), nil
}

// day begins the next run of one day and returns its length.
func (m *Messages) day() (rows int, err error) {
	r := &m.cols[colDays]
	n := r.uvarint()
	m.run.Day = uint32(r.uvarint())
	if n == 0 || r.err != nil {
		return 0, fmt.Errorf("column %d: a run of no days", colDays)
	}
	return int(min(n, uint64(len(m.cols[colKinds].b)))), nil
}

// read makes the next k rows the run.
func (m *Messages) read(c *Chunk, k int) error {
	if cap(m.run.Ordinals) < k {
		m.run.Ordinals, m.run.Ups, m.run.Downs = make([]uint64, k), make([]uint32, k), make([]uint32, k)
		m.run.Sizes = make([]uint64, k)
	}
	m.run.Ordinals, m.run.Ups, m.run.Downs = m.run.Ordinals[:k], m.run.Ups[:k], m.run.Downs[:k]
	plane := func(p int) []byte { return c.cols[colShards+p][m.first:][:len(m.run.Ordinals)] }
	p0, p1, p2, p3, p4 := plane(0), plane(1), plane(2), plane(3), plane(4)
	for i := range m.run.Ordinals {
		m.run.Ordinals[i] = uint64(p0[i])<<32 | uint64(p1[i])<<24 | uint64(p2[i])<<16 | uint64(p3[i])<<8 | uint64(p4[i])
	}
	if m.Bare {
		m.run.Types, m.run.Sizes = c.cols[colKinds][m.first:][:k], m.run.Sizes[:k]
		if uvarints(&m.cols[colSizes], m.run.Sizes); m.cols[colSizes].err != nil {
			return fmt.Errorf("column %d, before row %d: %w", colSizes, m.first+k, errShort)
		}
	}
	m.first += k
	for _, col := range []struct {
		number int
		to     []uint32
	}{{colUps, m.run.Ups}, {colDowns, m.run.Downs}} {
		if uvarints(&m.cols[col.number], col.to); m.cols[col.number].err != nil {
			return fmt.Errorf("column %d, before row %d: %w", col.number, m.first, errShort)
		}
	}
	return nil
}

// uvarints reads as many values as dst has.
func uvarints[T uint32 | uint64](r *reader, dst []T) {
	b := r.b
	for i := range dst {
		switch {
		case len(b) > 0 && b[0] < 0x80:
			dst[i], b = T(b[0]), b[1:]
		case len(b) > 1 && b[1] < 0x80:
			dst[i], b = T(b[0]&0x7f)|T(b[1])<<7, b[2:]
		default:
			r.b = b
			dst[i] = T(r.uvarint())
			b = r.b
		}
	}
	r.b = b
}
