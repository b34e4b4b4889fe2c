package main_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLogMaxBytes: above --log-max-bytes the oldest events go before their time. The daemon says so in its log, in
// /metrics, in /readyz and in the answers about the log; what it says to be there is there, also after a kill -9, and
// what was counted stays counted (R18).
func TestLogMaxBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the archive to be written several times")
	}
	t.Parallel()
	const most = 1 << 20
	// Rows are archived within seconds, and what went early is not over before the test is, on a slow machine either.
	d := newDaemon(t, "--log-retention", "7m", "--log-max-bytes", fmt.Sprint(most))
	d.withProduct("p1", `{"messages_per_day":null}`)
	d.batch(line("connect", "p1", "d1"))
	dice := rand.NewChaCha8([32]byte{3})
	payload := make([]byte, 60<<10)
	sent := 1
	number := func(metric string) float64 {
		t.Helper()
		n, err := strconv.ParseFloat(d.metric(metric), 64)
		if err != nil {
			t.Fatalf("%s: %v", metric, err)
		}
		return n
	}
	send := func() {
		_, _ = dice.Read(payload)
		d.batch(fmt.Sprintf(`{"type":"up","product":"p1","device":"d1","topic":"%d","payload_base64":"%s"}`, sent,
			base64.StdEncoding.EncodeToString(payload)))
		sent++
	}
	await(t, "events went before their time", func() bool {
		send()
		return number("meterd_log_dropped_early_events_total") > 50
	})
	proves := func(stage string) {
		t.Helper()
		a := d.ask("GET", "/v1/products/p1/devices/d1/logs", "", "Accept", asNDJSON)
		begins, err := time.Parse(time.RFC3339, a.header.Get("Meterd-Available-From"))
		if err != nil {
			t.Fatalf("%s: the answer does not say where the log begins: %v", stage, err)
		}
		list := d.logs("p1", "d1")
		if len(list) == 0 || len(list) >= sent {
			t.Fatalf("%s: %d of %d events are there", stage, len(list), sent)
		}
		for i, e := range list { // Newest first, and none between is missing.
			if e.Topic == nil || *e.Topic != fmt.Sprint(sent-1-i) {
				t.Fatalf("%s: entry %d is %+v", stage, i, e)
			}
		}
		if at := list[len(list)-1].DecidedAt; at.Before(begins) {
			t.Errorf("%s: an event of %s is there, and the log is said to begin at %s", stage, at, begins)
		}
		if from := number("meterd_log_available_from_timestamp_seconds"); int64(from) != begins.Unix() {
			t.Errorf("%s: the metric says %f, the answer %s", stage, from, begins)
		}
		await(t, "/readyz says where the archive begins", func() bool {
			return strings.Contains(string(d.ask("GET", "/readyz?verbose", "").body), "begins at "+begins.Format("2006-01-02"))
		})
		if v := d.device("p1", "d1"); v.Messages.Up != uint64(sent-1) {
			t.Errorf("%s: %d of %d messages are counted", stage, v.Messages.Up, sent-1)
		}
		if got := d.ask("GET", "/v1/products/p1/devices/d1/logs?from="+begins.Format(time.RFC3339Nano), "").header.
			Get("Meterd-Available-From"); got != "" {
			t.Errorf("%s: nothing that was asked for is missing, and the answer says %s", stage, got)
		}
	}
	isArchived := func() bool {
		return number(`meterd_view_lag_seconds{view="archive"}`) == 0 && number("meterd_archive_memory_events") == 0 &&
			number("meterd_archive_bytes") <= most
	}
	await(t, "all is archived, and small enough", isArchived)
	for range 3 { // A fast machine may have had all of it in one directory, which went. These fit.
		send()
	}
	await(t, "they are archived", isArchived)
	await(t, "the log tells of it", func() bool { return strings.Contains(d.run.said(), "before their time") })
	want(t, d.run.said(), "bytes_max=1048576", "decided_to=")
	proves("before")
	d.kill()
	d.start()
	proves("after kill -9")
	if strings.Contains(d.run.said(), "damaged") {
		t.Error(d.run.said())
	}
}
