package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// buildOverlaid builds the daemon with other files in the place of some of its own, or of the library's: what a daemon
// reads by a call that nobody can answer for it, and bounds that no flag moves. replaced is by path.
func buildOverlaid(t *testing.T, path string, replaced map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{}
	for name, text := range replaced {
		at := filepath.Join(dir, fmt.Sprint(len(files), "-", filepath.Base(name)))
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files[name] = at
	}
	list, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the daemon: %v\n%s", err, out)
	}
}

// replaced returns a file's text with one part changed, which must be in it once.
func replaced(t *testing.T, path, old, with string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(b), old) != 1 {
		t.Fatalf("%s has not %q once", path, old)
	}
	return strings.Replace(string(b), old, with, 1)
}

// withFalseClock builds a daemon whose wall clock a test moves. Library and code read it by time.Now alone.
func withFalseClock(t *testing.T, path string) {
	t.Helper()
	library := filepath.Join(strings.TrimSpace(goEnv(t, "GOROOT")), "src", "time")
	clock, err := os.ReadFile(filepath.Join("testdata", "falseclock.go.txt"))
	if err != nil {
		t.Fatal(err)
	}
	const reads = "func Now() Time {\n\tsec, nsec, mono := "
	now := filepath.Join(library, "time.go")
	buildOverlaid(t, path, map[string]string{
		now:                                     replaced(t, now, reads+"runtimeNow()", reads+"falseNow()"),
		filepath.Join(library, "falseclock.go"): string(clock),
	})
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// follows fails unless a node answers, and owns nothing and has never tried to.
func (c *trial) follows(n *trioNode) {
	c.t.Helper()
	for _, asked := range c.nodes {
		for cell, owner := range c.owners(asked) {
			if owner == n.name || owner == "" {
				c.t.Errorf("%s says that %q owns cell %d", asked.name, owner, cell)
			}
		}
	}
	n.mu.Lock()
	said := n.earlier + n.run.said()
	n.mu.Unlock()
	if strings.Contains(said, "tries to own the cell") {
		c.t.Errorf("%s tried to own a cell:\n%s", n.name, n.said(time.Time{}))
	}
	for _, d := range c.load.devices[:c.cells] {
		if a, err := c.try(n, 10*time.Second, "GET", d.path(), ""); err != nil || a.status != http.StatusOK {
			c.t.Errorf("%s shows %s: %d %s %v", n.name, d, a.status, a.body, err)
		}
	}
}

// within fails if a decided time is not one of the true clock.
func (c *trial) within(began time.Time) {
	c.t.Helper()
	for cell, s := range c.whole(c.cells) {
		if s.from.Before(began.Add(-time.Second)) || s.to.After(time.Now().Add(time.Second)) {
			c.t.Errorf("cell %d: times from %v to %v were decided", cell, s.from, s.to)
		}
	}
}

// TestFalseClock: a node whose clock is off follows and answers and takes over nothing that another node can have, and
// beyond an hour nothing at all unless an administrator confirms its clock; the clock of an owner that leaps changes no
// decided time. METERD_TEST_FALSE_CLOCK is the path where its daemon is built.
func TestFalseClock(t *testing.T) {
	program := os.Getenv("METERD_TEST_FALSE_CLOCK")
	if program == "" || runtime.GOOS != "linux" {
		t.Skip("METERD_TEST_FALSE_CLOCK is not set: it builds the library anew, and takes minutes")
	}
	withFalseClock(t, program)
	for _, off := range []time.Duration{
		3 * time.Second, -3 * time.Second, 5 * time.Minute, 2 * time.Hour, -2 * time.Hour, 5 * time.Hour,
	} {
		t.Run("one is off by "+off.String(), func(t *testing.T) { oneIsOff(t, program, off) })
	}
	t.Run("the owner restarts two hours ahead", func(t *testing.T) { restartsOff(t, program) })
	t.Run("all are off", func(t *testing.T) { allAreOff(t, program) })
	t.Run("all are far off", func(t *testing.T) { allAreFarOff(t, program) })
	for _, off := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		t.Run("the owners' leaps by "+off.String(), func(t *testing.T) { ownersLeap(t, program, off) })
	}
}

