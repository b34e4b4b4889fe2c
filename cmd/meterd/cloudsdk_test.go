package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
)

// sdkEvent is an event as a program makes it with the SDK of CloudEvents.
func sdkEvent(t *testing.T, typ, id, contentType string, data any) cloudevents.Event {
	t.Helper()
	e := cloudevents.NewEvent()
	e.SetType("io.meterd." + typ)
	e.SetSource("urn:gateway:7/Zürich \"A\" 100%")
	e.SetSubject("p1/d1")
	e.SetID(id)
	e.SetTime(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))
	e.SetExtension("traceparent", "00-1")
	if data != nil {
		if err := e.SetData(contentType, data); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// TestCloudEventsSDK: what the SDK of CloudEvents for Go sends, in each of its modes, is understood; what it sends
// again in another mode counts nothing.
func TestCloudEventsSDK(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":5}`)
	target := d.scheme + "://" + d.run.address + "/v1/events"
	c, err := cloudevents.NewClientHTTP(
		cloudevents.WithTarget(target), cloudevents.WithHeader("Authorization", "Bearer "+d.token),
	)
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]context.Context{
		"structured": cloudevents.WithEncodingStructured(t.Context()), "binary": cloudevents.WithEncodingBinary(t.Context()),
		"default": t.Context(),
	}
	send := func(mode string, e cloudevents.Event, want int) {
		t.Helper()
		result := c.Send(modes[mode], e)
		var answer *cehttp.Result
		if !cloudevents.ResultAs(result, &answer) || answer.StatusCode != want || cloudevents.IsACK(result) != (want == 200) {
			t.Errorf("%s %s: %v, want %d", mode, e.ID(), result, want)
		}
	}
	send("default", sdkEvent(t, "connect", "c 1", "", nil), 200)
	structured := sdkEvent(
		t,
		"up",
		"id/温 1",
		cloudevents.ApplicationJSON,
		map[string]any{"size": 10, "payload": "21.5 °C"},
	)
	raw := sdkEvent(t, "up", "2%", "application/octet-stream", []byte{0, 0xff, '{'})
	for range 2 {
		send("structured", structured, 200)
		send("binary", structured, 200)
		send("default", raw, 200)
		send("binary", raw, 200)
		send("structured", raw, 400) // Of data_base64 nobody says what it means.
	}
	if m := d.device("p1", "d1").Messages; m.Up != 2 || m.Denied != 0 {
		t.Errorf("two events that were sent again: %+v", m)
	}
	batch := func() (answer struct{ Accepted, Denied json.RawMessage }) {
		t.Helper()
		events := []cloudevents.Event{structured}
		for n := range 4 {
			events = append(
				events,
				sdkEvent(t, "down", fmt.Sprint("b", n), cloudevents.ApplicationJSON, map[string]any{"size": n}),
			)
		}
		r, err := cehttp.NewHTTPRequestFromEvents(t.Context(), target, events)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+d.token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp.Status, err)
		}
		return answer
	}
	for range 2 {
		if a := batch(); string(a.Accepted) != "4" || !slices.Contains([]byte(a.Denied), '4') {
			t.Errorf("a batch: %s accepted, %s denied", a.Accepted, a.Denied)
		}
		send("binary", sdkEvent(t, "down", "b3", cloudevents.ApplicationJSON, map[string]any{"size": 3}), 429)
		d.kill()
		d.start()
		c, err = cloudevents.NewClientHTTP(
			cloudevents.WithTarget(d.scheme+"://"+d.run.address+"/v1/events"),
			cloudevents.WithHeader("Authorization", "Bearer "+d.token),
		)
		if err != nil {
			t.Fatal(err)
		}
		target = d.scheme + "://" + d.run.address + "/v1/events"
	}
	if m := d.device("p1", "d1").Messages; m.Up != 2 || m.Down != 3 || m.Denied != 1 {
		t.Errorf("%+v", m)
	}
	i := slices.IndexFunc(d.logs("p1", "d1"), func(e logView) bool { return string(e.PayloadBase64) == "\x00\xff{" })
	if i < 0 {
		t.Error("the log lacks the payload of bytes")
	}
}
