package license

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

func TestPlanPatch(t *testing.T) {
	base := Plan{
		Validity: calendar.Period{
			Years: 1,
		},
		MessagesPerDay:   100,
		MessageUnitBytes: 128,
		OTAPerMonth:      2,
		OTAUnitBytes:     1 << 20,
		LogDays:          3,
	}
	tests := []struct {
		patch string
		want  func(*Plan)
	}{
		{``, func(*Plan) {}},
		{`null`, func(*Plan) {}},
		{`{}`, func(*Plan) {}},
		{`{"validity":"PT1S"}`, func(p *Plan) { p.Validity = calendar.Period{Seconds: 1} }},
		{`{"validity":"P100Y"}`, func(p *Plan) { p.Validity = calendar.Period{Years: 100} }},
		{`{"messages_per_day":1}`, func(p *Plan) { p.MessagesPerDay = 1 }},
		{`{"messages_per_day":16000000}`, func(p *Plan) { p.MessagesPerDay = 16_000_000 }},
		{`{"messages_per_day":1e3}`, func(p *Plan) { p.MessagesPerDay = 1000 }},
		{`{"message_unit_bytes":-0}`, func(p *Plan) { p.MessageUnitBytes = 0 }},
		{`{"ota_per_month":12.0}`, func(p *Plan) { p.OTAPerMonth = 12 }},
		{`{"ota_unit_bytes":1.048576e6}`, func(p *Plan) { p.OTAUnitBytes = 1 << 20 }},
		{`{"log_days":50e-1}`, func(p *Plan) { p.LogDays = 5 }},
		{`{"messages_per_day": null }`, func(p *Plan) { p.MessagesPerDay = 16_000_000 }},
		{`{"message_unit_bytes":0}`, func(p *Plan) { p.MessageUnitBytes = 0 }},
		{`{"message_unit_bytes":64}`, func(p *Plan) { p.MessageUnitBytes = 64 }},
		{`{"message_unit_bytes":262144}`, func(p *Plan) { p.MessageUnitBytes = 262_144 }},
		{`{"ota_per_month":0}`, func(p *Plan) { p.OTAPerMonth = 0 }},
		{`{"ota_per_month":1000}`, func(p *Plan) { p.OTAPerMonth = 1000 }},
		{`{"ota_unit_bytes":1024}`, func(p *Plan) { p.OTAUnitBytes = 1024 }},
		{`{"ota_unit_bytes":1099511627776}`, func(p *Plan) { p.OTAUnitBytes = 1 << 40 }},
		{`{"log_days":1}`, func(p *Plan) { p.LogDays = 1 }},
		{`{"log_days":7}`, func(p *Plan) { p.LogDays = 7 }},
		{
			`{"log_days":7,"ota_per_month":9,"validity":"P2Y","message_unit_bytes":0,"messages_per_day":null,` +
				`"ota_unit_bytes":5242880}`,
			func(p *Plan) {
				*p = Plan{
					Validity:       calendar.Period{Years: 2},
					MessagesPerDay: 16_000_000,
					OTAPerMonth:    9,
					OTAUnitBytes:   5 << 20,
					LogDays:        7,
				}
			},
		},
	}
	for _, tt := range tests {
		want := base
		tt.want(&want)
		p := patch(t, tt.patch)
		if got, err := p.Apply(base, week); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", tt.patch, got, err, want)
		}
	}
}

func TestPlanPatchRefuses(t *testing.T) {
	fields := map[string][]string{
		"validity": {
			`""`, `"P"`, `"5Y"`, `"PT0S"`, `"P101Y"`, `"P100Y1D"`, `"P1.5Y"`, `null`, `5`, `{}`, `[]`, `["P5Y"]`, `true`,
		},
		"messages_per_day": {
			`0`,
			`-1`,
			`16000001`,
			`1.5`,
			`1.6e400`,
			`1e-1`,
			`"1500"`,
			`{}`,
			`[]`,
			`[1500]`,
			`true`,
			`4294968796`,
			`99999999999999999999`,
			`"null"`,
		},
		"message_unit_bytes": {
			`-1`, `1`, `63`, `262145`, `64.5`, `"64"`, `null`, `{}`, `[]`, `false`, `4294967360`, `99999999999999999999`,
		},
		"ota_per_month": {
			`-1`, `1001`, `0.5`, `"1"`, `null`, `{}`, `[]`, `true`, `4294967297`, `99999999999999999999`,
		},
		"ota_unit_bytes": {
			`-1`, `0`, `1023`, `1099511627777`, `1024.5`, `"1024"`, `null`, `{}`, `[]`, `true`, `99999999999999999999`,
		},
		"log_days": {
			`-1`, `0`, `8`, `1.5`, `"7"`, `null`, `{}`, `[]`, `true`, `4294967297`, `99999999999999999999`,
		},
	}
	base := DefaultPlan(week)
	for _, name := range sortedKeys(fields) {
		for _, value := range fields[name] {
			t.Run(name+" "+value, func(t *testing.T) {
				p := patch(t, `{"`+name+`":`+value+`}`)
				got, err := p.Apply(base, week)
				wantProblem(t, err, event.InvalidArgument, "plan."+name)
				if got != (Plan{}) {
					t.Errorf("refused and returned all the same: %+v", got)
				}
			})
		}
	}
}

