package shard

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage"
	"github.com/meterd/meterd/usage/snapshot"
	"github.com/meterd/meterd/usage/snapshot/rows"
)

// snapshotRows are all rows of one snapshot.
type snapshotRows struct {
	about    snapshot.About
	devices  map[string]snapshot.Row // by product/device
	products map[string]snapshot.ProductRow
}

// sourceAt cuts the state and returns the rows of an account's month.
func (m *machine) sourceAt(account string, month uint32) (snapshot.Source, error) {
	var ledger *usage.Instant
	c, err := m.Cut(m.t.Context(), func(at views.Position) (err error) {
		ledger, err = m.o.Ledger.(*usage.Ledger).Instant()
		if err == nil && ledger.Position() != at {
			m.t.Errorf("the ledger is read at %v, the cut is at %v", ledger.Position(), at)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows.Open(rows.Options{
		State: rows.State{
			Group: c.At.Seq, AtMs: c.LastMs, Catalogue: c.Catalogue, Totals: c.Totals.Of, Devices: c.Devices, KeyOf: c.KeyOf,
			Ordinals: c.Ordinals, Close: c.Close,
		},
		Ledger: ledger, Account: account, Month: month, Retention: m.retention,
	}), nil
}

func (m *machine) snapshot(account string, month uint32) (*snapshotRows, error) {
	m.t.Helper()
	source, err := m.sourceAt(account, month)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	all := &snapshotRows{devices: map[string]snapshot.Row{}, products: map[string]snapshot.ProductRow{}}
	err = source.Devices(m.t.Context(), func(r *snapshot.Row) error {
		key := r.Product + "/" + string(r.Device)
		if _, twice := all.devices[key]; twice {
			return fmt.Errorf("%s has two rows", key)
		}
		row := *r
		row.Device = nil
		all.devices[key] = row
		return nil
	})
	if err != nil {
		return nil, err
	}
	all.about = source.About()
	err = source.Products(m.t.Context(), func(r *snapshot.ProductRow) error {
		all.products[r.Product] = *r
		return nil
	})
	return all, err
}

// booked is what a model of billing counts of a device: it sees requests, answers and the clock, nothing else.
type booked struct {
	months    map[uint32]*snapshot.Usage
	allowance map[uint32]uint32 // used, by month
	upgrades  map[string]*bookedUpgrade
	active    bool
}

type bookedUpgrade struct {
	month            uint32
	allowance, packs uint32
	voided           bool
}

func newBooked() *booked {
	return &booked{
		months: map[uint32]*snapshot.Usage{}, allowance: map[uint32]uint32{}, upgrades: map[string]*bookedUpgrade{},
	}
}

func (b *booked) month(n uint32) *snapshot.Usage {
	if b.months[n] == nil {
		b.months[n] = &snapshot.Usage{}
	}
	return b.months[n]
}

// The plan of the products whose devices are booked.
const (
	bookedPlan      = `{"messages_per_day":6,"message_unit_bytes":64,"ota_per_month":3,"ota_unit_bytes":1024}`
	bookedAllowance = 3
)

// bookedEvent is one event and what it would count.
type bookedEvent struct {
	kind, product, device, id string
	size                      int
}

func (e *bookedEvent) line() string {
	id := ""
	if e.id != "" {
		id = fmt.Sprintf(",\"id\":%q", e.id)
	}
	return fmt.Sprintf(
		"{\"type\":%q,\"product\":%q,\"device\":%q,\"size\":%d%s}\n",
		e.kind,
		e.product,
		e.device,
		e.size,
		id,
	)
}

// book counts an event as it was answered.
func (b *booked) book(e *bookedEvent, code string, month uint32) {
	ok, u := code == "accepted", b.month(month)
	units := uint64(max(1, (e.size+63)/64))
	switch {
	case e.kind == "connect" && ok && !b.active:
		b.active = true
		u.LicensesConsumed++
	case e.kind == "up" && ok:
		u.MessagesUp += units
	case e.kind == "down" && ok:
		u.MessagesDown += units
	case code == "message_quota_exceeded":
		u.MessagesDenied += units
	case e.kind == "ota" && code == "ota_quota_exceeded":
		u.OTADenied++
	case e.kind == "ota" && ok:
		b.upgrade(e, u, month)
	case e.kind == "ota_void" && ok:
		up := b.upgrades[e.id]
		up.voided = true
		if up.month == month {
			b.allowance[month] -= up.allowance
		}
		u.OTAUnits -= int64(up.allowance) + int64(up.packs)
		u.OTATopupUnits -= int64(up.packs)
	}
}

func (b *booked) upgrade(e *bookedEvent, u *snapshot.Usage, month uint32) {
	if e.id != "" && b.upgrades[e.id] != nil {
		return // The same again.
	}
	units := uint32(max(1, (e.size+1023)/1024))
	up := &bookedUpgrade{month: month, allowance: min(units, bookedAllowance-b.allowance[month])}
	up.packs = units - up.allowance
	b.allowance[month] += up.allowance
	u.OTAUnits += int64(units)
	u.OTATopupUnits += int64(up.packs)
	if e.id != "" {
		b.upgrades[e.id] = up
	}
}

// bookkeeper drives a machine and keeps the books. Each of its gateways has devices of its own.
type bookkeeper struct {
	m     *machine
	still sync.RWMutex // held for writing while the clock moves
	mu    sync.Mutex
	books map[string]*booked // by product/device
	zones map[string]*time.Location
}

var bookedZones = map[string]string{
	"utc":  "UTC",
	"east": "Pacific/Auckland",
	"odd":  "-05:17",
	"west": "America/New_York",
}

func newBookkeeper(m *machine) *bookkeeper {
	k := &bookkeeper{m: m, books: map[string]*booked{}, zones: map[string]*time.Location{}}
	for _, name := range slices.Sorted(maps.Keys(bookedZones)) {
		m.productIn(name, bookedZones[name], bookedPlan, 200)
		m.credit(name, "PACKS", 25, true)
		k.zones[name] = m.Catalogue().Product([]byte(name)).Zone
	}
	// Its licences end all the time, and its plan changes: its rows are compared with its totals alone.
	m.product("short", `{"messages_per_day":3,"validity":"P2D","ota_per_month":2}`, 300)
	return k
}

// batch has a gateway send some events, and books the answers.
func (k *bookkeeper) batch(r *rand.Rand, gateway int) error {
	kinds := []string{"connect", "connect", "up", "up", "down", "ota", "ota", "ota_void", "disconnect"}
	names := append(slices.Sorted(maps.Keys(bookedZones)), "short")
	events := make([]bookedEvent, 1+r.IntN(15))
	var b strings.Builder
	for i := range events {
		e := &events[i]
		e.kind, e.product = kinds[r.IntN(len(kinds))], names[r.IntN(len(names))]
		e.device, e.size = fmt.Sprintf("g%d-d%d", gateway, r.IntN(5)), r.IntN(4000)
		if e.kind == "up" || e.kind == "down" {
			e.size /= 20
		}
		if e.kind == "ota_void" || e.kind == "ota" && r.IntN(2) == 0 {
			e.id = fmt.Sprint("id", r.IntN(6))
		}
		b.WriteString(e.line())
	}
	k.still.RLock()
	defer k.still.RUnlock()
	req := request(k.m.t, b.String())
	if err := k.m.Submit(req); err != nil {
		return err
	}
	wall, _ := k.m.clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, code := range codes(req) {
		e := &events[i]
		if zone := k.zones[e.product]; zone != nil {
			key := e.product + "/" + e.device
			if k.books[key] == nil {
				k.books[key] = newBooked()
			}
			k.books[key].book(e, code, calendar.WindowAt(wall.UnixMilli(), zone).Month)
		}
	}
	return nil
}

func (k *bookkeeper) pass(d time.Duration) {
	k.still.Lock()
	defer k.still.Unlock()
	k.m.clock.pass(d)
}

// usage returns what is booked for a month, of devices that were ever active.
func (k *bookkeeper) usage(month uint32) map[string]snapshot.Usage {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := map[string]snapshot.Usage{}
	for key, b := range k.books {
		if b.active {
			all[key] = *b.month(month)
		}
	}
	return all
}

// check takes a snapshot of a month while nothing happens, and compares it with the books.
func (k *bookkeeper) check(t *rapid.T, month uint32) {
	all, err := k.m.snapshot("", month)
	if err != nil {
		t.Fatalf("month %s: %v", calendar.MonthName(month), err)
	}
	want, got := k.usage(month), map[string]snapshot.Usage{}
	sums := map[string]snapshot.Usage{}
	wall, _ := k.m.clock.Now()
	for key, row := range all.devices {
		if k.zones[row.Product] != nil {
			got[key] = row.Usage
		}
		sum := sums[row.Product]
		sum.MessagesUp += row.MessagesUp
		sum.OTAUnits += row.OTAUnits
		sum.LicensesConsumed += row.LicensesConsumed
		sums[row.Product] = sum
		if k.zones[row.Product] == nil {
			continue // Its licences end by themselves meanwhile.
		}
		product, device, _ := strings.Cut(key, "/")
		seen, ok := k.m.device(product, device)
		if !ok || row.Active != seen.Active || row.ActivatedS != seen.ActivatedS || row.ExpiresS != seen.ExpiresS {
			t.Fatalf("row %s is %+v, the device %+v", key, row, seen)
		}
	}
	if !maps.Equal(want, got) {
		t.Fatalf("month %s:\n%s", calendar.MonthName(month), diff(usageLines(want), usageLines(got)))
	}
	if len(all.products) != len(k.zones)+1 || all.about.Rows != uint64(len(all.devices)) {
		t.Fatalf("%d products, %d devices, %+v", len(all.products), len(all.devices), all.about)
	}
	final := true
	for name, p := range all.products {
		sum := sums[name]
		if p.MessagesUp != sum.MessagesUp || p.OTAUnits != sum.OTAUnits || p.LicensesConsumed != sum.LicensesConsumed {
			t.Fatalf("product %s is %+v, its rows are %+v", name, p, sum)
		}
		zone := k.m.Catalogue().Product([]byte(name)).Zone
		final = final && calendar.WindowAt(wall.UnixMilli(), zone).Month > month
		if licenses, _ := k.m.stock(name); p.Licenses != licenses && k.zones[name] != nil {
			t.Fatalf("product %s has %+v, not %+v", name, p.Licenses, licenses)
		}
	}
	if all.about.Final != final || all.about.AsOfMs != wall.UnixMilli() {
		t.Fatalf("%+v, but final is %v at %d", all.about, final, wall.UnixMilli())
	}
}

func usageLines(all map[string]snapshot.Usage) string {
	var lines []string
	for _, key := range slices.SortedFunc(maps.Keys(all), cmp.Compare[string]) {
		lines = append(lines, fmt.Sprintf("%s %+v", key, all[key]))
	}
	return strings.Join(lines, "\n")
}

// Rows, totals and ledger of every month are what gateways were answered, whatever happened: midnights, ends of months
// in zones east and west, clock changes, voids of this month and the last, renewals, upgrades, crashes, checkpoints,
// days that are closed and merged or not yet.
func TestSnapshotsAreWhatWasAnswered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		defer m.kill()
		m.kill()
		m.cuts.imageBytes = int64(rapid.SampledFrom([]int{2000, 1 << 20}).Draw(rt, "image_bytes"))
		m.clock.set(time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(rt, "month")), 27, 9, 0, 0, 0, time.UTC))
		m.start()
		k := newBookkeeper(m)
		seed := rapid.Uint64().Draw(rt, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		first := calendar.WindowAt(m.NowMs(), time.UTC).Month
		for range rapid.IntRange(3, 10).Draw(rt, "steps") {
			var wg sync.WaitGroup
			for gateway := range 3 {
				own := rand.New(rand.NewPCG(seed, r.Uint64()))
				wg.Go(func() {
					for range 3 {
						if err := k.batch(own, gateway); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			k.step(r)
			if r.IntN(3) == 0 {
				k.check(rt, calendar.WindowAt(m.NowMs(), time.UTC).Month-uint32(r.IntN(2)))
			}
		}
		for month := first; month <= calendar.WindowAt(m.NowMs(), time.UTC).Month; month++ {
			k.check(rt, month)
		}
		m.nothingIsHeld()
	})
}

// step lets something happen between batches.
func (k *bookkeeper) step(r *rand.Rand) {
	m := k.m
	m.t.Helper()
	switch r.IntN(9) {
	case 0:
		k.pass(time.Duration(r.IntN(180)) * time.Minute)
	case 1:
		k.pass(23 * time.Hour)
	case 2, 3:
		k.pass(5 * 24 * time.Hour)
	case 4:
		k.pass(20 * 24 * time.Hour)
	case 5:
		m.crash()
	case 6:
		if err := m.Checkpoint(); err != nil {
			m.t.Fatal(err)
		}
	case 7:
		m.credit("short", fmt.Sprint("LOT-", r.Uint32()), 20, false)
	}
	if r.IntN(2) == 0 {
		if err := m.closeDays(); err != nil {
			m.t.Fatal(err)
		}
	}
}

// Snapshots that are taken while events are decided lie between what was booked before and after, row by row, and
// their rows, totals and ledger are equal all the same.
func TestSnapshotBesideTraffic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		defer m.kill()
		m.kill()
		m.cuts.imageBytes = 8000
		m.clock.set(time.Date(2026, 3, 31, 3, 0, 0, 0, time.UTC))
		m.start()
		k := newBookkeeper(m)
		seed := rapid.Uint64().Draw(rt, "seed")
		month := calendar.WindowAt(m.NowMs(), time.UTC).Month
		done := make(chan struct{})
		var wg sync.WaitGroup
		for gateway := range 3 {
			r := rand.New(rand.NewPCG(seed, uint64(gateway)))
			wg.Go(func() {
				for n := range 200 { // The ledger in memory is slow when it has many rows.
					select {
					case <-done:
						return
					default:
					}
					if err := k.batch(r, gateway); err != nil {
						t.Error(err)
						return
					}
					if gateway == 0 && n%16 == 0 {
						k.pass(time.Hour)
					}
					if gateway == 1 && n%32 == 0 {
						if err := m.closeDays(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		stop := sync.OnceFunc(func() { close(done); wg.Wait() })
		defer stop()
		for range 3 {
			before := k.usage(month)
			all, err := m.snapshot("", month)
			if err != nil {
				rt.Fatal(err)
			}
			k.still.Lock() // What is decided is booked.
			after := k.usage(month)
			k.still.Unlock()
			for key, row := range all.devices {
				if k.zones[row.Product] == nil {
					continue
				}
				low, high := before[key], after[key]
				if row.MessagesUp < low.MessagesUp || row.MessagesUp > high.MessagesUp ||
					row.MessagesDenied < low.MessagesDenied || row.MessagesDenied > high.MessagesDenied ||
					row.LicensesConsumed < low.LicensesConsumed || row.LicensesConsumed > high.LicensesConsumed {
					rt.Fatalf("row %s is %+v, before %+v, after %+v", key, row.Usage, low, high)
				}
			}
			for key := range before {
				if _, ok := all.devices[key]; !ok {
					rt.Fatalf("%s has no row", key)
				}
			}
		}
		stop()
		k.check(rt, month)
		k.check(rt, month+1)
	})
}

// A snapshot of one account has its products alone.
func TestSnapshotOfAnAccount(t *testing.T) {
	m := newMachine(t)
	m.product("p", "{}", 10)
	m.product("q", "{}", 10)
	m.submit(line("connect", "p", "a") + line("connect", "q", "b") + line("up", "p", "a"))
	month := calendar.WindowAt(m.NowMs(), time.UTC).Month
	for account, want := range map[string]int{"": 2, "acc-p": 1, "nobody": 0} {
		all, err := m.snapshot(account, month)
		if err != nil || len(all.devices) != want || len(all.products) != want || all.about.Account != account {
			t.Errorf("account %q has %d devices and %d products, %v", account, len(all.devices), len(all.products), err)
		}
	}
	m.nothingIsHeld()
}

// Numbers that do not add up are refused, with the product, the field and both numbers.
func TestSnapshotIsRefusedWhenNumbersDiffer(t *testing.T) {
	change := func(m *machine, key string, to func(value []byte) []byte) {
		m.store.mu.Lock()
		defer m.store.mu.Unlock()
		for k, v := range m.store.rows {
			if strings.HasPrefix(k, key) {
				m.store.rows[k] = to(v)
			}
		}
	}
	for name, c := range map[string]struct {
		spoil func(*machine)
		want  snapshot.Difference
	}{
		"a word": {
			func(m *machine) {
				slot := m.table.Find(m.table.KeyOf(1, []byte("a")))
				slot.Join(wordMessages, uint64(slot.Message())+1)
			},
			snapshot.Difference{Field: "messages_down", Left: "rows", LeftNumber: 1, Right: "totals", RightNumber: 0},
		},
		"the word of OTAs": {
			func(m *machine) {
				slot := m.table.Find(m.table.KeyOf(1, []byte("a")))
				slot.StoreOTA(counters.NewOTAWord(calendar.WindowAt(m.NowMs(), time.UTC).Month, 0, 0, 0, 7))
			},
			snapshot.Difference{Field: "ota_denied", Left: "rows", LeftNumber: 7, Right: "totals", RightNumber: 0},
		},
		"a pool": {
			func(m *machine) { m.Catalogue().Product([]byte("p")).Lots[0].Pool.Drawn++ },
			snapshot.Difference{Field: "licenses_used", Left: "totals", LeftNumber: 1, Right: "pools", RightNumber: 2},
		},
		"closed days": {
			func(m *machine) { m.store.forget("D") },
			snapshot.Difference{Field: "messages_up", Left: "rows", LeftNumber: 1, Right: "totals", RightNumber: 3},
		},
		"licences": {
			func(m *machine) { m.store.forget("L") },
			snapshot.Difference{Field: "licenses_used", Left: "pools", LeftNumber: 1, Right: "ledger", RightNumber: 0},
		},
		"OTA units": {
			func(m *machine) {
				m.submit(line("ota", "p", "a"))
				m.clock.pass(20 * 24 * time.Hour) // The word is replaced by the next month's.
				m.submit(line("ota", "p", "a"))
				m.synced()
				m.store.forget("O")
			},
			snapshot.Difference{Field: "ota_units", Left: "rows", LeftNumber: 0, Right: "totals", RightNumber: 1},
		},
		"the newest totals": {
			func(m *machine) {
				change(m, "T", func(v []byte) []byte {
					v = slices.Clone(v)
					v[6]++ // The first field behind quarter and day.
					return v
				})
			},
			snapshot.Difference{Field: "messages_up", Left: "totals", LeftNumber: 3, Right: "ledger", RightNumber: 4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.product("p", `{"ota_per_month":1}`, 10)
			month := calendar.WindowAt(m.NowMs(), time.UTC).Month
			m.submit(line("connect", "p", "a") + line("up", "p", "a") + line("up", "p", "a"))
			m.clock.pass(24 * time.Hour)
			if err := m.closeDays(); err != nil {
				t.Fatal(err)
			}
			m.submit(line("up", "p", "a"))
			m.synced()
			if _, err := m.snapshot("", month); err != nil {
				t.Fatal(err)
			}
			c.spoil(m)
			_, err := m.snapshot("", month)
			var got *snapshot.Difference
			c.want.Product = "p"
			if !errors.As(err, &got) || *got != c.want {
				t.Fatalf("got %v, want %v", err, &c.want)
			}
			m.nothingIsHeld()
		})
	}
}

func (m *machine) synced() {
	m.t.Helper()
	if err := m.DurableInLedger(); err != nil {
		m.t.Fatal(err)
	}
}

// A month whose usage is no longer kept, or lies behind a gap of the ledger, is refused and says why.
func TestSnapshotOfAMonthThatIsNotKept(t *testing.T) {
	m := newMachine(t)
	m.product("p", "{}", 10)
	m.submit(line("connect", "p", "a"))
	m.clock.pass(60 * 24 * time.Hour)
	m.submit(line("up", "p", "a"))
	month := calendar.WindowAt(testStart.UnixMilli(), time.UTC).Month
	for _, c := range []struct {
		retention time.Duration
		says      string
	}{
		{20 * 24 * time.Hour, "--usage-retention"}, {60 * 24 * time.Hour, ""}, {0, ""},
	} {
		m.retention = c.retention
		_, err := m.snapshot("", month)
		var p *event.Problem
		if c.says == "" && err != nil || c.says != "" && (!errors.As(err, &p) || !strings.Contains(p.Detail, c.says)) {
			t.Errorf("retention %s: %v", c.retention, err)
		}
	}
	m.retention = 0
	m.store.mu.Lock()
	m.store.rows["B"] = binary.BigEndian.AppendUint64(nil, uint64(testStart.Add(time.Hour).UnixMilli()))
	m.store.mu.Unlock()
	var p *event.Problem
	if _, err := m.snapshot("", month); !errors.As(err, &p) || !strings.Contains(p.Detail, "2026-11-23T11:00:00Z") {
		t.Errorf("behind a gap: %v", err)
	}
	if _, err := m.snapshot("", month+1); err != nil {
		t.Error(err)
	}
}
