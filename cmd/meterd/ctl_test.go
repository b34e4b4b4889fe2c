package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ctlRun is what a run of `meterd ctl` came to.
type ctlRun struct {
	stdout, stderr string
	code           int
}

// ctl runs `meterd ctl` and waits for its end.
func ctl(t testing.TB, env []string, args ...string) ctlRun {
	t.Helper()
	return runProgram(t, env, append([]string{"ctl"}, args...)...)
}

// runProgram runs the binary and waits for its end.
func runProgram(t testing.TB, env []string, args ...string) ctlRun {
	t.Helper()
	needsBinary(t)
	r, err := launch(env, args...)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-r.exited:
	case <-time.After(patience):
		_ = r.cmd.Process.Kill()
		<-r.exited
		t.Fatalf("meterd %q did not end within %s:\n%s", args, patience, r.said())
	}
	return ctlRun{r.stdout.String(), r.said(), r.cmd.ProcessState.ExitCode()}
}

// fakeAPI answers what a test tells it to, and remembers what it was asked.
type fakeAPI struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []string
	answer func(w http.ResponseWriter, r *http.Request)
}

func newFakeAPI(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *fakeAPI {
	f := &fakeAPI{answer: answer}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		f.asked = append(f.asked, strings.TrimSpace(r.Method+" "+r.RequestURI+" "+string(body)))
		answer := f.answer
		f.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"type":"t","title":"T","status":401,"code":"unauthorized","detail":"no such token"}`)
			return
		}
		answer(w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAPI) env() []string { return []string{"METERD_URL=" + f.URL, "METERD_TOKEN=s3cret"} }

// reply has everything answered alike from now on; retryAfter may be empty.
func (f *fakeAPI) reply(status int, retryAfter, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = func(w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// take returns what was asked since the last time.
func (f *fakeAPI) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := f.asked
	f.asked = nil
	return asked
}

// TestCtlAsks: every command makes the call that the contract has for it, and no other.
func TestCtlAsks(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, func(w http.ResponseWriter, r *http.Request) {
		switch parts := strings.Split(r.URL.Path, "/"); {
		case r.Method == http.MethodDelete || strings.HasSuffix(r.URL.Path, "/confirm"):
			w.WriteHeader(http.StatusNoContent)
		case r.Method == http.MethodGet && r.URL.Path == "/v1/audit":
			fmt.Fprint(w, `{"entries":[],"next":null}`)
		case strings.HasSuffix(r.URL.Path, "/forecast"):
			fmt.Fprint(w, `{"weeks":[],"runs_dry_at":null,"devices_at_risk":0}`)
		case strings.HasSuffix(r.URL.Path, "/what-if"), r.URL.Path == "/v1/disk":
			fmt.Fprint(w, `{"days":[],"kinds":[]}`)
		case r.URL.Path == "/v1/sign-in/codes":
			fmt.Fprint(w, `{"code":"C0DE","expires_in":"PT15M"}`)
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/logs"):
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/devices/usage"):
		case r.Method == http.MethodGet:
			fmt.Fprintf(w, `{%q:[],"next":null}`, parts[len(parts)-1])
		default:
			fmt.Fprint(w, `{"token":"mtd_secret"}`)
		}
	})
	const limited = "?limit=1000"
	for _, c := range []struct{ command, asks string }{
		{"accounts list", "GET /v1/accounts" + limited},
		{"accounts list --limit 7", "GET /v1/accounts?limit=7"},
		{"accounts get acme", "GET /v1/accounts/acme"},
		{"accounts create acme --kind personal", `POST /v1/accounts {"account":"acme","kind":"personal"}`},
		{
			"accounts create acme --kind enterprise --region eu-1",
			`POST /v1/accounts {"account":"acme","kind":"enterprise","region":"eu-1"}`,
		},
		{"accounts certify acme", "POST /v1/accounts/acme/certify"},
		{"accounts suspend acme", `PUT /v1/accounts/acme/suspended {"suspended":true}`},
		{"accounts resume acme", `PUT /v1/accounts/acme/suspended {"suspended":false}`},
		{"products list", "GET /v1/products" + limited},
		{"products list --account acme", "GET /v1/products?account=acme&limit=1000"},
		{"products get p1", "GET /v1/products/p1"},
		{"products get ..", "GET /v1/products/%2E%2E"},
		{"products create p1 --account acme", `POST /v1/products {"account":"acme","product":"p1"}`},
		{
			"products create p1 --account acme --name Sensor --time-zone +08:00 --validity P5Y --messages-per-day none " +
				"--log-days 7",
			`POST /v1/products {"account":"acme","name":"Sensor","plan":{"log_days":7,"messages_per_day":null,` +
				`"validity":"P5Y"},"product":"p1","time_zone":"+08:00"}`,
		},
		{
			"products plan set p1 --messages-per-day 3000 --message-unit-bytes 0 --ota-per-month 0 --ota-unit-bytes 1024",
			`PUT /v1/products/p1/plan {"message_unit_bytes":0,"messages_per_day":3000,"ota_per_month":0,"ota_unit_bytes":1024}`,
		},
		{"products suspend p1", `PUT /v1/products/p1/suspended {"suspended":true}`},
		{"products resume p1", `PUT /v1/products/p1/suspended {"suspended":false}`},
		{"products renewal get p1", "GET /v1/products/p1/renewal"},
		{"products renewal set p1 on", `PUT /v1/products/p1/renewal {"auto_renew":true,"except":[]}`},
		{
			"products renewal set p1 off --except d7,d8 --except d9",
			`PUT /v1/products/p1/renewal {"auto_renew":false,"except":["d7","d8","d9"]}`,
		},
		{"products log-payload get p1", "GET /v1/products/p1/log-payload"},
		{"products log-payload set p1 none", `PUT /v1/products/p1/log-payload {"keep":"none"}`},
		{"products enforcement get p1", "GET /v1/products/p1/enforcement"},
		{"products enforcement set p1 observe", `PUT /v1/products/p1/enforcement {"mode":"observe"}`},
		{"products forecast p1", "GET /v1/products/p1/forecast"},
		{"products forecast p1 --weeks 52", "GET /v1/products/p1/forecast?weeks=52"},
		{"products what-if p1 --messages-per-day 1000", "GET /v1/products/p1/what-if?messages_per_day=1000"},
		{
			"products what-if p1 --messages-per-day 1000 --days 30",
			"GET /v1/products/p1/what-if?days=30&messages_per_day=1000",
		},
		{"producers list", "GET /v1/producers" + limited},
		{"producers list --devices", "GET /v1/producers?devices=true&limit=1000"},
		{"disk", "GET /v1/disk"},
		{"sign-in", "POST /v1/sign-in/codes"},
		{"lots list p1", "GET /v1/products/p1/lots" + limited},
		{"lots credit p1 --order PO-1 --quantity 1000", `POST /v1/products/p1/lots {"order":"PO-1","quantity":1000}`},
		{
			"lots credit p1 --order PO-1 --quantity 1 --validity P1Y",
			`POST /v1/products/p1/lots {"order":"PO-1","plan":{"validity":"P1Y"},"quantity":1}`,
		},
		{
			"lots void p1 PO-1 --order RV-1 --quantity 200",
			`POST /v1/products/p1/lots/PO-1/void {"order":"RV-1","quantity":200}`,
		},
		{"topups list p1", "GET /v1/products/p1/topups" + limited},
		{
			"topups credit p1 --order PO-2 --units 100", `POST /v1/products/p1/topups {"kind":"ota","order":"PO-2","units":100}`,
		},
		{"topups void p1 PO-2 --order RV-2 --units 5", `POST /v1/products/p1/topups/PO-2/void {"order":"RV-2","units":5}`},
		{"licenses list --product p1", "GET /v1/products/p1/licenses" + limited},
		{
			"licenses list --account acme --expiring-before 2027-01-01T01:00:00+01:00",
			"GET /v1/accounts/acme/licenses?expiring_before=2027-01-01T00%3A00%3A00Z&limit=1000",
		},
		{
			"licenses list --product p1 --state ended --device d1 --source PO-1",
			"GET /v1/products/p1/licenses?device=d1&limit=1000&source=PO-1&state=ended",
		},
		{"devices top p1", "GET /v1/products/p1/devices/top?by=messages"},
		{
			"devices top p1 --by denied --from 2026-11-01 --to 2026-11-23 --limit 5",
			"GET /v1/products/p1/devices/top?by=denied&from=2026-11-01&limit=5&to=2026-11-23",
		},
		{"devices list p1 --state active --online=false", "GET /v1/products/p1/devices?limit=1000&online=false&state=active"},
		{"devices get p1 d1", "GET /v1/products/p1/devices/d1"},
		{"devices usage p1 d1", "GET /v1/products/p1/devices/d1/usage"},
		{
			"devices usage p1 d1 --from 2026-11-01 --to 2026-11-23",
			"GET /v1/products/p1/devices/d1/usage?from=2026-11-01&to=2026-11-23",
		},
		{"devices month p1", "GET /v1/products/p1/devices/usage?month="},
		{"devices month p1 --month 2026-11", "GET /v1/products/p1/devices/usage?month=2026-11"},
		{"devices check p1 d1 up", `POST /v1/check {"device":"d1","product":"p1","type":"up"}`},
		{
			"devices check p1 d1 ota --size 7 --id u",
			`POST /v1/check {"device":"d1","id":"u","product":"p1","size":7,"type":"ota"}`,
		},
		{"devices suspend p1 d1", `PUT /v1/products/p1/devices/d1/suspended {"suspended":true}`},
		{"devices resume p1 d1", `PUT /v1/products/p1/devices/d1/suspended {"suspended":false}`},
		{"logs p1 d1", "GET /v1/products/p1/devices/d1/logs"},
		{
			"logs p1 d1 --from 2026-11-23 --to 2026-11-24T00:00:00.5Z --type up --limit 3",
			"GET /v1/products/p1/devices/d1/logs?from=2026-11-23T00%3A00%3A00Z&limit=3&to=2026-11-24T00%3A00%3A00.5Z&type=up",
		},
		{"logs p1", "GET /v1/products/p1/logs"},
		{
			"logs p1 --verdict message_quota_exceeded --topic a/b --order asc --limit 5000",
			"GET /v1/products/p1/logs?order=asc&topic=a%2Fb&verdict=message_quota_exceeded",
		},
		{"snapshots list", "GET /v1/snapshots" + limited},
		{
			"snapshots list --account acme --period 2026-11",
			"GET /v1/snapshots?account=acme&limit=1000&period=2026-11",
		},
		{"snapshots create", "POST /v1/snapshots {}"},
		{
			"snapshots create --account acme --period 2026-11 --corrects s00000001",
			`POST /v1/snapshots {"account":"acme","corrects":"s00000001","period":"2026-11"}`,
		},
		{"snapshots get s00000001", "GET /v1/snapshots/s00000001"},
		{"tokens list", "GET /v1/tokens" + limited},
		{"tokens create gw-1 --role gateway", `POST /v1/tokens {"name":"gw-1","role":"gateway"}`},
		{
			"tokens create gw-1 --role gateway --account acme --expires-in P90D",
			`POST /v1/tokens {"account":"acme","expires_in":"P90D","name":"gw-1","role":"gateway"}`,
		},
		{"tokens delete gw-1", "DELETE /v1/tokens/gw-1"},
		{"audit", "GET /v1/audit" + limited},
		{"clock confirm", "POST /v1/clock/confirm"},
	} {
		r := ctl(t, f.env(), append(strings.Fields(c.command), "-o", "json")...)
		if asked := f.take(); r.code != 0 || !slices.Equal(asked, []string{c.asks}) {
			t.Errorf("%s: exit %d, asked %q, want %q\n%s", c.command, r.code, asked, c.asks, r.stderr)
		}
	}
}

// TestCtlShows: tables, records, JSON and lines, over several pages.
func TestCtlShows(t *testing.T) {
	t.Parallel()
	const one = `{"order":"PO-1","quantity":10,"used":2,"available":8,"credited_at":"2026-11-23T10:00:00Z"}`
	const two = `{"order":"PO-22","quantity":1000000000,"used":0,"available":1000000000,"credited_at":null,"new":1}`
	f := newFakeAPI(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/products/empty/lots":
			fmt.Fprint(w, `{"lots":[]}`)
		case r.URL.Path == "/v1/products/broken/lots" && r.URL.Query().Has("cursor"):
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"title":"Too much load","status":503,"code":"overloaded","detail":"slow\u001b[2Jdown"}`)
		case strings.HasSuffix(r.URL.Path, "/lots") && !r.URL.Query().Has("cursor"):
			fmt.Fprint(w, `{"lots":[`+one+`],"next":"2"}`)
		case strings.HasSuffix(r.URL.Path, "/lots"):
			fmt.Fprint(w, `{"lots":[`+two+`],"next":null}`)
		case strings.HasSuffix(r.URL.Path, "/logs"):
			fmt.Fprintln(
				w,
				`{"decided_at":"T1","type":"up","size":5,"topic":"a\tb\u001b[2J","payload":"\u202e`+strings.Repeat(
					"é",
					80,
				)+`","verdict":"accepted","day_used":1}`,
			)
			fmt.Fprintln(
				w,
				`{"decided_at":"T2","type":"connect","size":0,"topic":null,"payload_base64":"/wA=","verdict":"accepted",`+
					`"day_used":0}`,
			)
		case strings.HasSuffix(r.URL.Path, "/forecast"):
			fmt.Fprint(
				w,
				`{"weeks":[{"from":"W1","renewals":3,"activations":2,"needed":5,"available_after":-1}],"runs_dry_at":"W2",`+
					`"devices_at_risk":4}`,
			)
		case r.URL.Path == "/v1/tokens":
			fmt.Fprint(w, `{"token":"mtd_secret","name":"gw"}`)
		case r.URL.Path == "/v1/sign-in/codes":
			fmt.Fprint(w, `{"code":"C0DE","expires_in":"PT15M"}`)
		case r.URL.Path == "/v1/clock/confirm":
			w.WriteHeader(http.StatusNoContent)
		default:
			fmt.Fprint(
				w,
				`{"product":"p1","name":"","plan":{"validity":"P5Y","deep":{"er":null}},"tags":["x","y"],"suspended":true,`+
					`"total":18446744073709551615}`,
			)
		}
	})
	for _, c := range []struct {
		command, prints, says string
		code                  int
	}{
		{"lots list p1", "ORDER  QUANTITY    USED  AVAILABLE   CREDITED AT\n" +
			"PO-1   10          2     8           2026-11-23T10:00:00Z\nPO-22  1000000000  0     1000000000  -\n", "", 0},
		{"lots list p1 -o json", "{\"lots\":[\n" + one + ",\n" + two + "]}\n", "", 0},
		{"lots list p1 -o ndjson", one + "\n" + two + "\n", "", 0},
		{"lots list p1 -o ndjson --limit 1", one + "\n", "", 0},
		{"lots list empty", "ORDER  QUANTITY  USED  AVAILABLE  CREDITED AT\n", "", 0},
		{"lots list empty -o json", "{\"lots\":[]}\n", "", 0},
		{"lots list empty -o ndjson", "", "", 0},
		// A list that broke off is no JSON, so that no program takes it for whole.
		{"lots list broken -o json", "{\"lots\":[\n" + one, `meterd: slow\x1b[2Jdown (overloaded)` + "\n", 1},
		{"lots list broken -o ndjson", one + "\n", `meterd: slow\x1b[2Jdown (overloaded)` + "\n", 1},
		{"products get p1", "product        p1\nname           -\nplan.validity  P5Y\nplan.deep.er   -\n" +
			"tags           x,y\nsuspended      yes\ntotal          18446744073709551615\n", "", 0},
		// Devices choose topics and payloads; a terminal must not obey them.
		{"logs p1 d1", "DECIDED AT  TYPE     SIZE  VERDICT   DAY USED  WOULD DENY  LIMIT  USED  RESETS AT  " +
			"TOPIC        PAYLOAD\n" +
			`T1          up       5     accepted  1         -           -      -     -          a\tb\x1b[2J  \u202e` +
			strings.Repeat("é", 57) + "…\n" +
			"T2          connect  0     accepted  0         -           -      -     -          -            /wA=\n", "", 0},
		{"products forecast p1", "FROM  RENEWALS  ACTIVATIONS  NEEDED  AVAILABLE AFTER\nW1    3         2            " +
			"5       -1\n\n" +
			"devices_at_risk  4\nruns_dry_at      W2\n", "", 0},
		{"tokens create gw --role gateway", "mtd_secret\n", "", 0},
		{"tokens create gw --role gateway -o json", `{"token":"mtd_secret","name":"gw"}` + "\n", "", 0},
		{"sign-in", f.URL + "/#sign-in=C0DE\n", "", 0},
		{"sign-in -o json", `{"code":"C0DE","expires_in":"PT15M"}` + "\n", "", 0},
		{"clock confirm", "clock confirmed\n", "", 0},
		{"clock confirm -o json", "", "", 0},
	} {
		r := ctl(t, f.env(), strings.Fields(c.command)...)
		if r.stdout != c.prints || r.stderr != c.says || r.code != c.code {
			t.Errorf("%s: exit %d, printed\n%ssaid\n%s\nwant %d,\n%s", c.command, r.code, r.stdout, r.stderr, c.code, c.prints)
		}
	}
}

