package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/metric/metrictest"
)

// What the gateway tells Prometheus passes its linter, counters as counters.
func TestMetricsPassTheLinter(t *testing.T) {
	f := newFake(t)
	f.limit = 1
	g := start(t, f, nil)
	d := g.mustDial("p1", "d1", 5)
	for id := range uint16(2) {
		d.publish("t", "x", 1, id+1)
		d.want(packets.Puback)
	}
	resp, err := http.Get("http://" + g.at.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	metrictest.Lint(t, text)
	for _, line := range []string{
		"# TYPE meterd_gateway_requests_total counter\n", "# TYPE meterd_gateway_ask_duration_seconds histogram\n",
		"# TYPE meterd_gateway_connections gauge\n", `meterd_gateway_ask_duration_seconds_bucket{le="+Inf"} 3` + "\n",
		`meterd_gateway_events_total{type="up",verdict="message_quota_exceeded"} 1` + "\n",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no %q", line)
		}
	}
	if got := resp.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("it is said to be %q", got)
	}
}
