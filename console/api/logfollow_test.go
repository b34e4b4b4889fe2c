package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/query"
)

// follow opens a stream of what comes.
func (s *served) follow(token, uri, lastID string) *http.Response {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	s.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.listener.Addr().String()+uri, http.NoBody)
	must(s.t, err)
	req.Header.Set("Authorization", "Bearer "+s.tokens[token])
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	must(s.t, err)
	s.t.Cleanup(func() { _ = resp.Body.Close() }) // It is read no more.
	return resp
}

// logEvent is an event of a stream.
type logEvent struct{ id, data string }

// events reads n events of a stream; each must have an id, the name log, and data.
func (s *served) events(r *bufio.Reader, n int) (list []logEvent) {
	s.t.Helper()
	for len(list) < n {
		block := ""
		for !strings.HasSuffix(block, "\n\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				s.t.Fatalf("the stream ended behind %d events and %q: %v", len(list), block, err)
			}
			block += line
		}
		if strings.HasPrefix(block, ":") {
			continue
		}
		var e logEvent
		lines := strings.Split(strings.TrimSuffix(block, "\n\n"), "\n")
		if len(lines) != 3 || lines[0] != "event: log" {
			s.t.Fatalf("an event is %q", block)
		}
		e.id, _ = strings.CutPrefix(lines[1], "id: ")
		e.data, _ = strings.CutPrefix(lines[2], "data: ")
		list = append(list, e)
	}
	return list
}

// up submits messages whose topics are numbers.
func (s *served) up(from, to int) {
	s.t.Helper()
	for i := from; i < to; i++ {
		s.clock.pass(time.Millisecond, false)
		s.submit("", fmt.Sprintf(`{"type":"up","product":"p","device":"d-0","size":1,"topic":"%d"}`, i))
	}
}

const logOfD0 = "/v1/products/p/devices/d-0/logs"

// What comes is followed from now on, or from a time on, each event under the place of its entry, and goes on behind
// any of them. Entries are those of the log's pages.
func TestFollowedLog(t *testing.T) {
	for _, uri := range []string{logOfD0, "/v1/products/p/logs"} {
		t.Run(uri, func(t *testing.T) { testFollowedLog(t, uri) })
	}
}

func testFollowedLog(t *testing.T, uri string) {
	s := serve(t)
	s.create(1, "p")
	s.connect("p", 0, 1)
	s.up(0, 3)
	s.clock.pass(time.Second, false)
	now := s.follow("admin", uri+"?follow=true", "")
	all := s.follow("admin", uri+"?follow=true&from=2026-01-01T00:00:00Z", "")
	for _, resp := range []*http.Response{now, all} {
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" ||
			resp.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", resp.StatusCode, resp.Header)
		}
	}
	s.up(3, 6)
	whole := s.events(bufio.NewReader(all.Body), 7)
	if have := s.events(bufio.NewReader(now.Body), 3); !slices.Equal(have, whole[4:]) {
		t.Errorf("from now on: %v, want %v", have, whole[4:])
	}
	var page struct{ Logs []json.RawMessage }
	must(t, json.Unmarshal(s.expect(200, "GET", uri+"?limit=1000", ""), &page))
	slices.Reverse(page.Logs)
	for i, e := range whole {
		if e.data != string(page.Logs[i]) {
			t.Errorf("entry %d is %s, in a page %s", i, e.data, page.Logs[i])
		}
		for name, resp := range map[string]*http.Response{
			"Last-Event-ID": s.follow("admin", uri+"?follow=true", e.id),
			"cursor":        s.follow("admin", uri+"?follow=true&cursor="+e.id, ""),
		} {
			if have := s.events(bufio.NewReader(resp.Body), 6-i); !slices.Equal(have, whole[i+1:]) {
				t.Errorf("behind %s %s: %v, want %v", name, e.id, have, whole[i+1:])
			}
		}
	}
	// A limit ends it.
	resp := s.follow("admin", uri+"?follow=true&limit=2&type=up&from=2026-01-01T00:00:00Z", "")
	body, err := io.ReadAll(resp.Body)
	if err != nil || strings.Count(string(body), "event: log\n") != 2 || !strings.Contains(string(body), `"topic":"1"`) {
		t.Errorf("two entries: %q, %v", body, err)
	}
}