func oneIsOff(t *testing.T, program string, off time.Duration) {
	began := time.Now()
	c := newTrial(t, program, 3, [3]time.Duration{2: off})
	for range 2 {
		owner := c.owner()
		c.under(owner.name+", the owner of cell 0, killed", func() {
			c.follows(c.n3)
			c.killed(owner)
			c.follows(c.n3)
		})
	}
	c.asks(c.n1, http.StatusConflict, "/v1/cluster/cells/0/move", `{"node":"n3"}`, "not fit")
	if off.Abs() <= time.Hour {
		c.within(began)
		return
	}
	c.asks(c.n3, http.StatusNoContent, "/v1/clock/confirm", "", "")
	c.under("moved to the node whose clock was confirmed", func() { c.moves(c.n3) })
	c.under("that node killed", func() {
		c.kill(c.n3)
		if off > 0 { // What it decided is ahead of the other nodes' clocks.
			c.refuses(c.n1)
			c.refuses(c.n2)
			c.asks(c.n1, http.StatusNoContent, "/v1/clock/confirm", "", "")
		}
		c.load.answered(100)
		c.start(c.n3)
		await(t, "n3 is back, and all follow", c.isSettled)
	})
	for cell, s := range c.whole(c.cells) {
		if late := time.Until(s.to); late > max(0, off)+time.Second || off > 0 && late < off-10*time.Minute {
			t.Errorf("cell %d: the last time that was decided is %v ahead", cell, late)
		}
	}
}

// restartsOff: whoever was the last to own a cell waits for no silence, and still asks first what time it is.
func restartsOff(t *testing.T, program string) {
	began := time.Now()
	c := newTrial(t, program, 1, [3]time.Duration{})
	c.moves(c.n1)
	c.under("the owner restarts two hours ahead", func() {
		c.kill(c.n1)
		c.setClock(c.n1, 2*time.Hour)
		c.start(c.n1)
		c.load.answered(100)
		await(t, "all follow", c.isSettled)
		c.hasNone(c.n1)
	})
	c.within(began)
}

// refuses waits until a node says that its clock keeps it from owning a cell.
func (c *trial) refuses(n *trioNode) {
	c.t.Helper()
	await(c.t, n.name+" refuses to own a cell", func() bool {
		said := n.run.said() // Its own clock stands before each line.
		return strings.Contains(said, "this node does not take it over") && strings.Contains(said, "this node's clock is off")
	})
}

// allAreOff: with no better clock one within the hour is good enough.
func allAreOff(t *testing.T, program string) {
	c := newTrial(t, program, 3, [3]time.Duration{0, 3 * time.Second, -3 * time.Second})
	c.moves(c.n1)
	c.under("n1 killed, n2 and n3 are 6 s apart", func() { c.killed(c.n1) })
	c.whole(c.cells)
}

// allAreFarOff: beyond an hour there is none without an administrator.
func allAreFarOff(t *testing.T, program string) {
	c := newTrial(t, program, 1, [3]time.Duration{})
	c.moves(c.n1)
	c.setClock(c.n2, 2*time.Hour)
	c.setClock(c.n3, -2*time.Hour)
	c.under("n1 killed, n2 and n3 are four hours apart", func() {
		c.kill(c.n1)
		c.refuses(c.n2)
		c.refuses(c.n3)
		c.asks(c.n3, http.StatusNoContent, "/v1/clock/confirm", "", "")
		c.load.answered(100)
		for cell, owner := range c.owners(c.n3) {
			if owner != "n3" {
				t.Errorf("%q owns cell %d: n3 alone may", owner, cell)
			}
		}
		c.start(c.n1)
		await(t, "n1 is back, and all follow", c.isSettled)
	})
	c.whole(c.cells)
}

// ownersLeap: an owner's clock that leaps ahead stops its events until it is right again, or another node has the cell;
// one that goes back stops nothing.
func ownersLeap(t *testing.T, program string, off time.Duration) {
	began := time.Now()
	c := newTrial(t, program, 1, [3]time.Duration{})
	c.moves(c.n1)
	c.under("the owner's clock leaps", func() {
		c.setClock(c.n1, off)
		if off > 0 {
			a, err := c.try(c.n2, 10*time.Second, "POST", "/v1/events", line("up", c.names[0], c.load.devices[0].device))
			if err != nil || a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "clock_leap") {
				t.Errorf("an event is answered %d %s: %v", a.status, a.body, err)
			}
			a, err = c.try(c.n2, 10*time.Second, "GET", c.load.devices[0].path(), "")
			if err != nil || a.status != http.StatusOK {
				t.Errorf("a reading is answered %d %s: %v", a.status, a.body, err)
			}
		} else {
			c.load.answered(100)
		}
		c.moves(c.n2)
	})
	c.under("the node that was deposed killed", func() { c.killed(c.n1) })
	c.under("the owner killed beside it", func() {
		c.killed(c.n2)
		c.hasNone(c.n1)
	})
	c.within(began)
}

// hasNone fails if a node owns a cell.
func (c *trial) hasNone(n *trioNode) {
	c.t.Helper()
	for cell, owner := range c.owners(c.n3) {
		if owner == n.name {
			c.t.Errorf("%s owns cell %d", n.name, cell)
		}
	}
}
