package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dashboard is what the test reads of docs/grafana/meterd.json.
type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct {
			Expr       string
			Datasource struct{ UID string }
		}
	}
	Templating struct {
		List []struct {
			Name, Query string
			Datasource  struct{ UID string }
		}
	}
}

// ruleQueries returns the expressions of a rules file.
func ruleQueries(t *testing.T, name string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^( +)expr: (?:>-\n((?:\s+[^\n]*\n)+?)^ +for:|([^\n]+)$)`)
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		list = append(list, strings.Join(strings.Fields(m[2]+m[3]), " "))
	}
	if n := strings.Count(string(text), "expr:"); n == 0 || n != len(list) {
		t.Fatalf("%s: %d of %d expressions were read", name, len(list), n)
	}
	return list
}

// answers asks a query and returns how many series it has.
func answers(t *testing.T, get func(path string) answer, query string) int {
	t.Helper()
	var v struct {
		Status string
		Data   struct{ Result []any }
	}
	a := get("/api/v1/query?query=" + url.QueryEscape(query))
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 || v.Status != "success" {
		t.Errorf("%s: %d %s %v", query, a.status, a.body, err)
	}
	return len(v.Data.Result)
}

// TestDashboard: every query of the dashboard and of the alert rules finds what it is about: those of the usage history
// in a daemon, those of the daemon's metrics in what a daemon showed.
func TestDashboard(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for samples")
	}
	d := withHistory(t)
	d.start()
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`, nil)
	d.must("POST", "/v1/products", `{"product":"p1","account":"acme","plan":{"messages_per_day":3}}`, nil)
	d.credit("p1", "PO-1", 10)
	d.topup("p1", "PO-2", 10)
	vm := newVictoria(t)
	scraped := time.Now().Add(-4 * time.Minute)
	traffic := func(round int) {
		t.Helper()
		device := fmt.Sprint("d", round)
		d.batch(line("connect", "p1", device), line("up", "p1", device), line("down", "p1", device), line("up", "p1", device),
			line("up", "p1", device),
			fmt.Sprintf(`{"type":"ota","product":"p1","device":%q,"size":900000000000}`, device),
			fmt.Sprintf(`{"type":"ota","product":"p1","device":%q,"size":6000000,"id":"u%d"}`, device, round),
			fmt.Sprintf(`{"type":"ota_void","product":"p1","device":%q,"id":"u%d"}`, device, round))
		scraped = scraped.Add(15 * time.Second)
		push(t, vm, d.ask("GET", "/metrics", "").body, scraped)
	}
	traffic(0)
	await(t, "the first samples are there", func() bool {
		return d.value(`count(meterd_messages_total{verdict="message_quota_exceeded"})`) == "1"
	})
	traffic(1)
	traffic(2)

	history := func(path string) answer { return d.ask("GET", "/prometheus"+path, "") }
	metrics := func(path string) answer {
		w := httptest.NewRecorder()
		at := fmt.Sprintf("&time=%d", scraped.Unix())
		vm.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path+at, nil))
		return answer{status: w.Code, body: w.Body.Bytes()}
	}
	text, err := os.ReadFile("../../docs/grafana/meterd.json")
	if err != nil {
		t.Fatal(err)
	}
	var board dashboard
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$account", ".*", "$product", ".*", "$job", ".*", "$__rate_interval", "4m")
	sources := map[string]func(string) answer{"${usage}": history, "${daemon}": metrics}
	queries := 0
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			get, query := sources[target.Datasource.UID], fill.Replace(target.Expr)
			if get == nil || strings.Contains(query, "$") {
				t.Fatalf("%s: %s asks %s", p.Title, query, target.Datasource.UID)
			}
			queries++
			await(t, fmt.Sprintf("%q has an answer: %s", p.Title, query), func() bool { return answers(t, get, query) > 0 })
		}
	}
	for _, v := range board.Templating.List {
		if get := sources[v.Datasource.UID]; get != nil {
			selector, label, _ := strings.Cut(
				strings.TrimSuffix(strings.TrimPrefix(fill.Replace(v.Query), "label_values("), ")"),
				", ",
			)
			a := get("/api/v1/label/" + label + "/values?match[]=" + url.QueryEscape(selector))
			if a.status != 200 || strings.Contains(string(a.body), `"data":[]`) {
				t.Errorf("the variable %s: %d %s", v.Name, a.status, a.body)
			}
			queries++
		}
	}
	for _, query := range ruleQueries(t, "../../docs/alerts/usage.rules.yml") {
		answers(t, history, query)
		queries++
	}
	for _, query := range ruleQueries(t, "../../docs/alerts/meterd.rules.yml") {
		answers(t, metrics, query)
		// What is compared must be there: an alert on a metric that nobody has never fires.
		left, _, _ := strings.Cut(strings.NewReplacer(" == ", " > ", " < ", " > ").Replace(query), " > ")
		if answers(t, metrics, left) == 0 {
			t.Errorf("nothing is there to be compared: %s", left)
		}
		queries++
	}
	t.Logf("%d queries", queries)
}

// push writes what /metrics showed, as a Prometheus that scrapes the job meterd would have it.
func push(t *testing.T, vm http.Handler, text []byte, at time.Time) {
	t.Helper()
	labels := `instance="127.0.0.1:8480",job="meterd"`
	body := fmt.Sprintf("up{%s} 1 %d\n", labels, at.UnixMilli())
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		name, value := line[:i], strings.TrimSpace(line[i:])
		if open, more, has := strings.Cut(name, "{"); has {
			name = open + "{" + labels + "," + more
		} else {
			name += "{" + labels + "}"
		}
		body += fmt.Sprintf("%s %s %d\n", name, value, at.UnixMilli())
	}
	w := httptest.NewRecorder()
	vm.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/import/prometheus?flush=1", strings.NewReader(body)))
	if w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// TestAlerts: promtool (Debian's package prometheus) takes the alert rules, and each fires when it should. Without it
// the test fails: nothing else proves it.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("promtool is not installed; run `make tools` (package prometheus): %v", err)
	}
	for _, args := range [][]string{
		{
			"check", "rules", "../../docs/alerts/meterd.rules.yml", "../../docs/alerts/usage.rules.yml",
			"../../docs/alerts/cluster.rules.yml",
		},
		{
			"test", "rules", "../../docs/alerts/meterd.test.yml", "../../docs/alerts/usage.test.yml",
			"../../docs/alerts/cluster.test.yml",
		},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
