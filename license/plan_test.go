package license

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
)

func TestDefaultPlan(t *testing.T) {
	tests := []struct {
		retention time.Duration
		logDays   uint32
	}{
		{week, 7},
		{30 * 24 * time.Hour, 7}, // the default does not grow with the retention
		{week - time.Second, 6},
		{36 * time.Hour, 1},
		{24 * time.Hour, 1},
		{24*time.Hour - 1, 0},
		{10 * time.Second, 0},
	}
	for _, tt := range tests {
		want := Plan{Validity: Period{Years: 5}, MessagesPerDay: 1500, OTAPerMonth: 1, OTAUnitBytes: 5_242_880, LogDays: tt.logDays}
		if got := DefaultPlan(tt.retention); got != want {
			t.Errorf("with %s: got %+v, want %+v", tt.retention, got, want)
		}
	}
}

// R13
func TestMessageUnits(t *testing.T) {
	tests := []struct {
		unit uint32
		size int64
		want uint32
	}{
		{0, 0, 1},
		{0, 1, 1},
		{0, 262_144, 1},
		{0, event.MessageBytesMax, 1},
		{64, 0, 1},
		{64, 1, 1},
		{64, 63, 1},
		{64, 64, 1},
		{64, 65, 2},
		{64, 128, 2},
		{64, 129, 3},
		{64, event.MessageBytesMax, 1 << 25},
		{1000, 999, 1},
		{1000, 1000, 1},
		{1000, 1001, 2},
		{1000, 1_000_000, 1000},
		{1000, 1_000_001, 1001},
		{262_144, 262_143, 1},
		{262_144, 262_144, 1},
		{262_144, 262_145, 2},
		{262_144, event.MessageBytesMax, 8192},
	}
	for _, tt := range tests {
		p := Plan{MessageUnitBytes: tt.unit}
		if got := p.MessageUnits(tt.size); got != tt.want {
			t.Errorf("%d bytes in units of %d: got %d, want %d", tt.size, tt.unit, got, tt.want)
		}
	}
}

// R15
func TestOTAUnits(t *testing.T) {
	const mb = 1 << 20
	tests := []struct{ unit, size, want int64 }{
		{5 * mb, 0, 1},
		{5 * mb, 1, 1},
		{5 * mb, 5*mb - 1, 1},
		{5 * mb, 5 * mb, 1},
		{5 * mb, 5*mb + 1, 2},
		{5 * mb, 6 * mb, 2},
		{5 * mb, 10 * mb, 2},
		{5 * mb, 10*mb + 1, 3},
		{5 * mb, 60*mb + mb/2, 13},
		{5 * mb, event.OTABytesMax, 209_716},
		{1024, 1024, 1},
		{1024, 1025, 2},
		{1024, event.OTABytesMax, 1 << 30},
		{1 << 40, event.OTABytesMax, 1},
		{1 << 40, 1, 1},
	}
	for _, tt := range tests {
		p := Plan{OTAUnitBytes: tt.unit}
		if got := p.OTAUnits(tt.size); int64(got) != tt.want {
			t.Errorf("%d bytes in units of %d: got %d, want %d", tt.size, tt.unit, got, tt.want)
		}
	}
}

// R18
func TestLogCutoff(t *testing.T) {
	const day = int64(86_400_000)
	tests := []struct {
		logDays   uint32
		retention time.Duration
		before    int64 // ms before now
	}{
		{7, week, 7 * day},
		{1, week, day},
		{7, 24 * time.Hour, day}, // the daemon was started with less than the plan says
		{0, 10 * time.Second, 10_000},
		{0, week, 7 * day},
	}
	for _, tt := range tests {
		p := Plan{LogDays: tt.logDays}
		if got := p.LogCutoffMs(100*day, tt.retention); got != 100*day-tt.before {
			t.Errorf("%d days of %s: %d ms are kept, want %d", tt.logDays, tt.retention, 100*day-got, tt.before)
		}
	}
}

