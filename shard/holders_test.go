package shard

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
)

// as submits lines of a producer.
func (m *machine) as(producer, lines string) ([]string, error) {
	m.t.Helper()
	r := request(m.t, lines)
	r.Producer = []byte(producer)
	err := m.Submit(r)
	return codes(r), err
}

// connects connects a device through a producer.
func (m *machine) connects(producer, device string) {
	m.t.Helper()
	if got, err := m.as(producer, line("connect", "p", device)); err != nil || got[0] != "accepted" {
		m.t.Fatal(got, err)
	}
}

// holds fails the test unless a device is online or not, and a producer holds it.
func (m *machine) holds(producer, device string, online bool) {
	m.t.Helper()
	if d, ok := m.device("p", device); !ok || d.Holder != producer || d.Online != online {
		m.t.Fatalf("device %s: holder %q, online %t; want %q, %t", device, d.Holder, d.Online, producer, online)
	}
}

func (m *machine) deletes(producer string) {
	m.t.Helper()
	if found, err := m.ForgetProducer(m.administrator(), producer); !found || err != nil {
		m.t.Fatal(found, err)
	}
}

// What a producer held when it was deleted is held by nobody, now and after a restart: any producer's disconnect takes
// it offline, and every gateway hears its commands. A new producer of its name holds nothing of it, nor remembers its
// sequences.
func TestDeletedProducer(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	for i := range 4 {
		m.connects("gw", fmt.Sprint("d", i))
	}
	if _, err := m.claimed("gw", 1, line("up", "p", "d0")); err != nil {
		t.Fatal(err)
	}
	if found, err := m.ForgetProducer(m.administrator(), "nobody"); found || err != nil {
		t.Fatal(found, err)
	}
	other := *m.administrator()
	other.AccountID = 7
	if found, err := m.ForgetProducer(&other, "gw"); found || err != nil {
		t.Fatal("another account's:", found, err)
	}
	m.deletes("gw")
	for round := range 3 {
		m.holds("", "d0", true)
		if n, err := m.Offline(m.administrator(), "gw"); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		if _, known, err := m.Sequences(0, "gw"); known != (round == 2) || err != nil {
			t.Fatal(known, err)
		}
		m.crash()
		if round == 1 {
			if r, err := m.claimed("gw", 1, line("up", "p", "d0")); err != nil || r.Replayed {
				t.Fatal("its sequences are remembered:", err)
			}
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := m.as("other", line("disconnect", "p", "d0")); err != nil || got[0] != "accepted" {
		t.Fatal(got, err)
	}
	m.holds("", "d0", false)
	m.connects("gw", "d1")
	if _, err := m.as("other", line("disconnect", "p", "d1")); err != nil {
		t.Fatal(err)
	}
	m.holds("gw", "d1", true)
	if got := m.auditOf("producer.forget"); len(got) != 1 || got[0].Token != "admin" || got[0].Target != "gw" {
		t.Fatalf("%+v", got)
	}
}

// auditOf returns the audit entries of an action, oldest first.
func (m *machine) auditOf(action string) (list []license.AuditEntry) {
	m.t.Helper()
	err := errors.Join(m.DurableInLedger(), m.o.Ledger.AuditFrom(0, func(e license.AuditEntry) bool {
		if e.Action == action {
			list = append(list, e)
		}
		return true
	}))
	if err != nil {
		m.t.Fatal(err)
	}
	return list
}

// hears returns the devices that a producer is told to disconnect, of all that are kept.
func (m *machine) hears(producer string) (devices []string) {
	m.t.Helper()
	list, _, _, err := m.Commands(m.CommandsFrom(""), Listener{Producer: []byte(producer), HasProducer: true})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, c := range list {
		if c.Device != "" {
			devices = append(devices, c.Device)
		}
	}
	return devices
}

// A command for a device whose holder is forgotten, before or after, is for every gateway, through a sweep and a crash.
func TestCommandsOfForgottenHolders(t *testing.T) {
	for _, before := range []bool{false, true} {
		m := newMachine(t)
		m.product("p", `{}`, 0)
		m.connects("gw", "d0")
		m.connects("other", "d1")
		if before {
			m.deletes("gw")
		}
		m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.SuspendProduct(by, "p", true)
			return next, ch, err
		})
		if !before {
			if got := m.hears("third"); len(got) != 0 {
				t.Fatal("others' commands:", got)
			}
			m.deletes("gw")
		}
		for round := range 3 {
			if got := m.hears("third"); len(got) != 1 || got[0] != "d0" {
				t.Fatalf("deleted before %t, round %d: %v", before, round, got)
			}
			if round == 0 {
				if err := m.sweepHolders(); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := m.Durable(); err != nil {
				t.Fatal(err)
			}
			m.crash()
		}
	}
}

// When an account has too many producers, who was idle for a day makes room for a new one, and who was not never does,
// also when all that is known of them comes from the log or a checkpoint.
func TestIdleProducerMakesRoom(t *testing.T) {
	m := newMachine(t)
	m.kill()
	m.claims = claims.Options{AccountMax: 2}
	m.start()
	m.product("p", `{"validity":"P5Y"}`, 100)
	isFull := func(producer string) {
		t.Helper()
		var p *event.Problem
		if _, err := m.as(producer, line("connect", "p", "d")); !errors.As(err, &p) || p.Code != event.TooManyProducers {
			t.Fatal(producer, err)
		}
		_, err := m.claimed(producer, 1, line("connect", "p", "d"))
		if !errors.As(err, &p) || p.Code != event.TooManyProducers {
			t.Fatal(producer, err)
		}
	}
	m.connects("idle", "d0")
	m.connects("busy", "d1")
	for hour := range 23 {
		isFull("new")
		m.clock.pass(time.Hour)
		if _, err := m.as("busy", line("up", "p", "d1")); err != nil {
			t.Fatal(err)
		}
		switch hour % 8 {
		case 3:
			m.crash()
		case 7:
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
	}
	isFull("new")
	m.clock.pass(2 * time.Hour) // After a crash a producer counts as alive for an hour after the log heard of it.
	m.connects("new", "d2")
	isFull("another")
	for range 2 {
		m.holds("", "d0", true)
		m.holds("busy", "d1", true)
		m.holds("new", "d2", true)
		m.crash()
	}
	isFull("idle")
}

// When all ordinals were given, those of forgotten producers are taken out of the devices' words and given anew.
// Whoever gets one does not hold what another one held, also after a restart from any group on.
func TestOrdinalsAreGivenAnew(t *testing.T) {
	m := newMachine(t)
	m.kill()
	m.claims = claims.Options{OrdinalMax: 8, OrdinalsLow: 4}
	m.start()
	m.product("p", `{}`, 100)
	holder := map[string]string{}
	for i := range 60 {
		producer, device := fmt.Sprint("gw-", i), fmt.Sprint("d", i)
		got, err := m.as(producer, line("connect", "p", device))
		for try := 0; errors.Is(err, claims.ErrNoOrdinal) && try < 3; try++ {
			for m.sweeping.Load() {
				runtime.Gosched()
			}
			m.clock.pass(time.Minute)
			got, err = m.as(producer, line("connect", "p", device))
		}
		if err != nil || got[0] != "accepted" {
			t.Fatal(i, got, err)
		}
		holder[device] = producer
		if i%3 != 0 || i > 12 {
			m.deletes(producer)
			holder[device] = ""
		}
		if i%7 == 6 {
			m.crash()
		}
		if i%10 == 9 {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		for device, producer := range holder {
			m.holds(producer, device, true)
		}
	}
}

// A producer that is deleted again and again while it sends: every request is decided once, whether for the old or for
// the new one, and after a crash nobody knows it who was deleted last.
func TestDeletedWhileItSends(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":null}`, 0)
	m.connects("other", "d")
	var wg sync.WaitGroup
	const senders, sent = 4, 100
	for s := range senders {
		wg.Go(func() {
			for i := range uint64(sent) {
				for {
					r, err := m.claimed("gw", uint64(s)*sent+i, line("up", "p", "d"))
					if err == nil && !r.Replayed {
						break
					}
					if !errors.Is(err, ErrOverloaded) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 50 {
		if _, err := m.ForgetProducer(m.administrator(), "gw"); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if _, err := m.ForgetProducer(m.administrator(), "gw"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if d, _ := m.device("p", "d"); d.Up != senders*sent {
			t.Fatalf("%d of %d are counted", d.Up, senders*sent)
		}
		if _, known, err := m.Sequences(0, "gw"); known || err != nil {
			t.Fatal(known, err)
		}
		m.crash()
	}
}
