package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// commands streams what was told from the place on that the gateway names; an id is a place.
func (f *fakeMeterd) commands(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer t0ken" || r.URL.Query().Get("producer") != "gw-test" {
		http.Error(w, `{"code":"unauthorized"}`, http.StatusUnauthorized)
		return
	}
	place, _ := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, ": heartbeat\n\n")
	defer context.AfterFunc(r.Context(), f.changed.Broadcast)()
	f.mu.Lock()
	defer f.mu.Unlock()
	for r.Context().Err() == nil {
		for ; place < len(f.told); place++ {
			fmt.Fprintf(w, "%s\nid: %d\n\n", f.told[place], place+1)
		}
		_ = http.NewResponseController(w).Flush()
		f.changed.Wait()
	}
}

// tell puts events into the stream of commands.
func (f *fakeMeterd) tell(events ...string) {
	f.set(func() { f.told = append(f.told, events...) })
	f.changed.Broadcast()
}

func disconnectCommand(product, device, reason string) string {
	return fmt.Sprintf("event: disconnect\ndata: {\"product\":%q,\"device\":%q,\"reason\":%q}", product, device, reason)
}

func TestCommandsCloseConnections(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	reasons := map[string]byte{
		"license_exhausted":    0x97,
		"renewal_off":          0x87,
		"suspended":            0x98,
		"reason_of_the_future": 0x98,
	}
	five, three := map[string]*rawDevice{}, map[string]*rawDevice{}
	for reason := range reasons {
		five[reason], three[reason] = g.mustDial("p1", "five-"+reason, 5), g.mustDial("p1", "three-"+reason, 4)
	}
	stays := g.mustDial("p2", "five-suspended", 5) // Of another product: another device.
	f.tell(
		disconnectCommand("p1", "nobody", "suspended"),
		"event: refresh\ndata: {\"product\":\"p1\"}",
		"event: dance\ndata: {}",
	)
	for reason := range reasons {
		f.tell(disconnectCommand("p1", "five-"+reason, reason), disconnectCommand("p1", "three-"+reason, reason))
	}
	for reason, want := range reasons {
		if bye := five[reason].wantClosed(); bye.ReasonCode != want || bye.Properties.ReasonString != reason {
			t.Errorf("%s: DISCONNECT %#x %q, want %#x", reason, bye.ReasonCode, bye.Properties.ReasonString, want)
		}
		if _, err := three[reason].read(); err == nil {
			t.Errorf("%s: a 3.1.1 connection was sent a packet", reason)
		}
		for _, device := range []string{"five-" + reason, "three-" + reason} {
			f.await(device+" disconnect", 1)
			if got := f.heard(device + " disconnect"); len(got) != 1 || f.online("p1/"+device) {
				t.Errorf("meterd heard %q", got)
			}
		}
	}
	stays.publish("t", "x", 1, 1)
	stays.want(packets.Puback)
	for name, want := range map[string]string{
		`meterd_gateway_commands_total{command="disconnect",reason="suspended"}`: "3",
		`meterd_gateway_commands_total{command="disconnect",reason="unknown"}`:   "2",
		`meterd_gateway_commands_total{command="refresh"}`:                       "1",
		"meterd_gateway_commands_ignored_total":                                  "1",
		"meterd_gateway_dismissed_connections_total":                             "8",
		"meterd_gateway_command_stream_up":                                       "1",
	} {
		if got := g.metric(name); got != want {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
}

func TestCommandClosesEveryConnectionOfADevice(t *testing.T) {
	f := newFake(t)
	g := start(t, f, func(o *options) { o.identity = identityUsername })
	one, two, other := g.mustDial("p1/d1", "a", 5), g.mustDial("p1/d1", "b", 5), g.mustDial("p1/d2", "c", 5)
	f.tell(disconnectCommand("p1", "d1", "license_exhausted"))
	for _, d := range []*rawDevice{one, two} {
		if bye := d.wantClosed(); bye.ReasonCode != 0x97 {
			t.Errorf("DISCONNECT %#x", bye.ReasonCode)
		}
	}
	f.await("d1 disconnect", 1)
	if got := f.heard("d1 disconnect"); len(got) != 1 {
		t.Errorf("meterd heard %q", got)
	}
	other.publish("t", "x", 1, 1)
	other.want(packets.Puback)
}

func TestCommandWaitsForTheConnackAndHoldsUpNobody(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	quick := g.mustDial("p1", "quick", 5)
	hold := make(chan struct{})
	f.set(func() { f.hold, f.holding = hold, "slow" })
	slow := g.open("p1", "slow", 5, nil)
	f.awaitThat("the connect to be asked about", func() bool { return f.held > 0 })
	f.tell(disconnectCommand("p1", "slow", "suspended"), disconnectCommand("p1", "quick", "suspended"))
	if bye := quick.wantClosed(); bye.ReasonCode != 0x98 {
		t.Errorf("DISCONNECT %#x", bye.ReasonCode)
	}
	close(hold)
	if ack := slow.want(packets.Connack); ack.ReasonCode != 0 {
		t.Errorf("CONNACK %#x", ack.ReasonCode)
	}
	if bye := slow.wantClosed(); bye.ReasonCode != 0x98 {
		t.Errorf("DISCONNECT %#x", bye.ReasonCode)
	}
	f.await("slow disconnect", 1)
}

func TestCommandsAreHeardAfterAnOutage(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	before, after := g.mustDial("p1", "before", 5), g.mustDial("p1", "after", 5)
	f.tell(disconnectCommand("p1", "before", "renewal_off"))
	before.wantClosed()
	f.await("before disconnect", 1)
	f.stop()
	f.tell(disconnectCommand("p1", "after", "renewal_off"))
	f.start()
	if bye := after.wantClosed(); bye.ReasonCode != 0x87 {
		t.Errorf("DISCONNECT %#x", bye.ReasonCode)
	}
	f.await("after disconnect", 1)
	if got := g.metric(`meterd_gateway_commands_total{command="disconnect",reason="renewal_off"}`); got != "2" {
		t.Errorf("%s commands, want each of the two once", got)
	}
	if got := f.heard("after"); !slices.Equal(got, []string{"after connect accepted", "after disconnect accepted"}) {
		t.Errorf("meterd heard %q", got)
	}
}
