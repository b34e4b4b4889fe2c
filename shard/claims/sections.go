package claims

import (
	"encoding/binary"
	"errors"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// Producers and their sequences outlive the process in two places: as records in the log, and as sections of a
// checkpoint, since the log goes before a day is over. Here are the sections, and how both come back. FORMAT.md of the
// engine draws them.

// Kinds of entries of a section.
const (
	entryOrdinals = 1 // the largest ordinal that was ever given; before all others
	entryProducer = 2 // a name, when it was seen, and below which sequence nothing is remembered; before its claims
	entryClaim    = 3 // a sequence with its answer
	entryStored   = 4 // a sequence whose answer the ledger has
	entryLong     = 5 // a sequence whose answer the ledger does not have yet
)

const (
	entryHeadBytes     = 4 + 1 + 4 // bytes of what follows, kind, ordinal
	producerEntryBytes = entryHeadBytes + 4 + 8 + 8
	claimEntryBytes    = entryHeadBytes + 8 + 16 + 8
	longEntryBytes     = claimEntryBytes + 8
	// producerBytesMax is what one producer takes without its long answers.
	producerBytesMax = producerEntryBytes + event.NameBytesMax + (keptMax+inFlightMax)*(claimEntryBytes+AnswerBytesKept)
)

// Sections calls put with everything in pieces of at most bytesMax bytes, which end between two entries. A piece is
// used again when put returns. Requests wait while their producer is copied, and no longer. What is decided meanwhile
// may be in it.
func (ps *Producers) Sections(bytesMax int, put func([]byte) error) error {
	w := sectionWriter{bytesMax: bytesMax, put: put}
	ps.mu.RLock()
	w.end(w.entry(entryOrdinals, uint32(len(ps.byOrdinal)-1)))
	ps.mu.RUnlock()
	err := ps.Each(func(p *Producer) error {
		if err := w.room(producerBytesMax); err != nil {
			return err
		}
		for _, e := range w.producer(p) { // Written when nobody waits any more: they may be megabytes.
			if err := w.long(p, &e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.flush()
}

// sectionWriter gathers entries.
type sectionWriter struct {
	piece    []byte
	longs    []longEntry
	bytesMax int
	put      func([]byte) error
}

// longEntry is a sequence whose answer is long.
type longEntry struct {
	sequence uint64
	known    remembered
	longAnswer
}

// room ends the piece unless n more bytes fit.
func (w *sectionWriter) room(n int) error {
	if len(w.piece)+n <= w.bytesMax {
		return nil
	}
	return w.flush()
}

func (w *sectionWriter) flush() error {
	if len(w.piece) == 0 {
		return nil
	}
	err := w.put(w.piece)
	w.piece = w.piece[:0]
	return err
}

// entry appends an entry; the caller appends what follows and calls end with what entry returned.
func (w *sectionWriter) entry(kind byte, ordinal uint32) (at int) {
	at = len(w.piece)
	w.piece = append(w.piece, 0, 0, 0, 0, kind)
	w.piece = binary.LittleEndian.AppendUint32(w.piece, ordinal)
	return at
}

func (w *sectionWriter) end(at int) {
	binary.LittleEndian.PutUint32(w.piece[at:], uint32(len(w.piece)-at-4))
}

// producer appends what is remembered of p, and returns its long answers.
func (w *sectionWriter) producer(p *Producer) []longEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := w.entry(entryProducer, p.Ordinal)
	w.piece = binary.LittleEndian.AppendUint32(w.piece, p.Account)
	w.piece = binary.LittleEndian.AppendUint64(w.piece, uint64(p.seenMs.Load()))
	w.piece = binary.LittleEndian.AppendUint64(w.piece, p.floor)
	w.piece = append(w.piece, p.Name...)
	w.end(at)
	w.longs = w.longs[:0]
	for i := range p.known.n {
		seq, c := p.known.sequence(i), p.known.value(i)
		if c.kept == undecided {
			continue
		}
		if a, isPending := p.pending[seq]; isPending {
			w.longs = append(w.longs, longEntry{seq, *c, a})
			continue
		}
		kind := byte(entryClaim)
		if c.kept == keptLong {
			kind = entryStored
		}
		at := w.entry(kind, p.Ordinal)
		w.claim(seq, c)
		w.piece = p.appendAnswer(w.piece, i)
		w.end(at)
	}
	return w.longs
}

func (w *sectionWriter) claim(seq uint64, c *remembered) {
	w.piece = binary.LittleEndian.AppendUint64(w.piece, seq)
	w.piece = append(w.piece, c.hash[:]...)
	w.piece = binary.LittleEndian.AppendUint64(w.piece, uint64(c.atMs))
}

// long appends a long answer.
func (w *sectionWriter) long(p *Producer, e *longEntry) error {
	if err := w.room(longEntryBytes + len(e.answer)); err != nil {
		return err
	}
	at := w.entry(entryLong, p.Ordinal)
	w.claim(e.sequence, &e.known)
	w.piece = binary.LittleEndian.AppendUint64(w.piece, e.group)
	w.piece = append(w.piece, e.answer...)
	w.end(at)
	return nil
}

var errSection = errors.New("the section of producers and their sequences is damaged")

// LoadSection joins a piece that Sections wrote. An error may leave a part of it joined.
func (ps *Producers) LoadSection(data []byte) error {
	for len(data) > 0 {
		if len(data) < entryHeadBytes {
			return errSection
		}
		n := int64(binary.LittleEndian.Uint32(data)) + 4
		if n < entryHeadBytes || n > int64(len(data)) {
			return errSection
		}
		if err := ps.loadEntry(data[4], binary.LittleEndian.Uint32(data[5:]), data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (ps *Producers) loadEntry(kind byte, ordinal uint32, entry []byte) error {
	switch {
	case kind == entryOrdinals && ordinal <= OrdinalMax && len(entry) == entryHeadBytes:
		ps.reach(ordinal)
		return nil
	case kind == entryProducer:
		return ps.loadProducer(ordinal, entry)
	}
	p := ps.ByOrdinal(ordinal)
	if p == nil || len(entry) < claimEntryBytes {
		return errSection
	}
	seq, body := binary.LittleEndian.Uint64(entry[entryHeadBytes:]), entry[claimEntryBytes:]
	c := remembered{
		hash: [16]byte(entry[entryHeadBytes+8:]), atMs: int64(binary.LittleEndian.Uint64(entry[entryHeadBytes+24:])),
	}
	switch {
	case kind == entryClaim && len(body) <= AnswerBytesKept:
		p.restore(seq, c, func(i int) { p.keep(i, body) })
	case kind == entryStored && len(body) == 0:
		p.restore(seq, c, func(i int) { p.known.value(i).kept = keptLong })
	case kind == entryLong && len(body) >= 8:
		p.restore(seq, c, func(i int) { p.keepLong(i, binary.LittleEndian.Uint64(body), body[8:]) })
	default:
		return errSection
	}
	return nil
}

func (ps *Producers) loadProducer(ordinal uint32, entry []byte) error {
	if len(entry) < producerEntryBytes {
		return errSection
	}
	r := record.Producer{
		Ordinal: ordinal, Account: binary.LittleEndian.Uint32(entry[entryHeadBytes:]),
		SeenMs: int64(binary.LittleEndian.Uint64(entry[entryHeadBytes+4:])), Name: entry[producerEntryBytes:],
	}
	if !event.ValidName(r.Name) {
		return errSection
	}
	if err := ps.Restore(r); err != nil {
		return err
	}
	p := ps.ByOrdinal(ordinal)
	p.floor = max(p.floor, binary.LittleEndian.Uint64(entry[entryHeadBytes+12:]))
	return nil
}
