package shard

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

// quotas gathers the marks that the log has.
type quotas struct {
	nothing
	list []record.Quota
}

func (q *quotas) Quota(m record.Quota) error { q.list = append(q.list, m); return nil }

// nothing ignores effects.
type nothing struct{}

func (nothing) Word(int, uint64, uint64) error   { return nil }
func (nothing) Closed(int, uint64, uint64) error { return nil }
func (nothing) Grant(record.Grant) error         { return nil }
func (nothing) Pool(record.Pool) error           { return nil }
func (nothing) End(record.End) error             { return nil }
func (nothing) Command(record.Command) error     { return nil }
func (nothing) Upgrade(record.Upgrade) error     { return nil }
func (nothing) Claim(record.Claim) error         { return nil }
func (nothing) Run(record.Run) error             { return nil }
func (nothing) OTA(record.OTA) error             { return nil }
func (nothing) DayEnd(record.DayEnd) error       { return nil }
func (nothing) Decided(record.Decided) error     { return nil }

// marks returns the marks in the log as percent:used/limit, in their order.
func (m *machine) marks() (list []string) {
	m.t.Helper()
	var q quotas
	for _, g := range m.log.snapshot() {
		for _, stored := range g.Chunks {
			raw, err := m.compress.Decompress(nil, stored)
			if err != nil {
				m.t.Fatal(err)
			}
			c, err := record.Open(raw)
			if err != nil {
				m.t.Fatal(err)
			}
			if err := c.Effects(&q); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	for _, mark := range q.list {
		list = append(list, fmt.Sprintf("%d:%d/%d", mark.Percent, mark.Used, mark.Limit))
	}
	return list
}

func (m *machine) hook(account string) {
	m.t.Helper()
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, _, err := c.SetHook(by, license.HookSpec{
			Name: "h" + account, URL: "https://h", Events: []string{"device.quota_80"}, Account: account, Secret: []byte("s"),
		})
		return next, ch, err
	})
}

func (m *machine) wantMarks(want ...string) {
	m.t.Helper()
	if got := m.marks(); !slices.Equal(got, want) {
		m.t.Errorf("marks %q, want %q", got, want)
	}
}

// A mark is written once a day when the count passes it, and only if somebody is told (R10).
func TestQuotaMarks(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10}`, 0)
	m.product("q", `{"messages_per_day":10}`, 0)
	m.submit(line("connect", "p", "d") + line("connect", "q", "d"))
	m.submit(strings.Repeat(line("up", "p", "d"), 10))
	m.wantMarks() // Nobody is told.
	m.hook("acc-q")
	m.submit(strings.Repeat(line("up", "q", "d"), 7))
	m.wantMarks()
	m.submit(line("down", "q", "d"))
	m.wantMarks("80:8/10")
	m.submit(line("up", "q", "d"))
	m.submit(strings.Repeat(line("down", "q", "d"), 3)) // The second and third are denied.
	m.wantMarks("80:8/10", "100:10/10")
	m.crash()
	m.submit(line("down", "q", "d") + line("down", "p", "d"))
	m.wantMarks("80:8/10", "100:10/10")
	m.hook("")
	m.clock.pass(24 * 3600e9)
	m.submit(strings.Repeat(line("up", "p", "d"), 20))
	m.wantMarks("80:8/10", "100:10/10", "80:8/10", "100:10/10")
}

// With units a day may be used up although some are left: the first denial says so, and nothing is said twice.
func TestQuotaMarksOfUnits(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10,"message_unit_bytes":64}`, 0)
	m.hook("acc-p")
	m.submit(line("connect", "p", "d"))
	sized := func(units int) string {
		return fmt.Sprintf(`{"type":"up","product":"p","device":"d","size":%d}`+"\n", units*64)
	}
	m.submit(sized(9))
	m.wantMarks("80:9/10")
	m.submit(sized(5) + sized(5))
	m.wantMarks("80:9/10", "100:9/10")
	m.submit(sized(1))
	m.wantMarks("80:9/10", "100:9/10")
}

