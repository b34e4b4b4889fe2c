package record

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/event"
)

// Chunk is a raw chunk, split into its columns. It aliases the bytes that it was opened on.
type Chunk struct {
	rows int
	cols [columns][]byte
}

// Open splits a raw chunk. The columns' content is checked while it is read.
func Open(raw []byte) (Chunk, error) {
	rows, cols, err := split(raw)
	return Chunk{rows: rows, cols: cols}, err
}

// Rows returns the number of rows.
func (c *Chunk) Rows() int { return c.rows }

// Row is one decided event. Slices are in place.
type Row struct {
	Type      event.Type
	Code      event.Code
	Named     bool   // Product and Name are set, Ordinal is not
	Counted   bool   // denied by the message quota: Day and Denied are set
	Ordinal   uint64 // of a known device
	Product   uint32
	Name      []byte
	Holder    uint32 // the producer's ordinal, 0 without
	DecidedMs int64
	TimeMs    int64 // what the gateway claimed, 0 without
	Size      int64
	Day       uint32
	Up, Down  uint32 // accepted messages: units of Day after it
	Used      uint32 // units of the running day after it, in every row of a known device
	Denied    uint64
	WouldDeny event.Code   // what the quota would have denied an accepted event with; Accepted: nothing
	Quota     QuotaNumbers // of events that a quota denied or would have denied
	Requested uint32       // units that an upgrade needed which its quota denied or would have denied
	// TopupAvailable is what packs had left for it.
	TopupAvailable uint64
	ID             []byte
	Topic          []byte
	// Payload is what was kept of it; IsCut says that more was sent.
	Payload []byte
	IsCut   bool
}

// IsMessage reports whether the row is an accepted message, whose Day, Up and Down are the device's word after it.
func (r *Row) IsMessage() bool {
	return r.Code == event.Accepted && (r.Type == event.Up || r.Type == event.Down)
}

// HasQuota reports whether Quota says something: a quota denied the event or would have denied it.
func (r *Row) HasQuota() bool { return r.Code.IsQuota() || r.WouldDeny.IsQuota() }

// Scanner walks the rows of a chunk in order.
//
//	for s := chunk.Scan(); s.Next(); { use s.Row }
//	if s.Err() …
type Scanner struct {
	Row   Row
	cols  [columns]reader
	index int
	rows  int
	// what is left of the running batch and of the running day
	batchLeft, dayLeft, quotaLeft uint64
	holder                        uint32
	decidedMs                     int64
	day                           uint32
	quota                         quotaRun
	quotas                        quotaTable
	resetsMs                      int64 // of the numbers that were read last
	failed                        bool  // one of cols has an error
	err                           error
}

// Scan starts before the first row.
func (c *Chunk) Scan() *Scanner {
	s := &Scanner{rows: c.rows}
	for i := range c.cols {
		s.cols[i].b, s.cols[i].failed = c.cols[i], &s.failed
	}
	return s
}

// Err returns what stopped Next too early.
func (s *Scanner) Err() error { return s.err }

// Next moves to the next row and reports whether there is one.
func (s *Scanner) Next() bool {
	if s.err != nil || s.index >= s.rows {
		return false
	}
	if !s.nextBatch() {
		return false
	}
	s.index++
	s.batchLeft--
	kind := s.cols[colKinds].byte()
	s.Row = Row{
		Type: event.Type(kind & kindType), Named: kind&kindNamed != 0, Counted: kind&kindCounted != 0,
		Holder: s.holder, DecidedMs: s.decidedMs, Size: int64(s.cols[colSizes].uvarint()),
	}
	row := &s.Row
	if kind&kindDenied != 0 {
		row.Code = event.Code(s.cols[colCodes].byte())
	}
	if row.Named {
		row.Product = uint32(s.cols[colNames].uvarint())
		row.Name = s.cols[colNames].bytes(s.cols[colNames].uvarint())
	} else {
		s.known(kind)
	}
	if kind&kindExtra != 0 {
		s.extra()
	}
	if kind&kindPayload != 0 {
		row.Payload = s.cols[colPayloads].bytes(s.cols[colPayloads].uvarint())
	}
	return s.check()
}

