package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// demoProducts are those that the demo's devices use.
func demoProducts() []string {
	return []string{"smart-meter", "shared-bike", "rental-tracker", "greenhouse"}
}

// demoNote returns what the directory says of its demo.
func (d *daemon) demoNote() string {
	note, err := os.ReadFile(filepath.Join(d.data, "DEMO"))
	if err != nil {
		return ""
	}
	return string(note)
}

// TestDemo: --demo makes a week in a new directory, once, of which all that can be asked says the same; then devices go
// on while it runs. What it prints works when pasted.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a week of history")
	}
	t.Parallel()
	d := withHistory(t, "--demo")
	began := time.Now()
	d.start()
	note := d.demoNote()
	want(t, note, "state made")
	await(t, "the demo is told", func() bool { return strings.Contains(d.run.stdout.String(), "by day:") })
	want(t, d.run.stdout.String(), d.run.address, filepath.Join(d.data, "admin.token"))
	want(t, d.paste(t), `{"accepted":2,"denied":[]}`)
	accepted := `meterd_events_total{type="up",verdict="accepted"}`
	await(t, "devices go on", func() bool { return d.metric(accepted) != "1" && d.metric(accepted) != "0" })
	d.stop()
	verify(t, d.data, 0, "no difference")

	d.flags = nil // The devices rest.
	d.start()
	if said := d.run.stdout.String(); said != "" {
		t.Errorf("without --demo it prints %s", said)
	}
	for _, p := range demoProducts() {
		d.everythingAddsUp(p, time.Since(began)+7*24*time.Hour+10*time.Minute)
		d.logsAddUp(p)
		d.hoursAddUp(p)
	}
	d.demoIsBelievable()
	// Of days that are over now, as windows of the same question: a midnight may come in between.
	now := time.Now().UTC()
	query := fmt.Sprintf("account=huaxin-energy&window=day&from=%s&to=%s", now.AddDate(0, 0, -8).Format(time.RFC3339),
		now.Truncate(24*time.Hour).Format(time.RFC3339))
	week := d.usage(query)
	d.stop()

	d.flags = []string{"--demo"}
	d.start()
	if again := d.usage(query); len(week) == 0 || !slices.Equal(week, again) {
		t.Errorf("the second start made something:\n%v\n%v", week, again)
	}
	if d.demoNote() != note || strings.Contains(d.run.said(), "making a week") {
		t.Errorf("the second start made a week: %s", d.run.said())
	}
}

// hoursAddUp compares hours of the history, in both of its stores, with usage.
func (d *daemon) hoursAddUp(product string) {
	d.t.Helper()
	for _, hours := range []int{30, 100} { // The fine store reaches back for two days.
		end := time.Now().Truncate(time.Hour).Add(-2 * time.Hour).UTC()
		begin := end.Add(-time.Duration(hours) * time.Hour)
		want := usedOf(d.t, d.usage(fmt.Sprintf("product=%s&window=hour&from=%s&to=%s", product,
			begin.Format(time.RFC3339), end.Format(time.RFC3339))))[product]
		query := fmt.Sprintf(`sum(increase(meterd_messages_total{product=%q,verdict="accepted"}[%dh] @ %d))`,
			product, hours, end.Unix())
		await(d.t, fmt.Sprintf("%s is %d", query, want.Up+want.Down), func() bool {
			return d.value(query) == fmt.Sprint(want.Up+want.Down)
		})
	}
}

// logsAddUp compares the raw log with the usage of the same hours. Nobody sends meanwhile.
func (d *daemon) logsAddUp(product string) {
	d.t.Helper()
	from := time.Now().Add(-6*24*time.Hour - 12*time.Hour).Truncate(time.Hour).UTC().Format(time.RFC3339)
	want := usedOf(d.t, d.usage("product="+product+"&window=hour&from="+from))[product]
	got := usageRow{Product: product, OTA: want.OTA, Topup: want.Topup, Licenses: want.Licenses}
	a := d.ask("GET", "/v1/products/"+product+"/logs?from="+from, "", "Accept", "application/x-ndjson")
	var e struct{ Type, Verdict string }
	for line := range bytes.Lines(a.body) {
		if err := json.Unmarshal(line, &e); err != nil {
			d.t.Fatalf("%s: %v", line, err)
		}
		switch isMessage := e.Type == "up" || e.Type == "down"; {
		case e.Type == "up" && e.Verdict == "accepted":
			got.Up++
		case e.Type == "down" && e.Verdict == "accepted":
			got.Down++
		case isMessage && e.Verdict == "message_quota_exceeded":
			got.Denied++
		case e.Type == "ota" && e.Verdict == "ota_quota_exceeded":
			got.OTADenied++
		}
	}
	if got != want {
		d.t.Errorf("the log of %s has %+v, usage %+v", product, got, want)
	}
}

