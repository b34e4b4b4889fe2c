package shard

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/metric"
)

// starving has the device table grow only while the switch is off.
func starving(isStarved *atomic.Bool) func(*counters.Table, int, int) error {
	return func(t *counters.Table, need, budgetBytes int) error {
		if isStarved.Load() {
			return fmt.Errorf("map 64 MiB: %w", counters.ErrNoMemory)
		}
		return t.Grow(need, budgetBytes)
	}
}

// told passes on what the engine logs.
type told chan string

func (c told) Write(b []byte) (int, error) {
	c <- string(b)
	return len(b), nil
}

// await waits for a line that contains words.
func (c told) await(t *testing.T, words string) {
	t.Helper()
	for {
		select {
		case line := <-c:
			if strings.Contains(line, words) {
				return
			}
		case <-time.After(time.Minute):
			t.Fatalf("the engine did not log %q", words)
		}
	}
}

// Without memory only requests that bring new devices are refused, whole and under their own name; everything else goes
// on, and so do they when there is memory again, though nobody sends anything meanwhile.
func TestOutOfMemory(t *testing.T) {
	m := newMachine(t)
	m.kill()
	var isStarved atomic.Bool
	log := make(told, 100)
	o := m.options()
	o.grow, o.Logger = starving(&isStarved), slog.New(slog.NewTextHandler(log, nil))
	var err error
	if m.Engine, err = Open(o); err != nil {
		t.Fatal(err)
	}
	set := metric.NewSet()
	m.RegisterMetrics(set)
	stopped := func(want string) {
		t.Helper()
		want = `meterd_ingest_stopped{reason="out_of_memory"} ` + want + "\n"
		if !strings.Contains(string(set.Text()), want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	m.product("p", `{}`, 1_000_000)
	stopped("0")
	isStarved.Store(true)
	const batch = 10_000
	newcomers := func(from int) string {
		var lines strings.Builder
		for i := range batch {
			lines.WriteString(line("connect", "p", fmt.Sprint("d", from+i)))
		}
		return lines.String()
	}
	known := 0
	for err == nil {
		if err = m.Submit(request(t, newcomers(known))); err == nil {
			known += batch
		}
		if known > 1_000_000 {
			t.Fatal("there is no end of room")
		}
	}
	if !errors.Is(err, ErrOutOfMemory) || errors.Is(err, ErrDiskFull) || known == 0 {
		t.Fatalf("after %d devices: %v", known, err)
	}
	log.await(t, "no memory for new devices")
	stopped("1")
	if got := m.licenses("p"); got.Used != uint64(known) {
		t.Errorf("%d devices were accepted and %d licences used", known, got.Used)
	}
	got := m.submit(line("connect", "p", "d0") + line("up", "p", "d1") + line("up", "p", "stranger"))
	if fmt.Sprint(got) != "[accepted accepted not_activated]" {
		t.Error(got)
	}
	// More connects than there is room for: of a device that is known, and of new ones.
	if err := m.Submit(request(t, strings.Repeat(line("connect", "p", "d0"), batch))); err != nil {
		t.Errorf("connects of a device that is known: %v", err)
	}
	if err := m.Submit(request(t, newcomers(known))); !errors.Is(err, ErrOutOfMemory) {
		t.Errorf("connects of new devices: %v", err)
	}
	isStarved.Store(false)
	log.await(t, "there is memory for new devices again")
	stopped("0")
	if err := m.Submit(request(t, newcomers(known))); err != nil {
		t.Error(err)
	}
}

// A daemon that cannot get its first memory does not start, and says what to do.
func TestStartWithoutMemory(t *testing.T) {
	m := newMachine(t)
	m.kill()
	var isStarved atomic.Bool
	isStarved.Store(true)
	o := m.options()
	o.grow = starving(&isStarved)
	e, err := Open(o)
	if !errors.Is(err, counters.ErrNoMemory) || !strings.Contains(err.Error(), "ulimit -v") {
		t.Errorf("started %v: %v", e != nil, err)
	}
}
