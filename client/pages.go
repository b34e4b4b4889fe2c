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

// Elements returns the elements of a list, page after page; member is the list's name in the answer. A limit in query
// is the size of a page; without one pages are as large as meterd makes them. The pages are of different instants, as
// the contract says. An error is the last thing that comes.
func (a *Admin) Elements(ctx context.Context, path, member string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		query := maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		if !query.Has("limit") {
			query.Set("limit", strconv.Itoa(pageElements))
		}
		for {
			elements, next, err := a.page(ctx, path, member, query)
			if err == nil && next != "" && next == query.Get("cursor") {
				err = fmt.Errorf("the answer to GET %s names itself as the next page", path)
			}
			if err != nil {
				yield(nil, err)
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
func (a *Admin) page(
	ctx context.Context,
	path, member string,
	query url.Values,
) (elements []json.RawMessage, next string, err error) {
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

// Lines returns what is streamed as a line an element, a device's log, each valid until the next one is asked for. It
// ends with an error when the stream broke off before its end, or was silent for the Timeout; time that the caller
// takes does not count.
func (a *Admin) Lines(ctx context.Context, path string, query url.Values) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		watch := newSilence(a.opts.Timeout, cancel)
		defer watch.end()
		resp, err := a.ask(ctx, http.MethodGet, path, query, nil, "application/x-ndjson")
		watch.end()
		if err != nil {
			yield(nil, reasonOf(ctx, err))
			return
		}
		defer resp.Body.Close()
		lines := bufio.NewScanner(watch.listen(resp.Body))
		lines.Buffer(nil, logLineBytesMax)
		for lines.Scan() {
			line := bytes.TrimSpace(lines.Bytes())
			if len(line) == 0 {
				continue
			}
			if !json.Valid(line) {
				yield(nil, fmt.Errorf("the answer to GET %s has a line that is not JSON", path))
				return
			}
			if !yield(line, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, reasonOf(ctx, fmt.Errorf("read the answer to GET %s: %w", path, err)))
		}
	}
}
