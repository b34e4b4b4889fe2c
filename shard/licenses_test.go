package shard

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/shard/recovery"
)

// heard returns what a listener hears from a place on, as text.
func (m *machine) heard(after commands.Place, who Listener) (list []string, next commands.Place) {
	m.t.Helper()
	if err := m.Durable(); err != nil {
		m.t.Fatal(err)
	}
	told, next, _, err := m.Commands(after, who)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, c := range told {
		if c.Device == "" {
			list = append(list, "refresh "+c.Product)
		} else {
			list = append(list, fmt.Sprint(c.Reason, " ", c.Device))
		}
		next = c.Place
	}
	return list, next
}

func (m *machine) submitAs(producer, lines string) []string {
	m.t.Helper()
	r := request(m.t, lines)
	r.Producer = []byte(producer)
	if err := m.Submit(r); err != nil {
		m.t.Fatal(err)
	}
	return codes(r)
}

// Worked case 4, by itself: an online device is renewed without sending anything; with an empty pool it is put offline
// and its holder told, through crashes, until it connects (R3).
func TestRenewalByItself(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"validity":"PT10S"}`, 2)
	m.gifts("p", 0)
	gw := Listener{Producer: []byte("gw"), HasProducer: true}
	start := m.CommandsFrom("")
	m.submitAs("gw", line("connect", "p", "on")+line("connect", "p", "off")+line("disconnect", "p", "off"))
	m.credit("p", "LOT-2", 1, false)
	m.clock.pass(10 * time.Second)
	m.ends()
	on, _ := m.device("p", "on")
	off, _ := m.device("p", "off")
	if !on.Active || !on.Online || on.ActivatedS != testStart.Unix()+10 {
		t.Fatalf("an online device at its end: %+v", on)
	}
	if off.Active || m.licenses("p").Used != 3 {
		t.Fatalf("an offline device cost something: %+v, %+v", off, m.licenses("p"))
	}
	if list, _ := m.heard(start, gw); fmt.Sprint(list) != "[refresh p]" {
		t.Fatalf("heard %v", list)
	}
	m.clock.pass(10 * time.Second)
	m.ends()
	if on, _ = m.device("p", "on"); on.Active || on.Online {
		t.Fatalf("with an empty pool: %+v", on)
	}
	if p := m.Catalogue().Product([]byte("p")); p.State.Active.Load() != 0 || p.State.Online.Load() != 0 {
		t.Fatalf("counts %d %d", p.State.Active.Load(), p.State.Online.Load())
	}
	for range 3 { // as it is, from the log, from a checkpoint
		list, next := m.heard(start, gw)
		if fmt.Sprint(list) != "[refresh p license_exhausted on]" {
			t.Fatalf("heard %v", list)
		}
		if list, _ = m.heard(next, gw); len(list) != 0 {
			t.Fatalf("heard again: %v", list)
		}
		if list, _ = m.heard(m.CommandsFrom(""), gw); fmt.Sprint(list) != "[license_exhausted on]" {
			t.Fatalf("kept without Last-Event-ID: %v", list)
		}
		if list, _ = m.heard(
			start,
			Listener{Producer: []byte("other"), HasProducer: true},
		); fmt.Sprint(
			list,
		) != "[refresh p]" {
			t.Fatalf("another producer heard %v", list)
		}
		m.crash()
		if err := m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	m.credit("p", "LOT-3", 1, false)
	if got := m.submitAs("gw", line("connect", "p", "on")); got[0] != "accepted" {
		t.Fatal(got)
	}
	if list, _ := m.heard(m.CommandsFrom(""), gw); len(list) != 0 {
		t.Fatalf("heard after the device connected: %v", list)
	}
	ended := 0
	err := errors.Join(m.DurableInLedger(), m.store.Scan([]byte("E"), nil, false, func(_, _ []byte) (bool, error) {
		ended++
		return true, nil
	}))
	if err != nil || ended != 3 {
		t.Fatalf("%d ends in the ledger, %v", ended, err)
	}
}

// R19: what is not renewed stays out although licences are left.
func TestRenewalOff(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"validity":"PT10S"}`, 10)
	m.submit(line("connect", "p", "a") + line("connect", "p", "b") + line("connect", "p", "c"))
	renewal := func(auto bool, except ...string) {
		m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.SetRenewal(by, "p", auto, except)
			return next, ch, err
		})
	}
	renewal(true, "b")
	m.clock.pass(10 * time.Second)
	if got := m.submit(line("up", "p", "b")); got[0] != "renewal_off" {
		t.Fatal(got)
	}
	m.ends()
	m.crash()
	for name, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if d, _ := m.device("p", name); d.Active != want || d.Online != want {
			t.Errorf("%s: %+v", name, d)
		}
	}
	if got := m.submit(line("up", "p", "b") + line("connect", "p", "b")); fmt.Sprint(got) != "[renewal_off renewal_off]" {
		t.Fatal(got)
	}
	if got := m.submit(line("connect", "p", "new")); got[0] != "accepted" {
		t.Fatalf("a device that never had a licence: %s", got[0])
	}
	if list, _ := m.heard(m.CommandsFrom(""), Listener{}); fmt.Sprint(list) != "[renewal_off b]" {
		t.Fatal(list)
	}
	renewal(true)
	if got := m.submit(line("up", "p", "b") + line("connect", "p", "b")); fmt.Sprint(got) != "[not_activated accepted]" {
		t.Fatal(got)
	}
}

