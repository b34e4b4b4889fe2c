package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestIdleClientsAreSmall: what a client takes that does nothing, or stops in the middle of what it says, is bounded,
// and others are answered meanwhile. METERD_IDLE_CLIENTS has so many of each kind, for docs/measured.md.
func TestIdleClientsAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts the real binary, and the race detector takes memory for each goroutine")
	}
	clients := 400
	if text := os.Getenv("METERD_IDLE_CLIENTS"); text != "" {
		var err error
		if clients, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	d := newDaemon(t, "--usage-history=false")
	d.withProduct("p", `{}`)
	event := `{"type":"connect","product":"p","device":"d"}`
	post := func(more, body string, length int) string {
		return fmt.Sprintf(
			"POST /v1/events HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s",
			d.token,
			more,
			length,
			body,
		)
	}
	get := func(path, more string) string {
		return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: m\r\nAuthorization: Bearer %s\r\n%s\r\n", path, d.token, more)
	}
	const jsonBody, lines = "Content-Type: application/json\r\n", "Content-Type: application/x-ndjson\r\n"
	half := strings.Repeat("\n", 16<<10) // fasthttp hands a body on once 8 KiB of it are there.
	// A frame whose window has 8 MiB, and its first block, raw: the decoder has its buffers then.
	window := "\x28\xb5\x2f\xfd\x00\x68" + "\x00\x00\x02" + half
	const slack = 96 << 20 // What the collector leaves lying about, and what the daemon does meanwhile.
	for _, c := range []struct {
		kind, says string
		answers    string // the status that the client waits for
		bytesMax   int64  // for each
	}{
		{"connection, after an event", post(jsonBody, event, len(event)), "200", 8 << 10},
		{"connection, after another call", get("/v1/products/p", ""), "200", 48 << 10},
		{"command stream", get("/v1/commands", ""), "200", 64 << 10},
		{"event stream", get("/v1/stream", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: meterd.v1\r\n"), "101", 16 << 10},
		{"half a header", "POST /v1/events HTTP/1.1\r\nHost: m\r\nX: " + strings.Repeat("x", 1000), "", 48 << 10},
		{"half a body", post(lines, half, 64<<10), "", 160 << 10},
		{"half a body in zstd", post(lines+"Content-Encoding: zstd\r\n", window, 64<<10), "", 160 << 10},
	} {
		t.Run(c.kind, func(t *testing.T) {
			before := d.anonymous(t)
			for range clients {
				idle(t, d.run.address, c.says, c.answers)
			}
			if c.answers == "" { // They are all heard once another one is answered behind them.
				idle(t, d.run.address, post(jsonBody, event, len(event)), "200")
			}
			grown := d.anonymous(t) - before
			t.Logf("%d clients take %d bytes each", clients, grown/int64(clients))
			if most := int64(clients)*c.bytesMax + slack; grown > most {
				t.Errorf("%d clients take %d bytes, more than %d", clients, grown, most)
			}
		})
	}
}

// anonymous returns the memory of the daemon that cannot be dropped.
func (d *daemon) anonymous(t *testing.T) int64 {
	t.Helper()
	n, err := strconv.ParseFloat(d.metric("process_resident_memory_anon_bytes"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n)
}

// idle says something on a connection of its own, waits for an answer's head if there is to be one, and stays until the
// test ends.
func idle(t *testing.T, address, says, status string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() }) // The daemon may have closed it.
		err = conn.SetDeadline(time.Now().Add(patience))
	}
	if err == nil {
		_, err = io.WriteString(conn, says)
	}
	if err != nil {
		t.Fatal(err)
	}
	if status == "" {
		return
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strconv.Itoa(answer.StatusCode); got != status {
		t.Fatalf("answered %s, want %s", got, status)
	}
}
