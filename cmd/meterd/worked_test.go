package main_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// standard is the plan of the worked cases.
const standard = `{"validity":"P5Y","messages_per_day":1500,"ota_per_month":1,"log_days":7}`

// Worked case 1 up to the end of its day, and over a restart (R10, R11).
func TestWorkedCase1(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", standard)
	if got := d.batch(line("connect", "p1", "d1"))[0]; got != "accepted" {
		t.Fatalf("connect: %s", got)
	}
	for i, got := range d.batch(append(repeat(900, line("up", "p1", "d1")), repeat(600, line("down", "p1", "d1"))...)...) {
		if got != "accepted" {
			t.Fatalf("message %d of 1500: %s", i+1, got)
		}
	}
	for round := range 2 {
		for _, typ := range []string{"up", "down"} {
			p := d.ask("POST", "/v1/events", line(typ, "p1", "d1")).refuse(t, 429, "message_quota_exceeded")
			if p.Limit != 1500 || p.Used != 1500 {
				t.Errorf("the next %s: limit %d, used %d", typ, p.Limit, p.Used)
			}
		}
		v := d.device("p1", "d1")
		if v.Messages.Up != 900 || v.Messages.Down != 600 || v.Messages.Denied != uint64(2*(round+1)) {
			t.Errorf("the view counts %+v", v.Messages)
		}
		if got := len(d.logs("p1", "d1")); got != 1501+2*(round+1) {
			t.Errorf("%d log entries", got)
		}
		d.restart()
	}
}

