package main_test

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFailoverDrain: a node that was told to end and drains goes on with the cells that it owns, says no at /readyz,
// and gets no other cell, neither by an operator nor when an owner dies; when it is told again it hands over what it
// has. METERD_TEST_DRAIN is for it.
func TestFailoverDrain(t *testing.T) {
	if os.Getenv("METERD_TEST_DRAIN") == "" {
		t.Skip("METERD_TEST_DRAIN is not set: it takes a minute")
	}
	c := newTrial(t, program, 3, [3]time.Duration{}, "METERD_DRAIN=1h")
	await(t, "each node owns a cell", func() bool { return strings.Join(c.owners(c.n2), " ") == "n1 n2 n3" })
	c.under("n1 drains, and n3 dies", func() {
		c.signal(c.n1, syscall.SIGTERM)
		await(t, "/readyz says no", func() bool {
			a, err := c.try(c.n1, 5*time.Second, "GET", "/readyz", "")
			return err == nil && a.status == http.StatusServiceUnavailable
		})
		await(t, "n2 knows", func() bool {
			a, err := c.try(c.n2, 5*time.Second, "GET", "/v1/cluster", "")
			return err == nil && strings.Contains(string(a.body), `"state":"leaving"`)
		})
		c.asks(c.n2, http.StatusConflict, "/v1/cluster/cells/1/move", `{"node":"n1"}`, "is leaving")
		c.load.answered(100)
		c.kill(c.n3) // n1 is the next in its line.
		await(t, "n2 owns what n3 owned, and n1 what it did", func() bool {
			got := strings.Join(c.owners(c.n2), " ")
			if got == "n1 n2 n1" {
				t.Fatalf("n1 has taken a cell over:\n%s", c.n1.said(time.Time{}))
			}
			return got == "n1 n2 n2"
		})
		c.load.answered(100)
		c.start(c.n3)
	})
	c.under("n1 ends, and hands its cell over", func() {
		c.n1.mu.Lock()
		r := c.n1.run
		c.n1.mu.Unlock()
		c.signal(c.n1, syscall.SIGTERM)
		await(t, "n1 ends", func() bool {
			select {
			case <-r.exited:
				return true
			default:
				return false
			}
		})
		if code := r.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("n1 ended with %d:\n%s", code, r.said())
		}
	})
	await(t, "n1 is back, and all follow", c.isSettled)
	c.whole(3)
}
