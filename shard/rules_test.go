package shard

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// Worked case 1 of the rules: 1500 messages in either direction, the next one denied, the first one after midnight
// accepted (R10).
func TestDayQuota(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1500}`, 0)
	m.submit(line("connect", "p", "d"))
	whole := strings.Repeat(line("up", "p", "d"), 900) + strings.Repeat(line("down", "p", "d"), 600)
	for _, code := range m.submit(whole) {
		if code != "accepted" {
			t.Fatalf("a message within the quota: %s", code)
		}
	}
	for _, kind := range []string{"up", "down"} {
		r := request(t, line(kind, "p", "d"))
		if err := m.Submit(r); err != nil {
			t.Fatal(err)
		}
		v := r.Result.Last
		if v.Code != event.MessageQuotaExceeded || v.Limit != 1500 || v.Used != 1500 ||
			v.ResetsAtMs != testStart.Add(14*time.Hour).UnixMilli() {
			t.Fatalf("message 1501 (%s): %+v", kind, v)
		}
	}
	if d, _ := m.device("p", "d"); d.Up != 900 || d.Down != 600 || d.Denied != 2 {
		t.Fatalf("the day is %+v (R11)", d)
	}
	m.clock.pass(14 * time.Hour)
	if got := m.submit(line("up", "p", "d")); got[0] != "accepted" {
		t.Fatalf("first message after midnight: %s", got[0])
	}
	m.crash()
	if d, _ := m.device("p", "d"); d.Up != 1 || d.Down != 0 || d.Denied != 0 {
		t.Fatalf("the new day is %+v", d)
	}
}

// Worked case 2: 6 MB without a pack denied, using nothing; 5 MB accepted; with a pack of one, 6 MB are one of each
// (R15, R16).
func TestOTAUnits(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.submit(line("connect", "p", "a") + line("connect", "p", "b"))
	ota := func(device string, size int64) string {
		return m.submit(fmt.Sprintf("{\"type\":\"ota\",\"product\":\"p\",\"device\":%q,\"size\":%d}\n", device, size))[0]
	}
	if got := ota("a", 6<<20); got != "ota_quota_exceeded" {
		t.Fatalf("6 MB without a pack: %s", got)
	}
	if d, _ := m.device("p", "a"); d.OTA.Allowance() != 0 || d.OTA.Denied() != 1 {
		t.Fatalf("a denied upgrade used %+v", d.OTA)
	}
	if got := ota("a", 5<<20); got != "accepted" {
		t.Fatalf("5 MB: %s", got)
	}
	m.credit("p", "PACK", 1, true)
	if got := ota("b", 6<<20); got != "accepted" {
		t.Fatalf("6 MB with a pack: %s", got)
	}
	if d, _ := m.device("p", "b"); d.OTA.Allowance() != 1 || d.OTA.Packs() != 1 {
		t.Fatalf("6 MB with a pack used %+v", d.OTA)
	}
	m.credit("p", "PACK-2", 12, true)
	m.submit(line("connect", "p", "c"))
	if got := ota("c", 121<<19); got != "accepted" { // 60.5 MB
		t.Fatalf("60.5 MB with 13 units: %s", got)
	}
	m.crash()
	if d, _ := m.device("p", "c"); d.OTA.Allowance() != 1 || d.OTA.Packs() != 12 {
		t.Fatalf("60.5 MB used %+v", d.OTA)
	}
	if got := ota("c", 1); got != "ota_quota_exceeded" {
		t.Fatalf("an upgrade with empty packs: %s", got)
	}
}

// Worked case 3, and R4 under concurrency: of many devices that connect at once exactly as many become active as there
// are licences.
func TestLicensesUnderConcurrency(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 3)
	const devices = 200
	var accepted, exhausted atomic.Int32
	var wg sync.WaitGroup
	for i := range devices {
		wg.Go(func() {
			r := request(t, line("connect", "p", fmt.Sprint("d", i)))
			if err := m.Submit(r); err != nil {
				t.Error(err)
			}
			switch r.Result.Last.Code {
			case event.Accepted:
				accepted.Add(1)
			case event.LicenseExhausted:
				exhausted.Add(1)
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 3+gifts || exhausted.Load() != devices-3-gifts {
		t.Fatalf(
			"%d accepted and %d denied of %d devices for %d licences",
			accepted.Load(),
			exhausted.Load(),
			devices,
			3+gifts,
		)
	}
	if n := m.table.Len(); n != 3+gifts {
		t.Fatalf("%d devices are known after %d accepted connects (R11)", n, 3+gifts)
	}
	for range 2 {
		if c := m.licenses("p"); c.Used != 3+gifts || c.Available != 0 || c.Total != 3+gifts {
			t.Fatalf("licences %+v", c)
		}
		m.crash()
	}
	m.credit("p", "LOT-2", 1, false)
	codes := m.submit(line("connect", "p", "late") + line("connect", "p", "later") + line("connect", "p", "late"))
	if fmt.Sprint(codes) != "[accepted license_exhausted accepted]" {
		t.Fatalf("after a lot of one: %v", codes)
	}
	if active := m.Catalogue().Product([]byte("p")).State.Active.Load(); active != 4+gifts {
		t.Fatalf("%d active devices", active)
	}
}

// Exactly the quota is accepted under concurrency, in both directions, and what was accepted is counted and logged
// (R10).
func TestQuotaUnderConcurrency(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1500}`, 0)
	m.submit(line("connect", "p", "d"))
	var accepted atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := range 10 {
				r := request(t, strings.Repeat(line([]string{"up", "down"}[(i+n)%2], "p", "d"), 1+(i+n)%9))
				if err := m.Submit(r); err != nil {
					t.Error(err)
				}
				accepted.Add(int64(r.Result.Accepted))
			}
		})
	}
	wg.Wait()
	m.crash()
	d, _ := m.device("p", "d")
	if accepted.Load() != 1500 || d.Up+d.Down != 1500 {
		t.Fatalf("%d accepted, %d counted", accepted.Load(), d.Up+d.Down)
	}
	logged := 0
	for _, r := range m.logged() {
		if r.IsMessage() {
			logged++
		}
	}
	if logged != 1500 {
		t.Fatalf("%d messages in the log", logged)
	}
}