// TestCtlWrongUsage: what cannot be understood ends with 2, says what is wrong, and asks nobody.
func TestCtlWrongUsage(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct{ command, says string }{
		{"", "accounts"},
		{"acounts", "did you mean accounts"},
		{"accounts", "certify"},
		{"accounts fly", "fly"},
		{"accounts get", "ACCOUNT"},
		{"accounts get a b", "2 arguments"},
		{"accounts get a/b", "a/b"},
		{"accounts get x --nope", "--nope"},
		{"accounts create acme", "--kind"},
		{"accounts list --limit -1", "--limit"},
		{"products create p1", "--account"},
		{"products create p1 --account=", "--account"},
		{"products plan set p1", "at least one value"},
		{"products plan set p1 --messages-per-day many", "--messages-per-day"},
		{"products plan set p1 --log-days 1.5", "--log-days"},
		{"products renewal set p1 maybe", "on or off"},
		{"products renewal set p1 on --except d7,", "--except"},
		{"products log-payload set p1 half", "full or none"},
		{"products enforcement set p1 off", "enforce or observe"},
		{"lots credit p1", "--order and --quantity"},
		{"lots credit p1 --order O --quantity -5", "--quantity"},
		{"lots void p1 --order O --quantity 5", "LOT"},
		{"tokens create t --role viewer --account=", "--account"}, // It would see everything.
		{"snapshots create --account=", "--account"},              // It would be of all accounts.
		{"snapshots create --period=", "--period"},                // It would be of the running month.
		{"licenses list", "either --product or --account"},
		{"licenses list --product p --account a", "either --product or --account"},
		{"licenses list --product p --account=", "--account"},
		{"licenses list --product p --expiring-before soon", "--expiring-before"},
		{"logs", "PRODUCT [DEVICE]"},
		{"logs p1 d/1", "DEVICE"},
		{"logs p1 --follow --to -1h", "--follow does not go with --to"},
		{"logs p1 --follow -o json", "-o ndjson"},
		{"logs p1 d1 --parquet x", "leave out DEVICE"},
		{"logs p1 --parquet x --limit 5", "--parquet does not go with --limit"},
		{"logs p1 d1 --from 5h", "--from"},
		{"accounts list -o xml", "--output"},
		{"accounts list --timeout 0s", "--timeout"},
		{"accounts list --url localhost:8480", "URL"},
		{"accounts list --token-file /nowhere/at/all", "--token-file"},
		{"accounts list --client-key x", "--client-cert"},
		{"accounts list --ca-cert /nowhere/at/all", "--ca-cert"},
	} {
		r := ctl(t, f.env(), strings.Fields(c.command)...)
		if r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, c.says) || !strings.Contains(r.stderr, "--help") {
			t.Errorf("%q: exit %d, printed %q, said %q, want %q", c.command, r.code, r.stdout, r.stderr, c.says)
		}
	}
	if r := ctl(
		t,
		[]string{"METERD_URL=" + f.URL},
		"accounts",
		"list",
	); r.code != 2 ||
		!strings.Contains(r.stderr, "METERD_TOKEN") {
		t.Errorf("without a token: exit %d, said %q", r.code, r.stderr)
	}
	if r := ctl(
		t,
		append(f.env(), "METERD_TIMEOUT=soon"),
		"accounts",
		"list",
	); r.code != 2 ||
		!strings.Contains(r.stderr, "METERD_TIMEOUT") {
		t.Errorf("METERD_TIMEOUT=soon: exit %d, said %q", r.code, r.stderr)
	}
	if asked := f.take(); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
	for _, args := range []string{"srve", "serve surplus", "serve --nope", "token fly", "token create surplus"} {
		if r := runProgram(t, nil, strings.Fields(args)...); r.code != 2 {
			t.Errorf("meterd %s: exit %d: %s", args, r.code, r.stderr)
		}
	}
	for _, args := range []string{"", "--help", "ctl --help", "ctl lots credit --help"} {
		if r := runProgram(
			t,
			nil,
			strings.Fields(args)...); r.code != 0 || !strings.Contains(r.stdout, "Usage:") ||
			r.stderr != "" {
			t.Errorf("meterd %s: exit %d: %s", args, r.code, r.stderr)
		}
	}
}

