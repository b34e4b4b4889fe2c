package main_test

import (
	"fmt"
	"testing"
)

// TestProducersAreTheirAccounts: tokens that are bound to different accounts, and unbound ones, have producers of the
// same name and share no sequence.
func TestProducersAreTheirAccounts(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("a", `{}`)
	d.withProduct("b", `{}`)
	d.batch(line("connect", "a", "d1"), line("connect", "b", "d1"))
	token := func(name, account string) string {
		var v struct{ Token string }
		d.must("POST", "/v1/tokens", fmt.Sprintf(`{"name":%q,"role":"gateway"%s}`, name, account), &v)
		return "Bearer " + v.Token
	}
	all, a, b := token("all", ""), token("a", `,"account":"a"`), token("b", `,"account":"b"`)
	a2 := token("a2", `,"account":"a"`)
	up := line("up", "a", "d1")
	send := func(token string, sequence string) answer {
		return d.sequenced("gw", sequence, asJSON, up, "Authorization", token)
	}
	byAll, byA, byB := send(all, "1").fresh(t), send(a, "1").fresh(t), send(b, "1")
	byB.refuse(t, 404, "unknown_product")
	send(all, "5").fresh(t)
	send(a, "7").fresh(t)
	for range 2 {
		send(all, "1").replays(t, byAll)
		send("Bearer "+d.token, "1").replays(t, byAll) // It is unbound too.
		send(a, "1").replays(t, byA)
		send(a2, "1").replays(t, byA)
		send(b, "1").replays(t, byB)
		for token, want := range map[string]string{
			all: `{"producer":"gw","last_sequence":5,"oldest_remembered":1}`,
			a2:  `{"producer":"gw","last_sequence":7,"oldest_remembered":1}`,
			b:   `{"producer":"gw","last_sequence":1,"oldest_remembered":1}`,
		} {
			if got := d.ask("GET", "/v1/producers/gw", "", "Authorization", token); string(got.body) != want {
				t.Errorf("%d %s, want %s", got.status, got.body, want)
			}
		}
		d.kill()
		d.start()
	}
	if v := d.device("a", "d1"); v.Messages.Up != 4 {
		t.Errorf("four sequences counted %+v", v.Messages)
	}
}

// TestProducersAndWhatTheyHold: a producer is known from its first request on, with or without a sequence; its accepted
// connect makes it the holder, and a replayed one does nothing.
func TestProducersAndWhatTheyHold(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{}`)
	holder := func() string {
		v := d.device("p1", "d1")
		if v.Holder == nil {
			return fmt.Sprint("nobody ", v.Online)
		}
		return fmt.Sprint(*v.Holder, " ", v.Online)
	}
	d.ask("GET", "/v1/producers/gw", "").refuse(t, 404, "not_found")
	d.ask("POST", "/v1/events", line("connect", "p1", "d1"), "Meterd-Producer", "gw")
	if got := holder(); got != "gw true" {
		t.Errorf("held by %s", got)
	}
	d.known(t, "gw", `{"producer":"gw","last_sequence":null,"oldest_remembered":null}`)
	connected := d.sequenced("gw-2", "9", asJSON, line("connect", "p1", "d1")).fresh(t)
	if got := holder(); got != "gw-2 true" {
		t.Errorf("held by %s", got)
	}
	d.sequenced("gw", "1", asJSON, line("disconnect", "p1", "d1")).fresh(t) // It does not hold the device.
	if got := holder(); got != "gw-2 true" {
		t.Errorf("held by %s", got)
	}
	d.sequenced("gw", "2", asJSON, line("connect", "p1", "d1")).fresh(t)
	d.sequenced("gw-2", "9", asJSON, line("connect", "p1", "d1")).replays(t, connected)
	if got := holder(); got != "gw true" {
		t.Errorf("after a replayed connect it is held by %s", got)
	}
	d.sequenced("gw", "3", asJSON, line("disconnect", "p1", "d1")).fresh(t)
	d.sequenced("gw-2", "9", asJSON, line("connect", "p1", "d1")).replays(t, connected)
	if v := d.device("p1", "d1"); v.Online {
		t.Error("a replayed connect took the device online")
	}
	for _, end := range []func(){d.kill, d.stop, func() {}} {
		d.known(t, "gw", `{"producer":"gw","last_sequence":3,"oldest_remembered":1}`)
		d.known(t, "gw-2", `{"producer":"gw-2","last_sequence":9,"oldest_remembered":9}`)
		d.ask("GET", "/v1/producers/gw-3", "").refuse(t, 404, "not_found")
		if end(); !d.run.alive() {
			d.start()
		}
	}
	d.ask("POST", "/v1/producers/gw", "").refuse(t, 405, "method_not_allowed")
}