// However many send at once, each mark of a device is written once.
func TestQuotaMarksAtOnce(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1500}`, 0)
	m.hook("")
	m.submit(line("connect", "p", "d"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				r := request(t, strings.Repeat(line("up", "p", "d"), 10))
				if err := m.Submit(r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	m.wantMarks("80:1200/1500", "100:1500/1500")
}

// Between the message that uses up a day and its look at the denials no message may be denied, or nobody tells.
func TestQuotaMarkIsNotLost(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10,"message_unit_bytes":64}`, 0)
	m.hook("")
	all := `{"type":"up","product":"p","device":"d","size":640}` + "\n"
	m.submit(line("connect", "p", "d") + line("up", "p", "d"))
	m.clock.pass(24 * time.Hour)
	p := m.Catalogue().Product([]byte("p"))
	slot := m.table.Find(m.table.KeyOf(p.ID, []byte("d")))
	var wg sync.WaitGroup
	m.replaced = func() { // The message that uses up the day has replaced yesterday's word.
		m.replaced = nil
		if !p.State.Account.TryLock() {
			return // Whoever would be denied waits.
		}
		p.State.Account.Unlock()
		wg.Go(func() {
			if err := m.Submit(request(t, all)); err != nil {
				t.Error(err)
			}
		})
		for slot.Denied().Denied() == 0 {
			m.settleNothing()
		}
	}
	m.submit(all)
	wg.Wait()
	m.submit(all)
	m.wantMarks("80:10/10", "100:10/10")
}

// However many send at once, a used-up day of units is told once: by the last unit that was accepted, or by the first
// message that wanted more than was left.
func TestQuotaMarksOfUnitsAtOnce(t *testing.T) {
	const devices = 2000
	for _, units := range [][2]int{{1, 1}, {3, 3}, {1, 3}} { // Of the messages of two senders.
		m := newMachine(t)
		m.product("p", `{"messages_per_day":10,"message_unit_bytes":64}`, devices)
		m.hook("")
		var connects strings.Builder
		var ups [2]strings.Builder
		for d := range devices {
			connects.WriteString(line("connect", "p", fmt.Sprint(d)))
			for sender, n := range units {
				up := fmt.Sprintf(`{"type":"up","product":"p","device":"%d","size":%d}`+"\n", d, n*64)
				ups[sender].WriteString(strings.Repeat(up, 6))
			}
		}
		m.submit(connects.String())
		var wg sync.WaitGroup
		for sender := range ups {
			wg.Go(func() {
				if err := m.Submit(request(t, ups[sender].String())); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		full := 0
		for _, mark := range m.marks() {
			if strings.HasPrefix(mark, "100:") {
				full++
			}
		}
		if full != devices {
			t.Errorf("messages of %v units: %d devices used up their day, and it was told %d times", units, devices, full)
		}
	}
}

// TestPacksOfADevice: what one device may draw of packs in a month is bounded (R16). Numbers of a quota that denies, or
// would, say what it may still draw, so that they say why.
func TestPacksOfADevice(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"ota_per_month":1,"ota_unit_bytes":1024}`, 0)
	m.credit("p", "PACK", 100_000, true)
	m.submit(line("connect", "p", "d"))
	ask := func(units int) event.Verdict {
		t.Helper()
		r := request(t, fmt.Sprintf(`{"type":"ota","product":"p","device":"d","size":%d}`, units*1024))
		if err := m.Submit(r); err != nil {
			t.Fatal(err)
		}
		if len(r.Result.WouldDeny) > 0 {
			return r.Result.WouldDeny[0].Verdict
		}
		if len(r.Result.Denials) > 0 {
			return r.Result.Denials[0].Verdict
		}
		return event.Verdict{}
	}
	want := func(v event.Verdict, code event.Code, requested, available uint64) {
		t.Helper()
		if v.Code != code || v.Requested != requested || v.TopupAvailable != available {
			t.Errorf("answered %v, want %v for %d units with %d of packs", v, code, requested, available)
		}
	}
	want(ask(60_001), event.Accepted, 0, 0)
	want(ask(5_536), event.OTAQuotaExceeded, 5_536, 5_535) // Packs hold 40,000.
	m.mode("p", license.ModeObserve)
	want(ask(5_536), event.OTAQuotaExceeded, 5_536, 0) // It was accepted: all but one are drawn of packs.
	m.mode("p", license.ModeEnforce)
	want(ask(1), event.OTAQuotaExceeded, 1, 0)
}
