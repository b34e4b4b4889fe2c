package shard

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
)

// mode says what the quotas of a product do.
func (m *machine) mode(product, mode string) {
	m.t.Helper()
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SetEnforcement(by, product, mode)
		return next, ch, err
	})
}

// would returns what an answer says that would have been denied.
func would(r *Request) (list []string) {
	for _, d := range r.Result.WouldDeny {
		v := &d.Verdict
		list = append(list, fmt.Sprint(d.Index, " ", v.Code, " ", v.Limit, " ", v.Used))
		if v.Code == event.OTAQuotaExceeded {
			list[len(list)-1] += fmt.Sprint(" ", v.Requested, " ", v.TopupAvailable)
		}
	}
	return list
}

// TestObserve: a product that only observes accepts what its quotas would deny, counts it, and says so, in the answer
// and in the log; in the other mode again, they deny.
func TestObserve(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":2,"ota_per_month":1}`, 0)
	m.credit("p", "PACK", 2, true)
	m.mode("p", license.ModeObserve)
	ota := func(units int) string {
		return fmt.Sprintf(
			"{\"type\":\"ota\",\"product\":\"p\",\"device\":\"d\",\"size\":%d,\"id\":\"u%d\"}\n",
			units*5<<20,
			units,
		)
	}
	ask := func(lines string, denied []string, observed ...string) {
		t.Helper()
		r := request(t, lines)
		if err := m.Submit(r); err != nil {
			t.Fatal(err)
		}
		if got := codes(r); fmt.Sprint(denied) != fmt.Sprint(got) || !slices.Equal(would(r), observed) {
			t.Errorf("answered %q, would deny %q, want %q and %q", got, would(r), denied, observed)
		}
	}
	ok := func(n int) []string { return slices.Repeat([]string{"accepted"}, n) }
	ask(line("up", "p", "d"), []string{"not_activated"}) // Only quotas are observed.
	ask(line("connect", "p", "d")+strings.Repeat(line("up", "p", "d"), 3)+line("down", "p", "d"), ok(5),
		"3 message_quota_exceeded 2 3", "4 message_quota_exceeded 2 4")
	ask(
		ota(2),
		ok(1),
	) // One of the allowance, one of the pack.
	ask(
		ota(3),
		ok(1),
		"0 ota_quota_exceeded 1 3 3 0",
	) // What is left in the pack, and two more of the allowance.
	ask(
		ota(3),
		ok(1),
	) // R17: it counts nothing.
	ask(ota(4)+ota(999), []string{"accepted", "ota_quota_exceeded"}, "0 ota_quota_exceeded 1 7 4 0") // No word holds that.
	ask(strings.ReplaceAll(ota(3), `"ota"`, `"ota_void"`), ok(1))
	d, _ := m.device("p", "d")
	if d.Up != 3 || d.Down != 1 || m.Catalogue().Product([]byte("p")).PackUnits() != 1 {
		t.Errorf("counted %+v, %d left in packs", d, m.Catalogue().Product([]byte("p")).PackUnits())
	}
	var have []string
	for _, r := range m.rows() {
		if r.WouldDeny != event.Accepted {
			have = append(have, fmt.Sprint(r.Type, " ", r.Code, " ", r.WouldDeny, " ", r.Quota.Limit, " ", r.Quota.Used, " ",
				r.Requested, " ", r.TopupAvailable))
			if end := m.clock.wall.Truncate(24*time.Hour).
				AddDate(0, 0, 1).
				UnixMilli(); r.Type != event.OTA &&
				r.Quota.ResetsAtMs != end {
				t.Errorf("it resets at %d", r.Quota.ResetsAtMs)
			}
		}
	}
	want := []string{
		"up accepted message_quota_exceeded 2 3 0 0", "down accepted message_quota_exceeded 2 4 0 0",
		"ota accepted ota_quota_exceeded 1 3 3 0", "ota accepted ota_quota_exceeded 1 7 4 0",
	}
	if !slices.Equal(have, want) {
		t.Errorf("the log has %q", have)
	}
	if u, o := m.observed[event.Up].Load(), m.observed[event.OTA].Load(); u != 1 || o != 2 {
		t.Errorf("counted %d up, %d ota", u, o)
	}
	observed := fmt.Sprint([]record.Denied{
		{Type: event.Up, Code: event.MessageQuotaExceeded, Count: 1},
		{Type: event.Down, Code: event.MessageQuotaExceeded, Count: 1},
		{Type: event.OTA, Code: event.OTAQuotaExceeded, Count: 2},
	})
	for _, state := range []string{"at once", "after a crash", "by a checkpoint"} {
		if got := fmt.Sprint(m.totals.All()[0].WouldDeny); got != observed {
			t.Errorf("%s the totals have %s, want %s", state, got, observed)
		}
		if state == "after a crash" {
			if err := m.Checkpoint(); err != nil {
				t.Fatal(err)
			}
		}
		m.crash()
	}
	ask(line("up", "p", "d"), ok(1), "0 message_quota_exceeded 2 5")
	m.mode("p", license.ModeEnforce)
	ask(line("up", "p", "d")+ota(1), []string{"message_quota_exceeded", "accepted"})
	ask(ota(2)+strings.ReplaceAll(ota(2), "u2", "x"), []string{"accepted", "ota_quota_exceeded"})
}

// TestObserveEndsWithTheWord: where the count of a day ends a message is denied in either mode (R10).
func TestObserveEndsWithTheWord(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1,"message_unit_bytes":64}`, 0)
	m.mode("p", license.ModeObserve)
	m.submit(line("connect", "p", "d"))
	fill := fmt.Sprintf(
		"{\"type\":\"up\",\"product\":\"p\",\"device\":\"d\",\"size\":%d}\n",
		counters.MessagesPerDayMax*64,
	)
	if counters.MessagesPerDayMax*64 >= event.MessageBytesMax {
		t.Fatal("one message cannot fill the word")
	}
	r := request(t, fill+line("up", "p", "d"))
	if err := m.Submit(r); err != nil {
		t.Fatal(err)
	}
	if got := codes(r); got[0] != "accepted" || got[1] != "message_quota_exceeded" || len(would(r)) != 1 {
		t.Errorf("answered %q, would deny %q", got, would(r))
	}
	if v := r.Result.Denials[0].Verdict; v.Limit != counters.MessagesPerDayMax || v.Used != counters.MessagesPerDayMax {
		t.Errorf("denied with %+v", v)
	}
}

// TestObserveReplays: a sequence is answered again with what would have been denied, also through a crash.
func TestObserveReplays(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1}`, 0)
	m.mode("p", license.ModeObserve)
	lines := line("connect", "p", "d") + strings.Repeat(line("up", "p", "d"), 3) + line("up", "p", "other")
	ask := func() *Request {
		r := request(t, lines)
		r.Producer, r.Claim = []byte("gw"), &claims.Claim{Sequence: 7}
		if err := m.Submit(r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := ask()
	m.mode("p", license.ModeEnforce)
	for range 2 {
		again := ask()
		if !again.Replayed || fmt.Sprint(again.Result) != fmt.Sprint(first.Result) || len(would(again)) != 2 {
			t.Errorf("answered %+v, then %+v", first.Result, again.Result)
		}
		m.crash()
	}
}
