package query

import (
	"testing"
	"time"
)

// lateLog is a raw log whose events before an instant are gone.
type lateLog struct {
	RawLog
	fromMs int64
}

func (l *lateLog) AvailableFromMs() (int64, error) { return l.fromMs, nil }

// What is missing is told only to those who ask for it, and only as long as its time is not over (R18).
func TestLogAvailableFrom(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{"log_days":2}`, 1)
	log := &lateLog{RawLog: d.raw}
	d.raw = log
	nowMs := d.engine.NowMs()
	ago := func(age time.Duration) int64 { return nowMs - age.Milliseconds() }
	for _, c := range []struct{ begins, from, want int64 }{
		{0, 0, 0},
		{ago(time.Hour), 0, ago(time.Hour)},
		{ago(time.Hour), ago(2 * time.Hour), ago(time.Hour)},
		{ago(time.Hour), ago(time.Hour), 0},
		{ago(time.Hour), ago(time.Minute), 0},
		{ago(48*time.Hour - time.Millisecond), 0, ago(48*time.Hour - time.Millisecond)},
		{ago(48 * time.Hour), 0, 0},
	} {
		log.fromMs = c.begins
		if ms, err := d.LogAvailableFromMs(d.productOf("p"), c.from); ms != c.want || err != nil {
			t.Errorf("begins %d ms ago, asked from %d: %d, %v, want %d", nowMs-c.begins, c.from, ms, err, c.want)
		}
	}
}
