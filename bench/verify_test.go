package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// activated returns a run against f whose devices are connected and were sent some messages; what f says of them was
// found right.
func activated(t *testing.T, o Options) *run {
	t.Helper()
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	target, err := openTarget(t.Context(), &o)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{o: &o, target: target, report: newReport(Machine{}, &o)}
	if err := activate(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// some sends three batches of each format on each of two connections.
func some(t *testing.T, r *run) {
	t.Helper()
	for _, format := range formats {
		c := Case{Format: format, Batch: 200, Connections: 2}
		sources, begins := r.target.sources(r.target.main.devices, c, r.target.main.encoder(c))
		for i := range sources {
			sources[i] = &ending{source: sources[i], left: 3}
		}
		o, _, err := r.load(t.Context(), &job{what: "some", c: c, fleet: r.target.main, sources: sources})
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range o.each {
			r.target.main.stage.tally.add(begins[i], n)
		}
		r.target.main.settle()
	}
}

// ending is a source that ends.
type ending struct {
	source
	left int
}

func (e *ending) fill(dst []byte) ([]byte, int) {
	if e.left--; e.left < 0 {
		return dst, 0
	}
	return e.source.fill(dst)
}

func TestVerifyAgrees(t *testing.T) {
	f, o := startFake(t)
	r := activated(t, o)
	some(t, r)
	check, err := r.target.verify(t.Context(), r.target.main)
	if err != nil {
		t.Fatal(err)
	}
	want := Check{Sent: 2700, Accepted: 2700, Logged: 2700, LicensesUsed: 300, DevicesCompared: 50, DeviceLogsCompared: 1}
	if *check != want {
		t.Errorf("%+v, want %+v", *check, want)
	}
	for _, want := range []string{
		`/v1/accounts {"account":"p1","kind":"enterprise"}`, `"messages_per_day":null`,
		`/v1/products/p1/lots {"order":"bench","quantity":300}`,
	} {
		if !strings.Contains(f.createdText(), want) {
			t.Errorf("%s was not asked for:\n%s", want, f.createdText())
		}
	}
	if result := r.report.Results[0]; result.Scenario != "activate" || result.Events != 300 || result.Batches != 1 ||
		result.Check.LicensesUsed != 300 {
		t.Errorf("%+v", result)
	}
}

// TestVerifyFindsEachDifference: a difference of one anywhere is found.
func TestVerifyFindsEachDifference(t *testing.T) {
	lies := map[string]struct {
		tell func(*fake)
		want string
	}{
		"one event more":    {func(f *fake) { f.lieAccepted = 1 }, "the daemon counts 2701 accepted"},
		"one row less":      {func(f *fake) { f.lieLogged-- }, "2699 rows logged"},
		"one denied":        {func(f *fake) { f.lieDenied = 1 }, "1 denied"},
		"a licence more":    {func(f *fake) { f.lieUsed = 1 }, "301 licences used"},
		"an up more":        {func(f *fake) { f.lieUp = 1 }, "its view says"},
		"a down less":       {func(f *fake) { f.lieDown-- }, "its view says"},
		"up taken for down": {func(f *fake) { f.lieUp, f.lieDown = 1, ^uint64(0) }, "its view says"},
		"a logged row more": {func(f *fake) { f.lieLog = 1 }, "its log has"},
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			f, o := startFake(t)
			r := activated(t, o)
			some(t, r)
			f.mu.Lock()
			lie.tell(f)
			f.mu.Unlock()
			if _, err := r.target.verify(t.Context(), r.target.main); err == nil || !strings.Contains(err.Error(), lie.want) {
				t.Fatalf("%v, want %q", err, lie.want)
			}
		})
	}
}

// TestDenialEndsTheRun: a figure with a denial in it is no headline.
func TestDenialEndsTheRun(t *testing.T) {
	f, o := startFake(t)
	f.refuse = true
	o.Scenarios = []string{"activate"}
	report, err := Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "license_exhausted") {
		t.Fatalf("%v", err)
	}
	if len(report.Results) != 0 {
		t.Fatalf("a failed run has a result: %+v", report.Results[0])
	}
}

func TestRestartNeedsItsOwnDaemon(t *testing.T) {
	_, o := startFake(t)
	o.Scenarios = []string{"restart"}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "of our own") {
		t.Fatalf("%v", err)
	}
}

func TestLogSinceAnInstant(t *testing.T) {
	f, o := startFake(t)
	f.rows["d"] = []fakeRow{
		{Type: "connect", DecidedAt: time.Now().Add(-time.Hour)},
		{Type: "connect", DecidedAt: time.Now()},
		{Type: "up", DecidedAt: time.Now()},
	}
	a, err := newAdmin(strings.TrimPrefix(o.URL, "http://"), "secret")
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for row, err := range a.log(t.Context(), "p1", "d", time.Now().Add(-time.Minute)) {
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, row.Type)
	}
	if !slices.Equal(types, []string{"connect", "up"}) {
		t.Fatal(types)
	}
}

// TestLoadEndsWhenTold: callers that would never end are stopped by the end of the context, and the run says why.
func TestLoadEndsWhenTold(t *testing.T) {
	_, o := startFake(t)
	r := activated(t, o)
	c := Case{Format: FormatNDJSON, Batch: 10, Connections: 3}
	sources, _ := r.target.sources(r.target.main.devices, c, r.target.main.encoder(c))
	ctx, cancel := context.WithCancelCause(t.Context())
	sources[0] = &calling{source: sources[0], call: func() { cancel(errEnough) }}
	if _, _, err := r.load(
		ctx,
		&job{what: "endless", c: c, fleet: r.target.main, sources: sources, warmup: time.Hour, duration: time.Hour},
	); err == nil ||
		!strings.Contains(err.Error(), errEnough.Error()) {
		t.Fatalf("%v", err)
	}
}

// calling is a source that calls before its first batch.
type calling struct {
	source
	call func()
}

func (c *calling) fill(dst []byte) ([]byte, int) {
	c.call()
	return c.source.fill(dst)
}

var errEnough = errors.New("that is enough")
