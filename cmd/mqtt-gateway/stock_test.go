package main

import (
	"bufio"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// stock returns a command of the stock MQTT clients (Debian: mosquitto-clients). Without them the test fails: what they
// prove is not proven by anything else.
func (g *running) stock(ctx context.Context, name string, args ...string) *exec.Cmd {
	g.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		g.t.Fatalf("%s is not installed; run `make tools` (package mosquitto-clients): %v", name, err)
	}
	host, port, _ := strings.Cut(g.at.mqtt, ":")
	return exec.CommandContext(ctx, path, append([]string{"-h", host, "-p", port}, args...)...)
}

// pub publishes lines with mosquitto_pub and returns its output and exit status.
func (g *running) pub(lines []string, args ...string) (output string, exit int) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	cmd := g.stock(ctx, "mosquitto_pub", append(args, "-l")...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		g.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// subscriber is a running mosquitto_sub.
type subscriber struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner
}

// sub starts mosquitto_sub and returns when it has subscribed.
func (g *running) sub(args ...string) *subscriber {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience) // It lives as long as the test.
	g.t.Cleanup(cancel)
	cmd := g.stock(ctx, "mosquitto_sub", append(args, "-d", "-F", "MSG %p")...)
	// Into a pipe it would keep its debug lines to itself until there are 4 KiB of them; stdbuf is part of coreutils.
	stdbuf, err := exec.LookPath("stdbuf")
	if err != nil {
		g.t.Fatalf("stdbuf is not installed (package coreutils): %v", err)
	}
	cmd.Path, cmd.Args = stdbuf, append([]string{"stdbuf", "-oL"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	s := &subscriber{t: g.t, cmd: cmd, out: bufio.NewScanner(stdout)}
	for s.out.Scan() {
		if strings.HasPrefix(s.out.Text(), "Subscribed") {
			return s
		}
	}
	g.t.Fatalf("mosquitto_sub ended before it had subscribed: %v", cmd.Wait())
	return nil
}

// until returns the payloads received before the payload last.
func (s *subscriber) until(last string) (got []string) {
	s.t.Helper()
	for s.out.Scan() {
		payload, ok := strings.CutPrefix(s.out.Text(), "MSG ")
		switch {
		case ok && payload == last:
			return got
		case ok:
			got = append(got, payload)
		}
	}
	s.t.Fatalf("mosquitto_sub ended without %q; it got %q", last, got)
	return nil
}

// next returns the next n payloads.
func (s *subscriber) next(n int) (got []string) {
	s.t.Helper()
	for len(got) < n && s.out.Scan() {
		if payload, ok := strings.CutPrefix(s.out.Text(), "MSG "); ok {
			got = append(got, payload)
		}
	}
	return got
}

// stop ends mosquitto_sub and returns the payloads it still had to print.
func (s *subscriber) stop() (got []string) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(interrupt); err != nil {
		s.t.Fatal(err)
	}
	for s.out.Scan() {
		if payload, ok := strings.CutPrefix(s.out.Text(), "MSG "); ok {
			got = append(got, payload)
		}
	}
	_ = s.cmd.Wait() // It was told to end.
	return got
}

func numbered(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("m%d", i+1))
	}
	return lines
}

func TestStockClientsStopAtTheQuota(t *testing.T) {
	for _, qos := range []string{"0", "1", "2"} {
		for _, version := range []string{"mqttv311", "mqttv5"} {
			t.Run(version+"/qos"+qos, func(t *testing.T) {
				f := newFake(t)
				f.limits["sensor"] = 5
				g := start(t, f, nil)
				sub := g.sub("-V", version, "-u", "p1", "-i", "dashboard", "-t", "home/#", "-q", qos)
				out, exit := g.pub(numbered(8), "-V", version, "-u", "p1", "-i", "sensor", "-t", "home/t", "-q", qos)
				if exit != 0 {
					t.Errorf("mosquitto_pub: exit %d, %s", exit, out)
				}
				f.await("sensor up", 8)
				if _, exit := g.pub([]string{"END"}, "-u", "p1", "-i", "bell", "-t", "home/t", "-q", "1"); exit != 0 {
					t.Errorf("bell: exit %d", exit)
				}
				if got := sub.until("END"); !slices.Equal(got, numbered(5)) {
					t.Errorf("delivered %q, want the first five", got)
				}
				want := []string{}
				for i := range 8 {
					code := "accepted"
					if i >= 5 {
						code = "message_quota_exceeded"
					}
					want = append(want, fmt.Sprintf("sensor up m%d %s", i+1, code))
				}
				if got := f.heard("sensor up"); !slices.Equal(got, want) {
					t.Errorf("meterd heard %q", got)
				}
			})
		}
	}
}

func TestStockSubscriberStopsAtItsQuota(t *testing.T) {
	f := newFake(t)
	f.limits["dashboard"] = 3
	g := start(t, f, nil)
	sub := g.sub("-u", "p1", "-i", "dashboard", "-t", "#", "-q", "1")
	second := g.sub("-u", "p1", "-i", "archive", "-t", "#", "-q", "0")
	if out, exit := g.pub(numbered(6), "-u", "p1", "-i", "sensor", "-t", "t", "-q", "1"); exit != 0 {
		t.Fatalf("mosquitto_pub: exit %d, %s", exit, out)
	}
	f.await("dashboard down", 6)
	f.await("archive down", 6)
	if got := sub.stop(); !slices.Equal(got, numbered(3)) {
		t.Errorf("dashboard got %q, want the first three", got)
	}
	if got := second.stop(); !slices.Equal(got, numbered(6)) {
		t.Errorf("archive got %q, want all: each subscriber has its own quota", got)
	}
	if n := len(f.heard("sensor up")); n != 6 {
		t.Errorf("%d ups", n)
	}
}

func TestStockClientIsRefused(t *testing.T) {
	f := newFake(t)
	f.licenses = 1
	g := start(t, f, nil)
	if _, exit := g.pub(numbered(1), "-u", "p1", "-i", "first", "-t", "t"); exit != 0 {
		t.Fatalf("the first device: exit %d", exit)
	}
	for version, want := range map[string]string{"mqttv311": "not authorised", "mqttv5": "Quota exceeded"} {
		out, exit := g.pub(numbered(1), "-V", version, "-u", "p1", "-i", "second", "-t", "t")
		if exit == 0 || !strings.Contains(strings.ToLower(out), strings.ToLower(want)) {
			t.Errorf("%s: exit %d, %q; want a refusal that says %q", version, exit, out, want)
		}
	}
	if _, exit := g.pub(numbered(1), "-u", "p1", "-i", "first", "-t", "t"); exit != 0 {
		t.Errorf("the first device again: exit %d", exit)
	}
}
