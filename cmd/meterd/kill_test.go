package main_test

import (
	"path/filepath"
	"testing"
	"time"
)

// TestKill is kill -9 at ten random instants in the middle of traffic from six gateways and an administrator.
// Checkpoints are made all the time, so that kills hit them too.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	n := seed(t)
	dice := newDice(n, 0)
	d := newDaemon(t, "--checkpoint-every", "50ms")
	tr := newTraffic(d, n)
	tr.pace = 5 * time.Millisecond
	tr.prepare()
	for round := range rounds {
		tr.begin()
		tr.answered(20)
		tr.killAfter(time.Duration(dice.Int64N(int64(700 * time.Millisecond))))
		if round%3 == 2 {
			// Recovery is killed as well, before it is ready or just after.
			d.launch()
			tr.killAfter(time.Duration(dice.Int64N(int64(150 * time.Millisecond))))
		}
		verify(t, d.data, 0, "no difference")
		d.start()
		tr.check()
	}
	tr.report(t)
	verify(t, d.data, 0, "no difference")
	d.restart()
	tr.check()
}

// killAfter kills the daemon after a while of traffic.
func (tr *traffic) killAfter(while time.Duration) {
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-tr.d.run.exited:
		tr.d.t.Errorf("the daemon ended by itself:\n%s", tr.d.run.said())
	}
	tr.ending()
	tr.d.kill()
	tr.wait()
}

// TestKillWhileSegmentsChange: the log's segments span four seconds here, and half of the kills come at the instant at
// which a new one appears. What is older than the retention cannot be read any more, and is still counted.
func TestKillWhileSegmentsChange(t *testing.T) {
	if testing.Short() {
		t.Skip("a segment of the log spans four seconds here")
	}
	t.Parallel()
	n := seed(t)
	dice := newDice(n, 0)
	d := newDaemon(t, "--checkpoint-every", "200ms", "--log-retention", "30s")
	tr := newTraffic(d, n)
	tr.readable = 25 * time.Second
	tr.pace = 60 * time.Millisecond
	tr.prepare()
	for round := range 6 {
		segments := d.segments()
		tr.begin()
		tr.answered(20)
		while := time.Duration(dice.Int64N(int64(3 * time.Second)))
		if round%2 == 0 {
			await(t, "a new segment appears", func() bool { return d.segments() != segments })
			while = time.Duration(dice.Int64N(int64(40 * time.Millisecond)))
		}
		tr.killAfter(while)
		verify(t, d.data, 0, "no difference")
		d.start()
		tr.check()
	}
	tr.report(t)
	t.Logf("segments at the end: %s", d.segments())
}

// segments names the files of the log, in order.
func (d *daemon) segments() string {
	names, err := filepath.Glob(filepath.Join(d.data, "log", "segment-*"))
	if err != nil {
		d.t.Fatal(err)
	}
	list := ""
	for _, name := range names {
		list += " " + filepath.Base(name)
	}
	return list
}
