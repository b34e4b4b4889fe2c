package shard

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage"
)

// usedDay is what a device counted on a day.
type usedDay struct {
	Up, Down uint32
	Denied   uint64
}

// usedKey names a device's day.
type usedKey struct {
	Product uint32
	Day     uint32
	Ordinal uint64
}

type usedDays map[usedKey]usedDay

func (u usedDays) join(k usedKey, d usedDay) {
	have := u[k]
	have = usedDay{max(have.Up, d.Up), max(have.Down, d.Down), max(have.Denied, d.Denied)}
	if have != (usedDay{}) {
		u[k] = have
	}
}

func (u usedDays) String() string {
	keys := slices.SortedFunc(maps.Keys(u), func(a, b usedKey) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Ordinal, b.Ordinal))
	})
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "product %d, %s, device %d: %+v\n", k.Product, calendar.DayName(k.Day), k.Ordinal, u[k])
	}
	return b.String()
}

// words adds what lies in the device table.
func (m *machine) words(u usedDays) {
	m.t.Helper()
	err := m.View(func(v *View) {
		v.Table.Walk(0, func(o counters.Ordinal, product uint32, _ []byte) bool {
			s := v.Table.SlotOf(o)
			messages, denied := s.Message(), s.Denied()
			u.join(usedKey{product, messages.Day(), uint64(o)}, usedDay{Up: messages.Up(), Down: messages.Down()})
			u.join(usedKey{product, denied.Day(), uint64(o)}, usedDay{Denied: denied.Denied()})
			return true
		})
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// ledgerDays adds what the ledger has, read device by device and day by day.
func (m *machine) ledgerDays(u usedDays) {
	m.t.Helper()
	rows := usage.NewRows(m.store)
	byDevice, byDay := usedDays{}, usedDays{}
	var failed error
	read := map[usedKey]bool{} // days, without a device
	m.table.Walk(0, func(o counters.Ordinal, product uint32, _ []byte) bool {
		list, err := rows.DeviceDays(product, uint64(o), 0, counters.DayMax)
		failed = errors.Join(failed, err)
		for _, d := range list {
			byDevice[usedKey{product, d.Day, uint64(o)}] = usedDay{d.Up, d.Down, d.Denied}
			if day := (usedKey{Product: product, Day: d.Day}); !read[day] {
				read[day] = true
				failed = errors.Join(failed, rows.EachDeviceDay(product, d.Day, 0, 1<<40, func(d *views.DeviceDay) error {
					byDay.join(usedKey{product, day.Day, d.Ordinal}, usedDay{d.Up, d.Down, d.Denied})
					return nil
				}))
			}
		}
		return true
	})
	if failed != nil || !maps.Equal(byDevice, byDay) {
		m.t.Fatalf("device by device\n%s, day by day\n%s %v", byDevice, byDay, failed)
	}
	maps.Copy(u, byDevice)
}

// counted returns what the raw log says, event by event: of messages of one unit each.
func (m *machine) counted() usedDays {
	m.t.Helper()
	u := usedDays{}
	for _, r := range m.logged() {
		if r.Named || !r.IsMessage() && !r.Counted {
			continue
		}
		product, _ := m.table.Name(counters.Ordinal(r.Ordinal))
		k := usedKey{product, r.Day, r.Ordinal}
		d := u[k]
		switch {
		case r.Counted:
			d.Denied++
		case r.Type == event.Up:
			d.Up++
		default:
			d.Down++
		}
		u[k] = d
	}
	return u
}

// checkSums demands that the days of a product's devices add up to the product's totals of that day, OTA units too.
func (m *machine) checkSums(used usedDays) {
	m.t.Helper()
	type sum struct {
		up, down, denied uint64
		ota              int64
	}
	sums := map[usedKey]sum{} // by product and day
	for k, d := range used {
		k.Ordinal = 0
		s := sums[k]
		sums[k] = sum{s.up + uint64(d.Up), s.down + uint64(d.Down), s.denied + d.Denied, 0}
	}
	rows := usage.NewRows(m.store)
	for product := uint32(1); product <= m.Catalogue().ProductIDMax(); product++ {
		ota := func(day uint32, units int64) {
			k := usedKey{Product: product, Day: day}
			s := sums[k]
			s.ota += units
			sums[k] = s
		}
		for month := uint32(82); month < 90; month++ { // from November 2026
			var last views.OTADay
			units := func(w counters.OTAWord) int64 { return int64(w.Allowance()) + int64(w.Packs()) }
			err := errors.Join(rows.EachOTA(product, month, 0, 1<<40, func(d *views.OTADay) error {
				if d.Ordinal != last.Ordinal {
					last = views.OTADay{}
				}
				ota(d.Day, units(d.Word)-units(last.Word))
				last = *d
				return nil
			}), rows.EachLateVoid(product, month, 0, 1<<40, func(v *views.LateVoid) error {
				if calendar.MonthOf(v.Day) != month {
					return fmt.Errorf("a void on %s lies in month %d", calendar.DayName(v.Day), month)
				}
				ota(v.Day, -int64(v.Allowance)-int64(v.Packs))
				return nil
			}))
			if err != nil {
				m.t.Fatal(err)
			}
		}
	}
	for k, want := range sums {
		before, _, err := rows.TotalsBeforeDay(k.Product, k.Day)
		after, _, err2 := rows.TotalsBeforeDay(k.Product, k.Day+1)
		if err := errors.Join(err, err2); err != nil {
			m.t.Fatal(err)
		}
		got := sum{
			after.MessagesUp - before.MessagesUp, after.MessagesDown - before.MessagesDown,
			after.MessagesDenied() - before.MessagesDenied(),
			int64(after.OTAAllowance+after.OTAPacks+before.VoidAllowance+before.VoidPacks) -
				int64(before.OTAAllowance+before.OTAPacks+after.VoidAllowance+after.VoidPacks),
		}
		if got != want {
			m.t.Fatalf("product %d used %+v on %s, its devices %+v", k.Product, got, calendar.DayName(k.Day), want)
		}
	}
}

// checkDays demands that ledger and words together have every unit that the log has, and no other.
func (m *machine) checkDays() {
	m.t.Helper()
	words, got := usedDays{}, usedDays{}
	m.words(words) // Before the ledger: a word that is replaced meanwhile is in it then.
	if err := m.DurableInLedger(); err != nil {
		m.t.Fatal(err)
	}
	m.ledgerDays(got)
	for k, d := range words {
		got.join(k, d)
	}
	if want := m.counted(); !maps.Equal(got, want) {
		m.t.Fatalf("the ledger and the words differ from the log:\n%s", diff(want.String(), got.String()))
	}
	m.checkSums(got)
}

// closedInLog returns the closed words and the day ends of the log, in order.
func (m *machine) closedInLog() (list closings) {
	m.t.Helper()
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
			if err := c.Effects(&list); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	return list
}

// closings gathers closed words and day ends.
type closings struct {
	words []string
	ends  []record.DayEnd
}

func (c *closings) Closed(index int, _, word uint64) error {
	name := "messages"
	day := counters.MessageWord(word).Day()
	if index == wordDenied {
		name = "denials"
	}
	c.words = append(c.words, name+" of "+calendar.DayName(day))
	return nil
}
func (c *closings) DayEnd(d record.DayEnd) error   { c.ends = append(c.ends, d); return nil }
func (c *closings) Word(int, uint64, uint64) error { return nil }
func (c *closings) OTA(record.OTA) error           { return nil }
func (c *closings) Grant(record.Grant) error       { return nil }
func (c *closings) Pool(record.Pool) error         { return nil }
func (c *closings) End(record.End) error           { return nil }
func (c *closings) Command(record.Command) error   { return nil }
func (c *closings) Upgrade(record.Upgrade) error   { return nil }
func (c *closings) Claim(record.Claim) error       { return nil }
func (c *closings) Run(record.Run) error           { return nil }
func (c *closings) Quota(record.Quota) error       { return nil }
func (c *closings) Decided(record.Decided) error   { return nil }

// dayName is the day of an instant in UTC.
func dayName(at time.Time) string { return at.Format(time.DateOnly) }

// A device that never returns has its day in the ledger soon after midnight, whole, denials too; a second scan finds
// nothing.
func TestDayOfADeviceThatNeverReturns(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":2}`, 1)
	m.submit(line("connect", "p", "d") + line("up", "p", "d") + line("down", "p", "d") + line("up", "p", "d"))
	m.ends()
	if got := m.closedInLog(); len(got.words)+len(got.ends) > 0 {
		t.Fatalf("before midnight the log has %+v", got)
	}
	day := dayName(testStart)
	m.clock.pass(14*time.Hour + time.Second)
	for range 2 {
		m.ends()
		got := m.closedInLog()
		if want := []string{
			"messages of " + day,
			"denials of " + day,
		}; !slices.Equal(got.words, want) ||
			len(got.ends) != 1 ||
			calendar.DayName(got.ends[0].Day) != day {
			t.Fatalf("the log has %+v", got)
		}
	}
	m.checkDays()
	m.clock.pass(72 * time.Hour) // It used nothing since.
	m.ends()
	if got := m.closedInLog(); len(got.ends) != 1 {
		t.Errorf("days without use were closed: %+v", got.ends)
	}
}

// A device that returns after three days has its word logged once: by the scan.
func TestDayOfADeviceThatReturnsLater(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10}`, 2)
	m.submit(line("connect", "p", "d") + line("up", "p", "d") + line("connect", "p", "e"))
	m.clock.pass(24 * time.Hour)
	m.ends()
	m.clock.pass(48 * time.Hour)
	m.submit(line("up", "p", "d") + line("up", "p", "d"))
	m.ends()
	got := m.closedInLog()
	if want := []string{"messages of " + dayName(testStart)}; !slices.Equal(got.words, want) || len(got.ends) != 1 {
		t.Fatalf("the log has %+v", got)
	}
	m.checkDays()
	m.crash()
	m.withoutDayEnds(func() { // before the scan: the event itself has the word logged
		m.clock.pass(24 * time.Hour)
		m.submit(line("up", "p", "d"))
	})
	m.checkDays()
	m.ends()
	m.checkDays()
	if got := m.closedInLog(); len(got.words) != 2 || got.ends[len(got.ends)-1].Day != got.ends[0].Day+3 {
		t.Errorf("the log has %+v", got)
	}
}

// A day that all devices have left, and whose scan a crash has prevented, ends all the same when the daemon is back.
func TestDayEndsAfterACrash(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		m := newMachine(t)
		m.product("p", `{"messages_per_day":10}`, 1)
		m.submit(line("connect", "p", "d") + line("up", "p", "d"))
		m.clock.pass(14*time.Hour - time.Millisecond)
		m.ends()
		m.days.running.Lock() // The scan does not come to it.
		m.clock.pass(time.Second)
		m.submit(line("up", "p", "d"))
		if checkpoint {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		m.fail(errors.New("killed"))
		m.days.running.Unlock()
		m.crash()
		m.ends()
		if got := m.closedInLog(); len(got.ends) != 1 || calendar.DayName(got.ends[0].Day) != dayName(testStart) {
			t.Errorf("checkpoint %v: the log has %+v", checkpoint, got)
		}
		m.checkDays()
	}
}

// A daemon that was down over two midnights closes each day by itself, and so does one that runs on behind a clock that
// steps back (R12).
func TestDaysWhileTheDaemonWasDown(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10}`, 3)
	m.submit(line("connect", "p", "d") + line("up", "p", "d") + line("connect", "p", "e"))
	m.withoutDayEnds(func() {
		m.clock.pass(24 * time.Hour)
		m.submit(line("up", "p", "e"))
		m.fail(errors.New("killed"))
	})
	m.kill()
	m.clock.pass(48 * time.Hour)
	m.start()
	m.ends()
	m.checkDays()
	got := m.closedInLog()
	want := []string{"messages of " + dayName(testStart), "messages of " + dayName(testStart.Add(24*time.Hour))}
	slices.Sort(got.words)
	if !slices.Equal(got.words, want) || len(got.ends) != 1 ||
		calendar.DayName(got.ends[0].Day) != dayName(testStart.Add(48*time.Hour)) {
		t.Fatalf("the log has %+v", got)
	}
	m.submit(line("up", "p", "d"))
	m.clock.set(testStart) // Three days back: the day that has begun goes on.
	m.submit(line("up", "p", "d"))
	m.ends()
	m.crash()
	m.ends()
	m.checkDays()
	if got := m.closedInLog(); len(got.ends) != 1 {
		t.Errorf("a day was closed although the clock stepped back: %+v", got.ends)
	}
}

// Days end by the calendar of the product: +05:17 has its midnight at 18:43 UTC.
func TestDayInAZoneOfMinutes(t *testing.T) {
	m := newMachine(t)
	m.productIn("p", "+05:17", `{"messages_per_day":10}`, 1)
	m.product("q", `{"messages_per_day":10}`, 1)
	m.submit(line("connect", "p", "d") + line("up", "p", "d") + line("connect", "q", "d") + line("up", "q", "d"))
	m.clock.pass(time.Date(2026, 11, 23, 18, 42, 59, 0, time.UTC).Sub(testStart))
	m.ends()
	if got := m.closedInLog(); len(got.ends) > 0 {
		t.Fatalf("a second before midnight: %+v", got.ends)
	}
	m.clock.pass(time.Second)
	m.ends()
	p := m.Catalogue().Product([]byte("p")).ID
	if got := m.closedInLog(); len(got.ends) != 1 || got.ends[0].Product != p || len(got.words) != 1 {
		t.Fatalf("at midnight: %+v", got)
	}
	m.checkDays()
}

// A request that took its time before midnight and counts behind it counts for the day that ends: the scan waits for
// it.
func TestDayWaitsForWhoIsInside(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":10}`, 1)
	m.submit(line("connect", "p", "d"))
	m.clock.pass(14*time.Hour - time.Second)
	account := m.Catalogue().Product([]byte("p")).State.Account
	account.Lock()
	done := make(chan error, 2)
	r := request(t, line("up", "p", "d")+line("ota", "p", "d")+line("up", "p", "d"))
	go func() { done <- m.Submit(r) }()
	p := m.Catalogue().Product([]byte("p"))
	for !p.State.Days.Before(calendar.WindowAt(m.NowMs(), time.UTC).Day + 1) { // Until it is inside, at the OTA.
		runtime.Gosched()
	}
	m.clock.pass(2 * time.Second)
	go func() { done <- m.closeDays() }()
	m.untilDayEndWaits("p")
	account.Unlock()
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := m.DurableInLedger(); err != nil {
		t.Fatal(err)
	}
	inLedger := usedDays{}
	m.ledgerDays(inLedger)
	if want := m.counted(); !maps.Equal(inLedger, want) || len(want) != 1 {
		t.Errorf("the ledger has\n%s, the log\n%s", inLedger, want)
	}
}

// A message that has replaced the word of a day that is over, and has not looked yet whether the day is closed, holds
// the end of the day back: the scan, which no longer finds the word, leaves it to the message.
func TestDayEndWaitsForWhoReplacesAWord(t *testing.T) {
	for stopAt, name := range []string{"messages", "denials"} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.product("p", `{"messages_per_day":1}`, 1)
			m.submit(line("connect", "p", "d") + line("up", "p", "d") + line("up", "p", "d"))
			want := m.counted()
			m.days.running.Lock() // The engine's own scan must not come first.
			defer m.days.running.Unlock()
			m.clock.pass(14*time.Hour + time.Second)
			nowMs, _ := m.Engine.clock.now()
			over := m.daysOver(nowMs)
			if err := m.cut(0, nil); err != nil {
				t.Fatal(err)
			}
			stopped, release := make(chan struct{}), make(chan struct{})
			calls := 0
			m.replaced = func() {
				if calls++; calls == stopAt+1 {
					close(stopped)
					<-release
				}
			}
			done := make(chan error, 2)
			r := request(t, line("up", "p", "d")+line("up", "p", "d"))
			go func() { done <- m.Submit(r) }()
			<-stopped
			go func() { done <- m.scanDays(over) }()
			m.untilDayEndWaits("p")
			close(release)
			if err := errors.Join(<-done, <-done, m.DurableInLedger()); err != nil {
				t.Fatal(err)
			}
			inLedger := usedDays{}
			m.ledgerDays(inLedger)
			if !maps.Equal(inLedger, want) || len(want) != 1 {
				t.Errorf("the ledger has\n%s, the log\n%s", inLedger, want)
			}
			m.checkDays()
		})
	}
}