func TestPlanJSON(t *testing.T) {
	tests := []struct {
		plan Plan
		want string
	}{
		{
			DefaultPlan(week),
			`{"validity":"P5Y","messages_per_day":1500,"message_unit_bytes":0,"ota_per_month":1,"ota_unit_bytes":5242880,"log_days":7}`,
		},
		{
			Plan{Validity: Period{Days: 30}, MessagesPerDay: 16_000_000, MessageUnitBytes: 64, OTAUnitBytes: 1024, OTAPerMonth: 1000, LogDays: 1},
			`{"validity":"P30D","messages_per_day":null,"message_unit_bytes":64,"ota_per_month":1000,"ota_unit_bytes":1024,"log_days":1}`,
		},
		{
			Plan{Validity: Period{Seconds: 10}, MessagesPerDay: 15_999_999, OTAUnitBytes: 1 << 40},
			`{"validity":"PT10S","messages_per_day":15999999,"message_unit_bytes":0,"ota_per_month":0,"ota_unit_bytes":1099511627776,"log_days":null}`,
		},
	}
	for _, tt := range tests {
		b, err := json.Marshal(tt.plan)
		if err != nil || string(b) != tt.want {
			t.Errorf("got  %s, %v\nwant %s", b, err, tt.want)
		}
		var back Plan
		if err := json.Unmarshal(b, &back); err != nil || back != tt.plan {
			t.Errorf("%s is read as %+v, %v", b, back, err)
		}
	}
}

// R10: no limit is 16,000,000, however it is said.
func TestPlanNoLimit(t *testing.T) {
	base := DefaultPlan(week)
	null, number := patch(t, `{"messages_per_day":null}`), patch(t, `{"messages_per_day":16000000}`)
	a, errA := null.Apply(base, week)
	b, errB := number.Apply(base, week)
	if errA != nil || errB != nil || a != b || a.MessagesPerDay != event.MessagesPerDayMax {
		t.Errorf("%+v, %v; %+v, %v", a, errA, b, errB)
	}
	if lowered := a.Downgrade(&b); lowered != nil {
		t.Errorf("they differ in %v", lowered)
	}
}

