package usage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/meterd/meterd/retention/ledger"
)

// The time of a row is over when it was said to be when the row was written. So a longer retention does not bring back
// months that are deleted, nor keep those longer that are not: what was written before it began is there for as long as
// the shorter one said. A row of its own remembers that, and readers show such months as not kept, not as unused.

// retentions is for how long rows are kept. 0 stands for ever.
type retentions struct {
	now time.Duration // those that are written now
	// The shortest for which rows were kept that were written up to the decided time untilMs, Unix milliseconds. Without
	// any, untilMs is 0.
	shortest time.Duration
	untilMs  int64
}

// endless returns a retention such that a longer one is larger.
func endless(d time.Duration) time.Duration {
	if d == 0 {
		return math.MaxInt64
	}
	return d
}

// then returns what holds when another retention takes the place of now at atMs.
func (r retentions) then(retention time.Duration, atMs int64) retentions {
	if endless(retention) > endless(r.now) {
		// What is behind a shorter one does not matter any more once the present one hides it anyway.
		matters := r.untilMs > 0 && r.shortest < endless(r.now) && atMs-endless(r.now).Milliseconds() <= r.untilMs
		if !matters {
			r.shortest = r.now
		}
		r.untilMs = atMs
	}
	r.now = retention
	return r
}

// retentionsBytes is the size of the row: now, shortest and untilMs.
const retentionsBytes = 3 * 8

func (r retentions) encode() []byte {
	row := binary.BigEndian.AppendUint64(nil, uint64(r.now.Milliseconds()))
	row = binary.BigEndian.AppendUint64(row, uint64(r.shortest.Milliseconds()))
	return binary.BigEndian.AppendUint64(row, uint64(r.untilMs))
}

func decodeRetentions(row []byte) (r retentions, err error) {
	if len(row) != retentionsBytes {
		return r, errors.New("the row that says for how long usage is kept is damaged")
	}
	var ms [3]int64
	for i := range ms {
		ms[i] = int64(binary.BigEndian.Uint64(row[8*i:]))
		if ms[i] < 0 || i < 2 && ms[i] > math.MaxInt64/int64(time.Millisecond) {
			return r, fmt.Errorf("the row that says for how long usage is kept is damaged: it has %d ms", ms[i])
		}
	}
	return retentions{time.Duration(ms[0]) * time.Millisecond, time.Duration(ms[1]) * time.Millisecond, ms[2]}, nil
}

// retentions returns the row; found is false before the first Apply.
func (r *Rows) retentions() (have retentions, found bool, err error) {
	row, found, err := r.r.Get([]byte(keyRetentions))
	if err != nil || !found {
		return have, false, err
	}
	have, err = decodeRetentions(row)
	return have, err == nil, err
}

// WrittenFor returns the shortest time, counted from the end of their month, for which rows are kept that were written
// up to untilMs, Unix milliseconds, if it is shorter than retention, which holds at nowMs; else 0.
func (r *Rows) WrittenFor(retention time.Duration, nowMs int64) (shortest time.Duration, untilMs int64, err error) {
	have, found, err := r.retentions()
	if err != nil || !found {
		return 0, 0, err
	}
	have = have.then(retention, nowMs)
	if have.untilMs == 0 || have.shortest >= endless(retention) {
		return 0, 0, nil
	}
	return have.shortest, have.untilMs, nil
}

// noteRetention writes for how long rows are kept that are written from now on, if that is not known. It comes before
// them; atMs is not before the decided time of those that are there.
func (l *Ledger) noteRetention(atMs int64) error {
	have, found, err := l.retentions()
	if err != nil || found && have.now == l.retention {
		return err
	}
	next := retentions{now: l.retention}
	if found {
		next = have.then(l.retention, atMs)
	}
	return l.store.WritePart([]ledger.Entry{{Key: []byte(keyRetentions), Value: next.encode()}})
}
