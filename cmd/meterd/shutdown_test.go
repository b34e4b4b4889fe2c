package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// TestStopFinishesWhatIsInHand: SIGTERM in the middle of traffic; every answer that came is true after the next start.
func TestStopFinishesWhatIsInHand(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	tr := newTraffic(d, seed(t))
	tr.prepare()
	for range rounds {
		tr.begin()
		tr.answered(200)
		tr.ending()
		d.stop()
		tr.wait()
		d.start()
		tr.check()
	}
	tr.report(t)
}

// TestDrain: after SIGTERM /readyz says no and events are still taken, for as long as --drain says; then the daemon
// ends in order.
func TestDrain(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "--drain", "1h")
	d.withProduct("p1", `{}`)
	d.batch(line("connect", "p1", "d1"))
	d.signal(syscall.SIGTERM)
	await(t, "/readyz says no", func() bool { a := d.ask("GET", "/readyz", ""); return a.status == 503 })
	if a := d.ask("POST", "/v1/events", line("up", "p1", "d1")); a.status != 200 {
		t.Errorf("while draining: %d %s", a.status, a.body)
	}
	if a := d.ask("GET", "/livez", ""); a.status != 200 {
		t.Errorf("/livez while draining: %d", a.status)
	}
	d.kill()
	d.flags = []string{"--drain", "100ms"}
	d.start()
	if v := d.device("p1", "d1"); v.Messages.Up != 1 {
		t.Errorf("what was taken while draining: %+v", v.Messages)
	}
	d.stop()
}

// TestHalfRequestsDoNotHoldUpAStop: clients that never finish their request, or never read their answer, are left
// behind; who waits for an answer gets it.
func TestHalfRequestsDoNotHoldUpAStop(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{}`)
	d.batch(line("connect", "p1", "d1"))
	head := "POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nAuthorization: Bearer " +
		d.token + "\r\n"
	for _, half := range []string{
		"", "P", "POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthori", head + "Content-Length: 1000\r\n\r\n",
		head + "Content-Length: 1000\r\n\r\n" + line("up", "p1", "d1"), head + "Transfer-Encoding: chunked\r\n\r\n5\r\nab",
	} {
		for range 5 {
			conn, err := net.Dial("tcp", d.run.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, half); err != nil {
				t.Fatal(err)
			}
		}
	}
	keep, err := net.Dial("tcp", d.run.address) // Asked once, and open since.
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	fmt.Fprint(keep, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(keep), nil); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	if a := d.ask("POST", "/v1/events", line("up", "p1", "d1")); a.status != 200 {
		t.Errorf("beside half requests: %d", a.status)
	}
	began := time.Now()
	d.signal(syscall.SIGTERM)
	d.awaitExit(0)
	t.Logf("stopped after %.1f s beside 31 connections", time.Since(began).Seconds())
	d.start()
	if v := d.device("p1", "d1"); v.Messages.Up != 1 {
		t.Errorf("half a request counted: %+v", v.Messages)
	}
}