func TestPlanPatch(t *testing.T) {
	base := Plan{
		Validity: Period{Years: 1}, MessagesPerDay: 100, MessageUnitBytes: 128, OTAPerMonth: 2, OTAUnitBytes: 1 << 20, LogDays: 3,
	}
	tests := []struct {
		patch string
		want  func(*Plan)
	}{
		{``, func(*Plan) {}},
		{`null`, func(*Plan) {}},
		{`{}`, func(*Plan) {}},
		{`{"validity":"PT1S"}`, func(p *Plan) { p.Validity = Period{Seconds: 1} }},
		{`{"validity":"P100Y"}`, func(p *Plan) { p.Validity = Period{Years: 100} }},
		{`{"messages_per_day":1}`, func(p *Plan) { p.MessagesPerDay = 1 }},
		{`{"messages_per_day":16000000}`, func(p *Plan) { p.MessagesPerDay = 16_000_000 }},
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
		{`{"log_days":7,"ota_per_month":9,"validity":"P2Y","message_unit_bytes":0,"messages_per_day":null,"ota_unit_bytes":5242880}`, func(p *Plan) {
			*p = Plan{Validity: Period{Years: 2}, MessagesPerDay: 16_000_000, OTAPerMonth: 9, OTAUnitBytes: 5 << 20, LogDays: 7}
		}},
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
			`0`, `-1`, `16000001`, `1.5`, `1e3`, `"1500"`, `{}`, `[]`, `[1500]`, `true`, `4294968796`, `99999999999999999999`, `"null"`,
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

// R9, value by value.
func TestDowngrade(t *testing.T) {
	const higher, equal, lower = 1, 0, -1
	base := `{"validity":"P1Y","messages_per_day":100,"message_unit_bytes":128,"ota_per_month":2,"ota_unit_bytes":2048,"log_days":3}`
	tests := []struct {
		name, value string
		want        int
	}{
		{"validity", `"P1Y"`, equal},
		{"validity", `"P365D"`, equal},
		{"validity", `"P366D"`, higher},
		{"validity", `"P364D"`, lower},
		{"validity", `"P12M"`, equal},
		{"validity", `"PT1S"`, lower},
		{"messages_per_day", `100`, equal},
		{"messages_per_day", `101`, higher},
		{"messages_per_day", `null`, higher},
		{"messages_per_day", `99`, lower},
		{"message_unit_bytes", `128`, equal},
		{"message_unit_bytes", `129`, higher},
		{"message_unit_bytes", `262144`, higher},
		{"message_unit_bytes", `0`, higher}, // no unit gives most
		{"message_unit_bytes", `127`, lower},
		{"ota_per_month", `2`, equal},
		{"ota_per_month", `3`, higher},
		{"ota_per_month", `1`, lower},
		{"ota_per_month", `0`, lower},
		{"ota_unit_bytes", `2048`, equal},
		{"ota_unit_bytes", `2049`, higher},
		{"ota_unit_bytes", `2047`, lower},
		{"log_days", `3`, equal},
		{"log_days", `4`, higher},
		{"log_days", `2`, lower},
	}
	for _, tt := range tests {
		basePatch, nextPatch := patch(t, base), patch(t, `{"`+tt.name+`":`+tt.value+`}`)
		from, err := basePatch.Apply(DefaultPlan(week), week)
		if err != nil {
			t.Fatal(err)
		}
		to, err := nextPatch.Apply(from, week)
		if err != nil {
			t.Fatal(err)
		}
		down, up := from.Downgrade(&to), to.Downgrade(&from)
		wantDown, wantUp := []string(nil), []string(nil)
		switch tt.want {
		case lower:
			wantDown = []string{tt.name}
		case higher:
			wantUp = []string{tt.name}
		}
		if !slices.Equal(down, wantDown) || !slices.Equal(up, wantUp) {
			t.Errorf("%s to %s: lowers %v, back lowers %v", tt.name, tt.value, down, up)
		}
	}
}

func TestDowngradeOfSeveralValues(t *testing.T) {
	from := Plan{Validity: Period{Years: 5}, MessagesPerDay: 16_000_000, OTAPerMonth: 3, OTAUnitBytes: 4096, LogDays: 7}
	to := Plan{Validity: Period{Years: 4}, MessagesPerDay: 15_999_999, MessageUnitBytes: 262_144, OTAPerMonth: 2, OTAUnitBytes: 4095}
	want := []string{"validity", "messages_per_day", "message_unit_bytes", "ota_per_month", "ota_unit_bytes", "log_days"}
	if got := from.Downgrade(&to); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := to.Downgrade(&from); got != nil {
		t.Errorf("the way back lowers %v", got)
	}
}

// Whatever a request says of a plan, the plan that comes out is within the contract, and is read again as it is stored.
func FuzzPlanPatch(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, `{"validity":"P5Y","messages_per_day":1500,"message_unit_bytes":0,"ota_per_month":1,"ota_unit_bytes":5242880,"log_days":7}`,
		`{"messages_per_day":null,"log_days":null}`, `{"validity":"PT10S"}`, `{"messages_per_day":1e3}`, `{"ota_unit_bytes":1099511627777}`,
		`{"message_unit_bytes":63}`, `{"x":1}`, `{"log_days":8}`, `{"validity":{"a":[]}}`, `{"log_days":1,"log_days":"x"}`, `[]`,
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
	_, err := ParsePeriod(p.Validity.String())
	days := uint32(retention / (24 * time.Hour))
	return err == nil &&
		p.MessagesPerDay >= 1 && p.MessagesPerDay <= 16_000_000 &&
		(p.MessageUnitBytes == 0 || p.MessageUnitBytes >= 64 && p.MessageUnitBytes <= 262_144) &&
		p.OTAPerMonth <= 1000 &&
		p.OTAUnitBytes >= 1<<10 && p.OTAUnitBytes <= 1<<40 &&
		p.LogDays <= days && (p.LogDays > 0 || days == 0)
}