// R20: suspension of a device, a product, an account; the widest that holds is answered.
func TestSuspension(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 10)
	m.submitAs("gw", line("connect", "p", "a")+line("connect", "p", "b"))
	suspend := func(scope event.Scope, on bool) {
		t.Helper()
		m.administer(func(c *license.Catalogue, by license.Actor) (next *license.Catalogue, ch *license.Change, err error) {
			switch scope {
			case event.ScopeDevice:
				next, ch, err = c.SuspendDevice(by, "p", "a", on)
			case event.ScopeProduct:
				next, ch, _, err = c.SuspendProduct(by, "p", on)
			case event.ScopeAccount:
				next, ch, _, err = c.SuspendAccount(by, "acc-p", on)
			}
			return next, ch, err
		})
	}
	denied := func(device string, scope event.Scope) {
		t.Helper()
		for _, kind := range []string{"connect", "up", "down", "ota"} {
			r := request(t, line(kind, "p", device))
			if err := m.Submit(r); err != nil {
				t.Fatal(err)
			}
			if v := r.Result.Last; (scope == 0) != (v.Code == event.Accepted) || v.Scope != scope {
				t.Fatalf("%s of %s: %+v, want scope %s", kind, device, v, scope)
			}
		}
	}
	suspend(event.ScopeDevice, true)
	for range 2 {
		denied("a", event.ScopeDevice)
		if a, _ := m.device("p", "a"); a.Online || !a.Suspended || !a.Active {
			t.Fatalf("%+v", a)
		}
		if list, _ := m.heard(
			m.CommandsFrom(""),
			Listener{Producer: []byte("gw"), HasProducer: true},
		); fmt.Sprint(
			list,
		) != "[suspended a]" {
			t.Fatal(list)
		}
		m.crash()
	}
	denied("b", event.ScopeNone)
	suspend(event.ScopeProduct, true)
	denied("a", event.ScopeProduct)
	denied("b", event.ScopeProduct)
	if got := m.submit(
		line("disconnect", "p", "b") + line("connect", "p", "never"),
	); fmt.Sprint(
		got,
	) != "[accepted suspended]" {
		t.Fatal(got)
	}
	suspend(event.ScopeAccount, true)
	m.crash()
	denied("b", event.ScopeAccount)
	if b, _ := m.device("p", "b"); b.Online {
		t.Fatalf("%+v", b)
	}
	suspend(event.ScopeAccount, false)
	suspend(event.ScopeProduct, false)
	suspend(event.ScopeDevice, false)
	if got := m.submit(line("connect", "p", "a") + line("up", "p", "a")); fmt.Sprint(got) != "[accepted accepted]" {
		t.Fatal(got)
	}
}

