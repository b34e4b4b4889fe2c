package bench

import (
	"testing"
	"time"
)

// TestAnswersAreCounted: only the measured window is in events, batches and latency; nothing is allocated an answer.
func TestAnswersAreCounted(t *testing.T) {
	l := &load{began: time.Now(), outcome: newOutcome()}
	c := &caller{load: l, inFlight: 10}
	answer := func(latency time.Duration) {
		done := time.Now()
		c.sentAt = done.Add(-latency)
		c.answer(done)
	}
	answer(time.Hour) // In the warm-up.
	l.phase.Store(phaseMeasure)
	for range 98 {
		answer(time.Millisecond)
	}
	answer(20 * time.Millisecond)
	answer(2 * latencyMax)
	l.phase.Store(phaseStop)
	answer(time.Hour)

	o := l.outcome
	if o.events != 1000 || o.batches != 100 || c.answered.Load() != 1020 {
		t.Errorf("%d events, %d batches, %d in all phases", o.events, o.batches, c.answered.Load())
	}
	got := latencyOf(o.latency)
	for what, v := range map[string][2]float64{
		"p50": {got.P50, 0.001}, "p99": {got.P99, 0.02}, "p99.9": {got.P999, latencyMax.Seconds()},
		"max": {got.Max, latencyMax.Seconds()}, "mean": {got.Mean, (0.098 + 0.02 + latencyMax.Seconds()) / 100},
	} {
		if v[0] < 0.992*v[1] || v[0] > 1.008*v[1] {
			t.Errorf("%s: %g, want %g", what, v[0], v[1])
		}
	}
	l.phase.Store(phaseMeasure)
	if n := testing.AllocsPerRun(1000, func() { answer(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations an answer", n)
	}
}

func BenchmarkAnswer(b *testing.B) {
	l := &load{began: time.Now(), outcome: newOutcome()}
	l.phase.Store(phaseMeasure)
	c := &caller{load: l, inFlight: 1, sentAt: l.began}
	b.ReportAllocs()
	for i := range b.N {
		c.answer(l.began.Add(time.Duration(i) * 37))
	}
}