// A clock that steps back neither reopens a day nor lets decided times go back; one that leaps ahead stops ingest until
// confirmed (R12).
func TestClock(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1}`, 0)
	m.clock.pass(14 * time.Hour) // midnight
	m.submit(line("connect", "p", "d") + line("up", "p", "d"))
	m.clock.set(testStart)
	if got := m.submit(line("up", "p", "d")); got[0] != "message_quota_exceeded" {
		t.Fatalf("after a step back over midnight: %s", got[0])
	}
	m.crash()
	if got := m.submit(line("up", "p", "d")); got[0] != "message_quota_exceeded" {
		t.Fatalf("after a step back and a restart: %s", got[0])
	}
	m.clock.set(testStart.Add(48 * time.Hour))
	if err := m.Submit(request(t, line("up", "p", "d"))); err != ErrClockLeap {
		t.Fatalf("after a leap of two days: %v", err)
	}
	m.clock.set(testStart.Add(30 * time.Minute))
	if got := m.submit(line("up", "p", "d")); got[0] != "message_quota_exceeded" {
		t.Fatalf("after the clock came back: %s", got[0])
	}
	m.clock.set(testStart.Add(48 * time.Hour))
	if err := m.ConfirmClock("test", nil); err != nil {
		t.Fatal(err)
	}
	if got := m.submit(line("up", "p", "d")); got[0] != "accepted" {
		t.Fatalf("after the leap was confirmed: %s", got[0])
	}
}

// The rows of R3's table that need no renewal switch.
func TestStates(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"validity":"PT10S"}`, 1)
	m.gifts("p", 0)
	check := func(want string, lines ...string) {
		t.Helper()
		if got := fmt.Sprint(m.submit(strings.Join(lines, ""))); got != "["+want+"]" {
			t.Fatalf("%v: %s, want %s", lines, got, want)
		}
	}
	check(
		"not_activated not_activated not_activated accepted",
		line("up", "p", "d"),
		line("down", "p", "d"),
		line("ota", "p", "d"),
		line("disconnect", "p", "d"),
	)
	if m.table.Len() != gifts { // the devices that took the gifts
		t.Fatal("a denied event made a device known (R11)")
	}
	check(
		"accepted accepted accepted accepted accepted",
		line("connect", "p", "d"),
		line("up", "p", "d"),
		line("disconnect", "p", "d"),
		line("up", "p", "d"),
		line("connect", "p", "d"),
	)
	check("license_exhausted not_activated", line("connect", "p", "e"), line("up", "p", "e"))
	m.withoutEnds(func() { // The engine would put the device offline before the credit.
		m.clock.pass(10 * time.Second) // The end itself is over already.
		m.credit("p", "LOT-2", 1, false)
		check("accepted", line("up", "p", "d")) // Renewed on the spot, for it is online.
	})
	if d, _ := m.device("p", "d"); d.ActivatedS != testStart.Unix()+10 || d.ExpiresS != testStart.Unix()+20 {
		t.Fatalf("renewed: %+v", d)
	}
	m.clock.pass(10 * time.Second)
	check(
		"license_exhausted license_exhausted license_exhausted",
		line("up", "p", "d"),
		line("down", "p", "d"),
		line("connect", "p", "d"),
	)
	if d, _ := m.device("p", "d"); d.Active || d.Online {
		t.Fatalf("without a licence: %+v", d)
	}
	m.credit("p", "LOT-3", 1, false)
	check("not_activated accepted accepted", line("up", "p", "d"), line("connect", "p", "d"), line("up", "p", "d"))
	m.crash()
	if c := m.licenses("p"); c.Used != 3 || c.Available != 0 {
		t.Fatalf("licences %+v", c)
	}
}

// A payload that is too large denies its event, which stands in the log like any other (R18).
func TestLargePayloadIsLogged(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.submit(line("connect", "p", "d"))
	large := fmt.Sprintf(
		"{\"type\":\"up\",\"product\":\"p\",\"device\":%q,\"payload\":%q}\n",
		"d",
		strings.Repeat("x", event.PayloadBytesMax+1),
	)
	stranger := strings.Replace(large, `"device":"d"`, `"device":"never"`, 1)
	foreign := strings.Replace(large, `"product":"p"`, `"product":"nobody"`, 1)
	if got := fmt.Sprint(
		m.submit(large + stranger + foreign),
	); got != "[payload_too_large payload_too_large payload_too_large]" {
		t.Fatal(got)
	}
	m.crash()
	logged := m.logged()
	if len(logged) != 2 || logged[0].Named || string(logged[1].Name) != "never" {
		t.Fatalf("the log has %+v", logged)
	}
	for _, r := range logged {
		if r.Type != event.Up || r.Code != event.PayloadTooLarge || len(r.Payload) > 0 {
			t.Errorf("the log has %+v", r)
		}
	}
	if d, _ := m.device("p", "d"); d.Up != 0 || d.Denied != 0 {
		t.Errorf("it counted: %+v (R11)", d)
	}
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.SuspendDevice(by, "p", "d", true)
	})
	if d, _ := m.device("p", "d"); !d.Suspended {
		t.Fatalf("%+v", d)
	}
	if got := fmt.Sprint(m.submit(large)); got != "[suspended]" { // R3: whatever else is wrong with it.
		t.Error(got)
	}
}