// TestCtlFails: what is refused or fails ends with 1, and says what to do next.
func TestCtlFails(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, nil)
	run := func(env []string, says ...string) {
		t.Helper()
		r := ctl(t, env, "accounts", "get", "acme")
		if r.code != 1 || r.stdout != "" || strings.Contains(r.stderr, "--help") {
			t.Errorf("exit %d, printed %q, said %q", r.code, r.stdout, r.stderr)
		}
		want(t, r.stderr, says...)
	}
	f.reply(404, "", `{"code":"not_found","detail":"account: there is none called acme","title":"Not found"}`)
	run(f.env(), "there is none called acme (not_found)\n")
	f.reply(503, "3", `{"code":"overloaded","title":"Too much load"}`)
	run(f.env(), "Too much load (overloaded); try again in 3s")
	f.reply(502, "", `<html>`)
	run(f.env(), "status 502", "not how meterd answers", "METERD_URL")
	f.reply(200, "", `{"account":`)
	run(f.env(), "not what was expected")
	f.reply(200, "", `[]`)
	run(f.env(), "no object")
	run([]string{"METERD_URL=" + f.URL, "METERD_TOKEN=wrong"}, "no such token (unauthorized)", "METERD_TOKEN")
	f.Close()
	run(f.env(), "refused", "is meterd running at "+f.URL)
}

