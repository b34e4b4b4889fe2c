package shard

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/duplicates"
)

// cloud is a CloudEvent of device d of product p.
func cloud(kind, source, id string) string {
	return fmt.Sprintf(
		`{"specversion":"1.0","type":"io.meterd.%s","source":%q,"id":%q,"subject":"p/d","data":{"size":100}}`,
		kind,
		source,
		id,
	)
}

// clouds builds a batch of CloudEvents.
func clouds(t testing.TB, events ...string) *Request {
	t.Helper()
	r := &Request{Batch: &event.Batch{}}
	if p := wire.DecodeCloudEvents(r.Batch, []byte("["+strings.Join(events, ",")+"]")); p != nil {
		t.Fatal(p)
	}
	return r
}

// sends decides CloudEvents and fails the test unless they have these codes.
func (m *machine) sends(want string, events ...string) *Request {
	m.t.Helper()
	r := clouds(m.t, events...)
	if err := m.Submit(r); err != nil {
		m.t.Fatal(err)
	}
	if got := strings.Join(codes(r), " "); got != want {
		m.t.Errorf("%q: %s, want %s", events, got, want)
	}
	return r
}

// messages fails the test unless the device's day is this, and the log has no more rows than that.
func (m *machine) messages(up, denied uint32) {
	m.t.Helper()
	d, _ := m.device("p", "d")
	if d.Up != up || d.Denied != uint64(denied) {
		m.t.Errorf("%d up, %d denied, want %d and %d", d.Up, d.Denied, up, denied)
	}
	if n := len(m.logged()); n != int(up+denied) {
		m.t.Errorf("the log has %d messages, want %d", n, up+denied)
	}
}

const quotaExceeded = "message_quota_exceeded"

// An event that is sent again is answered as the first time and counts nothing: within a batch, in a later one, after a
// crash, from the log as well as from a checkpoint.
func TestDuplicateCountsNothing(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":3}`, 0)
	m.sends("accepted", cloud("connect", "/a", "c"))
	a, b, c, d := cloud("up", "/a", "1"), cloud("up", "/a", "2"), cloud("up", "/b", "1"), cloud("up", "/a", "é / 3")
	m.sends("accepted accepted accepted accepted", a, a, b, a)
	m.sends("accepted accepted "+quotaExceeded+" "+quotaExceeded, c, b, d, d)
	for range 2 {
		for range 2 {
			r := m.sends("accepted accepted accepted "+quotaExceeded, a, b, c, d)
			if v := r.Result.Denials[0].Verdict; v.Limit != 3 || v.Used != 3 || v.ResetsAtMs == 0 {
				t.Errorf("a denial that is told again: %+v", v)
			}
			m.messages(3, 1)
			m.crash()
		}
		if err := m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		m.crash()
	}
	// A duplicate is what has source and id alike, whatever else it says; a connect that comes late puts nothing online.
	m.sends("accepted", cloud("down", "/a", "1"))
	m.sends("accepted", cloud("disconnect", "/a", "x"))
	m.sends("accepted", cloud("connect", "/a", "c"))
	if d, _ := m.device("p", "d"); d.Online || d.Down != 0 {
		t.Errorf("%+v", d)
	}
	if n := m.repeats.Found(); n == 0 || m.repeats.Len() != 6 {
		t.Errorf("%d duplicates, %d remembered", n, m.repeats.Len())
	}
}

