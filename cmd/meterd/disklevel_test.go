package main_test

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// rolling is a daemon whose raw log rolls over while it is fed at a steady rate with payloads that do not compress.
type rolling struct {
	*daemon
	keep    time.Duration
	perTick int // events
	dice    *rand.Rand
	sent    [][]sentRow // of each device
	number  int
}

// sentRow is an event that was answered: its topic, and between which instants it was decided.
type sentRow struct {
	topic      string
	from, till time.Time
}

// wait is how long a single event took that was sent meanwhile, and whether a directory of the archive was being
// removed then.
type wait struct {
	took     time.Duration
	removing bool
}

const (
	rollingDevices = 50
	rollingPayload = 4 << 10
	rollingTick    = 50 * time.Millisecond
	rollingProbe   = 5 * time.Millisecond
)

// TestDiskLevel: under a stream of payloads nothing is read that is over, nothing is missing that is not, and the disk
// is given back. METERD_ROLLING="70s 20 5m" says for how long the raw log is kept, how many MB of payload come a
// second, and for how long; then the disk keeps a level, too, which takes a machine that is not busy. Levels are
// compared by the events that may be there: those of the retention, a seventh more, and a second in which directories
// are removed (R18).
func TestDiskLevel(t *testing.T) {
	// So little that the log's prepared segments are more than all of it: then the archive alone is compared.
	keep, rate, lasts, what := 14*time.Second, 2, 35*time.Second, "archive"
	if s := os.Getenv("METERD_ROLLING"); s != "" {
		var k, l string
		if _, err := fmt.Sscan(s, &k, &rate, &l); err != nil {
			t.Fatal(err)
		}
		var errs [2]error
		keep, errs[0] = time.ParseDuration(k)
		lasts, errs[1] = time.ParseDuration(l)
		if errs[0] != nil || errs[1] != nil {
			t.Fatal(errs)
		}
		what = "."
	} else if testing.Short() {
		t.Skip("the raw log rolls over, which takes half a minute")
	}
	t.Parallel()
	r := newRolling(t, keep, rate)
	mayLast := keep + keep/7 + time.Second
	var levels []float64 // bytes an event
	var highest int64    // bytes
	rows, looks := 0, 0
	probed := r.probe()
	r.feed(lasts, func(since time.Duration) {
		if since > keep+keep/2 {
			levels = append(levels, float64(r.level(what))/float64(r.within(mayLast)))
		}
		highest = max(highest, r.level(what))
		rows += r.look(r.dice.IntN(rollingDevices))
		looks++
	})
	waits := probed()
	fresh := newRolling(t, keep, rate)
	fresh.feed(keep, func(time.Duration) {})
	await(t, "the fresh daemon has archived", func() bool {
		return fresh.metric("meterd_archive_memory_events") == "0"
	})
	level, most := float64(fresh.level(what))/float64(fresh.number), slices.Max(levels)
	t.Logf("%d MB/s for %s, kept for %s: DIR/%s has %.0f bytes at most for an event that may be there, that of a fresh "+
		"daemon %.0f: %.2f times", rate, lasts, keep, what, most, level, most/level)
	t.Logf("%d looks at a device's log, %d entries, none of them over, none missing; %s", looks, rows, stalls(waits))
	switch {
	case os.Getenv("METERD_ROLLING") == "":
		await(t, "the disk is given back", func() bool { return r.level(what) < highest/4 })
	case most > 1.4*level:
		t.Errorf("the disk's level is above 1.4 times")
	}
}

// within returns how many events were answered within a time.
func (r *rolling) within(last time.Duration) (n int) {
	for _, sent := range r.sent {
		for i := len(sent) - 1; i >= 0 && time.Since(sent[i].till) < last; i-- {
			n++
		}
	}
	return n
}

func newRolling(t *testing.T, keep time.Duration, rate int) *rolling {
	d := newDaemon(t, "--log-retention", keep.String())
	d.withProduct("p1", `{"messages_per_day":1000000}`)
	d.credit("p1", "PO-1", rollingDevices)
	n := seed(t)
	perTick := rate << 20 / rollingPayload / int(time.Second/rollingTick)
	r := &rolling{daemon: d, keep: keep, perTick: perTick, dice: newDice(n, 0), sent: make([][]sentRow, rollingDevices)}
	for i := range rollingDevices {
		d.batch(line("connect", "p1", fmt.Sprintf("d%d", i)))
	}
	return r
}

// feed sends for a while, and looks now and then.
func (r *rolling) feed(lasts time.Duration, look func(since time.Duration)) {
	tick := time.NewTicker(rollingTick)
	defer tick.Stop()
	began, looked := time.Now(), time.Now()
	for ; time.Since(began) < lasts; <-tick.C {
		r.send()
		if time.Since(looked) > time.Second {
			look(time.Since(began))
			looked = time.Now()
		}
	}
}