// An upgrade that took its time before midnight, and is decided after one that began behind it, counts on the day that
// the other has begun: a word holds no day, so the days of its changes must not fall.
func TestUpgradeBehindOneOfTheNextDay(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1,"ota_per_month":5}`, 1)
	m.submit(line("connect", "p", "d") + line("up", "p", "d"))
	m.days.running.Lock() // The engine's own scan must not replace the word first.
	defer m.days.running.Unlock()
	m.clock.pass(38*time.Hour - time.Second)
	upgrade := `{"type":"ota","product":"p","device":"d","size":1}` + "\n"
	stopped, release := make(chan struct{}), make(chan struct{})
	m.replaced = sync.OnceFunc(func() {
		close(stopped)
		<-release
	})
	done := make(chan error, 2)
	submit := func(lines string) {
		r := request(t, lines)
		go func() { done <- m.Submit(r) }()
	}
	submit(line("up", "p", "d") + upgrade)
	<-stopped
	m.clock.pass(2 * time.Second)
	submit(upgrade)
	slot := m.table.Find(m.table.KeyOf(m.Catalogue().Product([]byte("p")).ID, []byte("d")))
	for slot.OTA().Allowance() == 0 {
		if !m.gate.mu.TryRLock() {
			break // Somebody seals, for a request of before: he waits for the first one, and the second for him.
		}
		m.gate.mu.RUnlock()
		runtime.Gosched()
	}
	close(release)
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	m.checkDays()
}

// A scan that fails is logged and not tried again at once, unless the operator hears of the cause in other ways.
func TestFailedScanOfDaysIsLogged(t *testing.T) {
	for _, tt := range []struct {
		err  error
		rest time.Duration
		says string
	}{
		{nil, daysTick, ""},
		{ErrClockLeap, daysTick, ""},
		{ErrDiskFull, daysTick, ""},
		{ErrStopped, daysTick, ""},
		{ErrOverloaded, daysRetryAfter, ErrOverloaded.Error()},
	} {
		var log strings.Builder
		e := &Engine{logger: slog.New(slog.NewTextHandler(&log, nil))}
		if rest := e.daysRest(tt.err); rest != tt.rest {
			t.Errorf("after %v the scan rests %v, want %v", tt.err, rest, tt.rest)
		}
		if got := log.String(); !strings.Contains(got, tt.says) || (got == "") != (tt.says == "") {
			t.Errorf("of %v the log says %q", tt.err, got)
		}
	}
}

// untilDayEndWaits returns when a scan waits for who is inside, or has ended a day.
func (m *machine) untilDayEndWaits(product string) {
	for m.Catalogue().Product([]byte(product)).State.Days.Through() == 0 {
		if !m.gate.mu.TryRLock() {
			return
		}
		m.gate.mu.RUnlock()
		runtime.Gosched()
	}
}

// Random histories around midnights, with gateways that decide while days are closed, crashes, a ledger that falls back
// or stops between two transactions of a merge, and clocks that step back: what the ledger and the words say of each
// day is what the log has, event by event, always. In the end all days but the running one are packed in the ledger.
func TestDaysAddUp(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		defer m.kill()
		seed := rapid.Uint64().Draw(rt, "seed")
		m.daysHistory(rand.New(rand.NewPCG(seed, 1)))
		behind := max(0, m.NowMs()-m.clock.wall.UnixMilli())
		m.clock.pass(50*time.Hour + time.Duration(behind)*time.Millisecond)
		m.ends()
		m.submit(line("connect", "q", "last")) // A crash may have left blocks of level 0: they go with the next group.
		m.checkDays()
		inLedger := usedDays{}
		m.ledgerDays(inLedger)
		if want := m.counted(); !maps.Equal(inLedger, want) {
			rt.Fatalf("seed %d: the ledger lacks days that are over:\n%s", seed, diff(want.String(), inLedger.String()))
		}
		_ = m.store.Scan([]byte("D\x00"), nil, false, func(k, _ []byte) (bool, error) {
			rt.Fatalf("seed %d: the block %x of a day that is over was not merged", seed, k)
			return false, nil
		})
	})
}

func (m *machine) daysHistory(r *rand.Rand) {
	m.productIn("p", "+05:17", `{"messages_per_day":3,"ota_per_month":2}`, 20)
	m.credit("p", "PACK", 30, true)
	m.product("q", `{"messages_per_day":null}`, 20)
	backup := m.store.clone()
	for range 10 {
		done := make(chan error, 4)
		send := func() {
			var b strings.Builder
			for range 1 + r.IntN(10) {
				product, device := []string{"p", "q"}[r.IntN(2)], fmt.Sprint("d", r.IntN(6))
				b.WriteString(line([]string{"connect", "up", "up", "down"}[r.IntN(4)], product, device))
				if r.IntN(3) == 0 {
					fmt.Fprintf(&b, "{\"type\":%q,\"product\":%q,\"device\":%q,\"size\":%d,\"id\":\"i%d\"}\n",
						[]string{"ota", "ota_void"}[r.IntN(2)], product, device, 1+r.IntN(3)*6<<20, r.IntN(5))
				}
			}
			req, e := request(m.t, b.String()), m.Engine
			go func() { done <- e.Submit(req) }()
		}
		send()
		send()
		m.clock.pass([]time.Duration{0, time.Minute, 7 * time.Hour, 24 * time.Hour, 73 * time.Hour}[r.IntN(5)])
		e := m.Engine
		go func() { done <- e.closeDays() }()
		send()
		for range 4 {
			// A ledger that was restored cannot be asked for ids before it has caught up.
			if err := <-done; err != nil && !errors.Is(err, ErrLedgerLags) {
				m.t.Fatal(err, m.Err())
			}
		}
		switch r.IntN(8) {
		case 0:
			m.checkDays()
		case 1:
			m.crash()
		case 2:
			m.kill()
			m.clock.pass(time.Duration(r.IntN(80)) * time.Hour)
			m.start()
		case 3:
			m.clock.set(m.clock.wall.Add(-time.Duration(r.IntN(30)) * time.Hour))
		case 4:
			if err := m.Checkpoint(); err != nil {
				m.t.Fatal(err)
			}
			backup = m.store.clone()
		case 5: // The ledger is restored from a backup.
			m.kill()
			m.store = backup.clone()
			m.start()
		case 6: // Writing stops between two transactions.
			stopped, caught := m.store.stopAfter(1+r.IntN(6)), make(chan error, 1)
			m.clock.pass(24 * time.Hour)
			if err := errors.Join(m.closeDays(), m.Durable()); err != nil {
				m.t.Fatal(err)
			}
			runner, last := m.views, m.durableSeq.Load()
			view := m.o.Ledger
			go func() { caught <- runner.WaitFor(view, last) }()
			select {
			case <-stopped:
			case err := <-caught:
				if err != nil {
					m.t.Fatal(err)
				}
			}
			m.crash()
		}
	}
}
