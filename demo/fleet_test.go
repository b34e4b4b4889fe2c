package demo

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
)

func begin() time.Time { return time.Date(2026, 10, 28, 9, 17, 33, 0, time.UTC) }

// TestFleetIsDetermined: the seed decides what happens, however far one looks at a time.
func TestFleetIsDetermined(t *testing.T) {
	hours := 24
	if testing.Short() {
		hours = 3
	}
	day := func(seed uint64, step time.Duration) uint64 {
		f, err := newFleet(seed, begin(), Week, false)
		if err != nil {
			t.Fatal(err)
		}
		rollOut{smartMeter, shanghai, "v2", 4_000_000, 50}.plan(f, begin().Add(time.Hour))
		told := map[string]uint64{}
		for at := begin(); at.Before(begin().Add(time.Duration(hours) * time.Hour)); {
			at = at.Add(step)
			for _, m := range f.advance(at.UnixMilli()) {
				h := fnv.New64a()
				fmt.Fprintln(h, told[m.device.name], m.kind, m.device.name, m.atMs, m.size, m.id, m.topic, string(m.payload))
				told[m.device.name] = h.Sum64()
			}
		}
		h := fnv.New64a()
		fmt.Fprint(h, told) // Maps are printed in the order of their keys.
		return h.Sum64()
	}
	a := day(1, time.Hour)
	if b := day(1, time.Hour); a != b {
		t.Error("the same seed made another day")
	}
	if b := day(2, time.Hour); a == b {
		t.Error("another seed made the same day")
	}
}

// TestFleetIsWithinBounds: a week in which nothing is denied has as many events as it should, each of which a gateway
// could send, and each device's follow each other.
func TestFleetIsWithinBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("it counts a million events")
	}
	f, err := newFleet(7, begin(), Week, false)
	if err != nil {
		t.Fatal(err)
	}
	end := begin().Add(Week).UnixMilli()
	last := map[string]int64{}
	perDay := map[string]map[int64]int{}
	total := 0
	for at := begin().UnixMilli(); at < end; {
		at = min(at+time.Hour.Milliseconds(), end)
		for _, m := range f.advance(at) {
			total++
			name := m.device.name
			if m.atMs < last[name] || m.atMs < begin().UnixMilli() || m.atMs > end+5000 {
				t.Fatalf("%s at %d, behind %d", name, m.atMs, last[name])
			}
			last[name] = m.atMs
			isMessage := m.kind == event.Up || m.kind == event.Down
			if !event.ValidName([]byte(name)) || isMessage != json.Valid(m.payload) || isMessage != (m.topic != "") {
				t.Fatalf("%s %s %q: %s", name, m.kind, m.topic, m.payload)
			}
			if isMessage {
				if perDay[name] == nil {
					perDay[name] = map[int64]int{}
				}
				perDay[name][m.atMs/(24*3600*1000)]++
			}
		}
	}
	if total < 500_000 || total > 1_500_000 {
		t.Errorf("%d events in a week", total)
	}
	devices := 0
	for i := range models {
		devices += models[i].count
	}
	if len(last) != devices {
		t.Errorf("%d of %d devices did something", len(last), devices)
	}
	for name, low := range map[string]int{"SM-0001": 900, "SM-0017": 2800, "BK-0001": 30, "RT-0001": 300, "GH-0001": 250} {
		full := 0
		for _, n := range perDay[name] {
			full = max(full, n)
		}
		if full < low || full > 2*low && name != "BK-0001" || full > 1000 && name == "BK-0001" {
			t.Errorf("%s sent %d messages on its fullest day", name, full)
		}
	}
}
