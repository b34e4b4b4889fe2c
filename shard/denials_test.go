package shard

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meterd/meterd/shard/record"
)

// TestDenialsAreLoggedAsAnswered: the log says of every event that a quota denied what its answer said: limit, used and
// when the quota resets; of an upgrade also what it needed and what packs had.
func TestDenialsAreLoggedAsAnswered(t *testing.T) {
	m := newMachine(t)
	m.productIn("p", "UTC", `{"messages_per_day":3,"ota_per_month":2}`, 0)
	m.productIn("q", "Asia/Shanghai", `{"messages_per_day":7,"message_unit_bytes":64,"ota_per_month":0}`, 0)
	dice := rand.New(rand.NewPCG(5, 6))
	var lines string
	for i := range 8 {
		lines += line("connect", "pq"[i%2:i%2+1], fmt.Sprint("d", i))
	}
	m.submit(lines)
	var want []string
	for range 60 {
		lines = ""
		for range 1 + dice.IntN(20) {
			i := dice.IntN(8)
			lines += fmt.Sprintf("{\"type\":%q,\"product\":%q,\"device\":\"d%d\",\"size\":%d}\n",
				[]string{"up", "down", "up", "ota"}[dice.IntN(4)], "pq"[i%2:i%2+1], i, 1+dice.IntN(300))
		}
		r := request(t, lines)
		if err := m.Submit(r); err != nil {
			t.Fatal(err)
		}
		for _, d := range r.Result.Denials {
			v := d.Verdict
			want = append(want, fmt.Sprint(r.Batch.Events[d.Index].Type, v.Code, v.Limit, v.Used, v.ResetsAtMs, v.Requested,
				v.TopupAvailable))
		}
		m.clock.pass(time.Duration(dice.IntN(5)) * time.Hour)
	}
	var have []string
	kinds := map[string]int{}
	for _, r := range m.rows() {
		if !r.Code.IsQuota() {
			if r.Quota != (record.QuotaNumbers{}) {
				t.Fatalf("%s, %s has %+v", r.Type, r.Code, r.Quota)
			}
			continue
		}
		have = append(have, fmt.Sprint(r.Type, r.Code, r.Quota.Limit, r.Quota.Used, r.Quota.ResetsAtMs, r.Requested,
			r.TopupAvailable))
		kinds[fmt.Sprint(r.Code, r.Quota.Limit)]++
	}
	if len(kinds) != 4 {
		t.Fatalf("not every quota denied something: %v", kinds)
	}
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Fatalf("the log has\n%q, answered were\n%q", have, want)
	}
}
