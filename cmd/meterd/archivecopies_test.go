package main_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tablesBelow returns the hashes of the archive's tables in a cell's directory; none while directories come and go.
func tablesBelow(t *testing.T, cell string) map[[32]byte]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(cell, "archive", "*[0-9]", "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[[32]byte]bool{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil
		}
		list[sha256.Sum256(b)] = true
	}
	return list
}

// A standby has its owner's archive and writes none. It takes over with it, the other one takes on what it writes, and
// every log has what was answered. METERD_TEST_COPIES has this and TestStandbysErase run: runs of the archive are
// waited for.
func TestStandbysCopyTheArchive(t *testing.T) {
	if os.Getenv("METERD_TEST_COPIES") == "" {
		t.Skip("METERD_TEST_COPIES is not set")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "1", "--checkpoint-every", "50ms", "--log-retention", "14m")
	c.tenDevices()
	counted := map[string]int{}
	for range 2 {
		c.under(t, "the archive is copied", counted, func(answered func(int64)) {
			owner, _ := c.owner()
			for _, d := range c.nodes {
				await(t, "the standbys have a table of the owner's, and no other", func() bool {
					has, own := tablesBelow(t, filepath.Join(d.data, "cells", "00")),
						tablesBelow(t, filepath.Join(owner.data, "cells", "00"))
					for sum := range has {
						if !own[sum] {
							return false
						}
					}
					return len(has) > 0
				})
			}
			if !slices.ContainsFunc(c.nodes, func(d *daemon) bool {
				bytes, err := strconv.ParseFloat(d.metric(`meterd_cluster_archive_copied_bytes_total{cell="0"}`), 64)
				return d != owner && err == nil && bytes > 0
			}) {
				t.Error("no standby says that it has copied anything")
			}
			owner.kill()
			answered(20)
			owner.start()
		})
	}
	for _, d := range c.nodes {
		d.stop()
		verify(t, filepath.Join(d.data, "cells", "00"), 0, "no difference")
		if said := d.run.said(); strings.Contains(said, "the archive is not copied") {
			t.Error(said)
		}
	}
}

// What is erased leaves the disks of all nodes, and nothing else does: where the archive was copied, too.
func TestStandbysErase(t *testing.T) {
	if os.Getenv("METERD_TEST_COPIES") == "" {
		t.Skip("METERD_TEST_COPIES is not set")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "1", "--checkpoint-every", "300ms", "--erase-within", "8s", "--log-retention", "14m")
	c.tenDevices()
	random := rand.NewChaCha8([32]byte{7})
	secrets := make([][]byte, 2)
	for i := range secrets {
		secrets[i] = make([]byte, 2064) // What does not compress lies in the files as it is.
		_, _ = random.Read(secrets[i])
		c.anybody(0, "POST", "/v1/events", fmt.Sprintf(`{"type":"up","product":"p1","device":"d%d","payload_base64":"%s"}`,
			i, base64.StdEncoding.EncodeToString(secrets[i])))
	}
	everywhere := func(what string, is func(archive, cell string) bool) {
		t.Helper()
		await(t, what, func() bool {
			for _, d := range c.nodes {
				cell := filepath.Join(d.data, "cells", "00")
				if !is(filepath.Join(cell, "archive"), cell) {
					return false
				}
			}
			return true
		})
	}
	everywhere("all have it in their archives", func(archive, _ string) bool {
		return onDisk(t, archive, secrets[0][:64]) && onDisk(t, archive, secrets[1][:64])
	})
	c.anybody(0, "DELETE", "/v1/products/p1/devices/d0/logs", "")
	everywhere("it is off all disks", func(_, cell string) bool { return !onDisk(t, cell, secrets[0][:64]) })
	everywhere("its neighbour's is there", func(archive, _ string) bool { return onDisk(t, archive, secrets[1][:64]) })
	for _, d := range c.nodes {
		d.stop()
		verify(t, filepath.Join(d.data, "cells", "00"), 0, "no difference")
	}
}