// TestCtlFindsItsToken: the flag beats METERD_TOKEN, which beats METERD_TOKEN_FILE; a flag beats METERD_URL.
func TestCtlFindsItsToken(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"account":"acme"}`) })
	right, wrong := filepath.Join(t.TempDir(), "right"), filepath.Join(t.TempDir(), "wrong")
	for path, secret := range map[string]string{right: "s3cret\n", wrong: "wr0ng\n"} {
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const nowhere = "METERD_URL=http://127.0.0.1:1"
	for _, c := range []struct{ env, flags []string }{
		{[]string{"METERD_URL=" + f.URL, "METERD_TOKEN=s3cret"}, nil},
		{[]string{"METERD_URL=" + f.URL, "METERD_TOKEN=s3cret", "METERD_TOKEN_FILE=" + wrong}, nil},
		{[]string{"METERD_URL=" + f.URL, "METERD_TOKEN_FILE=" + right}, nil},
		{[]string{nowhere, "METERD_TOKEN=wr0ng"}, []string{"--token-file", right, "--url", f.URL}},
		{[]string{nowhere, "METERD_TOKEN_FILE=" + wrong}, []string{"--token-file", right, "--url", f.URL + "/"}},
	} {
		if r := ctl(
			t,
			c.env,
			append([]string{"accounts", "get", "acme"}, c.flags...)...); r.code != 0 ||
			r.stdout != "account  acme\n" {
			t.Errorf("%q %q: exit %d, %s", c.env, c.flags, r.code, r.stderr)
		}
	}
}

// TestCtlCompletes: a shell is offered commands, words and names, and nothing when nobody answers.
func TestCtlCompletes(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, map[string]string{
			"/v1/accounts":           `{"accounts":[{"account":"acme"},{"account":"zeta"},{"account":"bad name\n:1"}]}`,
			"/v1/products":           `{"products":[{"product":"p1"}]}`,
			"/v1/products/p1/lots":   `{"lots":[{"order":"PO-1"}]}`,
			"/v1/products/p1/topups": `{"topups":[{"order":"TU-1"}]}`,
			"/v1/tokens":             `{"tokens":[{"name":"admin"}]}`,
			"/v1/snapshots":          `{"snapshots":[{"id":"s00000001"}]}`,
		}[r.URL.Path])
	})
	for _, c := range []struct {
		command, offers string
		env             []string
	}{
		{"accounts get ", "acme zeta", f.env()},
		{"accounts create ", "", f.env()},
		{"accounts create x --kind ", "personal enterprise", nil},
		{"products list --account ", "acme zeta", f.env()},
		{"devices list ", "p1", f.env()},
		{"devices get p1 ", "", f.env()},
		{"lots void p1 ", "PO-1", f.env()},
		{"topups void p1 ", "TU-1", f.env()},
		{"tokens delete ", "admin", f.env()},
		{"snapshots get ", "s00000001", f.env()},
		{"tokens create x --role ", "admin gateway billing viewer", nil},
		{"products renewal set p1 ", "on off", nil},
		{"products log-payload set p1 ", "full none", nil},
		{"products enforcement set p1 ", "enforce observe", nil},
		{"-o ", "table json ndjson", nil},
		{"accounts get ", "", nil}, // No token.
		{"accounts get ", "", []string{"METERD_URL=" + f.URL, "METERD_TOKEN=wrong"}},
		{"accounts get ", "", []string{"METERD_URL=http://127.0.0.1:1", "METERD_TOKEN=s3cret"}},
	} {
		args := append([]string{"__complete", "ctl"}, strings.Fields(c.command)...)
		var r ctlRun
		var got string
		// A shell is kept waiting for half a second; on a machine that takes longer nothing is offered, which is right, and
		// it is asked again.
		await(t, fmt.Sprintf("%q is offered anything", c.command), func() bool {
			r = runProgram(t, c.env, append(args, "")...)
			offered, _, _ := strings.Cut(r.stdout, ":") // What the shell is told follows.
			got = strings.Join(strings.Fields(offered), " ")
			return got != "" || c.offers == ""
		})
		if r.code != 0 || got != c.offers || !strings.Contains(r.stdout, ":4") {
			t.Errorf("%q with %q: exit %d, offered %q, want %q", c.command, c.env, r.code, got, c.offers)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := runProgram(t, nil, "completion", shell); r.code != 0 || !strings.Contains(r.stdout, "meterd") {
			t.Errorf("completion %s: exit %d", shell, r.code)
		}
	}
}