// R9: an upgrade moves the end of every licence that has not ended, and none that has.
func TestUpgradeMovesEnds(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"validity":"PT10S"}`, 10)
	plan := func(text string) {
		var patch license.PlanPatch
		if err := patch.UnmarshalJSON([]byte(text)); err != nil {
			t.Fatal(err)
		}
		m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.SetPlan(by, "p", patch)
			return next, ch, err
		})
	}
	m.submit(line("connect", "p", "old") + line("disconnect", "p", "old"))
	m.clock.pass(11 * time.Second)
	m.submit(line("connect", "p", "young"))
	plan(`{"validity":"PT60S"}`)
	m.ends()
	for range 2 {
		old, _ := m.device("p", "old")
		young, _ := m.device("p", "young")
		if old.Active || old.ExpiresS != testStart.Unix()+10 {
			t.Fatalf("a licence that had ended: %+v", old)
		}
		if !young.Active || young.ExpiresS != testStart.Unix()+11+60 {
			t.Fatalf("a licence that had not: %+v", young)
		}
		m.crash()
	}
	m.clock.pass(59 * time.Second)
	if got := m.submit(line("up", "p", "young")); got[0] != "accepted" || m.licenses("p").Used != 2 {
		t.Fatalf("before the moved end: %v, %+v", got, m.licenses("p"))
	}
	m.clock.pass(time.Second)
	if got := m.submit(line("up", "p", "young")); got[0] != "accepted" || m.licenses("p").Used != 3 {
		t.Fatalf("after the moved end: %v, %+v", got, m.licenses("p"))
	}
}

// R17: ids of OTAs, voids, also across the end of a month and crashes.
func TestUpgradeIDs(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"ota_per_month":2}`, 10)
	m.credit("p", "PACK", 5, true)
	m.submit(line("connect", "p", "d"))
	ota := func(want, kind, id string, mb int) {
		t.Helper()
		got := m.submit(
			fmt.Sprintf("{\"type\":%q,\"product\":\"p\",\"device\":\"d\",\"id\":%q,\"size\":%d}\n", kind, id, mb<<20),
		)
		if got[0] != want {
			t.Fatalf("%s %s %d MB: %s, want %s", kind, id, mb, got[0], want)
		}
	}
	used := func(allowance, packs uint32, left uint64) {
		t.Helper()
		d, _ := m.device("p", "d")
		_, topups := m.stock("p")
		if d.OTA.Allowance() != allowance || d.OTA.Packs() != packs || topups.Available != left {
			t.Fatalf(
				"used %d and %d, %d left; want %d, %d, %d",
				d.OTA.Allowance(),
				d.OTA.Packs(),
				topups.Available,
				allowance,
				packs,
				left,
			)
		}
	}
	ota("unknown_ota", "ota_void", "x", 0)
	ota("accepted", "ota", "a", 15) // two of the month and one of the pack
	used(2, 1, 4)
	for i := range 3 {
		ota("accepted", "ota", "a", 15)
		ota("ota_id_reused", "ota", "a", 16)
		used(2, 1, 4)
		if i == 0 {
			if err := m.DurableInLedger(); err != nil { // The ledger has it now.
				t.Fatal(err)
			}
		} else {
			m.crash()
		}
	}
	key := recovery.AppendUpgradeKey(nil, m.Catalogue().Product([]byte("p")).ID, []byte("d"), []byte("a"))
	if m.upgrades.Find(key) != nil {
		t.Fatal("a start took an id into memory that the ledger has")
	}
	ota("ota_quota_exceeded", "ota", "b", 100)
	ota("accepted", "ota", "b", 20) // A denied one leaves its id free.
	used(2, 5, 0)
	ota("accepted", "ota_void", "a", 0)
	ota("already_voided", "ota_void", "a", 0)
	ota("already_voided", "ota", "a", 15)
	used(0, 4, 1)
	m.crash()
	used(0, 4, 1)
	ota("already_voided", "ota_void", "a", 0)
	m.clock.pass(20 * 24 * time.Hour) // December: packs still come back, November's allowance has lapsed.
	ota("accepted", "ota_void", "b", 0)
	used(0, 0, 5)
	ota("accepted", "ota", "c", 5)
	used(1, 0, 5)
	m.clock.pass(51 * 24 * time.Hour) // February
	ota("unknown_ota", "ota_void", "c", 0)
	ota("accepted", "ota", "c", 5)
	used(0, 0, 5)
}

// R8: what was not consumed can be taken back, once an order, and no more than that.
func TestTakeBack(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 5)
	m.submit(line("connect", "p", "a") + line("connect", "p", "b"))
	take := func(order string, n uint64) error {
		return m.Administer(
			"test", nil,
			func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
				next, ch, _, err := c.TakeBack(by, "p", "LOT-1", false, license.Void{Order: order, Quantity: n})
				return next, ch, err
			},
		)
	}
	for range 2 {
		if err := take("RV-1", 2); err != nil {
			t.Fatal(err)
		}
		if c := m.licenses("p"); c != (license.Counts{Total: 3, Used: 2, Available: 1}) {
			t.Fatalf("%+v", c)
		}
		m.crash()
	}
	for order, want := range map[string]string{
		"RV-1": "order_reused", "LOT-1": "order_reused",
		"RV-2": "already_consumed",
	} {
		if err := take(order, 3); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Fatalf("%s: %v, want %s", order, err, want)
		}
	}
	m.gifts("p", 0)
	if got := m.submit(
		line("connect", "p", "c") + line("connect", "p", "d"),
	); fmt.Sprint(
		got,
	) != "[accepted license_exhausted]" {
		t.Fatal(got)
	}
}

// TestCatchUp: who moves the clock is told when the next licence ends, and finds it renewed or over when it is there.
func TestCatchUp(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"validity":"PT40S"}`, 2)
	m.gifts("p", 0)
	m.submit(line("connect", "p", "d"))
	var told []time.Duration
	for {
		nextMs, err := m.CatchUp()
		if err != nil {
			t.Fatal(err)
		}
		if nextMs == 0 {
			break
		}
		next := time.UnixMilli(nextMs).Sub(testStart)
		m.clock.pass(next - append([]time.Duration{0}, told...)[len(told)])
		told = append(told, next)
	}
	d, _ := m.device("p", "d")
	if fmt.Sprint(told) != "[40s 1m20s]" || d.Active || m.licenses("p").Available != 0 {
		t.Errorf("ends were told of at %v; the device is %+v", told, d)
	}
}
