package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sealedView is what a snapshot was when it was answered: its manifest and its files.
type sealedView struct {
	manifest string
	files    map[string]string
}

// TestSealedOutlivesItsMaker: what was answered with 201 is listed and can be downloaded from whatever node owns the
// cell next, byte for byte, and each node's directory is in order.
func TestSealedOutlivesItsMaker(t *testing.T) {
	if testing.Short() {
		t.Skip("owners are waited for, several times")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "2", "--checkpoint-every", "50ms", "--snapshot-at", "none")
	for _, d := range c.nodes {
		d.http.Timeout = 20 * time.Second // Nobody is paused, and a snapshot takes its time.
	}
	t.Cleanup(func() {
		for i, d := range c.nodes {
			if t.Failed() && d.run != nil {
				t.Logf("n%d said last:\n%s", i+1, lastLines(d.run.said(), 15))
			}
		}
	})
	sealed := map[string]sealedView{}
	add := func(body string) (id string) {
		t.Helper()
		a := c.anybody(len(sealed), "POST", "/v1/snapshots", body) // A closed connection says nothing: it is asked again.
		if a.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", body, a.status, a.body)
		}
		var m snapshotView
		a.into(t, &m)
		sealed[m.ID] = c.download(m.ID)
		return m.ID
	}
	create := func(i int, name string) {
		t.Helper()
		for _, call := range [][2]string{
			{"/v1/accounts", fmt.Sprintf(`{"account":%q,"kind":"enterprise"}`, name)},
			{"/v1/products", fmt.Sprintf(`{"product":%q,"account":%[1]q,"time_zone":%[2]q}`, name, noon())},
			{"/v1/products/" + name + "/lots", `{"order":"PO","quantity":10}`},
		} {
			c.make(0, call[0], call[1])
		}
		for k := range 2 {
			c.anybody(i, "POST", "/v1/events", line("connect", name, fmt.Sprint("d", k)))
		}
	}
	// The second account is in another cell, once it is known that the first cell has devices.
	create(0, "p0")
	await(t, "it is known that a cell has devices", func() bool {
		return strings.Contains(string(c.anybody(0, "GET", "/v1/cluster", "").body), `"devices":2,`)
	})
	other := ""
	for i := 1; i < 20 && other == ""; i++ {
		name := fmt.Sprint("p", i)
		create(i, name)
		if strings.HasPrefix(add(fmt.Sprintf(`{"account":%q}`, name)), "1-") {
			other = name
		}
	}
	if other == "" {
		t.Fatal("all accounts are in one cell")
	}
	seal := func() {
		t.Helper()
		for _, body := range []string{`{}`, fmt.Sprintf(`{"account":%q}`, other)} {
			add(body)
		}
	}
	check := func(when string) {
		t.Helper()
		for id, want := range sealed {
			got := c.download(id)
			if got.manifest != want.manifest {
				t.Fatalf("%s: %s is %s, and was %s", when, id, got.manifest, want.manifest)
			}
			for name, content := range want.files {
				if got.files[name] != content {
					t.Errorf("%s: %s of %s differs", when, name, id)
				}
			}
			a := c.anybody(2, "GET", "/v1/snapshots/"+id+"/devices.csv", "", "Range", "bytes=5-14")
			if a.status != http.StatusPartialContent || string(a.body) != want.files["devices.csv"][5:15] {
				t.Errorf("%s: a part of %s is %d %q", when, id, a.status, a.body)
			}
		}
		list := string(c.anybody(1, "GET", "/v1/snapshots?limit=1000", "").body)
		if n := strings.Count(list, `"sealed":true`); n < len(sealed) {
			t.Errorf("%s: %d snapshots are listed, %d were answered", when, n, len(sealed))
		}
	}
	add(`{"account":"p0"}`)
	seal()
	owner, _ := c.owner()
	owner.kill()
	check("the owner was killed")
	seal()
	owner.start() // What was sealed while it was away comes by itself.
	owner, _ = c.owner()
	owner.stop()
	check("the owner was told to end")
	seal()
	// A disk is emptied.
	if err := os.RemoveAll(filepath.Join(owner.data, "cells")); err != nil {
		t.Fatal(err)
	}
	owner.start()
	for _, d := range c.nodes {
		await(t, "the node has all sealed snapshots", func() bool { return d.hasSealed(sealed) })
	}
	for _, d := range c.nodes {
		d.kill()
	}
	for _, d := range c.nodes {
		d.launch()
	}
	for _, d := range c.nodes {
		if err := d.awaitReady(); err != nil {
			t.Fatal(err)
		}
	}
	check("all were killed")
	for _, d := range c.nodes {
		d.kill()
	}
	t.Run("verify", func(t *testing.T) {
		for i, d := range c.nodes {
			for _, cell := range []string{"00", "01"} {
				t.Run(fmt.Sprintf("n%d-%s", i+1, cell), func(t *testing.T) {
					t.Parallel()
					verify(t, filepath.Join(d.data, "cells", cell), 0, "no difference")
				})
			}
		}
	})
}

// hasSealed reports whether all snapshots lie in the node's cells. There may be others: of answers that were lost.
func (d *daemon) hasSealed(sealed map[string]sealedView) bool {
	for id := range sealed {
		found, _ := filepath.Glob(filepath.Join(d.data, "cells", "*", "snapshots", id)) // The pattern is in order.
		if len(found) == 0 {
			return false
		}
	}
	return true
}

// download returns a snapshot as some node shows it.
func (c *cluster) download(id string) sealedView {
	c.t.Helper()
	get := func(path string) string {
		a := c.anybody(0, "GET", "/v1/snapshots/"+id+path, "")
		if a.status != http.StatusOK {
			c.t.Fatalf("%s%s: %d %s", id, path, a.status, a.body)
		}
		return string(a.body)
	}
	v := sealedView{manifest: get(""), files: map[string]string{}}
	for _, name := range []string{"devices.csv", "devices.ndjson", "devices.parquet", "products.csv", "SHA256SUMS"} {
		v.files[name] = get("/" + name)
	}
	return v
}

// TestScheduleOverTakeOver: a day that ends while its owner is dead is sealed by the next one, once, and by nobody
// again, as the schedule's own tests show. It waits for a midnight: METERD_TEST_MIDNIGHT=1 has it run.
func TestScheduleOverTakeOver(t *testing.T) {
	if os.Getenv("METERD_TEST_MIDNIGHT") == "" {
		t.Skip("it waits for a midnight")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "1", "--snapshot-at", "daily")
	// One minute at least, for what comes before it.
	midnight := time.Now().UTC().Add(time.Minute).Truncate(time.Minute).Add(time.Minute)
	left := (24*60 - midnight.Hour()*60 - midnight.Minute()) % (24 * 60)
	for _, call := range [][2]string{
		{"/v1/accounts", `{"account":"p1","kind":"enterprise"}`},
		{
			"/v1/products",
			fmt.Sprintf(`{"product":"p1","account":"p1","time_zone":"+%02d:%02d"}`, left/60, left%60),
		},
	} {
		c.make(0, call[0], call[1])
	}
	made := func() int {
		return strings.Count(string(c.anybody(0, "GET", "/v1/snapshots", "").body), `"scheduled_day"`)
	}
	owner, _ := c.owner()
	owner.kill()
	if n := made(); n != 0 {
		t.Fatalf("%d snapshots before midnight", n)
	}
	<-time.After(time.Until(midnight)) // It may be longer than the patience of tests.
	await(t, "the day is sealed", func() bool { return made() == 1 })
}
