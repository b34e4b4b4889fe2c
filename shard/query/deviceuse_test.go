package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// useModel is what the devices of a product used on each day, as the answers to their events said.
type useModel struct {
	d       *daemon
	product string
	days    map[string]map[uint32]*DeviceDay
	otas    map[string][]string // ids that were accepted and not given back, by device
	ids     int
}

// submit decides events and returns which were denied.
func (m *useModel) submit(lines string) map[int]event.Code {
	m.d.t.Helper()
	r := &shard.Request{Batch: &event.Batch{}}
	if p := wire.DecodeNDJSON(r.Batch, []byte(lines)); p != nil {
		m.d.t.Fatal(p)
	}
	m.d.must(m.d.engine.Submit(r))
	denied := map[int]event.Code{}
	for _, denial := range r.Result.Denials {
		denied[denial.Index] = denial.Verdict.Code
	}
	return denied
}

// use has a device do something, and notes what came of it.
func (m *useModel) use(device, kind string) {
	m.d.t.Helper()
	text, id := line(kind, m.product, device), ""
	switch kind {
	case "ota":
		m.ids++
		id = fmt.Sprint("id", m.ids)
	case "ota_void":
		if len(m.otas[device]) == 0 {
			return
		}
		id = m.otas[device][0]
		m.otas[device] = m.otas[device][1:]
	}
	if id != "" {
		text = strings.Replace(text, "}", fmt.Sprintf(",\"id\":%q}", id), 1)
	}
	code := m.submit(text)[0]
	day := m.day(device)
	switch {
	case code == event.Accepted && kind == "up":
		day.Up++
	case code == event.Accepted && kind == "down":
		day.Down++
	case code == event.MessageQuotaExceeded:
		day.Denied++
	case code == event.Accepted && kind == "ota":
		day.OTAUnits++
		m.otas[device] = append(m.otas[device], id)
	case code == event.Accepted && kind == "ota_void":
		day.OTAUnits--
	case code != event.OTAQuotaExceeded:
		m.d.t.Fatalf("%s of %s: %s", kind, device, code)
	}
}

func (m *useModel) day(device string) *DeviceDay {
	today := m.d.productOf(m.product).Window(m.d.engine.NowMs()).Day
	if m.days[device] == nil {
		m.days[device] = map[uint32]*DeviceDay{}
	}
	if m.days[device][today] == nil {
		m.days[device][today] = &DeviceDay{Day: today}
	}
	return m.days[device][today]
}

// top is TopDevices by brute force.
func (m *useModel) top(q TopQuery) (list []DeviceUse) {
	m.d.must(m.d.View(func(v *View) {
		for device, days := range m.days {
			u := DeviceUse{Device: device}
			for _, day := range days {
				if day.Day >= q.From && day.Day <= q.To {
					u.Up, u.Down, u.Denied = u.Up+uint64(day.Up), u.Down+uint64(day.Down), u.Denied+day.Denied
					u.OTAUnits += day.OTAUnits
				}
			}
			u.ordinal = v.Table.Find(v.Table.KeyOf(q.Product.ID, []byte(device))).Ordinal()
			if q.By(&u) > 0 {
				list = append(list, u)
			}
		}
	}))
	slices.SortFunc(list, func(a, b DeviceUse) int {
		return cmp.Or(cmp.Compare(q.By(&b), q.By(&a)), cmp.Compare(a.ordinal, b.ordinal))
	})
	return list[:min(len(list), q.Limit)]
}

// whatIf is WhatIf by brute force.
func (m *useModel) whatIf(from, to, quota uint32) *WhatIf {
	w := &WhatIf{Days: make([]WhatIfDay, to-from+1)}
	for i := range w.Days {
		w.Days[i].Day = from + uint32(i)
	}
	for _, days := range m.days {
		isUsed, isDenied := false, false
		for _, day := range days {
			if day.Day < from || day.Day > to {
				continue
			}
			isUsed = isUsed || day.Up+day.Down+uint32(day.Denied) > 0
			for n := uint32(1); n <= day.Up+day.Down+uint32(day.Denied); n++ { // A message at a time.
				if n <= quota {
					continue
				}
				w.Days[day.Day-from].MessagesDenied++
				w.MessagesDenied++
				isDenied = true
				if n == quota+1 {
					w.Days[day.Day-from].DevicesDenied++
				}
			}
		}
		if isUsed {
			w.Devices++
		}
		if isDenied {
			w.DevicesDenied++
		}
	}
	return w
}

var useKinds = map[string]func(*DeviceUse) int64{
	"messages": func(u *DeviceUse) int64 { return int64(u.Up + u.Down) },
	"denied":   func(u *DeviceUse) int64 { return int64(u.Denied) },
	"ota":      func(u *DeviceUse) int64 { return u.OTAUnits },
}

