package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// Follow returns what comes to stand in a log, each entry decoded into a T, until ctx ends: path and query are those of
// the log. Whenever the stream breaks it is opened again behind the last entry that came, so that none is missed and
// none comes twice. What meterd refuses at first, and later what it refuses for good, a revoked token say, is an error
// and the last thing that comes.
func Follow[T any](ctx context.Context, a *Admin, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		f := &followed{a: a, path: path, query: maps.Clone(query)}
		if f.query == nil {
			f.query = url.Values{}
		}
		f.query.Set("follow", "true")
		for failures := 0; ; failures++ {
			before, opened := f.entries, time.Now()
			ended, err := f.read(ctx, func(data []byte) (bool, error) {
				var entry T
				if err := json.Unmarshal(data, &entry); err != nil {
					return false, fmt.Errorf("an entry of the answer to GET %s is not what was expected: %w", path, err)
				}
				return yield(entry, nil), nil
			})
			if ended {
				return
			}
			if ctx.Err() == nil && !f.lasts(err) {
				var none T
				yield(none, err)
				return
			}
			if f.entries > before || time.Since(opened) >= commandPauseMax {
				failures = 0
			}
			select {
			case <-time.After(commandPause(failures, err)):
			case <-ctx.Done():
				return
			}
		}
	}
}

// followed is one call of Follow.
type followed struct {
	a       *Admin
	path    string
	query   url.Values
	lastID  string // everything up to it came
	opened  bool   // once at least
	entries uint64
}

// errEntry is what an entry cannot be; another try would meet it again.
var errEntry = errors.New("an entry cannot be read")

// lasts reports whether it may go on after an error: it did once, and meterd may be starting again.
func (f *followed) lasts(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		return f.opened && (p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests)
	}
	return f.opened && !errors.Is(err, errEntry)
}

// read opens the stream and hands over the data of its entries until it breaks, or take wants no more: ended.
func (f *followed) read(ctx context.Context, take func(data []byte) (bool, error)) (ended bool, _ error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := newSilence(max(f.a.opts.Timeout, heartbeatTimeoutDefault), cancel)
	defer watch.end()
	resp, err := f.open(ctx)
	watch.end()
	if err != nil {
		return false, reasonOf(ctx, err)
	}
	defer resp.Body.Close()
	events := newEventStream(watch.listen(resp.Body), logLineBytesMax+eventLineBytes, logLineBytesMax)
	for {
		e, err := events.next()
		switch {
		case err != nil:
			return false, reasonOf(ctx, fmt.Errorf("follow GET %s: %w", f.path, err))
		case e.damaged:
			return false, fmt.Errorf("%w: it is over %d bytes", errEntry, logLineBytesMax)
		case e.name == "log":
			f.entries++
			more, err := take(e.data)
			if err != nil {
				return false, fmt.Errorf("%w: %w", errEntry, err)
			}
			if !more {
				return true, nil
			}
		}
		if e.hasID {
			f.lastID = e.id
		}
	}
}

// open makes the request. A stream that broke before it had told a place begins again when it began at first.
func (f *followed) open(ctx context.Context) (*http.Response, error) {
	header := http.Header{}
	if f.lastID != "" {
		header.Set("Last-Event-ID", f.lastID)
	}
	resp, err := f.a.askWith(ctx, http.MethodGet, f.path, f.query, nil, "text/event-stream", header)
	if err != nil {
		return nil, err
	}
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); media != "text/event-stream" {
		_ = resp.Body.Close() // Nothing of it is wanted.
		return nil, fmt.Errorf("the answer to GET %s is %q, not text/event-stream: this meterd cannot be followed",
			f.path, media)
	}
	f.opened = true
	if began, err := http.ParseTime(resp.Header.Get("Date")); err == nil && !f.query.Has("from") {
		f.query.Set("from", began.UTC().Format(time.RFC3339))
	}
	return resp, nil
}
