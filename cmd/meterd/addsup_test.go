package main_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestEverythingAddsUp is random traffic with kills, after each of which every way of asking what a product used must
// say the same: the rows and the products of a snapshot, /v1/usage by any window, the days of devices, the last values
// of the history, and the recount of the raw log.
func TestEverythingAddsUp(t *testing.T) {
	t.Parallel()
	rounds := 4
	if testing.Short() {
		rounds = 2
	}
	n := seed(t)
	dice := newDice(n, 0)
	d := newDaemon(t, "--checkpoint-every", "100ms", "--snapshot-at", "none", "--usage-history=true")
	tr := newTraffic(d, n)
	tr.pace = 5 * time.Millisecond
	tr.prepare()
	for range rounds {
		tr.begin()
		tr.answered(20)
		tr.killAfter(time.Duration(dice.Int64N(int64(700 * time.Millisecond))))
		verify(t, d.data, 0, "no difference")
		d.start()
		for _, f := range fleets() {
			d.everythingAddsUp(f.product, 28*time.Hour) // Before the test began.
		}
	}
	tr.check()
	tr.report(t)
}

// everythingAddsUp compares all that the daemon says of a product. Nobody sends meanwhile, and all of it was used since
// then.
func (d *daemon) everythingAddsUp(product string, since time.Duration) {
	d.t.Helper()
	now := time.Now().UTC()
	from := now.Add(-since).Format(time.RFC3339)
	used := func(of, window, zone string) [7]int64 {
		query := fmt.Sprintf("%s&window=%s&time_zone=%s&from=%s", of, window, url.QueryEscape(zone), from)
		u := usedOf(d.t, d.usage(query))[product]
		return [7]int64{u.Up, u.Down, u.Denied, u.OTA, u.Topup, u.OTADenied, u.Licenses}
	}
	want := used("product="+product, "month", "UTC")
	said := map[string][7]int64{
		"by hour":              used("product="+product, "hour", "UTC"),
		"by day in Sydney":     used("product="+product, "day", "Australia/Sydney"),
		"of its account":       used("account="+d.product(product).Account, "day", "+05:30"),
		"snapshot's devices":   {},
		"snapshot's products":  {},
		"days of its devices":  {4: want[4], 5: want[5], 6: want[6]},
		"history, last values": {},
	}
	// In the zone of the product one month or two lie behind from.
	months := []string{now.Add(-since).Format("2006-01")}
	if last := now.Add(14 * time.Hour).Format("2006-01"); last != months[0] {
		months = append(months, last)
	}
	for _, month := range months {
		d.addSnapshot(product, month, said)
		d.addDays(product, month, said)
	}
	await(d.t, fmt.Sprintf("the history has the last values of %s: %v", product, want), func() bool {
		said["history, last values"] = d.lastValues(product, want)
		return said["history, last values"] == want
	})
	for how, sum := range said {
		if sum != want {
			d.t.Errorf("%s used %v by the month, and %v %s", product, want, sum, how)
		}
	}
}

// addSnapshot adds a snapshot of a month to what is said, if the month has begun.
func (d *daemon) addSnapshot(product, month string, said map[string][7]int64) {
	d.t.Helper()
	mayBeAhead := month > time.Now().UTC().Add(-12*time.Hour).Format("2006-01") // In the zone of the product.
	a := d.ask("POST", "/v1/snapshots", fmt.Sprintf(`{"account":%q,"period":%q}`, d.product(product).Account, month))
	if a.status == 400 && mayBeAhead {
		return
	}
	var m snapshotView
	a.into(d.t, &m)
	if a.status != 201 {
		d.t.Fatalf("a snapshot of %s: %d %s", month, a.status, a.body)
	}
	to := d.t.TempDir()
	d.ctl("snapshots", "download", m.ID, "--to", to)
	for how, file := range map[string]struct {
		name  string
		first int
	}{"snapshot's devices": {"devices.csv", 7}, "snapshot's products": {"products.csv", 13}} {
		sums, _ := d.sumsOf(to+"/"+m.ID+"/"+file.name, file.first)
		sum := said[how]
		for i, n := range sums[product] {
			sum[i] += n
		}
		said[how] = sum
	}
}

// addDays adds up what the devices used on the days of a month.
func (d *daemon) addDays(product, month string, said map[string][7]int64) {
	d.t.Helper()
	const how = "days of its devices"
	sum := said[how]
	body := d.must("GET", "/v1/products/"+product+"/devices/usage?month="+month, "", nil).body
	for line := range strings.Lines(string(body)) {
		var day struct {
			Up, Down, Denied int64
			OTA              int64 `json:"ota_units"`
		}
		if err := json.Unmarshal([]byte(line), &day); err != nil {
			d.t.Fatalf("%q: %v", line, err)
		}
		sum[0], sum[1], sum[2], sum[3] = sum[0]+day.Up, sum[1]+day.Down, sum[2]+day.Denied, sum[3]+day.OTA
	}
	said[how] = sum
}

// lastValues are the counters of a product as the history has them now; what it does not count is taken from want.
func (d *daemon) lastValues(product string, want [7]int64) [7]int64 {
	d.t.Helper()
	messages := func(match string) int64 {
		return d.lastValue(fmt.Sprintf(`sum(meterd_messages_total{product=%q,%s})`, product, match))
	}
	return [7]int64{
		messages(`direction="up",verdict="accepted"`), messages(`direction="down",verdict="accepted"`),
		messages(`verdict="message_quota_exceeded"`),
		d.lastValue(fmt.Sprintf(`sum(meterd_ota_units_total{product=%q})`, product)) -
			d.lastValue(fmt.Sprintf(`sum(meterd_ota_units_voided_total{product=%q})`, product)), want[4], want[5],
		d.lastValue(fmt.Sprintf(`meterd_licenses_consumed_total{product=%q}`, product)),
	}
}

// lastValue is the value of a query that yields one series at most, 0 if it yields none.
func (d *daemon) lastValue(query string) int64 {
	d.t.Helper()
	var v struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	a := d.ask("GET", "/prometheus/api/v1/query?query="+url.QueryEscape(query), "")
	if a.status == 503 { // The child is not there yet.
		return -1
	}
	a.into(d.t, &v)
	if len(v.Data.Result) == 0 {
		return 0
	}
	text, _ := v.Data.Result[0].Value[1].(string)
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || len(v.Data.Result) > 1 {
		d.t.Fatalf("%s: %s, %v", query, a.body, err)
	}
	return int64(value)
}
