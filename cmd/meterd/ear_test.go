package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// told is one command as a stream said it.
type told struct {
	ID, Event               string
	Product, Device, Reason string
}

func (c told) String() string {
	return strings.TrimSpace(c.Event + " " + c.Product + " " + c.Device + " " + c.Reason)
}

// ear is a gateway that hears commands.
type ear struct {
	t    testing.TB
	came chan told
	last string // the id of the last command that next returned
}

// listen opens the command stream of a producer ("" for all) behind the command with an id ("" for none), and closes it
// with the test.
func (d *daemon) listen(producer, after string) *ear {
	d.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	d.t.Cleanup(stop)
	path := d.scheme + "://" + d.run.address + "/v1/commands"
	if producer != "" {
		path += "?producer=" + url.QueryEscape(producer)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	forever := &http.Client{Transport: d.http.Transport} // A stream outlives any timeout.
	resp, err := forever.Do(req)
	if err != nil {
		d.t.Fatalf("listen: %v\n%s", err, d.run.said())
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		d.t.Fatalf("listen: %d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	e := &ear{t: d.t, came: make(chan told, 1024), last: after}
	go func() {
		defer close(e.came)
		defer resp.Body.Close()
		e.read(bufio.NewScanner(resp.Body))
	}()
	return e
}

// read takes the stream apart until it ends: what is between two blank lines is one command, a line that begins with a
// colon nothing.
func (e *ear) read(lines *bufio.Scanner) {
	var c told
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			c.ID = value
		case "event":
			c.Event = value
		case "data":
			if err := json.Unmarshal([]byte(value), &c); err != nil {
				e.t.Errorf("data %q: %v", value, err)
			}
		case "":
			if c.Event != "" {
				e.came <- c
			}
			c = told{}
		default:
			e.t.Errorf("the stream says %q", lines.Text())
		}
	}
}

// next returns the next command, which must come.
func (e *ear) next() told {
	e.t.Helper()
	select {
	case c, open := <-e.came:
		if !open {
			e.t.Fatal("the stream ended instead of saying a command")
		}
		if c.ID == "" || c.ID == e.last {
			e.t.Errorf("command %s has the id %q, the one before it %q", c, c.ID, e.last)
		}
		e.last = c.ID
		return c
	case <-time.After(patience):
		e.t.Fatalf("no command came within %s", patience)
		return told{}
	}
}

// take returns the next n commands.
func (e *ear) take(n int) (list []told) {
	e.t.Helper()
	for range n {
		list = append(list, e.next())
	}
	return list
}

// until returns what comes before a command that reads like mark. A test that has a stream say something knows then
// that it said nothing else.
func (e *ear) until(mark string) (list []string) {
	e.t.Helper()
	for {
		c := e.next()
		if c.String() == mark {
			return list
		}
		list = append(list, c.String())
	}
}

// mark credits a pack of one unit, which every stream of the account hears as a refresh.
func (d *daemon) mark(product, order string) string {
	d.t.Helper()
	d.topup(product, order, 1)
	return "refresh " + product
}
