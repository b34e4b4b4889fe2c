package main_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A cluster of several cells answers people through any node as one daemon would, before and after an owner died.
func TestSeveralCells(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes with three cells are waited for")
	}
	t.Parallel()
	const accounts = 6
	c := newCluster(t, "--cells", "3")
	var want []string
	for i := range accounts {
		account := fmt.Sprintf("acme%d", i)
		c.make(i, "/v1/accounts", fmt.Sprintf(`{"account":%q,"kind":"enterprise"}`, account))
		product := fmt.Sprintf(`{"product":"p%d","account":%q,"time_zone":"Asia/Kathmandu"}`, i, account)
		c.make(i+1, "/v1/products", product)
		want = append(want, account)
	}
	var lines []string
	for i := range accounts {
		for _, device := range []string{"a", "b"} {
			product := fmt.Sprintf("p%d", i)
			lines = append(lines, line("connect", product, device))
			lines = append(lines, repeat(i+1, line("up", product, device))...)
		}
	}
	lines = append(lines, line("up", "nobody", "a"))
	sequenced := []string{"Content-Type", asNDJSON, "Meterd-Producer", "gw", "Meterd-Sequence", "1"}
	batch := strings.Join(lines, "\n")
	first := c.anybody(0, "POST", "/v1/events", batch, sequenced...)
	if codes, err := first.verdicts(len(lines)); err != nil || codes[len(codes)-1] != "unknown_product" ||
		slices.ContainsFunc(codes[:len(codes)-1], func(code string) bool { return code != "accepted" }) {
		t.Fatalf("%d %s, %v", first.status, first.body, err)
	}
	c.lookAround(want, first, batch, sequenced)

	// The owner of the last cell dies: the others take over, and everything is as before.
	var m []string
	await(t, "somebody owns cell 2", func() bool { // It may be on its way to the node that is first in line.
		verbose := c.anybody(0, "GET", "/readyz?verbose", "").body
		m = regexp.MustCompile(`cell 2: owned by n(\d) `).FindStringSubmatch(string(verbose))
		return m != nil
	})
	c.nodes[m[1][0]-'1'].kill()
	c.lookAround(want, first, batch, sequenced)
}

// lookAround compares what all nodes that live say.
func (c *cluster) lookAround(accounts []string, first answer, batch string, sequenced []string) {
	c.t.Helper()
	for i := range c.nodes {
		again := c.anybody(i, "POST", "/v1/events", batch, sequenced...)
		if string(again.body) != string(first.body) || again.header.Get("Meterd-Replayed") != "true" {
			c.t.Errorf("sent again: %s, first %s", again.body, first.body)
		}
		var got []string
		cursor := ""
		for {
			var page struct {
				Accounts []struct{ Account string }
				Next     *string
			}
			c.anybody(i, "GET", "/v1/accounts?limit=4"+cursor, "").into(c.t, &page)
			for _, a := range page.Accounts {
				got = append(got, a.Account)
			}
			if page.Next == nil {
				break
			}
			cursor = "&cursor=" + *page.Next
		}
		if !slices.Equal(got, accounts) {
			c.t.Errorf("accounts: %v, want %v", got, accounts)
		}
		var audit struct {
			Entries []struct {
				At             time.Time
				Action, Target string
			}
		}
		c.anybody(i, "GET", "/v1/audit?limit=1000", "").into(c.t, &audit)
		created := 0
		for j, e := range audit.Entries {
			if j > 0 && e.At.After(audit.Entries[j-1].At) {
				c.t.Errorf("the audit log has %v behind %v", e, audit.Entries[j-1])
			}
			if e.Action == "product.create" {
				created++
			}
		}
		if created != len(accounts) {
			c.t.Errorf("%d products stand in the audit log", created)
		}
	}
	c.checkWhole()
}

// checkWhole makes a snapshot of all accounts, whose rows add up to what usage says.
func (c *cluster) checkWhole() {
	c.t.Helper()
	var m snapshotView
	c.anybody(1, "POST", "/v1/snapshots", `{}`).into(c.t, &m)
	devices, used := 0, map[string]int{}
	rows := c.anybody(2, "GET", "/v1/snapshots/"+m.ID+"/devices.ndjson", "")
	for text := range strings.Lines(string(rows.body)) {
		var row struct {
			Product string
			Up      int `json:"messages_up"`
		}
		if err := json.Unmarshal([]byte(text), &row); err != nil {
			c.t.Fatalf("%v: %s", err, rows.body)
		}
		devices++
		used[row.Product] += row.Up
	}
	for i := range 6 {
		product := fmt.Sprintf("p%d", i)
		var usage struct {
			Rows []struct {
				MessagesUp int `json:"messages_up"`
			}
		}
		c.anybody(i, "GET", "/v1/usage?window=month&time_zone=Asia/Kathmandu&product="+product, "").into(c.t, &usage)
		if len(usage.Rows) != 1 || usage.Rows[0].MessagesUp != used[product] || used[product] != 2*(i+1) {
			c.t.Errorf("%s: %d by the snapshot, usage says %+v", product, used[product], usage.Rows)
		}
	}
	if devices != 12 {
		c.t.Errorf("the snapshot has %d devices", devices)
	}
	var list struct{ Snapshots []snapshotView }
	c.anybody(0, "GET", "/v1/snapshots", "").into(c.t, &list)
	if len(list.Snapshots) == 0 || list.Snapshots[0].ID != m.ID {
		c.t.Errorf("the newest snapshot is %s, and the list %+v", m.ID, list)
	}
}
