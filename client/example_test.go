package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// exampleMeterd answers like a meterd that has allowed each batch.
func exampleMeterd() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, `{"producer":"gateway-1","last_sequence":null,"oldest_remembered":null}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		events := strings.Count(string(body), "meter-") // The devices of the examples.
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write([]byte{8, byte(events)})
	}))
}

// A gateway asks before it passes a message on.
func ExampleClient_Decide() {
	meterd := exampleMeterd()
	defer meterd.Close()
	c, err := client.New(client.Options{
		URL: meterd.URL, Producer: "gateway-1", Transport: client.OverHTTP, OnUnavailable: client.LastKnown,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(context.Background())

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v, err := c.Decide(ctx, client.Event{Type: event.Up, Product: "thermo", Device: "meter-1", Payload: []byte("21.5")})
	switch {
	case errors.Is(err, client.ErrUnavailable):
		fmt.Println("meterd cannot be asked:", err)
	case err != nil:
		fmt.Println(err)
	case v.Accepted:
		fmt.Println("pass it on")
	case v.Is(event.MessageQuotaExceeded):
		fmt.Println("refuse it until", v.ResetsAt)
	default:
		fmt.Println("refuse it:", v.Code)
	}
	// Output: pass it on
}

// Several events at once: each has a result of its own, in the order of the events.
func ExampleClient_Submit() {
	meterd := exampleMeterd()
	defer meterd.Close()
	c, err := client.New(client.Options{
		URL: meterd.URL, Producer: "gateway-1", Transport: client.OverHTTP, InFlightMax: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(context.Background())

	events := []client.Event{
		{Type: event.Connect, Product: "thermo", Device: "meter-1"},
		{Type: event.Connect, Product: "thermo", Device: "meter-2"},
		{Type: event.Up, Product: "thermo", Device: "not a name", Size: 10},
	}
	for i, r := range c.Submit(context.Background(), events) {
		fmt.Println(i, r.Verdict.Accepted, errors.Is(r.Err, client.ErrInvalid))
	}
	// Output:
	// 0 true false
	// 1 true false
	// 2 false true
}

// A gateway with devices puts those offline that meterd names.
func ExampleClient_Commands() {
	meterd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: disconnect\n"+
			`data: {"product":"thermo","device":"meter-1","reason":"license_exhausted"}`+"\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer meterd.Close()
	c, err := client.New(client.Options{URL: meterd.URL, Producer: "gateway-1", Transport: client.OverHTTP})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(context.Background())

	seen := 0
	for cmd := range c.Commands() { // Close ends it.
		switch cmd.Kind {
		case client.CommandDisconnect:
			fmt.Println("close the connections of", cmd.Product, cmd.Device, "because of", cmd.Reason)
		case client.CommandRefresh:
			fmt.Println("forget denials of", cmd.Product)
		}
		if seen++; seen == 1 {
			break // The example has seen enough.
		}
	}
	// Output: close the connections of thermo meter-1 because of license_exhausted
}

// With a spool what passed in an outage is counted once, even if the gateway is killed before meterd is back.
func ExampleSpool() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	reported := make(chan string, 1)
	opts := client.Options{
		URL: "http://127.0.0.1:1", Producer: "gateway-1", Transport: client.OverHTTP, // Nobody listens there.
		OnUnavailable: client.FailOpen, Timeout: 100 * time.Millisecond, Spool: client.Spool{Dir: dir},
		SpoolFault: func(err error) { fmt.Println("look after the spool:", err) },
		Reported: func(e client.Event, v client.Verdict) {
			reported <- fmt.Sprint("reported: ", e.Type, " of ", e.Device, ", ", v.Code)
		},
	}
	c, err := client.New(opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	v, err := c.Decide(context.Background(), client.Event{Type: event.Up, Product: "thermo", Device: "meter-1", Size: 4})
	fmt.Println("passes:", v.Accepted, "unasked:", v.Unasked, err)
	_ = c.Close(context.Background())

	meterd := exampleMeterd()
	defer meterd.Close()
	opts.URL = meterd.URL
	if c, err = client.New(opts); err != nil { // The next start of the gateway.
		fmt.Println(err)
		return
	}
	fmt.Println(<-reported)
	_ = c.Close(context.Background())
	// Output:
	// passes: true unasked: true <nil>
	// reported: up of meter-1, accepted
}
