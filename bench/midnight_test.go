package bench

import (
	"testing"
	"time"

	"github.com/meterd/meterd/license/calendar"
)

// TestZoneOfMidnight: at every minute of a day there is a zone in which one begins.
func TestZoneOfMidnight(t *testing.T) {
	for minute := range 24 * 60 {
		at := time.Date(2026, 11, 24, 0, minute, 0, 0, time.UTC)
		name := zoneOfMidnight(at)
		zone, err := calendar.ParseZone(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if local := at.In(zone); local.Hour() != 0 || local.Minute() != 0 {
			t.Errorf("%s: at %s it is %s", name, at, local)
		}
	}
}

// TestMidnight runs the scenario against the real daemon: it waits for the end of a minute.
func TestMidnight(t *testing.T) {
	o := realOptions(t)
	t.Parallel()
	o.Scenarios, o.LogSamples = []string{"midnight"}, 20
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	x := report.Results[0]
	if x.Check.DevicesCompared != o.Devices || x.Check.DeviceLogsCompared != o.LogSamples || x.Events == 0 ||
		x.MidnightStallSeconds <= 0 {
		t.Errorf("%+v, %+v", x, x.Check)
	}
}