// A device that was never active is followed while it becomes known.
func TestFollowedDeviceBecomesKnown(t *testing.T) {
	s := serve(t)
	s.create(1, "p")
	r := bufio.NewReader(s.follow("admin", logOfD0+"?follow=true", "").Body)
	s.submit("", `{"type":"up","product":"p","device":"d-0","size":1}`)
	first := s.events(r, 1)
	s.connect("p", 0, 1)
	s.up(0, 1)
	rest := s.events(r, 2)
	for i, want := range []string{`"verdict":"not_activated"`, `"type":"connect"`, `"topic":"0"`} {
		if e := append(first, rest...)[i]; !strings.Contains(e.data, want) {
			t.Errorf("entry %d is %s, want %s", i, e.data, want)
		}
	}
}

// A stream ends with its token, and with the daemon; whose account is another one finds nothing.
func TestFollowedLogEnds(t *testing.T) {
	s := serve(t)
	s.create(1, "p")
	s.connect("p", 0, 1)
	s.addToken("viewer", access.RoleViewer, "")
	// The connect may have been decided in the millisecond in which the stream begins.
	resp := s.follow("viewer", logOfD0+"?follow=true&type=up", "")
	r := bufio.NewReader(resp.Body)
	s.up(0, 1)
	s.events(r, 1)
	s.expect(204, "DELETE", "/v1/tokens/viewer", "")
	s.up(1, 2)
	if rest, err := io.ReadAll(r); err != nil || strings.Contains(string(rest), "event:") {
		t.Errorf("behind the end of the token: %q, %v", rest, err)
	}
	await(t, "nobody follows", func() bool { return s.handler.followers.count() == 0 })
}

// What cannot be followed.
func TestFollowRefuses(t *testing.T) {
	d, _, _ := faultyDaemon(t)
	refused := func(status int, says, query, id string) {
		t.Helper()
		r := request{token: "admin", method: "GET", uri: logOfD0 + query, header: map[string]string{"Last-Event-ID": id}}
		ctx, _ := d.ask(r)
		if body := string(ctx.Response.Body()); ctx.Response.StatusCode() != status || !strings.Contains(body, says) {
			t.Errorf("%s behind %q: %d %s", query, id, ctx.Response.StatusCode(), body)
		}
	}
	refused(400, "follow: must be one of", "?follow=yes", "")
	refused(400, "to: does not go with follow", "?follow=true&to=2030-01-01T00:00:00Z", "")
	refused(400, "order: does not go with follow", "?follow=true&order=desc", "")
	refused(400, "limit: ", "?follow=true&limit=0", "")
	refused(400, "cursor: ", "?follow=true&cursor=x", "")
	for _, id := range []string{"x", "1", "1.2.3", "-1.2", "9999999999999999999.1"} {
		refused(400, "Last-Event-ID: must be the id of an event of this log", "?follow=true", id)
	}
	for range logFollowersATokenMax {
		if !d.handler.followers.enter("admin") {
			t.Fatal("refused too early")
		}
	}
	refused(503, "too many logs are being followed", "?follow=true", "")
	d.handler.followers.leave("admin")
	ctx, _ := d.ask(request{token: "admin", method: "HEAD", uri: logOfD0 + "?follow=true"})
	if string(ctx.Response.Header.ContentType()) != "text/event-stream" {
		t.Errorf("HEAD: %s", &ctx.Response)
	}
	if n := d.handler.followers.count(); n != logFollowersATokenMax-1 {
		t.Errorf("%d follow", n)
	}
}

// newFollow returns a stream of a source to a client at the other end of a pipe, and what is logged.
func newFollow(t *testing.T, source func(context.Context, func(*query.LogEntry) bool) error) (
	s *logFollow, client net.Conn, run func(context.Context) *bytes.Buffer,
) {
	t.Helper()
	e := &tokenEngine{cat: license.New("default", time.Hour)}
	var err error
	token := access.Token{Name: "viewer", Role: access.RoleViewer, ExpiresAtMs: time.Now().Add(time.Hour).UnixMilli()}
	e.cat, _, err = e.cat.CreateToken(license.Actor{}, token)
	must(t, err)
	logged := &bytes.Buffer{}
	near, far := net.Pipe()
	s = &logFollow{
		pieces: pieces{conn: near}, mailbox: newMailbox(), token: e.cat.Token("viewer"),
		h:   &Handler{engine: e, logger: slogTo(logged)},
		log: &toldLog{source: source},
	}
	return s, far, func(ctx context.Context) *bytes.Buffer {
		s.run(ctx, bufio.NewWriter(near))
		_ = near.Close() // As the server does.
		return logged
	}
}

