package shard

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/claims"
)

// check returns what would be answered to lines.
func (m *machine) check(lines, producer string) *Request {
	m.t.Helper()
	r := request(m.t, lines)
	r.Producer = []byte(producer)
	if err := m.Check(r); err != nil {
		m.t.Fatal(err)
	}
	return r
}

// randomEvents returns events of devices that are known and of others, and some that can only be denied.
func randomEvents(r *rand.Rand) string {
	var b strings.Builder
	kinds := []string{"connect", "up", "up", "down", "ota", "disconnect", "connect", "ota_void"}
	for range 1 + r.IntN(20) {
		kind, id, size := kinds[r.IntN(len(kinds))], "", r.IntN(200)
		if kind == "ota" {
			size = 5<<20*r.IntN(4) + 1
		}
		if kind == "ota_void" || kind == "ota" && r.IntN(2) == 0 {
			id = fmt.Sprintf(`,"id":"%d"`, r.IntN(40))
			if r.IntN(2) == 0 {
				size = 5<<20 + r.IntN(2) // As in a random history, so that some are known.
			}
		}
		if r.IntN(40) == 0 {
			id = `,"payload":"` + strings.Repeat("x", event.PayloadBytesMax+1) + `"`
		}
		fmt.Fprintf(&b, "{\"type\":%q,\"product\":%q,\"device\":\"d%d\",\"size\":%d%s}\n", kind,
			[]string{"p", "p", "q", "none"}[r.IntN(4)], r.IntN(12), size, id)
	}
	return b.String()
}

// TestCheckAnswersAsEvents: whatever the state and the batch, a check is answered as the batch is when it is sent, and
// leaves nothing.
func TestCheckAnswersAsEvents(t *testing.T) {
	kinds := map[event.Code]int{}
	rapid.Check(t, func(rt *rapid.T) {
		m := newMachine(t)
		defer m.kill()
		seed := rapid.Uint64().Draw(rt, "seed")
		r := rand.New(rand.NewPCG(seed, 3))
		m.randomHistory(r)
		for range 8 {
			lines, producer := randomEvents(r), fmt.Sprint("gw", r.IntN(5))
			before, rows := m.state(), m.RowsLogged()
			checked := m.check(lines, producer)
			if after := m.state(); after != before || m.RowsLogged() != rows {
				rt.Fatalf("a check changed the state (seed %d):\n%s", seed, diff(before, after))
			}
			sent := request(t, lines)
			sent.Producer = []byte(producer)
			if err := m.Submit(sent); err != nil {
				rt.Fatal(err)
			}
			if have, want := fmt.Sprint(
				checked.Result,
				checked.DecidedMs,
			), fmt.Sprint(
				sent.Result,
				sent.DecidedMs,
			); have != want {
				rt.Fatalf("seed %d: checked as\n%s, answered as\n%s, to\n%s", seed, have, want, lines)
			}
			for _, d := range slices.Concat(sent.Result.Denials, sent.Result.WouldDeny) {
				kinds[d.Verdict.Code]++
			}
			m.randomChange(r)
			m.clock.pass(time.Duration(r.IntN(3)) * 9 * time.Hour)
		}
	})
	if len(kinds) < 8 {
		t.Errorf("the batches were denied with %v only", kinds)
	}
}

// TestCheckAddsUp: the events of a batch count for those behind them, a licence is given once, and the next check
// begins anew. A sequence is not remembered, and a producer not made.
func TestCheckAddsUp(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":2}`, 0)
	m.credit("p", "PACK", 1, true)
	ota := `{"type":"ota","product":"p","device":"d0","size":10485760,"id":"u"}` + "\n"
	lines := line("up", "p", "d0")
	for i := range gifts + 1 {
		lines += line("connect", "p", fmt.Sprint("d", i))
	}
	lines += strings.Repeat(line("up", "p", "d0"), 3) + ota + strings.ReplaceAll(ota, `"u"`, `"v"`) +
		strings.Replace(ota, `"ota"`, `"ota_void"`, 1) + strings.ReplaceAll(ota, `"u"`, `"v"`)
	want := slices.Repeat([]string{"accepted"}, gifts+9)
	want[0], want[gifts+1], want[gifts+4] = "not_activated", "license_exhausted", "message_quota_exceeded"
	want[gifts+6] = "ota_quota_exceeded"
	for range 2 {
		r := request(t, lines)
		r.Producer, r.Claim = []byte("gw"), &claims.Claim{Sequence: 1}
		if err := m.Check(r); err != nil {
			t.Fatal(err)
		}
		if got := codes(r); !slices.Equal(got, want) {
			t.Errorf("checked as %q, want %q", got, want)
		}
	}
	if _, isKnown, err := m.Sequences(0, "gw"); isKnown || err != nil || m.table.Len() != 0 {
		t.Errorf("a producer is known: %t, %v; %d devices", isKnown, err, m.table.Len())
	}
	if n := m.checked.Load(); n != 2*uint64(len(want)) {
		t.Errorf("%d events are counted as checked", n)
	}
}

// TestCheckBesideEvents: checks that run beside events leave these as exact as they are alone.
func TestCheckBesideEvents(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{"messages_per_day":1000}`, 0)
	done := make(chan error, 4)
	for i := range 4 {
		go func() {
			var err error
			for n := range 300 {
				r := request(t, line("connect", "p", fmt.Sprint("d", n%5))+line("up", "p", fmt.Sprint("d", n%5)))
				if i%2 == 0 {
					err = errors.Join(err, m.Check(r))
				} else {
					err = errors.Join(err, m.Submit(r))
				}
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5 {
		if d, _ := m.device("p", fmt.Sprint("d", i)); d.Up != 120 {
			t.Errorf("device %d sent %d", i, d.Up)
		}
	}
	if n := m.Catalogue().Product([]byte("p")).Gifts.Available(); n != gifts-5 {
		t.Errorf("%d gifts are left", n)
	}
}

// TestCheckRefuses: what refuses events refuses checks.
func TestCheckRefuses(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 0)
	token := m.administrator()
	r := request(t, line("up", "p", "d"))
	r.Token = &access.Token{Name: "gone", Hash: [32]byte{1}}
	if err := m.Check(r); !errors.Is(err, ErrTokenRevoked) {
		t.Errorf("a token that is gone: %v", err)
	}
	if r.Token = token; m.Check(r) != nil {
		t.Error("a token that is there is refused")
	}
	m.clock.set(testStart.Add(2 * time.Hour))
	if err := m.Check(r); !errors.Is(err, ErrClockLeap) {
		t.Errorf("the clock leapt: %v", err)
	}
	m.clock.set(testStart)
	if err := m.Check(r); err != nil {
		t.Errorf("the clock is right again: %v", err)
	}
}

// A check takes some microseconds, and a message of a batch much less.
func BenchmarkCheck(b *testing.B) {
	m := newMachine(b)
	m.product("p", `{"messages_per_day":null}`, 1000)
	var connect, up strings.Builder
	for i := range 1000 {
		connect.WriteString(line("connect", "p", fmt.Sprint("d", i)))
		up.WriteString(line("up", "p", fmt.Sprint("d", i)))
	}
	m.submit(connect.String())
	for name, lines := range map[string]string{"events=1": line("up", "p", "d1"), "events=1000": up.String()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := request(b, lines)
			for b.Loop() {
				if err := m.Check(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