// nextBatch steps over batches without rows to the one that holds the next row.
func (s *Scanner) nextBatch() bool {
	r := &s.cols[colBatches]
	for s.batchLeft == 0 {
		if len(r.b) == 0 {
			s.err = errors.New("rows: more than the batches have")
			return false
		}
		s.decidedMs += r.varint()
		s.holder = uint32(r.uvarint())
		s.batchLeft = r.uvarint()
		if r.err != nil {
			s.err = fmt.Errorf("batches: %w", r.err)
			return false
		}
	}
	return true
}

func (s *Scanner) known(kind byte) {
	row := &s.Row
	for p := range ordinalBytes {
		row.Ordinal = row.Ordinal<<8 | uint64(s.cols[colShards+p].byte())
	}
	if row.IsMessage() {
		row.Up, row.Down = uint32(s.cols[colUps].uvarint()), uint32(s.cols[colDowns].uvarint())
		row.Used = row.Up + row.Down
		if s.dayLeft == 0 {
			s.dayLeft, s.day = s.cols[colDays].uvarint(), uint32(s.cols[colDays].uvarint())
			if s.dayLeft == 0 {
				s.cols[colDays].fail()
				return
			}
		}
		s.dayLeft--
		row.Day = s.day
		return
	}
	row.Used = uint32(s.cols[colUsed].uvarint())
	if kind&kindCounted != 0 {
		row.Day, row.Denied = uint32(s.cols[colDenied].uvarint()), s.cols[colDenied].uvarint()
	}
	if row.Code.IsQuota() {
		s.numbers()
	}
}

// numbers reads what was answered of the quota that denied the row or would have.
func (s *Scanner) numbers() {
	r := &s.cols[colQuotas]
	if s.quotaLeft == 0 {
		s.quotaLeft = r.uvarint()
		place := r.uvarint()
		if s.quotaLeft == 0 || place>>1 >= quotaPlaces {
			r.fail()
			return
		}
		if place&1 != 0 {
			s.quotas[place>>1] = quotaRun{limit: uint32(r.uvarint()), more: r.varint(), resetsMs: s.resetsMs + r.varint()}
			s.resetsMs = s.quotas[place>>1].resetsMs
		}
		s.quota = s.quotas[place>>1]
	}
	s.quotaLeft--
	s.Row.Quota = QuotaNumbers{
		Limit: s.quota.limit, Used: uint32(int64(s.Row.Used) + s.quota.more), ResetsAtMs: s.quota.resetsMs,
	}
}

func (s *Scanner) extra() {
	r, row := &s.cols[colExtras], &s.Row
	flags := r.byte()
	row.IsCut = flags&extraCut != 0
	if flags&extraID != 0 {
		row.ID = r.bytes(r.uvarint())
	}
	if flags&extraTopic != 0 {
		row.Topic = r.bytes(r.uvarint())
	}
	if flags&extraTime != 0 {
		row.TimeMs = s.decidedMs + r.varint()
	}
	if flags&extraWouldDeny != 0 {
		if row.WouldDeny = event.Code(r.byte()); !row.WouldDeny.IsQuota() || row.Named || row.Code != event.Accepted {
			r.fail()
			return
		}
		s.numbers()
	}
	if flags&extraRequested != 0 {
		row.Requested, row.TopupAvailable = uint32(r.uvarint()), r.uvarint()
	}
}

func (s *Scanner) check() bool {
	if s.failed {
		for i := range s.cols {
			if err := s.cols[i].err; err != nil {
				s.err = fmt.Errorf("column %d, row %d: %w", i, s.index-1, err)
				return false
			}
		}
	}
	if s.Row.Type == 0 || int(s.Row.Type) >= event.Types {
		s.err = fmt.Errorf("row %d has the unknown type %d", s.index-1, s.Row.Type)
		return false
	}
	return true
}
