package license

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
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
		want := Plan{
			Validity:       calendar.Period{Years: 5},
			MessagesPerDay: 1500,
			OTAPerMonth:    1,
			OTAUnitBytes:   5_242_880,
			LogDays:        tt.logDays,
		}
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
			`{"validity":"P5Y","messages_per_day":1500,"message_unit_bytes":0,"ota_per_month":1,"ota_unit_bytes":5242880,` +
				`"log_days":7}`,
		},
		{
			Plan{
				Validity:         calendar.Period{Days: 30},
				MessagesPerDay:   16_000_000,
				MessageUnitBytes: 64,
				OTAUnitBytes:     1024,
				OTAPerMonth:      1000,
				LogDays:          1,
			},
			`{"validity":"P30D","messages_per_day":null,"message_unit_bytes":64,"ota_per_month":1000,"ota_unit_bytes":1024,` +
				`"log_days":1}`,
		},
		{
			Plan{Validity: calendar.Period{Seconds: 10}, MessagesPerDay: 15_999_999, OTAUnitBytes: 1 << 40},
			`{"validity":"PT10S","messages_per_day":15999999,"message_unit_bytes":0,"ota_per_month":0,` +
				`"ota_unit_bytes":1099511627776,"log_days":null}`,
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

// R9, value by value.
func TestDowngrade(t *testing.T) {
	const higher, equal, lower = 1, 0, -1
	base := `{"validity":"P1Y","messages_per_day":100,"message_unit_bytes":128,"ota_per_month":2,"ota_unit_bytes":2048,` +
		`"log_days":3}`
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
	from := Plan{
		Validity:       calendar.Period{Years: 5},
		MessagesPerDay: 16_000_000,
		OTAPerMonth:    3,
		OTAUnitBytes:   4096,
		LogDays:        7,
	}
	to := Plan{
		Validity:         calendar.Period{Years: 4},
		MessagesPerDay:   15_999_999,
		MessageUnitBytes: 262_144,
		OTAPerMonth:      2,
		OTAUnitBytes:     4095,
	}
	want := []string{"validity", "messages_per_day", "message_unit_bytes", "ota_per_month", "ota_unit_bytes", "log_days"}
	if got := from.Downgrade(&to); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := to.Downgrade(&from); got != nil {
		t.Errorf("the way back lowers %v", got)
	}
}
