package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf8"
)

// column shows what lies at a path of an element, "licenses.available"; where the element has the first of several,
// separated by "|", it shows that.
type column struct {
	title, path string
}

// table writes rows with even columns.
type table struct {
	w       *tabwriter.Writer
	columns []column
	rows    int
}

func newTable(w io.Writer, columns []column, least int) *table {
	t := &table{w: tabwriter.NewWriter(w, least, 0, 2, ' ', 0), columns: columns}
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	t.line(titles)
	return t
}

func newTabs(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func (t *table) line(cells []string) {
	// Each cell ends with a tab but the last one, so that no line ends with spaces. Flush returns an error of this write.
	_, _ = fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// element adds a row.
func (t *table) element(raw json.RawMessage) error {
	v, err := decodeAny(raw)
	if err != nil {
		return err
	}
	cells := make([]string, len(t.columns))
	for i, c := range t.columns {
		cells[i] = shorten(cell(lookUp(v, c.path)))
	}
	t.line(cells)
	if t.rows++; t.rows%rowsAFlush == 0 {
		return t.w.Flush()
	}
	return nil
}

// flush writes the rows that were held.
func (t *table) flush() error { return t.w.Flush() }

// end writes what is left. An empty list shows its titles; a list that was refused shows nothing.
func (t *table) end(whole bool) error {
	if !whole && t.rows == 0 {
		return nil
	}
	return t.w.Flush()
}

// decodeAny reads JSON and keeps numbers as they are written.
func decodeAny(raw json.RawMessage) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("the answer holds what is not JSON: %w", err)
	}
	return v, nil
}

// lookUp returns what lies at a path, nil if nothing does.
func lookUp(v any, path string) any {
	for choice := range strings.SplitSeq(path, "|") {
		at := v
		for name := range strings.SplitSeq(choice, ".") {
			m, _ := at.(map[string]any)
			at = m[name]
		}
		if at != nil {
			return at
		}
	}
	return nil
}

// cell returns a value as people read it.
func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case json.Number:
		return v.String()
	case string:
		if v == "" {
			return "-"
		}
		return printable(v)
	case []any:
		if len(v) == 0 {
			return "-"
		}
		cells := make([]string, len(v))
		for i := range v {
			cells[i] = cell(v[i])
		}
		return strings.Join(cells, ",")
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("BUG: what was decoded cannot be encoded: " + err.Error())
	}
	return printable(strings.TrimSpace(b.String()))
}

// printable returns s with everything escaped that a terminal would obey instead of showing: devices choose topics and
// payloads, and what they choose must not move the cursor of a person who reads their log.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// shorten cuts a text to what a row has room for.
func shorten(s string) string {
	if runes := []rune(s); len(runes) > cellRunesMax {
		return string(runes[:cellRunesMax-1]) + "…"
	}
	return s
}

// writeRecord writes one object, a line a member in the order of the answer; members of objects within have their path.
// A member that a later version adds is there too.
func writeRecord(w io.Writer, raw json.RawMessage) error {
	t := newTabs(w)
	if err := writeMembers(t, "", raw); err != nil {
		return err
	}
	return t.Flush()
}

func writeMembers(w io.Writer, path string, raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return fmt.Errorf("the answer is no object: %s", shorten(printable(string(raw))))
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return fmt.Errorf("the answer holds what is not JSON: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("the answer holds what is not JSON: %w", err)
		}
		full := path + printable(fmt.Sprint(name))
		if value[0] == '{' {
			if err := writeMembers(w, full+".", value); err != nil {
				return err
			}
			continue
		}
		v, err := decodeAny(value)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\n", full, cell(v)); err != nil {
			return err
		}
	}
	return nil
}