// Worked case 1 at midnight: the first message after it is accepted. The product's time zone is one where the day ends
// within the next minute or two, so the test waits for a real one.
func TestWorkedCase1AtMidnight(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for midnight, a minute on average")
	}
	t.Parallel()
	d := newDaemon(t)
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"enterprise"}`, nil)
	product, zone, midnight := "", "", time.Time{}
	var codes []string
	var day deviceView
	// It passed before all was sent: the next one is of another product.
	for try := 0; !time.Now().Before(midnight); try++ {
		product = fmt.Sprint("p", try)
		zone, midnight = soonMidnight(time.Now())
		d.must(
			"POST",
			"/v1/products",
			fmt.Sprintf(`{"product":%q,"account":"acme","time_zone":%q,"plan":%s}`, product, zone, standard),
			nil,
		)
		codes = d.batch(append([]string{line("connect", product, "d1")}, repeat(1503, line("up", product, "d1"))...)...)
		day = d.device(product, "d1")
	}
	if codes[1500] != "accepted" || codes[1501] != "message_quota_exceeded" || day.Messages.Up != 1500 ||
		day.Messages.Denied != 3 {
		t.Fatalf("before midnight in %s: %s, %s, %+v", zone, codes[1500], codes[1501], day.Messages)
	}
	if !day.Messages.ResetsAt.Equal(midnight) {
		t.Errorf("resets at %s, midnight in %s is %s", day.Messages.ResetsAt, zone, midnight)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	denied := uint64(3)
	for {
		asked := time.Now()
		a := d.ask("POST", "/v1/events", line("down", product, "d1"))
		answered := time.Now()
		if a.status == 200 {
			if answered.Before(midnight) {
				t.Fatalf("accepted %s before midnight", midnight.Sub(answered))
			}
			break
		}
		a.refuse(t, 429, "message_quota_exceeded")
		denied++
		if !asked.Before(midnight) {
			t.Fatalf("denied although asked %s after midnight", asked.Sub(midnight))
		}
		if t.Failed() {
			return
		}
		<-tick.C
	}
	v := d.device(product, "d1")
	if v.Messages.Up != 0 || v.Messages.Down != 1 || v.Messages.Denied != 0 || v.Messages.Day == day.Messages.Day {
		t.Errorf("after midnight the view counts %+v", v.Messages)
	}
	d.restart()
	if again := d.device(product, "d1"); !reflect.DeepEqual(again.Messages, v.Messages) {
		t.Errorf("after a restart the view counts %+v", again.Messages)
	}
	if got := uint64(len(d.logs(product, "d1"))); got != 1+1500+denied+1 {
		t.Errorf("%d log entries, want %d", got, 1+1500+denied+1)
	}
}

// soonMidnight returns a time zone of whole minutes in which the day ends in 10 to 70 seconds, and when.
func soonMidnight(now time.Time) (zone string, midnight time.Time) {
	midnight = now.UTC().Add(10 * time.Second).Truncate(time.Minute).Add(time.Minute)
	offset := -(midnight.Hour()*60 + midnight.Minute())
	if offset < -12*60 {
		offset += 24 * 60
	}
	sign := '+'
	if offset < 0 {
		sign, offset = '-', -offset
	}
	return fmt.Sprintf("%c%02d:%02d", sign, offset/60, offset%60), midnight
}

// Worked case 2 (R15, R16), with a restart at the end.
func TestWorkedCase2(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	d := newDaemon(t)
	d.withProduct("p1", standard)
	for _, device := range []string{"d1", "d2", "d3"} {
		d.batch(line("connect", "p1", device))
	}
	ota := func(device string, size int64) answer {
		return d.ask("POST", "/v1/events", sized("ota", "p1", device, size))
	}
	p := ota("d1", 6*mb).refuse(t, 429, "ota_quota_exceeded")
	if p.Limit != 1 || p.Used != 0 || p.Requested != 2 || p.TopupAvailable != 0 {
		t.Errorf("6 MB without pack: %+v", p)
	}
	if v := d.device("p1", "d1"); v.OTA.AllowanceUsed != 0 || v.OTA.TopupUsed != 0 || v.OTA.Denied != 1 {
		t.Errorf("a denied OTA used something: %+v", v.OTA)
	}
	if a := ota("d1", 5*mb); a.status != 200 {
		t.Errorf("5 MB: %d %s", a.status, a.body)
	}
	ota("d1", 1).refuse(t, 429, "ota_quota_exceeded")

	d.topup("p1", "PACK-1", 1)
	if a := ota("d2", 6*mb); a.status != 200 {
		t.Errorf("6 MB with a pack of 1: %d %s", a.status, a.body)
	}
	if v := d.device("p1", "d2"); v.OTA.AllowanceUsed != 1 || v.OTA.TopupUsed != 1 {
		t.Errorf("6 MB are not 1 + 1: %+v", v.OTA)
	}
	if v := d.product("p1"); v.Topups.OTA != (counts{1, 1, 0}) {
		t.Errorf("the pack: %+v", v.Topups.OTA)
	}

	d.topup("p1", "PACK-2", 12)
	if a := ota("d3", 60.5*mb); a.status != 200 {
		t.Errorf("60.5 MB with 1 + 12 units: %d %s", a.status, a.body)
	}
	d.restart()
	if v := d.device("p1", "d3"); v.OTA.AllowanceUsed != 1 || v.OTA.TopupUsed != 12 {
		t.Errorf("60.5 MB are not 13 units: %+v", v.OTA)
	}
	if v := d.product("p1"); v.Topups.OTA != (counts{13, 13, 0}) {
		t.Errorf("the packs: %+v", v.Topups.OTA)
	}
	ota("d2", 1).refuse(t, 429, "ota_quota_exceeded")
}

// Worked case 3: licences do not multiply however many devices connect at once (R1, R4), and a credit lets one more in.
func TestWorkedCase3(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", standard)
	d.withoutGifts("p1")
	d.credit("p1", "PO-1", 2)
	denied := d.connectAtOnce("p1", []string{"d1", "d2", "d3"})
	if len(denied) != 1 {
		t.Fatalf("denied are %q, want one of three", denied)
	}
	d.ask("POST", "/v1/events", line("connect", "p1", denied[0])).refuse(t, 403, "license_exhausted")
	d.credit("p1", "PO-2", 1)
	if a := d.ask("POST", "/v1/events", line("connect", "p1", denied[0])); a.status != 200 {
		t.Errorf("after the credit: %d %s", a.status, a.body)
	}
	for range 2 {
		if v := d.product("p1"); v.Licenses != (counts{3, 3, 0}) || v.Devices.Active != 3 || v.Devices.Online != 3 {
			t.Errorf("the product: %+v %+v", v.Licenses, v.Devices)
		}
		sources := map[string]int{}
		for _, l := range d.licenses("p1") {
			sources[l.Source]++
		}
		if len(sources) != 2 || sources["PO-1"] != 2 || sources["PO-2"] != 1 {
			t.Errorf("licences came from %v", sources)
		}
		d.restart()
	}
}

// The same with more of everything: 64 devices connect at once, each four times, for 20 licences.
func TestWorkedCase3Crowded(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", standard)
	d.withoutGifts("p1")
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		d.credit("p1", fmt.Sprintf("PO-%d", round), 20)
		var devices []string
		for i := range 64 {
			for range 4 {
				devices = append(devices, fmt.Sprintf("r%d-d%d", round, i))
			}
		}
		refused := map[string]bool{}
		for _, device := range d.connectAtOnce("p1", devices) {
			refused[device] = true
		}
		licenses := d.licenses("p1")
		owners := map[string]bool{}
		for _, l := range licenses {
			owners[l.Device] = true
		}
		total := uint64(20 * (round + 1))
		if v := d.product("p1"); v.Licenses != (counts{total, total, 0}) || v.Devices.Active != int(total) {
			t.Errorf("the product: %+v %+v", v.Licenses, v.Devices)
		}
		if len(licenses) != int(total) || len(owners) != int(total) || len(refused) != 44 {
			t.Errorf("%d licences of %d devices, %d refused", len(licenses), len(owners), len(refused))
		}
	}
}

// connectAtOnce connects devices each in a request of its own, all at once, and returns those denied for want of a
// licence.
func (d *daemon) connectAtOnce(product string, devices []string) (denied []string) {
	d.t.Helper()
	for i, a := range d.atOnce(len(devices), func(i int) (answer, error) {
		return d.try("POST", "/v1/events", []byte(line("connect", product, devices[i])))
	}) {
		switch a.status {
		case 200:
		case 0:
			d.t.Errorf("connect %s: no answer", devices[i])
		default:
			a.refuse(d.t, 403, "license_exhausted")
			denied = append(denied, devices[i])
		}
	}
	return denied
}

// 200 devices race for 3 licences, again and again through kill -9: exactly three become active, and nobody who was
// accepted is not among them (R4).
func TestRaceForLicences(t *testing.T) {
	t.Parallel()
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	dice := newDice(seed(t), 0)
	d := newDaemon(t)
	for round := range rounds {
		product := fmt.Sprint("p", round)
		d.withProduct(product, standard)
		d.withoutGifts(product)
		d.credit(product, "PO-1", 3)
		accepted := map[string]bool{}
		for attempt := range 3 { // The first two are cut off.
			ask := func(i int) (answer, error) {
				return d.try("POST", "/v1/events", []byte(line("connect", product, fmt.Sprint("d", i))))
			}
			var answers []answer
			if attempt < 2 {
				answers = d.atOnceKilled(200, dice.IntN(4), ask)
			} else {
				answers = d.atOnce(200, ask)
			}
			for i, a := range answers {
				switch {
				case a.status == 200:
					accepted[fmt.Sprint("d", i)] = true
				case a.status != 0:
					a.refuse(t, 403, "license_exhausted")
				case attempt == 2:
					t.Errorf("device %d got no answer", i)
				}
			}
		}
		d.threeActive(product, accepted)
	}
}

// threeActive checks that exactly three devices of a product have a licence, by every view, and that they are those
// accepted.
func (d *daemon) threeActive(product string, accepted map[string]bool) {
	d.t.Helper()
	v := d.product(product)
	if v.Licenses != (counts{3, 3, 0}) || v.Devices.Active != 3 {
		d.t.Errorf("%s: %+v %+v", product, v.Licenses, v.Devices)
	}
	owners, serials := map[string]bool{}, map[uint64]bool{}
	for _, l := range d.licenses(product) {
		owners[l.Device], serials[l.Serial] = true, true
	}
	var active []string
	for _, dev := range pages[deviceView](d, "/v1/products/"+product+"/devices?state=active", "devices") {
		active = append(active, dev.Device)
	}
	slices.Sort(active)
	if want := sortedKeys(
		owners,
	); len(want) != 3 || len(serials) != 3 || !slices.Equal(active, want) ||
		!slices.Equal(sortedKeys(accepted), want) {
		d.t.Errorf("%s: active are %q, licences have %q, accepted were %q", product, active, want, sortedKeys(accepted))
	}
}