func TestPlanPatchRefusesUnknownFields(t *testing.T) {
	for _, name := range []string{"price", "Validity", "validity ", "", "messages", "log_day"} {
		p := patch(t, `{"messages_per_day":100,"`+name+`":1}`)
		_, err := p.Apply(DefaultPlan(week), week)
		wantProblem(t, err, event.UnknownField, "plan."+name)
	}
}

func TestPlanPatchRefusesWhatIsNoObject(t *testing.T) {
	for _, s := range []string{`1`, `"plan"`, `[]`, `true`, `[{"log_days":1}]`} {
		var p PlanPatch
		wantProblem(t, json.Unmarshal([]byte(s), &p), event.InvalidArgument, "plan")
	}
}

// R18: a plan may not name more days than the daemon keeps; null is what is shown when that is under a day.
func TestPlanPatchLogDaysAndTheRetention(t *testing.T) {
	tests := []struct {
		retention time.Duration
		value     string
		want      uint32
		ok        bool
	}{
		{10 * time.Second, "null", 0, true},
		{10 * time.Second, "0", 0, false},
		{10 * time.Second, "1", 0, false},
		{24 * time.Hour, "null", 0, false},
		{24 * time.Hour, "1", 1, true},
		{24 * time.Hour, "2", 0, false},
		{47 * time.Hour, "2", 0, false},
		{48 * time.Hour, "2", 2, true},
	}
	for _, tt := range tests {
		p := patch(t, `{"log_days":`+tt.value+`}`)
		got, err := p.Apply(DefaultPlan(tt.retention), tt.retention)
		if ok := err == nil; ok != tt.ok || got.LogDays != tt.want {
			t.Errorf("%s with %s kept: got %d, %v", tt.value, tt.retention, got.LogDays, err)
		}
	}
}

// Whatever a request says of a plan, the plan that comes out is within the contract, and is read again as it is stored.
func FuzzPlanPatch(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `{"validity":"P5Y","messages_per_day":1500,"message_unit_bytes":0,"ota_per_month":1,` +
			`"ota_unit_bytes":5242880,"log_days":7}`,
		`{"messages_per_day":null,"log_days":null}`, `{"validity":"PT10S"}`, `{"messages_per_day":1e3}`,
		`{"ota_unit_bytes":1099511627777}`,
		`{"message_unit_bytes":63}`, `{"x":1}`, `{"log_days":8}`, `{"validity":{"a":[]}}`, `{"log_days":1,"log_days":"x"}`,
		`[]`,
	} {
		f.Add([]byte(s), uint32(7*24))
		f.Add([]byte(s), uint32(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, retentionHours uint32) {
		retention := time.Duration(retentionHours%(100*24)) * time.Hour
		base := DefaultPlan(retention)
		var p PlanPatch
		if json.Unmarshal(b, &p) != nil {
			return
		}
		plan, err := p.Apply(base, retention)
		if err != nil {
			if plan != (Plan{}) {
				t.Fatalf("%s was refused and returned all the same: %+v", b, plan)
			}
			return
		}
		if !inContract(&plan, retention) {
			t.Fatalf("%s gave %+v", b, plan)
		}
		stored, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		var back Plan
		if err := json.Unmarshal(stored, &back); err != nil || back != plan {
			t.Fatalf("%+v is stored as %s and read as %+v, %v", plan, stored, back, err)
		}
		again := patch(t, string(stored))
		if same, err := again.Apply(base, retention); err != nil || same != plan {
			t.Fatalf("%s is shown, and sent back gives %+v, %v", stored, same, err)
		}
		if lowered := plan.Downgrade(&plan); lowered != nil {
			t.Fatalf("%+v is lower than itself in %v", plan, lowered)
		}
	})
}

// inContract reports whether every value of p is one that the contract has.
func inContract(p *Plan, retention time.Duration) bool {
	_, err := calendar.ParsePeriod(p.Validity.String())
	days := uint32(retention / (24 * time.Hour))
	return err == nil &&
		p.MessagesPerDay >= 1 && p.MessagesPerDay <= 16_000_000 &&
		(p.MessageUnitBytes == 0 || p.MessageUnitBytes >= 64 && p.MessageUnitBytes <= 262_144) &&
		p.OTAPerMonth <= 1000 &&
		p.OTAUnitBytes >= 1<<10 && p.OTAUnitBytes <= 1<<40 &&
		p.LogDays <= days && (p.LogDays > 0 || days == 0)
}
