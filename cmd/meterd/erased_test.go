package main_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestErasedLog: what a device has said is read by nobody from the answer on, and is off the disk soon after, also when
// the daemon is killed at every step of that. Its neighbour's payloads, and what it says later, stay.
func TestErasedLog(t *testing.T) {
	if testing.Short() {
		t.Skip("it restarts a daemon many times")
	}
	t.Parallel()
	d := newDaemon(t, "--erase-within", "2s", "--checkpoint-every", "300ms")
	d.withProduct("p1", `{}`)
	random := rand.NewChaCha8([32]byte{7})
	secrets := map[string][]byte{}
	say := func(device string) {
		if secrets[device] == nil {
			secrets[device] = make([]byte, 64)
			_, _ = random.Read(secrets[device])
		}
		filler := make([]byte, 2000) // What does not compress lies in the files as it is.
		_, _ = random.Read(filler)
		d.batch(fmt.Sprintf(`{"type":"up","product":"p1","device":%q,"topic":"t","payload_base64":"%s"}`,
			device, base64.StdEncoding.EncodeToString(append(secrets[device], filler...))))
	}
	d.batch(line("connect", "p1", "d1"), line("connect", "p1", "d2"))
	for range 5 {
		say("d1")
		say("d2")
	}
	d.restart()
	say("d1")
	say("d2")
	// shown counts the entries of a device that show a payload, and those that show a topic.
	shown := func(device string) (payloads, topics int) {
		for _, e := range d.logs("p1", device) {
			if e.Type == "up" && e.Size != 2064 || e.Verdict != "accepted" {
				t.Errorf("%s: %+v", device, e)
			}
			if len(e.PayloadBase64) > 0 {
				payloads++
			}
			if e.Topic != nil {
				topics++
			}
		}
		return payloads, topics
	}
	// Else a search proves nothing. What moves from file to file may be missed by one look; what is gone by all.
	await(t, "the payloads are found on the disk", func() bool {
		return onDisk(t, d.data, secrets["d1"]) && onDisk(t, d.data, secrets["d2"])
	})
	var until struct {
		ErasedUntil time.Time `json:"erased_until"`
	}
	d.ask("DELETE", "/v1/products/p1/devices/d1/logs", "").into(t, &until)
	if since := time.Since(until.ErasedUntil); since < 0 || since > time.Hour {
		t.Errorf("erased until %s", until.ErasedUntil)
	}
	check := func(when string) {
		t.Helper()
		if p, topics := shown("d1"); p+topics != 0 {
			t.Errorf("%s: %d payloads and %d topics are shown", when, p, topics)
		}
		if p, topics := shown("d2"); p != 6 || topics != 6 {
			t.Errorf("%s: the neighbour has %d payloads and %d topics", when, p, topics)
		}
	}
	check("at once")
	dice := rand.New(rand.NewPCG(3, 4))
	for range 8 { // At whatever step it is.
		<-time.After(time.Duration(dice.IntN(600)) * time.Millisecond)
		d.kill()
		d.start()
		check("killed")
	}
	await(t, "the payloads are off the disk", func() bool { return !onDisk(t, d.data, secrets["d1"]) })
	await(t, "nothing is pending", func() bool { return d.metric("meterd_log_erasures_pending") == "0" })
	await(t, "the neighbour's payloads are on the disk", func() bool { return onDisk(t, d.data, secrets["d2"]) })
	check("off the disk")
	say("d1")
	if p, topics := shown("d1"); p != 1 || topics != 1 {
		t.Errorf("of what it says later %d payloads and %d topics are shown", p, topics)
	}
	d.stop()
}