// A single event that is answered again has the numbers of the quota.
func TestDuplicateAlone(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1}`, 0)
	m.submit(line("connect", "p", "d"))
	for _, want := range []event.Code{event.Accepted, event.MessageQuotaExceeded} {
		for range 2 {
			r := clouds(t, cloud("up", "/a", want.String()))
			r.Single = true
			if err := m.Submit(r); err != nil {
				t.Fatal(err)
			}
			v := r.Result.Last
			if v.Code != want || v.Limit != 1 || v.Used != 1 || v.WindowStartMs == 0 || v.ResetsAtMs <= r.DecidedMs {
				t.Errorf("%+v", v)
			}
		}
	}
	m.messages(1, 1)
}

// What denied an event may be over when it is sent again: then it is decided anew.
func TestDeniedIsDecidedAnew(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1}`, 0)
	a, b := cloud("up", "/a", "1"), cloud("up", "/a", "2")
	m.sends("not_activated", a)
	m.submit(line("connect", "p", "d"))
	m.sends("accepted "+quotaExceeded, a, b)
	m.sends(quotaExceeded, b)
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		var patch license.PlanPatch
		if err := patch.UnmarshalJSON([]byte(`{"messages_per_day":2}`)); err != nil {
			return nil, nil, err
		}
		next, ch, _, err := c.SetPlan(by, "p", patch)
		return next, ch, err
	})
	m.sends("accepted accepted", b, b)
	c := cloud("up", "/a", "3")
	m.sends(quotaExceeded, c)
	if d, _ := m.device("p", "d"); d.Up != 2 || d.Denied != 2 {
		t.Errorf("%+v", d)
	}
	m.clock.pass(14 * time.Hour) // The next day begins.
	m.sends("accepted accepted accepted", c, c, b)
	m.crash()
	m.sends("accepted accepted accepted", c, a, b)
	if d, _ := m.device("p", "d"); d.Up != 1 {
		t.Errorf("%+v", d)
	}
}

// A key is remembered for a day, and no longer.
func TestDuplicateOfADayAgo(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":null}`, 0)
	m.submit(line("connect", "p", "d"))
	a := cloud("up", "/a", "1")
	m.sends("accepted", a)
	m.clock.pass(duplicates.KeptFor - time.Second)
	m.sends("accepted", a)
	if rows := len(m.logged()); rows != 1 {
		t.Fatalf("%d messages", rows)
	}
	m.crash()
	m.clock.pass(time.Second)
	m.sends("accepted accepted", a, a)
	m.crash()
	m.sends("accepted", a)
	if rows := len(m.logged()); rows != 2 {
		t.Fatalf("%d messages", rows)
	}
	m.clock.pass(duplicates.KeptFor)
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if m.repeats.Len() != 0 || m.repeats.Bytes() != 0 {
		t.Errorf("%d keys take %d bytes, and all are too old", m.repeats.Len(), m.repeats.Bytes())
	}
}

// With a sequence ids are not looked at, nor remembered; nor are those of OTAs, and of events that lack source or id.
// Accounts do not share them.
func TestOriginsThatDoNotCount(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"ota_per_month":9}`, 0)
	m.submit(line("connect", "p", "d"))
	a := cloud("up", "/a", "1")
	for seq := range uint64(2) {
		r := clouds(t, a, a)
		r.Producer, r.Claim = []byte("gw"), &claims.Claim{Sequence: seq}
		if err := m.Submit(r); err != nil || r.Result.Accepted != 2 {
			t.Fatal(err, r.Result)
		}
	}
	m.messages(4, 0)
	bare := strings.Replace(a, `"source":"/a",`, "", 1)
	m.sends("accepted accepted", bare, bare)
	m.sends("accepted", strings.Replace(a, `"id":"1",`, "", 1))
	m.messages(7, 0)
	if n := m.repeats.Len(); n != 0 {
		t.Errorf("%d are remembered", n)
	}
	for _, account := range []uint32{0, m.Catalogue().Product([]byte("p")).AccountID} {
		r := clouds(t, a, a)
		if r.Account = account; m.Submit(r) != nil || r.Result.Accepted != 2 {
			t.Fatal(r.Result)
		}
	}
	m.messages(9, 0)
	ota := cloud("ota", "/a", "o")
	m.sends("accepted accepted", ota, ota)
	m.sends("accepted already_voided", cloud("ota_void", "/a", "o"), cloud("ota_void", "/a", "o"))
}

// A quota that observes only accepts what it would deny, the second time as the first.
func TestDuplicateObserved(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1}`, 0)
	m.mode("p", license.ModeObserve)
	m.submit(line("connect", "p", "d"))
	a, b := cloud("up", "/a", "1"), cloud("up", "/a", "2")
	for range 2 {
		r := m.sends("accepted accepted accepted", a, b, b)
		if w := r.Result.WouldDeny; len(w) != 2 || w[0].Index != 1 || w[1].Verdict.Code != event.MessageQuotaExceeded ||
			w[1].Verdict.Limit != 1 || w[1].Verdict.Used != 2 {
			t.Errorf("%+v", w)
		}
		m.messages(2, 0)
		m.crash()
	}
}

