package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// ctl runs `meterd ctl` against the daemon; it must succeed.
func (d *daemon) ctl(args ...string) string {
	d.t.Helper()
	r := ctl(d.t, d.ctlEnv(), args...)
	if r.code != 0 || r.stderr != "" {
		d.t.Fatalf("ctl %q: exit %d\n%s", args, r.code, r.stderr)
	}
	return r.stdout
}

// ctlRefused runs `meterd ctl` against the daemon; it must be refused with a code.
func (d *daemon) ctlRefused(code string, args ...string) {
	d.t.Helper()
	if r := ctl(d.t, d.ctlEnv(), args...); r.code != 1 || !strings.Contains(r.stderr, "("+code+")") {
		d.t.Errorf("ctl %q: exit %d, said %q, want %s", args, r.code, r.stderr, code)
	}
}

func (d *daemon) ctlEnv() []string {
	return []string{"METERD_URL=" + d.scheme + "://" + d.run.address, "METERD_TOKEN=" + d.token}
}

// rowOf returns the cells of the row that begins with name.
func rowOf(t testing.TB, table, name string) []string {
	t.Helper()
	for line := range strings.Lines(table) {
		if cells := strings.Fields(line); len(cells) > 0 && cells[0] == name {
			return cells
		}
	}
	t.Fatalf("no row of %s in\n%s", name, table)
	return nil
}

// TestCtlAdministers: an operator brings a customer from nothing to a running product, and back, with a shell alone.
func TestCtlAdministers(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.ctl("accounts", "create", "acme", "--kind", "personal")
	d.ctlRefused("already_exists", "accounts", "create", "acme", "--kind", "personal")
	d.ctlRefused("other_region", "accounts", "create", "b", "--kind", "personal", "--region", "elsewhere")
	d.ctl("accounts", "certify", "acme")
	if got := rowOf(
		t,
		d.ctl("accounts", "list"),
		"acme",
	); strings.Join(
		got,
		" ",
	) != "acme enterprise default no 10 0 10 10" {
		t.Errorf("the account: %q", got)
	}
	d.ctl(
		"products",
		"create",
		"p1",
		"--account",
		"acme",
		"--time-zone",
		noon(),
		"--messages-per-day",
		"2",
		"--log-days",
		"7",
	)
	d.ctl("lots", "credit", "p1", "--order", "PO-1", "--quantity", "100")
	d.ctl("lots", "credit", "p1", "--order", "PO-1", "--quantity", "100") // Once (R8).
	d.ctlRefused("order_reused", "topups", "credit", "p1", "--order", "PO-1", "--units", "1")
	d.ctl("lots", "void", "p1", "PO-1", "--order", "RV-1", "--quantity", "40")
	d.ctlRefused("already_consumed", "lots", "void", "p1", "PO-1", "--order", "RV-2", "--quantity", "61")
	d.ctl("topups", "credit", "p1", "--order", "TU-1", "--units", "9")
	d.ctl("topups", "void", "p1", "TU-1", "--order", "RV-3", "--units", "4")
	d.ctlRefused("plan_downgrade", "products", "plan", "set", "p1", "--messages-per-day", "1")
	d.ctl("products", "plan", "set", "p1", "--messages-per-day", "none")

	d.batch(line("connect", "p1", "d1"), `{"type":"up","product":"p1","device":"d1","payload":"a\u001b[2Jb"}`)
	product := d.ctl("products", "get", "p1")
	for name, value := range map[string]string{
		"licenses.total": "60", "licenses.used": "1", "topups.ota.available": "5", "devices.online": "1",
		"plan.messages_per_day": "-",
	} {
		if got := rowOf(t, product, name); got[1] != value {
			t.Errorf("%s is %s, want %s", name, got[1], value)
		}
	}
	want(t, d.ctl("logs", "p1", "d1"), `a\x1b[2Jb`, "connect")
	if lines := strings.Count(
		d.ctl("logs", "p1", "d1", "-o", "ndjson", "--from", "-1h", "--type", "up"),
		"\n",
	); lines != 1 {
		t.Errorf("%d lines of the log", lines)
	}
	d.ctlShowsLogs()
	want(t, d.ctl("licenses", "list", "--account", "acme"), "PO-1", "active")
	if got := d.ctl(
		"licenses",
		"list",
		"--product",
		"p1",
		"--expiring-before",
		"+30d",
		"-o",
		"json",
	); got != "{\"licenses\":[]}\n" {
		t.Errorf("expiring in 30 days: %s", got)
	}

	d.ctl("devices", "suspend", "p1", "d1")
	if got := d.batch(line("connect", "p1", "d1"))[0]; got != "suspended" {
		t.Errorf("a suspended device: %s", got)
	}
	d.ctl("devices", "resume", "p1", "d1")
	d.ctl("products", "suspend", "p1")
	d.ctl("products", "resume", "p1")
	d.ctl("accounts", "suspend", "acme")
	d.ctl("accounts", "resume", "acme")
	if got := d.batch(line("connect", "p1", "d1"))[0]; got != "accepted" {
		t.Errorf("after all is resumed: %s", got)
	}
	want(t, d.ctl("devices", "list", "p1", "--online"), "d1")
	d.ctl("products", "renewal", "set", "p1", "off", "--except", "d7")
	want(t, d.ctl("products", "renewal", "get", "p1"), "auto_renew  no", "except      d7")
	want(t, d.ctl("products", "forecast", "p1", "--weeks", "2"), "AVAILABLE AFTER", "devices_at_risk")
	want(t, d.ctl("products", "what-if", "p1", "--messages-per-day", "1"), "DEVICES DENIED", "messages_denied   0")
	if got := rowOf(t, d.ctl("devices", "top", "p1"), "d1"); strings.Join(got, " ") != "d1 1 0 0 0" {
		t.Errorf("the top device: %q", got)
	}
	d.ctl("producers", "list", "--devices")
	want(t, d.ctl("disk"), "ledger", "free_bytes", "stop_bytes")
	want(t, d.ctl("sign-in"), d.run.address+"/#sign-in=")
	d.ctl("clock", "confirm")
	audit := d.ctl("audit", "-o", "json")
	var entries struct {
		Entries []struct{ Action, Token string }
	}
	if err := json.Unmarshal(
		[]byte(audit),
		&entries,
	); err != nil || len(entries.Entries) < 15 ||
		entries.Entries[0].Action != "clock.confirm" {
		t.Errorf("audit: %v\n%s", err, audit)
	}
}

