package main_test

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// usageRow is a row of GET /v1/usage.
type usageRow struct {
	From, To, Product string
	Up                int64 `json:"messages_up"`
	Down              int64 `json:"messages_down"`
	Denied            int64 `json:"messages_denied"`
	OTA               int64 `json:"ota_units"`
	Topup             int64 `json:"ota_topup_units"`
	OTADenied         int64 `json:"ota_denied"`
	Licenses          int64 `json:"licenses_consumed"`
	Partial           bool
}

// usage returns rows as JSON has them; as CSV they must be the same.
func (d *daemon) usage(query string) (rows []usageRow) {
	d.t.Helper()
	var answer struct{ Rows []usageRow }
	d.must("GET", "/v1/usage?"+query, "", &answer)
	text := d.ask("GET", "/v1/usage?"+query, "", "Accept", "text/csv;q=0.9, application/json;q=0.1")
	lines, err := csv.NewReader(strings.NewReader(string(text.body))).ReadAll()
	if err != nil || len(lines) != 1+len(answer.Rows) || !strings.HasPrefix(text.header.Get("Content-Type"), "text/csv") {
		d.t.Fatalf("%d lines of %s for %d rows, %v", len(lines), text.header.Get("Content-Type"), len(answer.Rows), err)
	}
	for i, r := range answer.Rows {
		want := fmt.Sprint([]string{
			r.From, r.To, r.Product, fmt.Sprint(r.Up), fmt.Sprint(r.Down), fmt.Sprint(r.Denied), fmt.Sprint(r.OTA),
			fmt.Sprint(r.Topup), fmt.Sprint(r.OTADenied), fmt.Sprint(r.Licenses), strconv.FormatBool(r.Partial),
		})
		if got := fmt.Sprint(lines[1+i]); got != want {
			d.t.Fatalf("as CSV %s, as JSON %s", got, want)
		}
	}
	return answer.Rows
}

// usedOf adds up rows by product, and their windows must follow each other.
func usedOf(t testing.TB, rows []usageRow) map[string]usageRow {
	t.Helper()
	sums := map[string]usageRow{}
	for _, r := range rows {
		sum := sums[r.Product]
		if r.From >= r.To || (sum.To != "" && r.From < sum.To) {
			t.Fatalf("%+v comes after %+v", r, sum)
		}
		sum.To, sum.Product = r.To, r.Product
		sum.Up, sum.Down, sum.Denied = sum.Up+r.Up, sum.Down+r.Down, sum.Denied+r.Denied
		sum.OTA, sum.Topup, sum.OTADenied = sum.OTA+r.OTA, sum.Topup+r.Topup, sum.OTADenied+r.OTADenied
		sum.Licenses += r.Licenses
		sums[r.Product] = sum
	}
	for product, sum := range sums {
		sum.To = ""
		sums[product] = sum
	}
	return sums
}

// Whatever the zone and the window, what was used adds up to what was answered: while events come, after kill -9, and
// when the ledger is made again from the log.
func TestUsageAddsUp(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	dice, oneMonth := newDice(seed(t), 0), noon() // No month ends there while this runs.
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"enterprise"}`, nil)
	zones := map[string]string{"india": "+05:30", "odd": "+05:17", "york": "America/New_York"}
	for product, zone := range zones {
		d.must("POST", "/v1/products", fmt.Sprintf(
			`{"product":%q,"account":"acme","time_zone":%q,"plan":{"messages_per_day":40,"message_unit_bytes":64}}`,
			product,
			zone,
		), nil)
		d.credit(product, "PO-"+product, 5)
		d.topup(product, "TO-"+product, 5)
	}
	want := map[string]usageRow{}
	check := func(why string) {
		t.Helper()
		for _, window := range []string{"hour", "day", "month"} {
			for _, zone := range []string{"UTC", "+05:30", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"} {
				query := "from=2026-01-01T00:00:00Z&account=acme&window=" + window + "&time_zone=" + url.QueryEscape(zone)
				if got := usedOf(t, d.usage(query)); !maps.Equal(got, want) {
					t.Fatalf("%s: %s: %+v, answered was %+v", why, query, got, want)
				}
			}
		}
	}
	for round := range 12 {
		for _, product := range slices.Sorted(maps.Keys(zones)) {
			lines := []string{line("connect", product, "d"+fmt.Sprint(dice.IntN(3)))}
			var units []int64
			for range dice.IntN(12) {
				size := 1 + dice.IntN(300)
				lines = append(lines, fmt.Sprintf(`{"type":%q,"product":%q,"device":"d%d","size":%d}`,
					[]string{"up", "down", "ota"}[dice.IntN(3)], product, dice.IntN(3), size))
				units = append(units, int64(size+63)/64)
			}
			sum := want[product]
			sum.Product = product
			for i, code := range d.batch(lines...) {
				sum.count(lines[i], code, append([]int64{0}, units...)[i])
			}
			view := d.product(product)
			sum.Licenses, sum.Topup = int64(view.Licenses.Used), int64(view.Topups.OTA.Used)
			want[product] = sum
		}
		switch round % 4 {
		case 1:
			check("while it runs")
		case 2:
			d.kill()
			d.start()
			check("after kill -9")
		case 3:
			d.kill()
			if err := os.RemoveAll(filepath.Join(d.data, "ledger")); err != nil {
				t.Fatal(err)
			}
			d.start()
			check("with a new ledger")
		}
	}
	month := d.ctl("usage", "--product", "odd", "--window", "month", "--time-zone", oneMonth)
	table := strings.Split(strings.TrimSpace(month), "\n")
	if odd := want["odd"]; len(table) != 2 || strings.Join(strings.Fields(table[1])[2:], " ") != fmt.Sprint(
		"odd ", odd.Up, odd.Down, odd.Denied, odd.OTA, odd.Topup, odd.OTADenied, odd.Licenses, " yes",
	) {
		t.Errorf("ctl shows %q of %+v", table, odd)
	}
	d.ctlRefused("invalid_argument", "usage", "--product", "odd", "--time-zone", "+05:17")
	d.ctlRefused("not_found", "usage", "--account", "nobody")
}

// count adds one event by its answer. OTAs are of one unit.
func (r *usageRow) count(event, code string, units int64) {
	typ, _, _ := strings.Cut(strings.TrimPrefix(event, `{"type":"`), `"`)
	switch {
	case typ == "up" && code == "accepted":
		r.Up += units
	case typ == "down" && code == "accepted":
		r.Down += units
	case code == "message_quota_exceeded":
		r.Denied += units
	case typ == "ota" && code == "accepted":
		r.OTA++
	case code == "ota_quota_exceeded":
		r.OTADenied++
	}
}