// A check answers a duplicate as sending it would, within its batch too, and remembers nothing.
func TestDuplicateChecked(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":2}`, 0)
	m.submit(line("connect", "p", "d"))
	a, b, c := cloud("up", "/a", "1"), cloud("up", "/a", "2"), cloud("up", "/a", "3")
	m.sends("accepted", a)
	for range 2 {
		r := clouds(t, a, b, b, c, a)
		if err := m.Check(r); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(codes(r), " "); got != "accepted accepted accepted "+quotaExceeded+" accepted" {
			t.Error(got)
		}
	}
	if m.repeats.Len() != 1 || m.repeats.Found() != 0 {
		t.Errorf("%d remembered, %d found", m.repeats.Len(), m.repeats.Found())
	}
	m.messages(1, 0)
}

// Two requests with the same event that are in flight together count it once, and neither is answered before it is
// durable.
func TestDuplicatesInFlight(t *testing.T) {
	const doubles = 16
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1}`, 0)
	m.submit(line("connect", "p", "d"))
	m.log.mu.Lock()
	m.log.hold, m.log.began = make(chan struct{}), make(chan struct{}, 1)
	m.log.mu.Unlock()
	var wg sync.WaitGroup
	answered := make(chan *Request, doubles)
	for range doubles {
		r := clouds(t, cloud("up", "/a", "1"))
		wg.Go(func() {
			if err := m.Submit(r); err == nil {
				answered <- r
			}
		})
	}
	<-m.log.began // The first one is being written, or waits with others for that.
	if m.repeats.Len() == 0 {
		t.Fatal("it is written and not remembered")
	}
	late := clouds(t, cloud("up", "/a", "1"))
	if err := m.Decide(late); err != nil || late.Result.Accepted != 1 {
		t.Fatal(err, late.Result)
	}
	if late.IsDurable() || len(answered) > 0 {
		t.Fatal("a duplicate may be answered before its first is durable")
	}
	m.log.mu.Lock()
	close(m.log.hold)
	m.log.hold = nil
	m.log.mu.Unlock()
	wg.Wait()
	if err := m.Settle(late); err != nil || len(answered) != doubles {
		t.Fatal(err, len(answered))
	}
	m.messages(1, 0)

	// If the first one never becomes durable, nobody is answered. Its group may be sealed at once, for one of before.
	release := m.holdLog()
	lost := clouds(t, cloud("disconnect", "/a", "2"))
	again := clouds(t, cloud("disconnect", "/a", "2"))
	if err := errors.Join(m.Decide(lost), m.Decide(again)); err != nil {
		t.Fatal(err)
	}
	m.log.mu.Lock()
	m.log.err = errors.New("the disk is gone")
	m.log.mu.Unlock()
	release()
	if err := m.Settle(again); !errors.Is(err, ErrStopped) {
		t.Fatal("a duplicate of what is lost:", err)
	}
}

// Many senders send the same events in any order, batch and number of times: each counts once, through crashes.
func TestDuplicatesAtOnce(t *testing.T) {
	const events, senders, rounds = 200, 8, 3
	m := newMachine(t)
	m.product("p", `{"messages_per_day":150}`, 0)
	m.submit(line("connect", "p", "d"))
	var mu sync.Mutex
	verdicts := map[string][]string{}
	for round := range rounds {
		var wg sync.WaitGroup
		for s := range senders {
			wg.Go(func() {
				for i := range events {
					n := (i*(2*s+3) + s) % events
					if i%2 == 0 {
						n = i
					}
					id := fmt.Sprint("e", n)
					r := clouds(t, cloud("up", "/a", id), cloud("up", "/a", id))
					if err := m.Submit(r); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					verdicts[id] = append(verdicts[id], codes(r)...)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if round == 1 {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		m.crash()
	}
	for id, all := range verdicts {
		if len(slices.Compact(all)) != 1 {
			t.Errorf("%s was answered %q", id, all)
		}
	}
	m.messages(150, uint32(len(verdicts)-150))
}
