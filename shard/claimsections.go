package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/meterd/meterd/retention/record"
)

// What is remembered of sequences outlives the process in two places: as records in the log, and as sections of a checkpoint, because
// directories of the log go before a day is over. Here are the sections, and how both come back.

// sections returns the claims of all producers as a checkpoint holds them. Decided ones are like words: what they reflect is durable
// before the checkpoint is installed.
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
	for _, seq := range p.order {
		c := p.bySeq[seq]
		if !c.decided {
			continue
		}
		entry(func(b []byte) []byte {
			b = binary.LittleEndian.AppendUint32(b, producer)
			b = binary.LittleEndian.AppendUint64(b, seq)
			b = append(b, c.hash[:]...)
			b = binary.LittleEndian.AppendUint64(b, uint64(c.atMs))
			if c.inLedger {
				return append(b, 1)
			}
			return append(append(b, 0), c.answer...)
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
			c := &claim{hash: [16]byte(entry[12:28]), decided: true, atMs: int64(binary.LittleEndian.Uint64(entry[28:])), inLedger: entry[36] == 1}
			if !c.inLedger {
				c.answer = append([]byte{}, entry[claimEntryBytes:]...)
			}
			j.claim(binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint64(entry[4:]), c)
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
	c := &claim{hash: r.Hash, decided: true, atMs: r.AtMs, answer: append([]byte{}, r.Answer...)}
	c.inLedger = len(c.answer) > answerBytesInline
	p := j.claim(r.Producer, r.Sequence, c)
	if !c.inLedger || p == nil {
		return nil
	}
	return j.queue(&group{answers: []answerRow{{claim: c, claims: p, key: answerKey(r.Producer, r.Sequence), value: c.answer}}})
}

// claim remembers a recovered claim, unless it is known or forgotten already.
func (j *joiner) claim(producer uint32, seq uint64, c *claim) *producerClaims {
	p := j.e.claims.of(producer)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bySeq[seq] != nil || seq < p.floor {
		return nil
	}
	p.insert(seq, c)
	p.trim(c.atMs)
	return p
}
