package demo

import (
	"testing"
	"time"
)

// TestWhatASleepMissedDidNotHappen: a machine that wakes up sends nothing of the time that it slept; it has no gateway
// here to send with.
func TestWhatASleepMissedDidNotHappen(t *testing.T) {
	l := &live{seed: 1}
	if err := l.begin(begin()); err != nil {
		t.Fatal(err)
	}
	slept := begin().Add(8 * time.Hour)
	before := l.fleet
	if err := l.look(t.Context(), slept); err != nil || l.fleet == before || l.lookedMs != slept.UnixMilli() {
		t.Fatalf("it looked at %d, %v", l.lookedMs, err)
	}
	if first := l.fleet.queue[0].dueMs; first < slept.UnixMilli() {
		t.Errorf("the first device does something at %d, before it woke up", first)
	}
}
