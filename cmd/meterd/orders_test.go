package main_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// throng is how many callers ask at once, each with a request of its own.
const throng = 50

// atOnce makes n requests at the same time and returns the answers; a request that was cut off has status 0.
func (d *daemon) atOnce(n int, ask func(i int) (answer, error)) []answer {
	d.t.Helper()
	answers := make([]answer, n)
	gate := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-gate
			a, err := ask(i)
			if err == nil {
				answers[i] = a
			}
		})
	}
	close(gate)
	all.Wait()
	return answers
}

// atOnceKilled is atOnce with kill -9 as soon as a few were answered, and a new start.
func (d *daemon) atOnceKilled(n, few int, ask func(i int) (answer, error)) []answer {
	d.t.Helper()
	come := make(chan struct{}, n)
	done := make(chan []answer)
	go func() {
		done <- d.atOnce(n, func(i int) (answer, error) {
			a, err := ask(i)
			come <- struct{}{}
			return a, err
		})
	}()
	for range few {
		<-come
	}
	d.kill()
	answers := <-done
	d.start()
	return answers
}

// purchase is one idempotent order: what it is sent as, and what it is answered.
type purchase struct {
	path, body string
	first      int // the status of its first answer
}

func purchases(round int) []purchase {
	lot, pack := fmt.Sprint("PO-", round), fmt.Sprint("TU-", round)
	return []purchase{
		{"/v1/products/p1/lots", fmt.Sprintf(`{"order":%q,"quantity":10}`, lot), 201},
		{"/v1/products/p1/topups", fmt.Sprintf(`{"order":%q,"kind":"ota","units":10}`, pack), 201},
		{"/v1/products/p1/lots/" + lot + "/void", fmt.Sprintf(`{"order":"RV-L%d","quantity":3}`, round), 200},
		{"/v1/products/p1/topups/" + pack + "/void", fmt.Sprintf(`{"order":"RV-U%d","units":3}`, round), 200},
	}
}

// An order that fifty send at once credits, or takes back, once (R8): one is answered as new, all get the same, and the
// audit log has it once. Other content under its number is refused.
func TestOrdersAtOnce(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", standard)
	for _, p := range purchases(0) {
		news := 0
		var body []byte
		for _, a := range d.atOnce(throng, func(int) (answer, error) { return d.try("POST", p.path, []byte(p.body)) }) {
			if body == nil {
				body = a.body
			}
			if a.status == 201 {
				news++
			}
			if a.status/100 != 2 || !bytes.Equal(a.body, body) {
				t.Errorf("%s: %d %s", p.path, a.status, a.body)
			}
		}
		if want := map[int]int{201: 1, 200: 0}[p.first]; news != want {
			t.Errorf("%s was answered as new %d times, want %d", p.path, news, want)
		}
		other := strings.NewReplacer(":10}", ":11}", ":3}", ":2}").Replace(p.body)
		d.ask("POST", p.path, other).refuse(t, 409, "order_reused")
	}
	d.ordered(1)
	// More than is left cannot be taken back, however many try at once: 7 are left, and 2 each are asked for.
	taken := 0
	for _, a := range d.atOnce(throng, func(i int) (answer, error) {
		return d.try("POST", "/v1/products/p1/lots/PO-0/void", fmt.Appendf(nil, `{"order":"RV-%d","quantity":2}`, i))
	}) {
		if a.status == 200 {
			taken++
		} else {
			a.refuse(t, 409, "already_consumed")
		}
	}
	if v := d.product("p1"); taken != 3 || v.Licenses != (counts{1, 0, 1}) {
		t.Errorf("%d were taken back, left are %+v", taken, v.Licenses)
	}
}

// The same across kill -9 at a random instant: what was answered is there, what was not is there whole or not at all,
// and sending it again makes it so once.
func TestOrdersAreKilled(t *testing.T) {
	t.Parallel()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	dice := newDice(seed(t), 0)
	d := newDaemon(t)
	d.withProduct("p1", standard)
	for round := range rounds {
		list := purchases(round)
		for i, p := range list {
			ask := func(int) (answer, error) { return d.try("POST", p.path, []byte(p.body)) }
			var answers []answer
			if i == round%len(list) {
				answers = d.atOnceKilled(throng, dice.IntN(5), ask)
			} else {
				answers = d.atOnce(throng, ask)
			}
			known := false
			for _, a := range answers {
				known = known || a.status != 0
				if a.status != 0 && a.status/100 != 2 {
					t.Errorf("%s: %d %s", p.path, a.status, a.body)
				}
			}
			if a := d.ask("POST", p.path, p.body); a.status/100 != 2 || known && a.status != 200 {
				t.Errorf("%s after all (answered before: %v): %d %s", p.path, known, a.status, a.body)
			}
		}
		d.ordered(round + 1)
	}
}

// ordered checks that each of the purchases of so many rounds is there once, in lots, packs and audit log.
func (d *daemon) ordered(rounds int) {
	d.t.Helper()
	n := uint64(7 * rounds)
	if v := d.product("p1"); v.Licenses != (counts{n, 0, n}) || v.Topups.OTA != (counts{n, 0, n}) {
		d.t.Errorf("after %d rounds: %+v, %+v; want %d each", rounds, v.Licenses, v.Topups.OTA, n)
	}
	for _, kind := range []string{"lots", "topups"} {
		list := pages[lotView](d, "/v1/products/p1/"+kind, kind)
		for _, l := range list {
			if l.Quantity+l.Units != 7 || l.Available != 7 {
				d.t.Errorf("%s: %+v", kind, l)
			}
		}
		if len(list) != rounds {
			d.t.Errorf("%d %s after %d rounds", len(list), kind, rounds)
		}
	}
	times := map[string]int{}
	for _, e := range pages[auditView](d, "/v1/audit", "entries") {
		if e.Detail.Order != "" {
			times[e.Action+" "+e.Detail.Order]++
		}
	}
	if len(times) != 4*rounds || slices.Max(slices.Collect(maps.Values(times))) != 1 {
		d.t.Errorf("the audit log has %v", times)
	}
}

// auditView is an entry of the audit log.
type auditView struct {
	At                    time.Time
	Token, Action, Target string
	Detail                struct{ Order string }
}
