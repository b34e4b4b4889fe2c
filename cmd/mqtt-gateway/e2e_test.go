package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// These tests run the real meterd, the real gateway and the stock MQTT clients, each a process of its own.

func endToEnd(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it runs the real binaries")
	}
	t.Parallel()
}

// TestEndToEndQuota: the last message within the quota is delivered and the next one is not, for those who send and
// those who receive, whatever the version and the quality of service; meterd counts what was delivered, neither more
// nor less (R10, R11).
func TestEndToEndQuota(t *testing.T) {
	endToEnd(t)
	w := newWorld(t, 40)
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			name := version + "-" + qos
			topic := "home/" + name
			wide := w.sub("-V", version, "-u", "large", "-i", "wide-"+name, "-t", topic, "-q", qos)
			out, exit := w.pub(numbered(12), "-V", version, "-u", "small", "-i", "sensor-"+name, "-t", topic, "-q", qos)
			if exit != 0 {
				t.Errorf("%s: mosquitto_pub: exit %d, %s", name, exit, out)
			}
			w.await("the sensor's twelve messages are decided", func() bool {
				v := w.view("small", "sensor-"+name)
				return v.Messages.Up+v.Messages.Denied == 12
			})
			if _, exit := w.pub([]string{"END"}, "-u", "large", "-i", "bell", "-t", topic, "-q", "1"); exit != 0 {
				t.Errorf("%s: bell: exit %d", name, exit)
			}
			got := wide.until("END")
			if !slices.Equal(got, numbered(10)) {
				t.Errorf("%s: delivered %q, want the first ten of twelve", name, got)
			}
			if v := w.view("small", "sensor-"+name); v.Messages.Up != 10 || v.Messages.Denied != 2 || v.Messages.Down != 0 {
				t.Errorf("%s: the sensor's counts: %+v", name, v.Messages)
			}
			if v := w.view("large", "wide-"+name); v.Messages.Down != len(got)+1 || v.Messages.Denied != 0 {
				t.Errorf("%s: %d messages were delivered, counted are %+v", name, len(got)+1, v.Messages)
			}
			refusedLines := strings.Count(strings.ToLower(out), "quota exceeded")
			if version == "mqttv5" && qos != "0" && refusedLines != 2 {
				t.Errorf("%s: the publisher was told of %d refusals: %s", name, refusedLines, out)
			}
			wide.stop()
		}
	}
	w.quotaOfReceiver()
}

// quotaOfReceiver is the same for a subscriber: ten of twelve reach it.
func (w *world) quotaOfReceiver() {
	t := w.t
	t.Helper()
	sub := w.sub("-u", "small", "-i", "screen", "-t", "wide", "-q", "1")
	if out, exit := w.pub(numbered(12), "-u", "large", "-i", "source", "-t", "wide", "-q", "1"); exit != 0 {
		t.Errorf("mosquitto_pub: exit %d, %s", exit, out)
	}
	w.await("twelve deliveries are decided", func() bool {
		v := w.view("small", "screen")
		return v.Messages.Down+v.Messages.Denied == 12
	})
	if got := sub.stop(); !slices.Equal(got, numbered(10)) {
		t.Errorf("delivered %q, want the first ten", got)
	}
	if v := w.view("small", "screen"); v.Messages.Down != 10 || v.Messages.Denied != 2 {
		t.Errorf("the screen's counts: %+v", v.Messages)
	}
	if v := w.view("large", "source"); v.Messages.Up != 12 || v.Messages.Denied != 0 {
		t.Errorf("the source's counts: %+v", v.Messages)
	}
}

// TestEndToEndNeverValid: a message that can never be valid does not come back, whatever the session and the quality of
// service, and the one behind it comes through. meterd counts only that one.
func TestEndToEndNeverValid(t *testing.T) {
	endToEnd(t)
	w := newWorld(t, 20)
	for _, version := range []string{"mqttv311", "mqttv5"} {
		for _, qos := range []string{"0", "1", "2"} {
			device := version + "-" + qos
			stock := []string{"-V", version, "-u", "large", "-i", device, "-q", qos, "-c"} // -c keeps the session.
			lines := []string{strings.Repeat("p", 300_000), "good"}
			if out, exit := w.pub(lines, append(stock, "-t", "t")...); exit != 0 {
				t.Errorf("%s: a payload of 300,000 bytes: exit %d, %s", device, exit, out)
			}
			for _, topic := range []string{strings.Repeat("x", 300), "$SYS/broker/version"} {
				if out, exit := w.pub(numbered(1), append(stock, "-t", topic)...); exit != 0 {
					t.Errorf("%s: %.10q: exit %d, %s", device, topic, exit, out)
				}
			}
			w.await("the good message is counted", func() bool { return w.view("large", device).Messages.Up == 1 })
			if v := w.view("large", device); v.Messages.Up != 1 || v.Messages.Denied != 0 {
				t.Errorf("%s: counted are %+v", device, v.Messages)
			}
		}
	}
	for _, reason := range []string{"payload_too_large", "topic_too_long", "topic_invalid"} {
		if got := w.metric(fmt.Sprintf("meterd_gateway_denied_total{reason=%q}", reason)); got != "6" {
			t.Errorf("%s messages denied for %s, want 6", got, reason)
		}
	}
}

