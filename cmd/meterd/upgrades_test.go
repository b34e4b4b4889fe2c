package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// withID is an OTA or its void.
func withID(typ, device, id string, size int64) string {
	return fmt.Sprintf(`{"type":%q,"product":"p1","device":%q,"id":%q,"size":%d}`, typ, device, id, size)
}

// Fifty send the same OTA at once: all are accepted and it counts once; then fifty give it back: one does (R17).
func TestUpgradesAtOnce(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	d := newDaemon(t)
	d.withProduct("p1", `{"ota_per_month":2}`)
	d.topup("p1", "PACK", 4)
	d.batch(line("connect", "p1", "d1"))
	send := func(body string) map[string]int {
		t.Helper()
		codes := map[string]int{}
		for _, a := range d.atOnce(throng, func(int) (answer, error) { return d.try("POST", "/v1/events", []byte(body)) }) {
			codes[a.code(t)]++
		}
		return codes
	}
	used := func(allowance, packs uint64) {
		t.Helper()
		if o := d.device("p1", "d1").OTA; o.AllowanceUsed != allowance || o.TopupUsed != packs {
			t.Errorf("used are %d of the month and %d of packs, want %d and %d", o.AllowanceUsed, o.TopupUsed, allowance, packs)
		}
		if v := d.product("p1").Topups.OTA; v != (counts{4, packs, 4 - packs}) {
			t.Errorf("the packs: %+v", v)
		}
	}
	for i, step := range []struct {
		body            string
		code            string
		once            int // how many get it; the others get rest
		rest            string
		allowance, pack uint64
	}{
		// 7 units; 6 are there, and the id stays free
		{withID("ota", "d1", "big", 31*mb), "ota_quota_exceeded", throng, "", 0, 0},
		{withID("ota", "d1", "big", 20*mb), "accepted", throng, "", 2, 2},
		{withID("ota", "d1", "big", 16*mb), "ota_id_reused", throng, "", 2, 2},
		{withID("ota", "d1", "small", mb), "accepted", throng, "", 2, 3},
		{withID("ota_void", "d1", "big", 0), "accepted", 1, "already_voided", 0, 1},
		{withID("ota", "d1", "big", 20*mb), "already_voided", throng, "", 0, 1},
		{withID("ota_void", "d1", "small", 0), "accepted", 1, "already_voided", 0, 0},
		{withID("ota_void", "d1", "never", 0), "unknown_ota", throng, "", 0, 0},
	} {
		codes := send(step.body)
		if codes[step.code] != step.once || codes[step.rest] != throng-step.once {
			t.Errorf("step %d: %v, want %d %s", i, codes, step.once, step.code)
		}
		used(step.allowance, step.pack)
		if i%2 == 1 { // A kill behind an acceptance, a denial and either void.
			d.kill()
			d.start()
			used(step.allowance, step.pack)
		}
	}
}

// campaign sends OTAs and voids with ids, each several times and from several gateways, through kills.
type campaign struct {
	d       *daemon
	ids     int
	devices int
	killed  chan struct{}

	mu   sync.Mutex
	said map[string]map[string]bool // device and id → the codes answered for "ota" and "ota_void"
}

// size is that of an upgrade by its id: one to four units, so that some are split over month and packs.
func (c *campaign) size(id int) int64 { return int64(1+id%4) * (5 << 20) }

// TestUpgradesAreKilled: OTAs and voids, doubled and at once, through kill -9: units used = those of the upgrades that
// stand, device by device, and the packs have given what the devices drew (R16, R17).
func TestUpgradesAreKilled(t *testing.T) {
	t.Parallel()
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	n := seed(t)
	dice := newDice(n, 0)
	d := newDaemon(t, "--checkpoint-every", "100ms")
	d.withProduct("p1", `{"ota_per_month":20}`)
	d.topup("p1", "PACK", 300)
	c := &campaign{d: d, ids: 40, devices: 6, said: map[string]map[string]bool{}}
	for i := range c.devices {
		d.batch(line("connect", "p1", fmt.Sprint("d", i)))
	}
	for round := range rounds {
		c.killed = make(chan struct{})
		ctx, stop := context.WithCancel(context.Background())
		var senders sync.WaitGroup
		for i := range 8 {
			own := newDice(n, uint64(round)<<8|uint64(i)+1)
			senders.Go(func() { c.send(ctx, own) })
		}
		timer := time.NewTimer(time.Duration(dice.Int64N(int64(400 * time.Millisecond))))
		<-timer.C
		close(c.killed)
		d.kill()
		stop()
		senders.Wait()
		d.start()
		c.check()
	}
}

// send sends OTAs and voids one by one until there is no answer.
func (c *campaign) send(ctx context.Context, dice *rand.Rand) {
	for ctx.Err() == nil {
		device, id := fmt.Sprint("d", dice.IntN(c.devices)), dice.IntN(c.ids)
		typ := []string{"ota", "ota", "ota_void"}[dice.IntN(3)]
		a, err := c.d.try("POST", "/v1/events", []byte(withID(typ, device, fmt.Sprint("u", id), c.size(id))))
		if err != nil {
			select {
			case <-c.killed:
			default:
				c.d.t.Errorf("no answer: %v", err)
			}
			return
		}
		if a.status == 503 {
			return
		}
		c.note(fmt.Sprintf("%s u%d", device, id), typ+" "+a.code(c.d.t))
	}
}

func (c *campaign) note(key, said string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said[key] == nil {
		c.said[key] = map[string]bool{}
	}
	c.said[key][said] = true
}

// check asks for each upgrade how it stands, by sending it with another size, and compares with what was answered
// before and what the views count.
func (c *campaign) check() {
	c.d.t.Helper()
	var packs uint64
	for i := range c.devices {
		device := fmt.Sprint("d", i)
		lines := make([]string, c.ids)
		for id := range lines { // Of this size none counts anything, whatever became of the id.
			lines[id] = withID("ota", device, fmt.Sprint("u", id), 1<<40)
		}
		var standing uint64
		for id, got := range c.d.batch(lines...) {
			key := fmt.Sprintf("%s u%d", device, id)
			before := c.said[key]
			if got == "ota_id_reused" {
				standing += uint64(1 + id%4)
			}
			switch {
			case before["ota_void accepted"] && got != "already_voided":
				c.d.t.Errorf("%s was given back and is answered %s", key, got)
			case before["ota accepted"] && got == "ota_quota_exceeded":
				c.d.t.Errorf("%s was accepted and is lost", key)
			case got != "ota_id_reused" && got != "already_voided" && got != "ota_quota_exceeded":
				c.d.t.Errorf("%s is answered %s", key, got)
			}
		}
		o := c.d.device("p1", device).OTA
		if o.AllowanceUsed+o.TopupUsed != standing || o.AllowanceUsed > 20 {
			c.d.t.Errorf(
				"%s: %d + %d units are counted, the upgrades that stand have %d",
				device,
				o.AllowanceUsed,
				o.TopupUsed,
				standing,
			)
		}
		packs += o.TopupUsed
	}
	if v := c.d.product("p1").Topups.OTA; v.Used != packs || v.Used+v.Available != 300 {
		c.d.t.Errorf("packs %+v, the devices drew %d", v, packs)
	}
}
