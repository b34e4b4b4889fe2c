package main_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// What is erased leaves the files of NATS of a cell that nobody asks for anything, also when its owner is killed
// meanwhile; it is counted until then, and as long as a node is away. Like TestStandbysErase it wants
// METERD_TEST_COPIES.
func TestErasedLeavesNATS(t *testing.T) {
	if os.Getenv("METERD_TEST_COPIES") == "" {
		t.Skip("METERD_TEST_COPIES is not set")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "1", "--checkpoint-every", "300ms", "--erase-within", "8s", "--log-retention", "14m")
	c.tenDevices()
	random := rand.NewChaCha8([32]byte{9})
	say := func(device string) (marker []byte) {
		payload := make([]byte, 2064) // What does not compress lies in the files as it is.
		_, _ = random.Read(payload)
		c.anybody(0, "POST", "/v1/events", fmt.Sprintf(`{"type":"up","product":"p1","device":%q,"payload_base64":"%s"}`,
			device, base64.StdEncoding.EncodeToString(payload)))
		return payload[:64]
	}
	all := func(what string, is func(d *daemon) bool) {
		t.Helper()
		await(t, what, func() bool {
			for _, d := range c.nodes {
				if !is(d) {
					return false
				}
			}
			return true
		})
	}
	inNATS := func(marker []byte) func(d *daemon) bool {
		return func(d *daemon) bool { return onDisk(t, filepath.Join(d.data, "nats"), marker) }
	}
	gone := func(marker []byte) func(d *daemon) bool {
		return func(d *daemon) bool { return !onDisk(t, d.data, marker) }
	}
	const pending = `meterd_cluster_erasures_pending{cell="0"}`
	none := func(d *daemon) bool { return d.metric(pending) == "0" }

	first, neighbour := say("d0"), say("d1")
	all("NATS has it in its files", inNATS(first))
	c.anybody(0, "DELETE", "/v1/products/p1/devices/d0/logs", "")
	owner, _ := c.owner()
	if n := owner.metric(pending); n != "1" {
		t.Errorf("%s devices are pending at once", n)
	}
	all("it is off all disks", gone(first))
	all("and nobody counts it any more", none)
	for _, d := range c.nodes {
		d.kill()
		d.start()
		if !gone(first)(d) {
			t.Error("it came back with a restart")
		}
	}
	all("what is done is known behind a restart", none)

	second := say("d0")
	all("NATS has what came then", inNATS(second))
	owner, _ = c.owner()
	away := c.nodes[0]
	if away == owner {
		away = c.nodes[1]
	}
	away.kill()
	c.anybody(0, "DELETE", "/v1/products/p1/devices/d0/logs", "")
	cell := filepath.Join(owner.data, "cells", "00")
	await(t, "the owner's own files are without it", func() bool { return !onDisk(t, cell, second) })
	if n := owner.metric(pending); n != "1" {
		t.Errorf("%s devices are pending while a node is away", n)
	}
	owner.kill() // Its successor knows nothing of what it has begun.
	owner.start()
	away.start()
	all("it is off all disks, that of the node that was away too", gone(second))
	all("and nobody counts it any more, then", none)
	all("the neighbour's is there", func(d *daemon) bool {
		return onDisk(t, filepath.Join(d.data, "cells", "00", "archive"), neighbour)
	})
	for _, d := range c.nodes {
		d.stop()
		if !gone(first)(d) || !gone(second)(d) {
			t.Error("it came back with the end")
		}
		verify(t, filepath.Join(d.data, "cells", "00"), 0, "no difference")
	}
}
