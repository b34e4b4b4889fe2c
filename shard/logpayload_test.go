package shard

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// TestPayloadIsCut: of a payload no more is logged than the daemon and the product say; that it is not whole is marked,
// and the size is what was sent. A denied event has none (R18).
func TestPayloadIsCut(t *testing.T) {
	sizes := []int{0, 1, 4, 5, 6, 300}
	for _, tt := range []struct {
		bytes int // Options.LogPayloadBytes
		most  int
	}{{0, event.PayloadBytesMax}, {-1, 0}, {5, 5}, {event.PayloadBytesMax, event.PayloadBytesMax}} {
		m := &machine{
			t: t, log: &memLog{}, store: newMemStore(), dir: t.TempDir(), disk: &wideDisk{},
			clock: &handClock{wall: testStart}, lanes: 2, logPayload: tt.bytes,
		}
		m.start()
		m.product("p", fmt.Sprintf(`{"messages_per_day":%d}`, len(sizes)), 0)
		m.product("q", `{}`, 0)
		m.submit(line("connect", "p", "d") + line("connect", "q", "d"))
		m.keeps("q", license.PayloadNone)
		check := func(product string, most int) {
			t.Helper()
			had := len(m.logged())
			var lines string
			for _, n := range append(slices.Clone(sizes), 3) {
				lines += message(product, strings.Repeat("x", n))
			}
			denied := slices.Contains(m.submit(lines), "message_quota_exceeded")
			for i, r := range m.logged()[had:] {
				n := 3
				if i < len(sizes) {
					n = sizes[i]
				}
				want := bytes.Repeat([]byte("x"), min(n, most))
				if r.Code != event.Accepted {
					want = nil
				}
				if !bytes.Equal(r.Payload, want) || r.IsCut != (len(want) < n) || r.Size != int64(n) {
					t.Errorf("keeping %d of %s: %d bytes were logged as %d of %d, cut %t, denied %t",
						most, product, n, len(r.Payload), r.Size, r.IsCut, denied)
				}
			}
		}
		check("p", tt.most)
		check("q", 0)
		m.crash()
		check("q", 0)
		m.keeps("q", license.PayloadFull)
		check("q", tt.most)
		m.kill()
	}
}

// TestPayloadTooLargeIsMarked: nothing is kept of a payload that is refused for its size, and that is said.
func TestPayloadTooLargeIsMarked(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	m.submit(line("connect", "p", "d"))
	if got := m.submit(message("p", strings.Repeat("x", event.PayloadBytesMax+1))); got[0] != "payload_too_large" {
		t.Fatal(got)
	}
	rows := m.logged()
	if r := rows[len(rows)-1]; len(r.Payload) > 0 || !r.IsCut || r.Size != event.PayloadBytesMax+1 {
		t.Fatalf("%d bytes of %d, cut %t", len(r.Payload), r.Size, r.IsCut)
	}
}

// message is an up of device d with a payload.
func message(product, payload string) string {
	return fmt.Sprintf("{\"type\":\"up\",\"product\":%q,\"device\":\"d\",\"payload\":%q}\n", product, payload)
}

// keeps says what is kept of a product's payloads.
func (m *machine) keeps(product, keep string) {
	m.t.Helper()
	m.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SetLogPayload(by, product, keep)
		return next, ch, err
	})
}
