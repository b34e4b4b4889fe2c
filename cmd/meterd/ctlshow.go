package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/client"
)

// elements writes the elements of a list. After an error the list ends, but is not whole.
type elements interface {
	element(json.RawMessage) error
	flush() error
	end(whole bool) error
}

// newElements returns a writer of the list called member in the way that --output asks for. Columns have at least some
// cells; wider ones are even among rows that are flushed together.
func (c *ctl) newElements(w io.Writer, member string, columns []column, least int) elements {
	switch c.output {
	case asJSON:
		return &jsonList{w: bufio.NewWriter(w), member: member}
	case asLines:
		return &jsonLines{w: bufio.NewWriter(w)}
	}
	return newTable(w, columns, least)
}

// jsonList writes the list as the API would if a page had no end, without next. One that breaks off is left open, so
// that no program takes it for whole.
type jsonList struct {
	w      *bufio.Writer
	member string
	begun  bool
}

func (l *jsonList) element(raw json.RawMessage) error {
	separator := ",\n"
	if !l.begun {
		l.begun = true
		separator = fmt.Sprintf("{%q:[\n", l.member)
	}
	_, err := fmt.Fprintf(l.w, "%s%s", separator, raw)
	return err
}

func (l *jsonList) flush() error { return l.w.Flush() }

func (l *jsonList) end(whole bool) error {
	var err error
	switch {
	case !whole:
	case l.begun:
		_, err = fmt.Fprintln(l.w, "]}")
	default:
		_, err = fmt.Fprintf(l.w, "{%q:[]}\n", l.member)
	}
	return errors.Join(err, l.w.Flush())
}

// jsonLines writes an element a line.
type jsonLines struct {
	w    *bufio.Writer
	line bytes.Buffer
}

func (l *jsonLines) element(raw json.RawMessage) error {
	l.line.Reset()
	if err := json.Compact(&l.line, raw); err != nil {
		return fmt.Errorf("the answer holds what is not JSON: %w", err)
	}
	l.line.WriteByte('\n')
	_, err := l.w.Write(l.line.Bytes())
	return err
}

func (l *jsonLines) flush() error { return l.w.Flush() }

func (l *jsonLines) end(bool) error { return l.w.Flush() }

// list is a list that the API has.
type list struct {
	path     string
	member   string
	query    url.Values
	limit    uint // of elements that are shown, 0 for all
	columns  []column
	streamed bool // a line an element instead of pages
	followed bool // what comes to be in it, without end
}

// show shows a list, to its end or limit. What came before an error is shown too.
func (c *ctl) show(cmd *cobra.Command, l list) error {
	admin, err := c.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	least := 0
	if l.followed { // Each row is flushed.
		least = followedCells
	}
	out := c.newElements(cmd.OutOrStdout(), l.member, l.columns, least)
	shown := uint(0)
	for raw, err := range l.elements(cmd.Context(), admin) {
		if err != nil {
			return errors.Join(c.explain(err), out.end(false))
		}
		if err := out.element(raw); err != nil {
			return err
		}
		if l.followed { // Somebody waits for it.
			if err := out.flush(); err != nil {
				return err
			}
		}
		if shown++; shown == l.limit {
			break
		}
	}
	return out.end(true)
}

func (l *list) elements(ctx context.Context, admin *client.Admin) iter.Seq2[json.RawMessage, error] {
	query := url.Values{}
	for name, values := range l.query {
		query[name] = values
	}
	if l.followed {
		return client.Follow[json.RawMessage](ctx, admin, l.path, query)
	}
	if l.limit > 0 && l.limit < pageMax {
		query.Set("limit", fmt.Sprint(l.limit))
	}
	if l.streamed {
		return client.Lines[json.RawMessage](ctx, admin, l.path, query)
	}
	return client.Elements[json.RawMessage](ctx, admin, l.path, l.member, query)
}

// call makes one call and returns the answer as it is.
func (c *ctl) call(
	cmd *cobra.Command,
	method, path string,
	query url.Values,
	body any,
) (answer json.RawMessage, err error) {
	admin, err := c.admin()
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	if err := admin.Call(cmd.Context(), method, path, query, body, &answer); err != nil {
		return nil, c.explain(err)
	}
	return answer, nil
}

// record makes one call and shows the object that is answered.
func (c *ctl) record(cmd *cobra.Command, method, path string, query url.Values, body any) error {
	answer, err := c.call(cmd, method, path, query, body)
	if err != nil {
		return err
	}
	if c.output == asTable {
		return writeRecord(cmd.OutOrStdout(), answer)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", answer)
	return err
}

// done makes one call that has no answer, and tells people that it was made.
func (c *ctl) done(cmd *cobra.Command, method, path, said string) error {
	if _, err := c.call(cmd, method, path, nil, nil); err != nil {
		return err
	}
	if c.output != asTable {
		return nil
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), said)
	return err
}

// explain says what to do next about an error of a call.
func (c *ctl) explain(err error) error {
	var p *client.Problem
	var notReached *url.Error
	switch {
	case errors.As(err, &notReached):
		return fmt.Errorf("%w; is meterd running at %s (--url, METERD_URL)?", err, c.url)
	case !errors.As(err, &p):
		return err
	case p.Code == "":
		return fmt.Errorf("%w from %s, which is not how meterd answers: check --url and METERD_URL", err, c.url)
	}
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	text = printable(text) + " (" + printable(p.Code) + ")"
	switch {
	case p.Status == http.StatusUnauthorized:
		text += "; check METERD_TOKEN and --token-file"
	case p.RetryAfter > 0:
		text += fmt.Sprintf("; try again in %s", p.RetryAfter)
	}
	return refusal{text, err}
}

// refusal is a *client.Problem in words for people.
type refusal struct {
	text string
	err  error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.err }
