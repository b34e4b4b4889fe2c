package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

// Elements returns the elements of a list, page after page, each decoded into a T; member is the list's name in the
// answer. A limit in query is the size of a page; without one pages are as large as meterd makes them. The pages are of
// different instants, as the contract says. An error is the last thing that comes.
func Elements[T any](ctx context.Context, a *Admin, path, member string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		query := maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		if !query.Has("limit") {
			query.Set("limit", strconv.Itoa(pageElements))
		}
		for {
			elements, next, err := page[T](ctx, a, path, member, query)
			if err == nil && next != "" && next == query.Get("cursor") {
				err = fmt.Errorf("the answer to GET %s names itself as the next page", path)
			}
			if err != nil {
				yield(none, err)
				return
			}
			for _, e := range elements {
				if !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			query.Set("cursor", next)
		}
	}
}

// page asks for one page; next is "" behind the last one.
func page[T any](
	ctx context.Context,
	a *Admin,
	path, member string,
	query url.Values,
) (elements []T, next string, err error) {
	var answer map[string]json.RawMessage
	if err := a.Call(ctx, http.MethodGet, path, query, nil, &answer); err != nil {
		return nil, "", err
	}
	list, ok := answer[member]
	if !ok {
		return nil, "", fmt.Errorf("the answer to GET %s has no %s", path, member)
	}
	if err := json.Unmarshal(list, &elements); err != nil {
		return nil, "", fmt.Errorf("%s in the answer to GET %s: %w", member, path, err)
	}
	if answer["next"] != nil {
		if err := json.Unmarshal(answer["next"], &next); err != nil { // null leaves it as it is.
			return nil, "", fmt.Errorf("next in the answer to GET %s: %w", path, err)
		}
	}
	return elements, next, nil
}

// Lines returns what is streamed as a line an element, a device's log, each decoded into a T. It ends with an error
// when the stream broke off before its end, or was silent for the Timeout; time that the caller takes does not count.
func Lines[T any](ctx context.Context, a *Admin, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for line, err := range a.stream(ctx, path, query, "application/x-ndjson") {
			var element T
			if err == nil && len(line) == 0 {
				continue
			}
			if err == nil {
				if err = json.Unmarshal(line, &element); err != nil {
					err = fmt.Errorf("a line of the answer to GET %s is not what was expected: %w", path, err)
				}
			}
			if !yield(element, err) || err != nil {
				return
			}
		}
	}
}

// Text returns the lines of a plain text, of /metrics for one, without their ends. It ends as Lines does.
func (a *Admin) Text(ctx context.Context, path string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for line, err := range a.stream(ctx, path, nil, "text/plain") {
			if !yield(string(line), err) {
				return
			}
		}
	}
}

// stream returns the lines of an answer, each valid until the next one is asked for. An error is the last that comes.
func (a *Admin) stream(ctx context.Context, path string, query url.Values, accept string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		watch := newSilence(a.opts.Timeout, cancel)
		defer watch.end()
		resp, err := a.ask(ctx, http.MethodGet, path, query, nil, accept)
		watch.end()
		if err != nil {
			yield(nil, reasonOf(ctx, err))
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(watch.listen(resp.Body))
		lines.Buffer(nil, logLineBytesMax)
		for lines.Scan() {
			if !yield(bytes.TrimSpace(lines.Bytes()), nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, reasonOf(ctx, fmt.Errorf("read the answer to GET %s: %w", path, err)))
		}
	}
}
