package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// withHistory returns a daemon, not started yet, that keeps the usage history.
func withHistory(t testing.TB, flags ...string) *daemon {
	d := daemonAt(t, filepath.Join(t.TempDir(), "data"), flags...)
	d.env = []string{"METERD_USAGE_HISTORY=true"}
	return d
}

// promql asks a query and returns the results: labels as JSON writes them, and the last value.
func (d *daemon) promql(query string, header ...string) map[string]string {
	d.t.Helper()
	var v struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	a := d.ask("GET", "/prometheus/api/v1/query?query="+url.QueryEscape(query), "", header...)
	if a.status == 503 {
		return nil
	}
	if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 {
		d.t.Fatalf("%s: %d %s %v", query, a.status, a.body, err)
	}
	found := map[string]string{}
	for _, r := range v.Data.Result {
		labels, err := json.Marshal(r.Metric)
		if err != nil {
			d.t.Fatal(err)
		}
		found[string(labels)], _ = r.Value[1].(string)
	}
	return found
}

// value returns the only result of a query, "" if there is none.
func (d *daemon) value(query string) string {
	d.t.Helper()
	found := d.promql(query)
	for _, v := range found {
		if len(found) == 1 {
			return v
		}
	}
	return fmt.Sprint(found)
}

// child returns the process that keeps a store. For a moment there may be none: a slow one is replaced.
func (d *daemon) child(store string) (pid int) {
	d.t.Helper()
	await(d.t, "a child keeps the store "+store, func() bool {
		var err error
		if pid, err = strconv.Atoi(d.metric(`meterd_history_pid{store="` + store + `"}`)); err != nil {
			d.t.Fatal(err)
		}
		return pid > 0
	})
	return pid
}

func (d *daemon) historyUp() bool {
	return d.metric(`meterd_history_up{store="fine"}`) == "1" && d.metric(`meterd_history_up{store="thin"}`) == "1"
}

// TestHistory: what is counted is seen, by a bound token of its own account alone. Children die, hang, and lose their
// files; events go on, and the history heals. The totals are exact through kill -9 and restarts.
func TestHistory(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for samples, and for a child that hangs")
	}
	d := withHistory(t)
	d.start()
	d.withProduct("p1", `{}`)
	d.must("POST", "/v1/accounts", `{"account":"other","kind":"personal"}`, nil)
	d.must("POST", "/v1/products", `{"product":"secret","account":"other"}`, nil)
	d.must("POST", "/v1/products", `{"product":"tried","account":"other","plan":{"messages_per_day":1}}`, nil)
	d.must("PUT", "/v1/products/tried/enforcement", `{"mode":"observe"}`, nil)
	sent := 0
	send := func(n int) {
		t.Helper()
		for range n {
			sent++
			d.batch(
				line("connect", "p1", "d1"),
				line("up", "p1", "d1"),
				line("connect", "secret", "s1"),
				line("up", "secret", "s1"),
			)
		}
	}
	const query = `meterd_messages_total{product="p1",direction="up",verdict="accepted"}`
	seen := func(why string) {
		t.Helper()
		await(t, why, func() bool { return d.value(query) == strconv.Itoa(sent) })
		// What reaches back further the other store answers.
		await(t, why, func() bool { return d.value(`last_over_time(`+query+`[7d])`) == strconv.Itoa(sent) })
	}
	d.batch(line("connect", "tried", "t"), line("up", "tried", "t"), line("up", "tried", "t"), line("up", "tried", "t"))
	send(3)
	seen("three messages are seen")
	const observed = `meterd_would_deny_total{account="other",product="tried",type="up",code="message_quota_exceeded"}`
	await(t, "what would have been denied is seen", func() bool { return d.value(observed) == "2" })

	var bound struct{ Token string }
	d.must("POST", "/v1/tokens", `{"name":"b","role":"billing","account":"other"}`, &bound)
	header := []string{"Authorization", "Bearer " + bound.Token}
	if found := d.promql(`{__name__=~".+"} or meterd_messages_total{account!="other"}`, header...); len(found) == 0 ||
		slices.ContainsFunc(keys(found), func(labels string) bool { return !strings.Contains(labels, `"account":"other"`) }) {
		t.Errorf("a bound token sees %v", found)
	}

	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		pid := d.child("fine")
		if err := syscall.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
		send(2) // Enforcement goes on.
		if a := d.ask("GET", "/readyz", ""); a.status != 200 {
			t.Errorf("%v: /readyz %d", signal, a.status)
		}
		await(t, "another child has taken its place", func() bool { return d.child("fine") != pid && d.historyUp() })
		seen(fmt.Sprintf("all messages are seen after %v", signal))
	}

	fine, thin := d.child("fine"), d.child("thin")
	d.kill()
	await(t, "the children are gone with the daemon", func() bool { return !exists(fine) && !exists(thin) })
	damage(t, filepath.Join(d.data, "history", "thin", "data"))
	d.start()
	send(1)
	await(t, "the damaged files are moved aside", func() bool {
		return d.metric(`meterd_history_asides_total{store="thin"}`) == "1" && d.historyUp()
	})
	want(t, string(d.ask("GET", "/readyz?verbose", "").body), "history fine:", "history thin:")
	seen("all messages are seen after the files were damaged")
	d.stop()
	if err := os.RemoveAll(filepath.Join(d.data, "history")); err != nil {
		t.Fatal(err)
	}
	d.start()
	seen("all messages are seen after the directory was removed")
	d.stop()
}

