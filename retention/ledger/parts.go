package ledger

// Writer writes transactions; *Store is one.
type Writer interface {
	Write(entries []Entry, to Position) error
	WritePart(entries []Entry) error
}

// Parts writes any number of entries, in as many transactions as they take. It belongs to one goroutine. Entries are
// kept until they are written.
type Parts struct {
	to      Writer
	entries []Entry
	bytes   int
}

// NewParts returns Parts that write to w.
func NewParts(w Writer) *Parts { return &Parts{to: w} }

// Add adds entries, and writes a transaction whenever one is full. The position does not move.
func (p *Parts) Add(entries ...Entry) error {
	for _, e := range entries {
		n := len(e.Key) + len(e.Value) + entryOverheadBytes
		if p.bytes+n > TransactionBytesMax || len(p.entries) == TransactionEntriesMax {
			if err := p.Flush(); err != nil {
				return err
			}
		}
		p.entries, p.bytes = append(p.entries, e), p.bytes+n
	}
	return nil
}

// Flush writes what was added and is not written yet. The position does not move.
func (p *Parts) Flush() error {
	if len(p.entries) == 0 {
		return nil
	}
	err := p.to.WritePart(p.entries)
	p.entries, p.bytes = p.entries[:0], 0
	return err
}

// Finish writes what was added and is not written yet, and moves the position in the same transaction. After a crash
// before it, what it was to be moved over is applied again.
func (p *Parts) Finish(to Position) error {
	err := p.to.Write(p.entries, to)
	p.entries, p.bytes = p.entries[:0], 0
	return err
}