// send sends what is due in a tick.
func (r *rolling) send() {
	payload := make([]byte, rollingPayload)
	var lines []string
	devices := make([]int, r.perTick)
	first := r.number
	for i := range devices {
		for at := range payload {
			payload[at] = byte(r.dice.Uint32())
		}
		devices[i] = r.dice.IntN(rollingDevices)
		lines = append(lines, fmt.Sprintf(`{"type":"up","product":"p1","device":"d%d","topic":"%d","payload_base64":"%s"}`,
			devices[i], r.number, base64.StdEncoding.EncodeToString(payload)))
		r.number++
	}
	from := time.Now()
	codes := r.batch(lines...)
	till := time.Now()
	for i, code := range codes {
		if code != "accepted" {
			r.t.Fatalf("an event is answered %q", code)
		}
		o := devices[i]
		r.sent[o] = append(r.sent[o], sentRow{fmt.Sprint(first + i), from, till})
	}
}

// look compares the log of a device with what it was sent, and returns how many entries it has.
func (r *rolling) look(device int) int {
	r.t.Helper()
	asked := time.Now()
	list := r.logs("p1", fmt.Sprintf("d%d", device))
	answered := time.Now()
	have := map[string]int{}
	for _, e := range list {
		if e.DecidedAt.Before(asked.Add(-r.keep - 2*time.Millisecond)) {
			r.t.Errorf("d%d: an event of %s before", device, asked.Sub(e.DecidedAt))
		}
		if e.Topic == nil { // It connected.
			continue
		}
		if have[*e.Topic]++; have[*e.Topic] > 1 {
			r.t.Errorf("d%d: event %s is there twice", device, *e.Topic)
		}
	}
	for _, s := range r.sent[device] {
		switch n := have[s.topic]; {
		case n == 0 && answered.Before(s.from.Add(r.keep)):
			r.t.Errorf("d%d: event %s, sent %s before, is missing", device, s.topic, answered.Sub(s.from))
		case n > 0 && asked.After(s.till.Add(r.keep+time.Second)):
			r.t.Errorf("d%d: event %s, sent %s before, is still there", device, s.topic, asked.Sub(s.till))
		}
	}
	return len(list)
}

// level returns what a part of the data directory takes on the disk, the ballast apart.
func (r *rolling) level(part string) (bytes int64) {
	r.t.Helper()
	_ = filepath.WalkDir(filepath.Join(r.data, part), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), "BALLAST") {
			return nil // It may go while we look.
		}
		var st syscall.Stat_t
		if syscall.Lstat(path, &st) == nil {
			bytes += st.Blocks * 512
		}
		return nil
	})
	return bytes
}

// probe sends single events of another product meanwhile, one after the other, until the function that it returns is
// called: that returns how long each took.
func (r *rolling) probe() func() []wait {
	r.withProduct("p2", `{"messages_per_day":1000000}`)
	r.batch(line("connect", "p2", "probe"))
	stop, done := make(chan struct{}), make(chan struct{})
	var waits []wait
	var failed error
	go func() {
		defer close(done)
		tick := time.NewTicker(rollingProbe)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			from := time.Now()
			a, err := r.try("POST", "/v1/events", []byte(line("up", "p2", "probe")), "Content-Type", "application/json")
			took := time.Since(from)
			if err == nil && a.status != 200 {
				err = fmt.Errorf("an event is answered %d", a.status)
			}
			removing, _ := filepath.Glob(filepath.Join(r.data, "archive", "*.removing"))
			if failed = err; err != nil {
				return
			}
			waits = append(waits, wait{took, len(removing) > 0})
		}
	}()
	return func() []wait {
		close(stop)
		<-done
		if failed != nil {
			r.t.Error(failed)
		}
		return waits
	}
}

// stalls says how long single events took.
func stalls(waits []wait) string {
	var all, removing []time.Duration
	for _, w := range waits {
		if all = append(all, w.took); w.removing {
			removing = append(removing, w.took)
		}
	}
	if len(removing) == 0 {
		return "no event ended while a directory was removed"
	}
	say := func(list []time.Duration) string {
		slices.Sort(list)
		return fmt.Sprintf("%v at the median, %v at the 99th percentile, %v at most", list[len(list)/2],
			list[len(list)*99/100], list[len(list)-1])
	}
	return fmt.Sprintf("%d single events took %s; the %d that ended while a directory was removed %s",
		len(all), say(all), len(removing), say(removing))
}
