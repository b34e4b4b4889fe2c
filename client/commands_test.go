package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// opening is one request for the stream of commands, and when it came.
type opening struct {
	lastID string
	at     time.Time
}

// fakeStream answers requests for the stream of commands on synctest's clock, one script a connection; the last script
// repeats.
type fakeStream struct {
	scripts  []func(ctx context.Context, w io.Writer) // nil refuses the connection
	refuse   func(n int) *http.Response               // when set and not nil, answers instead
	openings []opening
}

var errNobody = errors.New("nobody listens")

func (f *fakeStream) RoundTrip(r *http.Request) (*http.Response, error) {
	n := len(f.openings)
	f.openings = append(f.openings, opening{r.Header.Get("Last-Event-ID"), time.Now()})
	if f.refuse != nil {
		if resp := f.refuse(n); resp != nil {
			return resp, nil
		}
	}
	script := f.scripts[min(n, len(f.scripts)-1)]
	if script == nil {
		return nil, errNobody
	}
	pr, pw := io.Pipe()
	stop := context.AfterFunc(r.Context(), func() { pw.CloseWithError(r.Context().Err()) })
	go func() {
		script(r.Context(), pw)
		stop()
		pw.CloseWithError(r.Context().Err()) // Without one it ends well.
	}()
	return &http.Response{
		StatusCode: 200,
		Header:     http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}},
		Body:       pr,
	}, nil
}

// say returns a script that writes text and then waits for the client to go.
func say(text string) func(context.Context, io.Writer) {
	return func(ctx context.Context, w io.Writer) {
		_, _ = io.WriteString(w, text)
		<-ctx.Done()
	}
}

// saysAndEnds is say for a stream that meterd closes.
func saysAndEnds(text string) func(context.Context, io.Writer) {
	return func(_ context.Context, w io.Writer) { _, _ = io.WriteString(w, text) }
}

func (f *fakeStream) client(t *testing.T, change func(*Options)) *Client {
	t.Helper()
	return newTestClient(t, nil, func(o *Options) {
		o.HTTPClient = &http.Client{Transport: f}
		if change != nil {
			change(o)
		}
	})
}

func disconnect(id, device string) string {
	return fmt.Sprintf(
		"event: disconnect\ndata: {\"product\":\"p1\",\"device\":%q,\"reason\":\"license_exhausted\"}\nid: %s\n\n",
		device,
		id,
	)
}

func TestCommandsOverSockets(t *testing.T) {
	first := ": hello\n\nevent: disconnect\r\ndata: {\"product\":\"p1\",\"device\":\"d1\",\r\ndata: " +
		"\"reason\":\"license_exhausted\",\"new\":1}\r\n" +
		"id: 1.1\r\nfuture: x\r\n\r\n" +
		"event: reboot\ndata: {}\n\n" + // Of a later version.
		"event: disconnect\ndata: not JSON\n\n" +
		"event: disconnect\ndata: {\"product\":\"p 1\",\"device\":\"d\"}\n\n" +
		"data: {\"product\":\"p1\",\"device\":\"nameless\"}\n\n" +
		"event: refresh\rdata: {\"product\":\"p1\"}\rid: 1.2\r\r" +
		"event: disconnect\ndata: {\"product\":\"p1\",\"device\":\"cut off\""
	second := "event: disconnect\ndata: {\"product\":\"p2\",\"device\":\"d2\",\"reason\":\"reason_of_the_future\"}\n\n"
	places := make(chan string, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/base/v1/commands" || r.URL.RawQuery != "producer=gw-1" ||
			r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s %s, authorization %q", r.Method, r.URL, r.Header.Get("Authorization"))
		}
		places <- r.Header.Get("Last-Event-ID")
		w.Header().Set("Content-Type", "text/event-stream")
		text := second
		if r.Header.Get("Last-Event-ID") == "" {
			text = first
		}
		for i := range len(text) { // A byte a packet.
			_, _ = io.WriteString(w, text[i:i+1])
			_ = http.NewResponseController(w).Flush()
		}
		if text == second {
			<-r.Context().Done()
		}
	}))
	defer srv.Close()
	c := newTestClient(t, nil, func(o *Options) { o.URL, o.HTTPClient = srv.URL+"/base", nil })
	commands := c.Commands()
	var heard []Command
	for range 3 {
		heard = append(heard, <-commands)
	}
	if c.Commands() != commands {
		t.Error("another call returned another channel")
	}
	closeClient(t, c)
	if cmd, isOpen := <-commands; isOpen {
		t.Errorf("after Close: %+v", cmd)
	}
	want := []Command{
		{Kind: CommandDisconnect, Product: "p1", Device: "d1", Reason: "license_exhausted"},
		{Kind: CommandRefresh, Product: "p1"},
		{Kind: CommandDisconnect, Product: "p2", Device: "d2", Reason: "reason_of_the_future"},
	}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %+v", heard)
	}
	if a, b := <-places, <-places; a != "" || b != "1.2" {
		t.Errorf("asked from %q, then from %q", a, b)
	}
	if s := c.Stats(); s.Commands != 3 || s.CommandsIgnored != 4 || s.CommandStreams != 2 || s.CommandsOpen != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestDeadStreamOverSocketsIsGivenUp(t *testing.T) {
	openings := make(chan struct{}, 1024)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		openings <- struct{}{}
		<-r.Context().Done()
	}))
	defer srv.Close()
	c := newTestClient(
		t,
		nil,
		func(o *Options) { o.URL, o.HTTPClient, o.HeartbeatTimeout = srv.URL, nil, 100*time.Millisecond },
	)
	defer closeClient(t, c)
	c.Commands()
	for range 3 {
		<-openings
	}
}

func TestSilentStreamIsOpenedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{}
		beats := func(ctx context.Context, w io.Writer) {
			_, _ = io.WriteString(w, disconnect("7", "d1"))
			for range 10 { // It lives as long as it beats.
				time.Sleep(44 * time.Second)
				_, _ = io.WriteString(w, ":\n")
			}
			<-ctx.Done() // Nothing ends the connection.
		}
		f.scripts = append(f.scripts, beats, say(""))
		var states []error
		c := f.client(t, func(o *Options) { o.CommandStream = func(err error) { states = append(states, err) } })
		start := time.Now()
		commands := c.Commands()
		if cmd := <-commands; cmd.Device != "d1" {
			t.Errorf("heard %+v", cmd)
		}
		time.Sleep(10*44*time.Second + 45*time.Second + commandPauseMax)
		closeClient(t, c)
		if _, isOpen := <-commands; isOpen || len(f.openings) != 2 {
			t.Fatalf("another command, or %d openings", len(f.openings))
		}
		gap := f.openings[1].at.Sub(start) - 10*44*time.Second
		if gap < 45*time.Second || gap > 45*time.Second+commandPauseMin || f.openings[1].lastID != "7" {
			t.Errorf("opened anew %v after the last heartbeat, from %q", gap, f.openings[1].lastID)
		}
		var silent silenceError
		if len(states) != 3 || states[0] != nil || !errors.As(states[1], &silent) || states[2] != nil {
			t.Errorf("states %v", states)
		}
	})
}

func TestSlowReaderIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{scripts: []func(context.Context, io.Writer){say(disconnect("1", "d1") + disconnect("2", "d2"))}}
		c := f.client(t, nil)
		commands := c.Commands()
		var heard []string
		for range 2 {
			time.Sleep(time.Hour)
			heard = append(heard, (<-commands).Device)
		}
		closeClient(t, c)
		if len(f.openings) != 1 || !slices.Equal(heard, []string{"d1", "d2"}) {
			t.Errorf("%d openings, heard %q", len(f.openings), heard)
		}
	})
}

// Nobody opens a stream of commands for a gateway that does not ask for them, and Close does not wait for a reader.
func TestCommandsNobodyReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{scripts: []func(context.Context, io.Writer){say(disconnect("1", "d1"))}}
		c := f.client(t, nil)
		time.Sleep(time.Hour)
		if len(f.openings) > 0 {
			t.Error("a stream was opened")
		}
		c.Commands()
		time.Sleep(time.Hour)
		closeClient(t, c)
		if s := c.Stats(); s.Commands != 0 || s.CommandStreams != 1 {
			t.Errorf("%+v", s)
		}
		if _, isOpen := <-c.Commands(); isOpen {
			t.Error("a command after Close")
		}
	})
}

func TestStreamIsOpenedWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{scripts: []func(context.Context, io.Writer){nil}}
		c := f.client(t, nil)
		c.Commands()
		time.Sleep(time.Hour)
		closeClient(t, c)
		for i := 1; i < len(f.openings); i++ {
			pause := f.openings[i].at.Sub(f.openings[i-1].at)
			most := min(commandPauseMin<<min(i-1, 10), commandPauseMax)
			if pause < most/2 || pause > most {
				t.Fatalf("pause %d lasted %v, want %v to %v", i, pause, most/2, most)
			}
		}
		if n := len(f.openings); n < 3600/5 || n > 2*3600/5+20 {
			t.Errorf("%d openings in an hour", n)
		}
	})
}

func TestRetryAfterOfTheStreamIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{scripts: []func(context.Context, io.Writer){say(disconnect("1", "d1"))}}
		f.refuse = func(n int) *http.Response {
			if n > 0 {
				return nil
			}
			return respond(503, `{"code":"overloaded","title":"t","detail":"too much"}`, "Retry-After", "20")
		}
		var why error
		c := f.client(t, func(o *Options) {
			o.CommandStream = func(err error) {
				if err != nil {
					why = err
				}
			}
		})
		<-c.Commands()
		closeClient(t, c)
		if pause := f.openings[1].at.Sub(f.openings[0].at); pause < 20*time.Second || pause > 25*time.Second {
			t.Errorf("opened again after %v", pause)
		}
		var p *Problem
		if !errors.As(why, &p) || p.Status != 503 || p.Code != "overloaded" || p.Detail != "too much" ||
			p.RetryAfter != 20*time.Second {
			t.Errorf("%v", why)
		}
	})
}

func TestRefusedPlaceIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{
			scripts: []func(context.Context, io.Writer){saysAndEnds(disconnect("9.9", "d1")), nil, say(disconnect("1.1", "d2"))},
		}
		f.refuse = func(n int) *http.Response {
			if n != 1 {
				return nil
			}
			return respond(400, `{"code":"invalid_argument","detail":"Last-Event-ID: is of other data"}`)
		}
		c := f.client(t, nil)
		commands := c.Commands()
		var heard []Command
		for range 3 {
			heard = append(heard, <-commands)
		}
		closeClient(t, c)
		want := []Command{
			{Kind: CommandDisconnect, Product: "p1", Device: "d1", Reason: "license_exhausted"},
			{Kind: CommandRefresh},
			{Kind: CommandDisconnect, Product: "p1", Device: "d2", Reason: "license_exhausted"},
		}
		if !slices.Equal(heard, want) {
			t.Errorf("heard %+v", heard)
		}
		if o := f.openings; len(o) != 3 || o[1].lastID != "9.9" || o[2].lastID != "" {
			t.Errorf("openings %+v", o)
		}
	})
}

func TestWhatIsNoStreamIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{scripts: []func(context.Context, io.Writer){say("")}}
		f.refuse = func(n int) *http.Response {
			return []*http.Response{
				respond(200, disconnect("1", "d1"), "Content-Type", "text/html"),
				respond(302, "", "Location", "http://elsewhere.test/"),
				respond(204, ""),
				nil,
			}[min(n, 3)]
		}
		failed, opened := 0, make(chan struct{})
		c := f.client(t, func(o *Options) {
			o.CommandStream = func(err error) {
				if failed++; err == nil {
					close(opened)
				}
			}
		})
		commands := c.Commands()
		<-opened
		closeClient(t, c)
		if _, isOpen := <-commands; isOpen || failed != 4 {
			t.Errorf("a command, or %d states", failed)
		}
	})
}

func TestLongLinesArePassedOver(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	stream := newEventStream(strings.NewReader(
		"\uFEFF: "+long+"\nevent: a\n\n"+ // A long comment damages nothing.
			"event: b\ndata: "+long+"\nid: 5\n\n"+
			strings.Repeat("data: "+long[:4000]+"\n", 100)+"event: c\n\n"+
			"event: d\nid: "+long[:commandIDBytesMax+1]+"\ndata\n\n"), commandLineBytesMax, commandBytesMax)
	for _, want := range []streamEvent{
		{name: "a"},
		{name: "b", id: "5", hasID: true, damaged: true},
		{name: "c", damaged: true},
		{name: "d"},
	} {
		e, err := stream.next()
		if err != nil {
			t.Fatal(err)
		}
		if e.name != want.name || e.id != want.id || e.hasID != want.hasID || e.damaged != want.damaged ||
			len(e.data) > commandBytesMax {
			t.Errorf("%s: %+v", want.name, e)
		}
	}
	if _, err := stream.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("at the end: %v", err)
	}
	if cap(stream.line) > 2*commandLineBytesMax {
		t.Errorf("%d bytes were kept of a line", cap(stream.line))
	}
}
