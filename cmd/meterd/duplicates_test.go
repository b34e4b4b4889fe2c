package main_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// TestDuplicates: a CloudEvent is known by source and id, whatever form it comes in, together with others or after a
// kill -9, and counts once.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":5}`)
	expect := func(a answer, status int, body string) {
		t.Helper()
		if a.status != status || !strings.Contains(string(a.body), body) {
			t.Errorf("%d %s, want %d %s", a.status, a.body, status, body)
		}
	}
	forms := func(id string) []func() answer {
		return []func() answer{
			func() answer {
				return d.binary("up", "p1/d1", strings.ReplaceAll(id, " ", "%20"), "text/plain", "21.5")
			},
			func() answer {
				return d.ask("POST", "/v1/events", cloud("up", "p1/d1", id, ""), "Content-Type", asCloudEvent)
			},
		}
	}
	expect(d.binary("connect", "p1/d1", "c", "", ""), 200, `{"accepted":1}`)
	one := cloud("up", "p1/d1", "8 1", "")
	batch := func() answer {
		return d.ask(
			"POST",
			"/v1/events",
			"["+one+","+one+","+cloud("up", "p1/d1", "2", "")+"]",
			"Content-Type",
			asCloudEvents,
		)
	}
	expect(batch(), 200, `{"accepted":3,"denied":[]}`)
	var wg sync.WaitGroup
	for n := range 32 { // Eight events, each four times at once.
		wg.Go(func() {
			a, err := d.try("POST", "/v1/events", []byte(cloud("up", "p1/d1", fmt.Sprint("m", n%8), "")),
				"Content-Type", asCloudEvent)
			if err != nil || a.status != 200 && a.status != 429 {
				t.Errorf("%d %s, %v", a.status, a.body, err)
			}
		})
	}
	wg.Wait()
	for range 2 {
		for _, send := range forms("8 1") {
			a := send()
			expect(a, 200, `{"accepted":1}`)
			checkRateLimit(t, a, "messages", 5, 86400, 0)
		}
		accepted, denied := 0, 0
		for n := range 8 {
			for _, send := range forms(fmt.Sprint("m", n)) {
				switch a := send(); a.status {
				case 200:
					accepted++
				case 429:
					denied++
				default:
					t.Errorf("%d %s", a.status, a.body)
				}
			}
		}
		if accepted != 2*3 || denied != 2*5 {
			t.Errorf("%d accepted, %d denied", accepted, denied)
		}
		expect(batch(), 200, `{"accepted":3,"denied":[]}`)
		if m := d.device("p1", "d1").Messages; m.Up != 5 || m.Denied != 5 {
			t.Errorf("%+v", m)
		}
		if list := d.logs("p1", "d1"); len(list) != 1+5+5 {
			t.Errorf("%d entries in the log", len(list))
		}
		if ids := d.metric("meterd_event_ids"); ids != "11" {
			t.Errorf("%s are remembered", ids)
		}
		d.kill()
		d.start()
	}
	// The same source and id of another account's token is another event.
	var made struct{ Token string }
	d.must("POST", "/v1/tokens", `{"name":"bound","role":"gateway","account":"p1"}`, &made)
	expect(d.binary("up", "p1/d1", "2", "", "", "Authorization", "Bearer "+made.Token), 429, "message_quota_exceeded")
}