func keys(m map[string]string) (list []string) {
	for k := range m {
		list = append(list, k)
	}
	return list
}

// exists reports whether a process lives.
func exists(pid int) bool { return syscall.Kill(pid, 0) == nil }

// damage overwrites every file below a directory that holds samples.
func damage(t *testing.T, directory string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(directory, "*", "*", "*", "*.bin"))
	if err != nil || len(names) == 0 {
		t.Fatalf("there is nothing to damage below %s: %v", directory, err)
	}
	for _, name := range names {
		if err := os.WriteFile(name, []byte("damage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHistoryOff: there is neither a child nor an answer, and no flag of VictoriaMetrics' is among ours.
func TestHistoryOff(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "--usage-history=false")
	if a := d.ask("GET", "/prometheus/api/v1/query?query=1", ""); a.status != 404 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if _, err := os.Stat(filepath.Join(d.data, "history")); !os.IsNotExist(err) {
		t.Errorf("the directory of the history: %v", err)
	}
	if pids, err := os.ReadFile(
		fmt.Sprintf("/proc/%d/task/%[1]d/children", d.run.cmd.Process.Pid),
	); err != nil ||
		len(pids) > 0 {
		t.Errorf("children %q, %v", pids, err)
	}
	for _, flag := range []string{"--storageDataPath=x", "--memory.allowedBytes=1", "-retentionPeriod=1"} {
		r, err := launch(nil, "serve", "--data", filepath.Join(t.TempDir(), "data"), flag)
		if err != nil {
			t.Fatal(err)
		}
		r.refused(t)
	}
}

// TestUsageURL: a VictoriaMetrics of the operator's keeps the history, and gets his user and password.
func TestUsageURL(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for samples")
	}
	vm := newVictoria(t)
	var authorized int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		authorized++
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/vm")
		vm.ServeHTTP(w, r)
	}))
	defer server.Close()
	d := withHistory(t)
	d.env = append(d.env, "METERD_USAGE_URL="+strings.Replace(server.URL, "http://", "http://me:secret@", 1)+"/vm/")
	d.start()
	d.withProduct("p1", `{}`)
	d.batch(line("connect", "p1", "d1"), line("up", "p1", "d1"))
	await(t, "the message is seen", func() bool {
		return d.value(`meterd_messages_total{product="p1",direction="up",verdict="accepted"}`) == "1"
	})
	if _, err := os.Stat(filepath.Join(d.data, "history")); !os.IsNotExist(err) {
		t.Errorf("there is a directory of children: %v", err)
	}
	server.Close()
	if a := d.ask(
		"GET",
		"/prometheus/api/v1/query?query=1",
		"",
	); a.status != 503 ||
		strings.Contains(string(a.body), "secret") {
		t.Errorf("without it: %d %s", a.status, a.body)
	}
	d.batch(line("up", "p1", "d1"))
	d.stop()
	if strings.Contains(d.run.said(), "secret") {
		t.Errorf("the password is in the log:\n%s", d.run.said())
	}
}

// newVictoria starts a VictoriaMetrics, the hidden child of the binary, and returns the way to it.
func newVictoria(t testing.TB) *httputil.ReverseProxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "vm-") // The path of a socket is short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return startVictoria(t, dir)
}
