package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/shard/query"
)

// A client that takes all of a product's log slowly keeps nobody from reading pages, gets all of it in the end, and
// gives its place back; so does one that has gone.
func TestSlowReaderOfAProduct(t *testing.T) {
	s := serve(t)
	const entries = 30
	s.fill(entries)
	slow := s.dialAt("/v1/products/p/logs?order=asc", mediaNDJSON)
	var begun [1 << 10]byte
	_, err := io.ReadFull(slow, begun[:])
	must(t, err)
	await(t, "the slow client is waited for", func() bool { return s.listener.writing.Load() == 1 })
	status, body := s.answerOn(s.dialAt("/v1/products/p/logs", mediaNDJSON))
	if status != 503 || !strings.Contains(body, "streamed already") {
		t.Errorf("another stream of the same token: %d %s", status, body)
	}
	status, page := s.answerOn(s.dialAt("/v1/products/p/logs?limit=2", "application/json"))
	if status != 200 || strings.Count(page, `"device":"d-0"`) != 2 {
		t.Errorf("a page: %d %.300s", status, page)
	}
	status, part := s.answerOn(s.dialAt("/v1/products/p/logs?limit=7", mediaNDJSON))
	if status != 200 || strings.Count(part, "\n") != 7 {
		t.Errorf("a part of the stream: %d with %d lines", status, strings.Count(part, "\n"))
	}
	status, whole := s.answerOn(io.MultiReader(strings.NewReader(string(begun[:])), slow))
	var topics []string
	for line := range strings.Lines(whole) {
		var e struct{ Topic *string }
		must(t, json.Unmarshal([]byte(line), &e))
		if e.Topic != nil {
			topics = append(topics, *e.Topic)
		}
	}
	var want []string
	for i := range entries {
		want = append(want, fmt.Sprint(i))
	}
	if status != 200 || fmt.Sprint(topics) != fmt.Sprint(want) {
		t.Errorf("the slow client: %d, %v", status, topics)
	}
	areFree := func() bool { return s.handler.readers.count()+s.handler.sorted.count() == 0 }
	await(t, "nobody reads", areFree)
	s.queries.holds.Store(true)
	gone := s.dialAt("/v1/products/p/logs", mediaNDJSON)
	await(t, "the search runs", func() bool { return s.queries.running() == 1 })
	must(t, gone.Close())
	await(t, "nobody reads", areFree)
}

// Streams of all of a product are refused before their status is sent, if too many are there or the disk is full. Pages
// are not.
func TestStreamsOfProductsAreBounded(t *testing.T) {
	d, queries, _ := faultyDaemon(t)
	d.addToken("viewer", access.RoleViewer, "")
	ask := func(token, uri string) (status int, detail string) {
		t.Helper()
		ctx, _ := d.ask(request{token: token, method: "GET", uri: uri, header: map[string]string{"Accept": mediaNDJSON}})
		var p struct{ Code, Detail string }
		body := ctx.Response.Body() // A stream gives its place back at its end.
		if status = ctx.Response.StatusCode(); status != 200 {
			must(t, json.Unmarshal(body, &p))
			if p.Code != "overloaded" || len(ctx.Response.Header.Peek("Retry-After")) == 0 {
				t.Errorf("%s", &ctx.Response)
			}
		}
		return status, p.Detail
	}
	expect := func(token, uri string, status int, says string) {
		t.Helper()
		if got, detail := ask(token, uri); got != status || !strings.Contains(detail, says) {
			t.Errorf("%s: %d %s", uri, got, detail)
		}
	}
	const all, some = "/v1/products/p/logs", "/v1/products/p/logs?limit=5"
	expect("admin", all, 200, "")
	if !d.handler.sorted.enter("admin") {
		t.Fatal("refused too early")
	}
	expect("admin", all, 503, "streamed already")
	expect("admin", some, 200, "")
	expect("viewer", all, 200, "")
	if !d.handler.sorted.enter("other") {
		t.Fatal("refused too early")
	}
	expect("viewer", all, 503, "streamed already")
	d.handler.sorted.leave("other")
	d.handler.sorted.leave("admin")
	queries.admitErr = query.ErrNoRoom
	expect("viewer", all, 503, "no room")
	expect("viewer", some, 200, "")
	queries.admitErr = query.ErrBusy
	expect("viewer", all, 503, "streamed already")
	queries.admitErr = nil
	if got := d.handler.sorted.count() + d.handler.readers.count(); got != 0 {
		t.Errorf("%d places are held", got)
	}
}

// A stream of a product that fails behind its status closes the connection.
func TestProductStreamFails(t *testing.T) {
	d, queries, logged := faultyDaemon(t)
	queries.logErr = errors.New("a directory is damaged")
	ctx, conn := d.ask(request{
		token: "admin", method: "GET", uri: "/v1/products/p/logs", header: map[string]string{"Accept": mediaNDJSON},
	})
	if lines := strings.Count(string(ctx.Response.Body()), "\n"); lines != 3 || !conn.closed.Load() {
		t.Errorf("%d lines, closed %v", lines, conn.closed.Load())
	}
	if !strings.Contains(logged.String(), "is damaged") {
		t.Errorf("logged %s", logged)
	}
}
