package main_test

import (
	"encoding/csv"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

type snapshotView struct {
	ID       string
	Sequence uint64
	AsOf     time.Time `json:"as_of"`
	Period   string
	Final    bool
	Rows     int
	SHA256   string
	Previous *string `json:"previous_sha256"`
	Sealed   bool
}

// TestSnapshotsWhileKilled makes snapshots in the middle of traffic and of kills. Each one that is there is whole: its
// files have their checksums, its rows add up to its products, it continues the chain, and it stands in the audit log;
// what was answered is there. In the end all were exported, and the last one says what /v1/usage says.
func TestSnapshotsWhileKilled(t *testing.T) {
	t.Parallel()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	n := seed(t)
	dice := newDice(n, 0)
	exported := t.TempDir()
	d := newDaemon(t, "--checkpoint-every", "50ms", "--snapshot-at", "none", "--export-to", exported)
	tr := newTraffic(d, n)
	tr.pace = 5 * time.Millisecond
	tr.prepare()
	var answered []snapshotView
	for range rounds {
		tr.begin()
		tr.answered(20)
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for {
				a, err := d.try("POST", "/v1/snapshots", []byte(`{}`))
				if err != nil || a.status != 201 {
					return
				}
				var m snapshotView
				if json.Unmarshal(a.body, &m) == nil {
					answered = append(answered, m)
				}
			}
		}()
		tr.killAfter(time.Duration(dice.Int64N(int64(400 * time.Millisecond))))
		<-asked
		d.start()
		tr.check()
		d.checkSnapshots(answered)
	}
	var last snapshotView
	d.must("POST", "/v1/snapshots", `{}`, &last)
	list := d.checkSnapshots(append(answered, last))
	t.Logf("%d snapshots, %d of them were answered", len(list), len(answered)+1)

	for product, sum := range d.productsOf(last.ID) { // The period is a month in the product's time zone.
		zone := d.product(product).TimeZone
		from, err := time.Parse("2006-01-07:00", last.Period+zone)
		if err != nil {
			t.Fatal(err)
		}
		u := usedOf(t, d.usage(url.Values{
			"product": {product}, "window": {"month"}, "time_zone": {zone}, "from": {from.Format(time.RFC3339)},
			"to": {from.AddDate(0, 1, 0).Format(time.RFC3339)},
		}.Encode()))[product]
		if want := [7]int64{u.Up, u.Down, u.Denied, u.OTA, u.Topup, u.OTADenied, u.Licenses}; sum != want {
			t.Errorf("product %s used %v by the snapshot, and %v by /v1/usage", product, sum, want)
		}
	}

	await(t, "all are exported", func() bool {
		return strings.HasPrefix(d.metric("meterd_snapshot_export_pending"), "0")
	})
	for _, m := range list {
		for _, name := range []string{"devices.csv", "devices.ndjson", "devices.parquet", "products.csv", "SHA256SUMS"} {
			want := d.ask("GET", "/v1/snapshots/"+m.ID+"/"+name, "")
			if got, err := os.ReadFile(filepath.Join(exported, m.ID, name)); err != nil || string(got) != string(want.body) {
				t.Errorf("%s of %s is not what was exported: %v", name, m.ID, err)
			}
		}
	}
}

// checkSnapshots returns all snapshots, oldest first, and fails the test unless each is whole and those in answered are
// there.
func (d *daemon) checkSnapshots(answered []snapshotView) []snapshotView {
	d.t.Helper()
	var list struct{ Snapshots []snapshotView }
	d.must("GET", "/v1/snapshots?limit=1000", "", &list)
	slices.Reverse(list.Snapshots)
	var entries struct {
		Entries []struct{ Action, Target string }
	}
	d.must("GET", "/v1/audit?limit=1000", "", &entries)
	noted, previous := map[string]bool{}, ""
	for _, e := range entries.Entries {
		if e.Action == "snapshot.create" {
			noted[e.Target] = true
		}
	}
	to := d.t.TempDir()
	for i, m := range list.Snapshots {
		if m.Sequence != uint64(i+1) || !m.Sealed || (m.Previous == nil) != (i == 0) || i > 0 && *m.Previous != previous {
			d.t.Errorf("snapshot %d is %+v, behind %s", i+1, m, previous)
		}
		previous = m.SHA256
		if !noted[m.ID] {
			d.t.Errorf("the audit log lacks %s", m.ID)
		}
		d.ctl("snapshots", "download", m.ID, "--to", to)
		d.addsUp(filepath.Join(to, m.ID), m)
	}
	for _, m := range answered {
		if !slices.ContainsFunc(list.Snapshots, func(o snapshotView) bool { return o.ID == m.ID && o.SHA256 == m.SHA256 }) {
			d.t.Errorf("%s was answered with %s, and is not there", m.ID, m.SHA256)
		}
	}
	left, err := filepath.Glob(filepath.Join(d.data, "snapshots", ".*"))
	if err != nil || len(left) > 0 {
		d.t.Errorf("a kill left %q, %v", left, err)
	}
	return list.Snapshots
}

// addsUp fails the test unless devices.csv adds up to products.csv.
func (d *daemon) addsUp(dir string, m snapshotView) {
	d.t.Helper()
	sums, rows := d.sumsOf(filepath.Join(dir, "devices.csv"), 7)
	products, _ := d.sumsOf(filepath.Join(dir, "products.csv"), 13)
	for product, want := range products {
		if sums[product] != want {
			d.t.Errorf("%s: the devices of %s add up to %v, the product has %v", m.ID, product, sums[product], want)
		}
	}
	if rows != m.Rows {
		d.t.Errorf("%s has %d rows, and says %d", m.ID, rows, m.Rows)
	}
}

// sumsOf adds up the usage of a CSV by product, its first column; first is the first column of usage.
func (d *daemon) sumsOf(path string, first int) (sums map[string][7]int64, rows int) {
	d.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	if err != nil || len(lines) == 0 || lines[0][first] != "messages_up" {
		d.t.Fatalf("%s begins with %q, %v", path, lines[:min(1, len(lines))], err)
	}
	sums = map[string][7]int64{}
	for _, line := range lines[1:] {
		sum := sums[line[0]]
		for i := range sum {
			n, err := strconv.ParseInt(line[first+i], 10, 64)
			if err != nil {
				d.t.Fatalf("%s: %v", path, err)
			}
			sum[i] += n
		}
		sums[line[0]] = sum
	}
	return sums, len(lines) - 1
}

// productsOf returns the usage in products.csv of a snapshot.
func (d *daemon) productsOf(id string) map[string][7]int64 {
	d.t.Helper()
	to := d.t.TempDir()
	d.ctl("snapshots", "download", id, "--to", to, "--file", "products.csv")
	sums, _ := d.sumsOf(filepath.Join(to, id, "products.csv"), 13)
	return sums
}
