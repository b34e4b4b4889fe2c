package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/meterd/meterd/shard/record"
)

// What is remembered of sequences outlives the process in two places: as records in the log, and as sections of a
// checkpoint, because directories of the log go before a day is over. Here are the sections, and how both come back.

// sections returns the claims of all producers as a checkpoint holds them. Decided ones are like words: what they
// reflect is durable before the checkpoint is installed.
func (c *claims) sections() [][]byte {
	c.mu.RLock()
	list := slices.Clone(c.list)
	c.mu.RUnlock()
	var s sections
	for producer, p := range list {
		if p != nil {
			p.addTo(&s, uint32(producer))
		}
	}
	return s.all()
}

func (p *producerClaims) addTo(s *sections, producer uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	entry := func(fn func([]byte) []byte) {
		s.add(func(dst []byte) []byte { return appendEntry(dst, fn) })
	}
	entry(func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, producer)
		return binary.LittleEndian.AppendUint64(b, p.floor)
	})
	for i := range p.known.n {
		c := p.known.value(i)
		if c.kept == undecided {
			continue
		}
		entry(func(b []byte) []byte {
			b = binary.LittleEndian.AppendUint32(b, producer)
			b = binary.LittleEndian.AppendUint64(b, p.known.sequence(i))
			b = append(b, c.hash[:]...)
			b = binary.LittleEndian.AppendUint64(b, uint64(c.atMs))
			if c.kept == answerStored {
				return append(b, 1)
			}
			return p.appendAnswer(append(b, 0), i)
		})
	}
}

// appendEntry appends what fn appends, with its length before it.
func appendEntry(dst []byte, fn func([]byte) []byte) []byte {
	at := len(dst)
	dst = fn(append(dst, 0, 0))
	binary.LittleEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
	return dst
}

const (
	floorEntryBytes = 4 + 8
	claimEntryBytes = 4 + 8 + 16 + 8 + 1
)

var errClaims = errors.New("the section of sequences is damaged")

func (j *joiner) claimEntries(data []byte) error {
	for len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.LittleEndian.Uint16(data)) {
			return errClaims
		}
		entry := data[2 : 2+int(binary.LittleEndian.Uint16(data))]
		data = data[2+len(entry):]
		if len(entry) < floorEntryBytes {
			return errClaims
		}
		if n := binary.LittleEndian.Uint32(entry); n == 0 || n > holdersMax {
			return errClaims
		}
		switch {
		case len(entry) == floorEntryBytes:
			p := j.e.claims.of(binary.LittleEndian.Uint32(entry))
			p.floor = max(p.floor, binary.LittleEndian.Uint64(entry[4:]))
		case len(entry) >= claimEntryBytes:
			c := remembered{hash: [16]byte(entry[12:28]), atMs: int64(binary.LittleEndian.Uint64(entry[28:]))}
			stored := entry[36] == 1
			if stored {
				c.kept = answerStored
			}
			j.claim(binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint64(entry[4:]), c, func(p *producerClaims, i int) {
				if !stored {
					p.keep(i, entry[claimEntryBytes:])
				}
			})
		default:
			return errClaims
		}
	}
	return nil
}

// Claim implements record.Effects.
func (j *joiner) Claim(r record.Claim) error {
	if r.Producer == 0 || r.Producer > holdersMax {
		return fmt.Errorf("sequence %d belongs to producer %d", r.Sequence, r.Producer)
	}
	var row *answerRow
	j.claim(r.Producer, r.Sequence, remembered{hash: r.Hash, atMs: r.AtMs}, func(p *producerClaims, i int) {
		if len(r.Answer) <= answerBytesInline {
			p.keep(i, r.Answer)
			return
		}
		row = &answerRow{
			claims:   p,
			sequence: r.Sequence,
			key:      answerKey(r.Producer, r.Sequence),
			value:    p.keepPending(i, r.Answer),
		}
	})
	if row == nil {
		return nil
	}
	return j.queue(&group{answers: []answerRow{*row}})
}

// claim remembers a recovered sequence with the answer that keep gives it, unless it is known or forgotten already.
func (j *joiner) claim(producer uint32, seq uint64, c remembered, keep func(p *producerClaims, i int)) {
	p := j.e.claims.of(producer)
	p.mu.Lock()
	defer p.mu.Unlock()
	i, found := p.known.search(seq)
	if found || seq < p.floor {
		return
	}
	p.known.insert(i, seq, c)
	keep(p, i)
	p.trim(c.atMs)
}