// Top devices and what-if are what adding up the answers to all events comes to, closed days, the running one and days
// of two months included, however few devices are gathered at once. Each try has a product of its own beside the
// others.
func TestDeviceUseAgainstBruteForce(t *testing.T) {
	d := newDaemon(t)
	d.usesAtOnce = 3
	tries := 0
	rapid.Check(t, func(t *rapid.T) {
		tries++
		m := &useModel{
			d: d, product: fmt.Sprint("p", tries), days: map[string]map[uint32]*DeviceDay{}, otas: map[string][]string{},
		}
		d.product(m.product, `{"messages_per_day":3,"ota_per_month":1}`, 100)
		d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.ApplyCredit(by, m.product, license.Credit{Order: "PACK", Quantity: 5, Units: true})
			return next, ch, err
		})
		first := d.productOf(m.product).Window(d.engine.NowMs()).Day
		days := rapid.IntRange(1, 4).Draw(t, "days")
		for day := range days {
			for range rapid.IntRange(0, 30).Draw(t, "events") {
				device := fmt.Sprint("d", rapid.IntRange(0, 9).Draw(t, "device"))
				if m.days[device] == nil {
					m.submit(line("connect", m.product, device))
				}
				m.use(device, rapid.SampledFrom([]string{"up", "up", "up", "down", "ota", "ota_void"}).Draw(t, "kind"))
			}
			if day < days-1 || rapid.Bool().Draw(t, "closed") {
				d.clock.pass(24 * time.Hour)
			}
		}
		p := d.productOf(m.product)
		from := first + uint32(rapid.IntRange(0, days-1).Draw(t, "from"))
		to := from + uint32(rapid.IntRange(0, days).Draw(t, "to"))
		m.check(t, p, from, to, rapid.IntRange(1, 12).Draw(t, "limit"), rapid.Uint32Range(1, 7).Draw(t, "quota"))
	})
}

func (m *useModel) check(t *rapid.T, p *license.Product, from, to uint32, limit int, quota uint32) {
	ctx := context.Background()
	for kind, by := range useKinds {
		q := TopQuery{Product: p, From: from, To: to, Limit: limit, By: by}
		got, err := m.d.TopDevices(ctx, q)
		if want := m.top(q); err != nil || !slices.Equal(got, want) {
			t.Errorf("top %d by %s: %+v, want %+v; %v", limit, kind, got, want, err)
		}
	}
	got, err := m.d.WhatIf(ctx, p, from, to, quota)
	want := m.whatIf(from, to, quota)
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("with %d a day: %+v, want %+v; %v", quota, got, want, err)
	}
	listed := map[string]map[uint32]*DeviceDay{}
	m.d.must(m.d.EachDeviceDay(ctx, p, from, to, func(device string, days []DeviceDay) error {
		listed[device] = map[uint32]*DeviceDay{}
		for _, day := range days {
			listed[device][day.Day] = &day
		}
		return nil
	}))
	used := map[string]map[uint32]*DeviceDay{}
	for device, days := range m.days {
		kept := maps.Clone(days)
		maps.DeleteFunc(kept, func(day uint32, d *DeviceDay) bool { return day < from || day > to || d.isEmpty() })
		if len(kept) > 0 {
			used[device] = kept
		}
	}
	same := func(a, b map[uint32]*DeviceDay) bool {
		return maps.EqualFunc(a, b, func(a, b *DeviceDay) bool { return *a == *b })
	}
	if !maps.EqualFunc(listed, used, same) {
		t.Errorf("each device-day: %v, want %v", listed, used)
	}
}

// A request that is given up reads no further, and a ledger that cannot be read fails the request alone.
func TestDeviceUseIsGivenUp(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 1)
	d.submit(line("connect", "p", "d") + line("up", "p", "d"))
	p := d.productOf("p")
	day := p.Window(d.engine.NowMs()).Day
	ask := func(ctx context.Context, want error) {
		t.Helper()
		q := TopQuery{Product: p, From: day, To: day, Limit: 1, By: useKinds["messages"]}
		if _, err := d.TopDevices(ctx, q); !errors.Is(err, want) {
			t.Error(err)
		}
		if _, err := d.WhatIf(ctx, p, day, day, 1); !errors.Is(err, want) {
			t.Error(err)
		}
	}
	ask(context.Background(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	ask(ctx, context.Canceled)
	if err := d.Held(ctx, map[uint32]int64{}); !errors.Is(err, context.Canceled) {
		t.Errorf("what producers hold: %v", err)
	}
	d.ledger.err = errors.New("damaged")
	ask(context.Background(), shard.ErrLedgerLags)
}