// TestEndToEndSharedSubscription: of thirty messages, ten at most go to the member that has a quota of ten, and the
// others to the one that has room.
func TestEndToEndSharedSubscription(t *testing.T) {
	endToEnd(t)
	w := newWorld(t, 20)
	for _, qos := range []string{"0", "1", "2"} {
		device, topic := "member-"+qos, "work/"+qos
		filter := "$share/group/" + topic
		small := w.sub("-u", "small", "-i", device, "-t", filter, "-q", qos)
		large := w.sub("-u", "large", "-i", device, "-t", filter, "-q", qos)
		if out, exit := w.pub(numbered(30), "-u", "large", "-i", "source", "-t", topic, "-q", qos); exit != 0 {
			t.Errorf("mosquitto_pub: exit %d, %s", exit, out)
		}
		ofSmall := func() int { return w.view("small", device).Messages.Down }
		ofLarge := func() int { return w.view("large", device).Messages.Down }
		w.await("all are delivered", func() bool { return ofSmall()+ofLarge() == 30 })
		if n := ofSmall(); n > 10 {
			t.Errorf("QoS %s: the small member got %d", qos, n)
		}
		got := slices.Concat(small.next(ofSmall()), large.next(ofLarge()), small.stop(), large.stop())
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(numbered(30))); !slices.Equal(got, want) {
			t.Errorf("QoS %s: delivered %q", qos, got)
		}
	}
}

// TestEndToEndLicenses: a device without a licence is refused its connection, and a credit lets it in (R1, R3).
func TestEndToEndLicenses(t *testing.T) {
	endToEnd(t)
	w := newWorld(t, 5)
	for i := range 5 {
		if out, exit := w.pub(numbered(1), "-u", "small", "-i", fmt.Sprintf("d%d", i), "-t", "t", "-q", "1"); exit != 0 {
			t.Fatalf("device %d of 5: exit %d, %s", i, exit, out)
		}
	}
	for version, want := range map[string]string{"mqttv311": "not authorised", "mqttv5": "quota exceeded"} {
		out, exit := w.pub(numbered(1), "-V", version, "-u", "small", "-i", "late", "-t", "t", "-q", "1")
		if exit == 0 || !strings.Contains(strings.ToLower(out), want) {
			t.Errorf("%s: exit %d, %q; want a refusal that says %q", version, exit, out, want)
		}
	}
	if out, exit := w.pub(numbered(1), "-u", "small", "-i", "d0", "-t", "t", "-q", "1"); exit != 0 {
		t.Errorf("a device that has a licence: exit %d, %s", exit, out)
	}
	w.ask("POST", "/v1/products/small/lots", `{"order":"PO-2","quantity":1}`, nil)
	if out, exit := w.pub(numbered(1), "-u", "small", "-i", "late", "-t", "t", "-q", "1"); exit != 0 {
		t.Errorf("after the credit: exit %d, %s", exit, out)
	}
	var p struct {
		Licenses struct{ Total, Used, Available int }
		Devices  struct{ Active int }
	}
	w.ask("GET", "/v1/products/small", "", &p)
	if p.Licenses.Used != 6 || p.Licenses.Available != 0 || p.Devices.Active != 6 {
		t.Errorf("%+v", p)
	}
}

// TestEndToEndSessions: connecting, leaving, a gateway that stops in order and one that is killed.
func TestEndToEndSessions(t *testing.T) {
	endToEnd(t)
	w := newWorld(t, 10)
	online := func(device string) bool { return w.view("large", device).Online }
	sub := w.sub("-u", "large", "-i", "screen", "-t", "#")
	if v := w.view("large", "screen"); !v.Online || v.State != "active" || v.Holder == nil || *v.Holder != "gw-e2e" {
		t.Errorf("connected: %+v", v)
	}
	sub.stop()
	w.await("a device that has left is offline", func() bool { return !online("screen") })

	w.sub("-u", "large", "-i", "screen", "-t", "#")
	w.sub("-u", "large", "-i", "second", "-t", "#")
	w.gateway.kill()
	if !online("screen") || !online("second") {
		t.Error("nobody could have told that the killed gateway's devices are gone")
	}
	w.startGateway()
	if online("screen") || online("second") {
		t.Error("a gateway that starts holds nothing, and its devices are still online")
	}

	w.sub("-u", "large", "-i", "screen", "-t", "#")
	if !online("screen") {
		t.Error("it connected again")
	}
	w.gateway.terminate(t)
	if online("screen") {
		t.Error("the gateway stopped in order and its device is still online")
	}
	w.meterd.terminate(t)
}
