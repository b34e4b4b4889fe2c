package shard

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/meterd/meterd/license"
)

// offline puts every device of product p offline and returns when that is durable.
func (m *machine) offline() {
	m.t.Helper()
	if err := putOffline(m.Engine); err != nil {
		m.t.Fatal(err)
	}
}

// putOffline suspends product p and lets it go.
func putOffline(e *Engine) error {
	suspend := func(on bool) error {
		return e.Administer("test", nil,
			func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
				next, ch, _, err := c.SuspendProduct(by, "p", on)
				return next, ch, err
			})
	}
	return errors.Join(suspend(true), suspend(false))
}

// A device that is suspended between the decision of its disconnect and the sync is told about all the same.
func TestSuspendedBeforeTheDisconnectIsDurable(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"validity":"PT10S"}`, 1)
	m.gifts("p", 0)
	m.submit(line("connect", "p", "d"))
	m.clock.pass(10e9)
	r := request(t, line("up", "p", "d"))
	if err := m.Decide(r); err != nil {
		t.Fatal(err)
	}
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.SuspendDevice(by, "p", "d", true)
	})
	if err := m.Settle(r); err != nil {
		t.Fatal(err)
	}
	for range 3 { // as it is, from the log, from a checkpoint
		if list, _ := m.heard(m.CommandsFrom(""), Listener{}); fmt.Sprint(list) != "[license_exhausted d]" {
			t.Fatalf("heard %v", list)
		}
		m.crash()
		if err := m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is heard behind a disconnect that was passed over, because its device has connected, leaves when the connect is
// durable: a crash that undoes the connect must not leave a gateway behind a disconnect that it never heard.
func TestPassedOverWhenTheConnectIsDurable(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 2)
	m.submit(line("connect", "p", "d1") + line("connect", "p", "d2"))
	m.offline()
	m.log.mu.Lock()
	m.log.hold, m.log.began = make(chan struct{}), make(chan struct{}, 1)
	m.log.mu.Unlock()
	e := m.Engine
	answer, heard := make(chan error, 1), make(chan error, 1)
	go func() { answer <- e.Submit(request(t, line("connect", "p", "d1"))) }()
	<-m.log.began
	go func() {
		_, _, _, err := e.Commands(e.CommandsFrom(""), Listener{})
		heard <- err
	}()
	m.crash()
	for what, c := range map[string]chan error{"answered": answer, "heard": heard} {
		if err := <-c; !errors.Is(err, ErrStopped) {
			t.Fatalf("%s (%v) before the connect was durable", what, err)
		}
	}
	list, _ := m.heard(m.CommandsFrom(""), Listener{})
	if slices.Sort(list); fmt.Sprint(list) != "[suspended d1 suspended d2]" {
		t.Fatalf("heard %v", list)
	}
}

// copied starts another engine on a copy of all that survives this one.
func (m *machine) copied() *machine {
	m.t.Helper()
	if err := m.DurableInLedger(); err != nil {
		m.t.Fatal(err)
	}
	next := &machine{
		t: m.t, log: &memLog{groups: m.log.snapshot()}, store: newMemStore(), dir: m.t.TempDir(), disk: &wideDisk{},
		clock: &handClock{wall: m.clock.wall, running: m.clock.running}, lanes: m.lanes,
	}
	m.store.mu.Lock()
	next.store.rows, next.store.at = maps.Clone(m.store.rows), m.store.at
	m.store.mu.Unlock()
	next.start()
	m.t.Cleanup(next.kill)
	return next
}

// Two copies of a directory go on beside each other. A place that one of them named is good in the other for what both
// have in common; else it counts as none, and all that is kept is heard, and a refresh.
func TestPlacesOfTwoCopies(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 20)
	step := func(m *machine, device string) (id string) {
		t.Helper()
		m.submit(line("connect", "p", device))
		m.offline()
		_, last := m.heard(m.CommandsFrom(""), Listener{})
		return string(last.AppendText(nil))
	}
	common := step(m, "common")
	other := m.copied()
	mine := []string{step(m, "m1"), step(m, "m2")}
	theirs := []string{step(other, "t1"), step(other, "t2"), step(other, "t3")} // Their numbers are ahead.
	all, allOfOther := "[refresh common m1 m2]", "[refresh common t1 t2 t3]"
	for range 3 {
		for _, tt := range []struct {
			m        *machine
			id, want string
		}{
			{m, "", "[common m1 m2]"},
			{m, common, "[m1 m2]"},
			{m, mine[0], "[m2]"},
			{m, mine[1], "[]"},
			{m, theirs[0], all},
			{m, theirs[2], all},
			{m, "1.2", all},
			{m, "garbage", all},
			{other, common, "[t1 t2 t3]"},
			{other, theirs[1], "[t3]"},
			{other, mine[0], allOfOther},
			{other, mine[1], allOfOther},
		} {
			list, _ := tt.m.heard(tt.m.CommandsFrom(tt.id), Listener{})
			for i := range list {
				list[i] = strings.TrimPrefix(strings.TrimSuffix(list[i], " p"), "suspended ")
			}
			if got := fmt.Sprint(list); got != tt.want {
				t.Errorf("behind %q: %s, want %s", tt.id, got, tt.want)
			}
		}
		m.crash() // Starts of their own change nothing.
		other.crash()
		if err := other.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
}

// Connects, disconnects, suspensions, streams and checkpoints at once: in the end what is kept is what was put offline
// and has not connected since, before a crash and after it.
func TestCommandsAtOnce(t *testing.T) {
	const devices = 40
	m := newMachine(t)
	m.product("p", `{}`, devices)
	e := m.Engine
	var turns, ears sync.WaitGroup
	done := make(chan struct{})
	for gateway := range 3 {
		turns.Go(func() {
			for round := range 30 {
				var b strings.Builder
				for i := gateway; i < devices; i += 3 {
					b.WriteString(line("connect", "p", fmt.Sprint("d", i)))
				}
				if err := e.Submit(request(t, b.String())); err != nil {
					t.Error(err)
				}
				if round%3 == gateway {
					if err := putOffline(e); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	ears.Go(func() {
		for next := e.CommandsFrom(""); ; {
			_, behind, more, err := e.Commands(next, Listener{})
			if err != nil || behind.Command < next.Command {
				t.Errorf("from %+v to %+v, %v", next, behind, err)
			}
			next = behind
			select {
			case <-more:
			case <-done:
				return
			}
		}
	})
	turns.Wait()
	close(done)
	ears.Wait()
	for range 3 { // as it is, from the log, from a checkpoint
		var want []string
		for i := range devices {
			if d, _ := m.device("p", fmt.Sprint("d", i)); !d.Online {
				want = append(want, fmt.Sprint("suspended d", i))
			}
		}
		got, _ := m.heard(m.CommandsFrom(""), Listener{})
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			t.Fatalf("heard %v, want %v", got, want)
		}
		m.crash()
		if err := m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkReconnect is a device's disconnect and connect, where a disconnect is kept for each of a million other
// devices or for none: they cost it nothing.
func BenchmarkReconnect(b *testing.B) {
	const own, batch = 1000, 2000
	others := scaled(1 << 20)
	f := newFleetOn(b, &noLog{})
	f.stock("p", `{"messages_per_day":null}`, others+own)
	f.fill("connect", "p", 0, others)
	var body []byte
	for i := range own {
		body = lines(body, "disconnect", "p", others+i, 1)
		body = lines(body, "connect", "p", others+i, 1)
	}
	for _, kept := range []int{0, others} {
		if kept > 0 {
			f.offline()
		}
		f.fill("connect", "p", others, own)
		if err := f.DurableInLedger(); err != nil { // Nothing of all this is left to be done beside what is measured.
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("kept=%d", kept), func(b *testing.B) {
			r := request(b, string(body))
			b.ReportAllocs()
			used, n := processorTime(b), 0
			for ; n < b.N; n += own {
				if err := f.Submit(r); err != nil || r.Result.Accepted != batch {
					b.Fatal(r.Result.Accepted, err)
				}
			}
			b.ReportMetric(float64(processorTime(b)-used)/float64(n), "cpu-ns/op")
		})
	}
}