// A silent stream sends a comment every 15 seconds, so that proxies keep it open, and ends when its token expires.
func TestFollowPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, run := newFollow(t, func(ctx context.Context, _ func(*query.LogEntry) bool) error {
			<-ctx.Done()
			return nil
		})
		began := time.Now()
		go run(t.Context())
		body, err := io.ReadAll(client)
		if lived := time.Since(began); err != nil || lived < time.Hour || lived > time.Hour+2*followLookEvery {
			t.Errorf("it lived for %s: %v", lived, err)
		}
		if n, want := strings.Count(string(body), ": ping\n\n"), int(time.Hour/followLookEvery)/followPingTicks; n != want {
			t.Errorf("%d comments, want %d", n, want)
		}
	})
}

// A client that takes nothing holds a bounded amount of text, and is cut.
func TestSlowFollowerIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		entries := int64(0)
		s, client, run := newFollow(t, func(_ context.Context, entry func(*query.LogEntry) bool) error {
			for entry(&query.LogEntry{Place: query.ProductPlace{Place: query.LogPlace{DecidedMs: entries}}}) {
				entries++
			}
			return nil
		})
		began := time.Now()
		logged := run(t.Context())
		if waited := time.Since(began); waited != takeTimeout {
			t.Errorf("it was cut after %s", waited)
		}
		if len(s.text) > mailboxBytes+100 || entries > mailboxBytes || logged.Len() > 0 {
			t.Errorf("%d entries and %d bytes, logged %q", entries, len(s.text), logged)
		}
		_ = client.Close() // It has read nothing.
	})
}

// A client that takes nothing does not hold up the end of the daemon.
func TestSlowFollowerEndsWithTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, run := newFollow(t, func(_ context.Context, entry func(*query.LogEntry) bool) error {
			for entry(&query.LogEntry{}) {
				continue
			}
			return nil
		})
		const stopsAfter = 5 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), stopsAfter)
		defer cancel()
		began := time.Now()
		if logged := run(ctx); logged.Len() > 0 || time.Since(began) != stopsAfter+endWithin {
			t.Errorf("it ended after %s, logged %q", time.Since(began), logged)
		}
		_ = client.Close() // It has read nothing.
	})
}

// Whatever ends the log, what came before it is written. An error is told to the operator, and the client sees an
// answer that is not whole.
func TestFollowedLogThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, client, run := newFollow(t, func(_ context.Context, entry func(*query.LogEntry) bool) error {
			for range 3 {
				entry(&query.LogEntry{})
			}
			return errors.New("a group is damaged")
		})
		var logged *bytes.Buffer
		done := make(chan struct{})
		go func() { logged = run(t.Context()); close(done) }()
		body, _ := io.ReadAll(client)
		<-done
		if strings.Count(string(body), "event: log\nid: 0\ndata: 0\n\n") != 3 ||
			!strings.Contains(logged.String(), "damaged") {
			t.Errorf("%q, logged %q", body, logged)
		}
	})
}

// tokenEngine knows tokens and the time.
type tokenEngine struct {
	Engine
	cat *license.Catalogue
}

func (e *tokenEngine) Catalogue() *license.Catalogue { return e.cat }
func (e *tokenEngine) NowMs() int64                  { return time.Now().UnixMilli() }

func slogTo(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// toldLog is a log of a test, whose entries are numbers.
type toldLog struct {
	productLog
	source func(context.Context, func(*query.LogEntry) bool) error
}

func (l *toldLog) product() *license.Product { return &license.Product{} }

func (l *toldLog) follow(
	ctx context.Context, _ Queries, _ func(query.ProductPlace), fn func(*query.LogEntry) bool,
) error {
	return l.source(ctx, fn)
}

func (l *toldLog) cursor(at query.ProductPlace) *string { return cursorOf(uint64(at.DecidedMs)) }
func (l *toldLog) show(e *query.LogEntry) any           { return e.Place.DecidedMs }
