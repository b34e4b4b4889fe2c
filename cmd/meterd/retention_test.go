package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRetention: with --log-retention 10s reading ends ten seconds after each event, to the second; the segments
// that held it are gone from the disk soon after; what was counted stays counted, also over a restart (R18).
func TestRetention(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for ten seconds to pass twice")
	}
	t.Parallel()
	const keep = 10 * time.Second
	d := newDaemon(t, "--log-retention", "10s", "--checkpoint-every", "1s")
	d.withProduct("p1", `{"messages_per_day":1000}`)
	if p := d.product("p1"); p.Plan.LogDays != nil {
		t.Errorf("log_days is %d, and the retention under a day", *p.Plan.LogDays)
	}
	payload := make([]byte, 100<<10)
	dice := rand.NewChaCha8([32]byte{2})
	// send returns between which instants a device's two events were decided.
	send := func(device string) (decided [2]time.Time) {
		_, _ = dice.Read(payload)
		body := fmt.Sprintf(
			`{"type":"up","product":"p1","device":%q,"payload_base64":"%s"}`,
			device,
			base64.StdEncoding.EncodeToString(payload),
		)
		decided[0] = time.Now().Truncate(time.Millisecond) // As the log has it.
		d.batch(line("connect", "p1", device), body)
		decided[1] = time.Now()
		return decided
	}
	began := d.segments()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	decided := map[string][2]time.Time{"d0": send("d0")}
	beginning := decided["d0"][0]
	looks, absent := 0, 0
	// An event every two seconds for a while; each is looked for until it must be gone.
	for sent := 1; sent < 5 || len(decided) > 0; {
		<-tick.C
		if sent < 5 && time.Since(beginning) > time.Duration(2*sent)*time.Second {
			device := fmt.Sprintf("d%d", sent)
			decided[device] = send(device)
			sent++
		}
		for _, device := range sortedKeys(decided) {
			at := decided[device]
			asked := time.Now()
			got := len(d.logs("p1", device))
			answered := time.Now()
			looks++
			// Between the two instants both are right.
			if answered.Before(at[0].Add(keep)) && got != 2 {
				t.Fatalf("%s: %d of 2 entries can be read %s after they were sent", device, got, answered.Sub(at[0]))
			}
			if asked.After(at[1].Add(keep+time.Second)) && got != 0 {
				t.Fatalf("%s: %d entries can be read %s after they were decided", device, got, asked.Sub(at[1]))
			}
			if got == 0 {
				delete(decided, device)
				absent++
			}
		}
	}
	await(
		t,
		"the first segment is gone",
		func() bool { return !strings.Contains(d.segments(), strings.TrimSpace(began)) },
	)
	await(
		t,
		"the payloads are gone from the disk",
		func() bool { return !onDisk(t, filepath.Join(d.data, "log"), payload[:64]) },
	)
	gone := time.Since(beginning)
	for range 2 {
		for i := range 5 {
			if v := d.device("p1", fmt.Sprintf("d%d", i)); v.Messages.Up != 1 || v.State != "active" {
				t.Errorf("d%d: %s %+v", i, v.State, v.Messages)
			}
		}
		if n := len(pages[licenseView](d, "/v1/products/p1/licenses", "licenses")); n != 5 {
			t.Errorf("%d licences", n)
		}
		d.restart()
	}
	t.Logf(
		"%d looks at logs, %d ended in time; all segments of the payloads were gone %.1f s after the first event",
		looks,
		absent,
		gone.Seconds(),
	)
}

// onDisk reports whether a file below dir holds some bytes.
func onDisk(t *testing.T, dir string, what []byte) (found bool) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // It may go while we look.
		}
		data, err := os.ReadFile(path)
		found = found || err == nil && bytes.Contains(data, what)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