// TestCtlTokens: a token that ctl made opens what its role allows until ctl deletes it.
func TestCtlTokens(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.ctl("accounts", "create", "acme", "--kind", "personal")
	secret := strings.TrimSpace(
		d.ctl("tokens", "create", "view-1", "--role", "viewer", "--account", "acme", "--expires-in", "P90D"),
	)
	env := append(d.ctlEnv()[:1:1], "METERD_TOKEN="+secret)
	if r := ctl(t, env, "accounts", "get", "acme"); r.code != 0 {
		t.Errorf("the new token: %s", r.stderr)
	}
	if r := ctl(t, env, "tokens", "list"); r.code != 1 || !strings.Contains(r.stderr, "(forbidden)") {
		t.Errorf("a viewer lists tokens: exit %d, %s", r.code, r.stderr)
	}
	if got := rowOf(t, d.ctl("tokens", "list"), "view-1"); got[1] != "viewer" || got[2] != "acme" {
		t.Errorf("the token: %q", got)
	}
	d.ctl("tokens", "delete", "view-1")
	if r := ctl(t, env, "accounts", "get", "acme"); r.code != 1 || !strings.Contains(r.stderr, "(unauthorized)") {
		t.Errorf("the deleted token: exit %d, %s", r.code, r.stderr)
	}
	d.ctlRefused("not_found", "tokens", "delete", "view-1")
}

// TestCtlFollowsPages: a list longer than the largest page is shown whole.
func TestCtlFollowsPages(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{}`)
	d.credit("p1", "PO-1", 3000)
	const devices = 2100
	lines := make([]string, devices)
	for i := range lines {
		lines[i] = line("connect", "p1", fmt.Sprintf("d%d", i))
	}
	d.batch(lines...)
	for _, list := range [][]string{{"devices", "list", "p1"}, {"licenses", "list", "--product", "p1"}} {
		seen := map[string]bool{}
		for l := range strings.Lines(d.ctl(append(list, "-o", "ndjson")...)) {
			var e struct{ Device string }
			if err := json.Unmarshal([]byte(l), &e); err != nil {
				t.Fatal(err)
			}
			seen[e.Device] = true
		}
		if len(seen) != devices {
			t.Errorf("%q: %d of %d devices", list, len(seen), devices)
		}
		if rows := strings.Count(d.ctl(append(list, "--limit", "1500")...), "\n"); rows != 1501 {
			t.Errorf("%q --limit 1500: %d lines", list, rows)
		}
	}
}

// TestCtlOverTLS: mutual TLS with an authority that the system does not know.
func TestCtlOverTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, t.TempDir(), "ca")
	a.issue("server")
	a.issue("operator")
	d := daemonAt(
		t,
		filepath.Join(t.TempDir(), "data"),
		"--tls-cert",
		a.path("server.pem"),
		"--tls-key",
		a.path("server.key"),
		"--tls-client-ca",
		a.path("ca.pem"),
	)
	d.scheme = "https"
	d.start()
	trust := []string{"--ca-cert", a.path("ca.pem")}
	show := []string{"--client-cert", a.path("operator.pem"), "--client-key", a.path("operator.key")}
	d.ctl(append(append([]string{"accounts", "list"}, trust...), show...)...)
	for _, flags := range [][]string{nil, trust, show} {
		if r := ctl(t, d.ctlEnv(), append([]string{"accounts", "list"}, flags...)...); r.code != 1 || r.stdout != "" {
			t.Errorf("%q: exit %d, printed %q", flags, r.code, r.stdout)
		}
	}
}
