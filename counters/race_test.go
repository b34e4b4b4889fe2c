package counters

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// gate stands for the engine's: many inside, or one at a cut.
type gate = sync.RWMutex

// R10: under any concurrency exactly the limit is accepted, on one device and on many, while the table grows under it.
func TestExactUnderRace(t *testing.T) {
	for _, devices := range []int{1, 7, 1000} {
		t.Run(fmt.Sprintf("devices=%d", devices), func(t *testing.T) {
			const goroutines, limit = 64, 150
			tab := newTable(t)
			keys := make([]Key, devices)
			for i := range keys {
				name := fmt.Sprintf("d%d", i)
				put(t, tab, 1, name)
				keys[i] = tab.KeyOf(1, []byte(name))
			}
			perGoroutine := devices*limit/goroutines + 2*limit // more than there is
			if devices == 1000 {
				perGoroutine = devices * limit / goroutines
			}
			var accepted, tried atomic.Int64
			var g gate
			var wg sync.WaitGroup
			grown := make(chan struct{}) // closed when the table has moved twice
			for id := range goroutines {
				wg.Go(func() {
					rnd := rand.New(rand.NewPCG(uint64(id), 1))
					for i := range perGoroutine {
						if i == perGoroutine/2 {
							<-grown
						}
						g.RLock()
						s := tab.Find(keys[rnd.IntN(devices)])
						if s.CountMessage(9, i%2 == 0, 1, limit).OK {
							accepted.Add(1)
						}
						g.RUnlock()
						tried.Add(1)
					}
				})
			}
			grows := 0
			for grows < 2 || tried.Load() < int64(goroutines*perGoroutine) {
				g.Lock()
				for i := grows % 5; i < Shards; i += 5 { // up and down, so that slots move every time
					if err := tab.resize(i, slotsFor(i, 10+grows%7*60, 0)); err != nil {
						t.Error(err)
					}
				}
				g.Unlock()
				if grows++; grows == 2 {
					close(grown)
				}
				if grows == 100 {
					break
				}
			}
			wg.Wait()
			var counted int64
			for _, k := range keys {
				w := tab.Find(k).Message()
				if w.Used() > limit {
					t.Errorf("%d messages of %d", w.Used(), limit)
				}
				if devices < 1000 && w.Used() != limit {
					t.Errorf("%d messages, though more than %d were tried", w.Used(), limit)
				}
				counted += int64(w.Used())
			}
			if counted != accepted.Load() {
				t.Errorf("%d counted, %d accepted", counted, accepted.Load())
			}
		})
	}
}

// Everything at once: inserts, messages, sessions and times inside the gate, growth at cuts, and a copier that knows of
// no gate. A copy joined with what is known afterwards is the table; no copy holds more than happened.
func TestCopyUnderLoad(t *testing.T) {
	const workers = 8
	batches := 60
	if !raceEnabled && !testing.Short() {
		batches = 300
	}
	const batch = 50
	tab := newTable(t)
	var g gate
	var wg sync.WaitGroup
	began := make(chan struct{}) // closed in the middle of the first copy
	for id := range workers {
		wg.Go(func() {
			<-began
			for n := range batches {
				for !submit(t, tab, &g, id, n*batch, batch) {
					g.Lock()
					if err := tab.Grow(batch, 1<<18); err != nil {
						t.Error(err)
					}
					g.Unlock()
				}
			}
		})
	}
	stop := make(chan struct{})
	images := make([][]byte, Shards)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		for isFirst := true; ; isFirst = false {
			for i := range images {
				images[i] = tab.AppendShard(images[i][:0], i)
				if isFirst && i == 0 {
					close(began)
				}
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-copied
	checkCopy(t, tab, images, workers*batches*batch)
}

// submit is one batch of one worker: new devices, each connected and sent messages. It reports whether there was room.
func submit(t *testing.T, tab *Table, g *gate, worker, first, n int) bool {
	g.RLock()
	defer g.RUnlock()
	if !tab.Reserve(n) {
		return false
	}
	for i := range n {
		name := fmt.Appendf(nil, "w%d-%d", worker, first+i)
		s, fresh, err := tab.Insert(tab.KeyOf(1, name), name)
		if err != nil || !fresh {
			t.Errorf("insert %q: %v %v", name, fresh, err)
			return true
		}
		s.SetOnline(uint32(worker + 1))
		s.CountMessage(3, true, uint32(i+1), 1500)
		s.CountDenied(3, 1)
		s.Touch(uint64(first))
		s.StoreLicense(NewLicenseWord(1, LicenseActive, 0, 77))
		tab.SetGrant(s.Ordinal(), Grant{Serial: uint64(first), Pool: 1})
	}
	return true
}

// checkCopy loads images, checks that nothing in them is ahead of tab, joins what they miss and compares.
func checkCopy(t *testing.T, tab *Table, images [][]byte, devices int) {
	t.Helper()
	again := newTable(t)
	for i := range images {
		if err := again.LoadShard(i, images[i]); err != nil {
			t.Fatal(err)
		}
	}
	tab.Walk(0, func(o Ordinal, product uint32, name []byte) bool {
		s := tab.SlotOf(o)
		c, err := again.BindAt(o, product, name)
		if err != nil {
			t.Fatal(err)
		}
		for w := 2; w < 8; w++ {
			if c.w[w].Load() > s.w[w].Load() {
				t.Fatalf("device %q: word %d of the copy is ahead", name, w)
			}
			c.Join(w, s.w[w].Load())
		}
		again.JoinLicense(c, s.License(), tab.Grant(o))
		if *c.plain() != *s.plain() || again.Grant(o) != tab.Grant(o) {
			t.Fatalf("device %q: %x, want %x", name, *c.plain(), *s.plain())
		}
		return true
	})
	if again.Len() != devices || tab.Len() != devices {
		t.Errorf("%d devices copied, %d there, want %d", again.Len(), tab.Len(), devices)
	}
}

// Pages of a list and names are read without the gate while devices are inserted: what was there before is met exactly
// once.
func TestWalkUnderInserts(t *testing.T) {
	tab := newTable(t)
	const before = 3000
	for i := range before {
		put(t, tab, 1, fmt.Sprintf("old-%d", i))
	}
	if err := tab.Grow(20_000, 0); err != nil || !tab.Reserve(20_000) {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20_000 {
			name := fmt.Appendf(nil, "new-%d", i)
			if _, _, err := tab.Insert(tab.KeyOf(2, name), name); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		seen := map[string]int{}
		for from, more := Ordinal(0), true; more; {
			more = false
			left := 100
			tab.Walk(from, func(o Ordinal, product uint32, name []byte) bool {
				if product == 1 {
					seen[string(name)]++
				} else if product != 2 || !strings.HasPrefix(string(name), "new-") {
					t.Errorf("met %q of product %d, which nobody inserted", name, product)
				}
				from = o + 1
				left--
				more = left == 0
				return !more
			})
		}
		if len(seen) != before {
			t.Errorf("met %d of %d", len(seen), before)
		}
		for name, n := range seen {
			if n != 1 {
				t.Errorf("%q was met %d times", name, n)
			}
		}
	}
	wg.Wait()
}
