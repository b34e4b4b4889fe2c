package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
)

// FuzzBody reads a body as a credit and as a plan. Whatever it is, it is refused as the client's fault, or it is what
// it says: a plan that is accepted lies within its bounds, and shown and sent again it is the same plan.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"order":"PO-1","quantity":1000,"plan":{"validity":"P5Y","messages_per_day":1500}}`,
		`{"validity":"PT10S","messages_per_day":null,"message_unit_bytes":64,"ota_per_month":0,"ota_unit_bytes":1024,` +
			`"log_days":1}`,
		`{"order":"a","order":"b"}`, `{"plan":null}`, `{"quantity":1e3}`, "{\"order\":\"\xff\"}", `[]`, ``, `{`, `{} {}`,
		`{"\u006frder":"x"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var order string
		var quantity uint64
		var lotPlan license.PlanPatch
		err := decodeObject(body, fields{"order": text(&order), "quantity": amount(&quantity), "plan": plan(&lotPlan)})
		refusal(t, body, err)
		if err == nil {
			judgePlan(t, body, &lotPlan)
		}
		patch, err := decodePlan(body)
		refusal(t, body, err)
		if err == nil {
			judgePlan(t, body, &patch)
		}
	})
}

// refusal fails unless err is nil or a problem of the client's making.
func refusal(t *testing.T, body []byte, err error) {
	t.Helper()
	if err == nil {
		if !json.Valid(body) || bytes.TrimSpace(body)[0] != '{' {
			t.Fatalf("%q was read", body)
		}
		return
	}
	var p *event.Problem
	if !errors.As(err, &p) || p.Code.Status() != 400 {
		t.Fatalf("%q: %v", body, err)
	}
	if answer := wire.AppendProblem(nil, p); !json.Valid(answer) {
		t.Fatalf("%q is answered %q", body, answer)
	}
}

func judgePlan(t *testing.T, body []byte, patch *license.PlanPatch) {
	t.Helper()
	got, err := patch.Apply(license.DefaultPlan(retentionOfTests), retentionOfTests)
	if err != nil {
		refusal(t, body, err)
		return
	}
	if got.MessagesPerDay < 1 || got.MessagesPerDay > event.MessagesPerDayMax || got.OTAPerMonth > 1000 ||
		got.OTAUnitBytes < 1<<10 || got.OTAUnitBytes > 1<<40 || got.LogDays < 1 || got.LogDays > 7 ||
		got.MessageUnitBytes != 0 && (got.MessageUnitBytes < 64 || got.MessageUnitBytes > 262144) {
		t.Fatalf("%q is the plan %+v", body, got)
	}
	shown, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decodePlan(shown)
	if err != nil {
		t.Fatalf("%q is shown as %s: %v", body, shown, err)
	}
	same, err := again.Apply(license.DefaultPlan(retentionOfTests), retentionOfTests)
	if err != nil || same.Validity.Compare(got.Validity) != 0 {
		t.Fatalf("%q is shown as %s, which is %+v, %v", body, shown, same, err)
	}
	same.Validity = got.Validity
	if same != got {
		t.Fatalf("%q is shown as %s, which is %+v", body, shown, same)
	}
}
