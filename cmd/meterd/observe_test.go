package main_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestObserveAndCheck: a product that only observes accepts what its quotas would deny and says so, in answers, replays
// through kill -9, the log and in a shell; a check answers the same and counts nothing. The recount agrees.
func TestObserveAndCheck(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":2}`)
	d.must("PUT", "/v1/products/p1/enforcement", `{"mode":"observe"}`, nil)
	batch := []string{
		line("connect", "p1", "d1"),
		line("up", "p1", "d1"),
		line("up", "p1", "d1"),
		line("down", "p1", "d1"),
	}
	type answer struct {
		Accepted  int
		Denied    []map[string]any
		WouldDeny []struct {
			Index, Limit, Used int
			Code               string
		} `json:"would_deny"`
	}
	check := func() (a answer) {
		d.must("POST", "/v1/check", "["+strings.Join(batch, ",")+"]", &a)
		return a
	}
	want := fmt.Sprint(check())
	if want != "{4 [] [{3 2 3 message_quota_exceeded}]}" {
		t.Fatalf("checked as %s", want)
	}
	if again := fmt.Sprint(check()); again != want {
		t.Fatalf("checked again as %s", again)
	}
	first := d.sequenced("gw", "1", asJSON, "["+strings.Join(batch, ",")+"]").fresh(t)
	if !strings.Contains(
		string(first.body),
		`"would_deny":[{"index":3,"code":"message_quota_exceeded","limit":2,"used":3,`,
	) {
		t.Fatalf("answered %s", first.body)
	}
	d.kill()
	d.start()
	d.sequenced("gw", "1", asJSON, "["+strings.Join(batch, ",")+"]").replays(t, first)
	if got := fmt.Sprint(check().WouldDeny); strings.Count(got, "message_quota_exceeded") != 3 {
		t.Errorf("checked behind that as %s", got)
	}
	if mode := d.ctl("products", "enforcement", "get", "p1"); mode != "mode  observe\n" {
		t.Errorf("ctl shows %q", mode)
	}
	if out := d.ctl("devices", "check", "p1", "d1", "up"); !strings.Contains(out, "message_quota_exceeded") {
		t.Errorf("ctl checks %q", out)
	}
	d.ctl("products", "enforcement", "set", "p1", "enforce")
	d.batch(line("up", "p1", "d1"))
	var log []string
	for _, e := range d.logs("p1", "d1") {
		log = append(log, e.Type+" "+e.Verdict)
	}
	if !slices.Equal(log, []string{
		"up message_quota_exceeded", "down accepted", "up accepted", "up accepted", "connect accepted",
	}) {
		t.Errorf("the log is %q", log)
	}
	verify(t, d.data, 0, "no difference")
}