// demoIsBelievable looks at what a first look should find.
func (d *daemon) demoIsBelievable() {
	d.t.Helper()
	for code, product := range map[string]string{
		"message_quota_exceeded": "smart-meter", "ota_quota_exceeded": "rental-tracker", "not_activated": "smart-meter",
		"license_exhausted": "greenhouse", "suspended": "rental-tracker", "renewal_off": "rental-tracker",
	} {
		var list struct{ Logs []any }
		if d.must("GET", "/v1/products/"+product+"/logs?limit=1&verdict="+code, "", &list); len(list.Logs) == 0 {
			d.t.Errorf("nothing of %s was denied with %s", product, code)
		}
	}
	for p, low := range map[string]uint64{"smart-meter": 90, "shared-bike": 120, "rental-tracker": 64, "greenhouse": 10} {
		v := d.product(p)
		if v.Licenses.Used < low || v.Licenses.Used > v.Licenses.Total {
			d.t.Errorf("%s: %+v", p, v.Licenses)
		}
	}
	var account struct {
		Kind     string
		Licenses struct {
			Gift struct{ Total, Available uint64 }
		}
	}
	d.must("GET", "/v1/accounts/lihua-farm", "", &account)
	if account.Kind != "enterprise" || account.Licenses.Gift.Total != 10 || account.Licenses.Gift.Available != 0 {
		d.t.Errorf("lihua-farm: %+v", account)
	}
	var device struct{ Suspended bool }
	d.must("GET", "/v1/products/rental-tracker/devices/RT-0013", "", &device)
	var producer struct {
		Last uint64 `json:"last_sequence"`
	}
	d.must("GET", "/v1/producers/gw-frankfurt-1", "", &producer)
	if !device.Suspended || producer.Last < 10_000 {
		d.t.Errorf("RT-0013 %+v, gw-frankfurt-1 %+v", device, producer)
	}
}

// TestDemoKilled is kill -9 at random instants while the week is made. A start without --demo is refused then, and one
// with it begins the week anew.
func TestDemoKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes a week of history")
	}
	t.Parallel()
	dice := newDice(seed(t), 0)
	d := daemonAt(t, filepath.Join(t.TempDir(), "data"))
	for range 4 {
		d.flags = []string{"--demo"}
		d.launch()
		await(t, "a demo is made", func() bool { return d.demoNote() != "" })
		select {
		case <-time.After(time.Duration(dice.Int64N(int64(2 * time.Second)))):
		case <-d.run.exited:
			t.Fatal(d.run.said())
		}
		d.kill()
		if strings.Contains(d.demoNote(), "state making") {
			d.flags = nil
			want(t, d.refused(), "half of a demo", "start with --demo")
		}
	}
	d.flags = []string{"--demo"}
	d.start()
	want(t, d.demoNote(), "state made")
	if v := d.product("smart-meter"); v.Licenses.Used < 90 {
		t.Errorf("the week is not whole: %+v", v)
	}
	d.stop()
	verify(t, d.data, 0, "no difference")
}

// TestDemoElsewhere: in a directory that is no demo's --demo makes nothing and sends nothing.
func TestDemoElsewhere(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.stop()
	d.flags = []string{"--demo"}
	d.start()
	await(t, "that is told", func() bool { return strings.Contains(d.run.stdout.String(), "no history") })
	var list struct{ Products []any }
	if d.must("GET", "/v1/products", "", &list); len(list.Products) != 0 || d.demoNote() != "" {
		t.Errorf("%v, %s", list, d.demoNote())
	}
}

// paste runs the first line of curl that the demo printed.
func (d *daemon) paste(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	said := d.run.stdout.String()
	from := strings.Index(said, "curl ")
	to := strings.Index(said[from:], "'\n")
	for to >= 0 && !strings.Contains(said[from:from+to], " -d ") {
		to += 2 + strings.Index(said[from+to+2:], "'\n")
	}
	out, err := exec.Command("bash", "-c", said[from:from+to+1]).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}
