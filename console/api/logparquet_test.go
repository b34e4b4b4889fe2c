package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// parquetLines returns the rows of a Parquet file as the lines of NDJSON that they are, by the names of its columns.
func parquetLines(t *testing.T, body []byte) (lines []map[string]any) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	must(t, err)
	fields := f.Schema().Fields()
	for _, g := range f.RowGroups() {
		rows := g.Rows()
		buffer := make([]parquet.Row, 10)
		for {
			n, err := rows.ReadRows(buffer)
			for _, row := range buffer[:n] {
				line := map[string]any{}
				for _, v := range row {
					field := fields[v.Column()]
					line[field.Name()] = parquetCell(field.Type().String(), v)
				}
				lines = append(lines, line)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
		}
		must(t, rows.Close())
	}
	return lines
}

func parquetCell(kind string, v parquet.Value) any {
	switch {
	case v.IsNull():
		return nil
	case strings.HasPrefix(kind, "TIMESTAMP"):
		return time.UnixMilli(v.Int64()).UTC().Format("2006-01-02T15:04:05.000Z")
	case strings.HasPrefix(kind, "INT"):
		return fmt.Sprint(v.Int64())
	case kind == "BOOLEAN":
		return v.Boolean()
	}
	return string(v.ByteArray())
}

// jsonLine returns a line of NDJSON with the members that a row of a Parquet file has.
func jsonLine(t *testing.T, text string) map[string]any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var line map[string]any
	must(t, d.Decode(&line))
	if encoded, is := line["payload_base64"].(string); is {
		payload, err := base64.StdEncoding.DecodeString(encoded)
		must(t, err)
		line["payload"] = string(payload)
		delete(line, "payload_base64")
	}
	for _, name := range []string{
		"payload", "limit", "used", "resets_at", "would_deny", "requested", "topup_available",
	} {
		if _, is := line[name]; !is {
			line[name] = nil
		}
	}
	if line["payload_truncated"] == nil {
		line["payload_truncated"] = false
	}
	for name, value := range line {
		if at, isText := value.(string); isText && (name == "time" || strings.HasSuffix(name, "_at")) {
			parsed, err := time.Parse(time.RFC3339, at)
			must(t, err)
			line[name] = parsed.Format("2006-01-02T15:04:05.000Z")
		} else if n, is := value.(json.Number); is {
			line[name] = n.String()
		}
	}
	return line
}

// TestLogAsParquet: the file has the entries of the log as NDJSON shows them, oldest first, whatever is asked for.
func TestLogAsParquet(t *testing.T) {
	d := newDaemon(t, nil)
	d.create(1, "p", "other")
	d.connect("p", 0, 1)
	d.connect("other", 0, 1)
	d.submit(
		"",
		`{"type":"up","product":"p","device":"d-0","topic":"t/1","payload":"21.5 °C","time":"2026-11-23T09:00:00.25Z"}
{"type":"down","product":"p","device":"d-0","payload_base64":"/wA="}
{"type":"ota","product":"p","device":"d-0","size":1000}
{"type":"up","product":"p","device":"never","topic":"t/1"}
{"type":"ota","product":"p","device":"d-0","size":1000,"id":"o"}
{"type":"up","product":"other","device":"d-0","payload":"another's"}
`,
	)
	if ctx, _ := d.ask(request{
		token: "admin", method: "PUT", uri: "/v1/products/p/enforcement", body: `{"mode":"observe"}`,
	}); ctx.Response.StatusCode() != 200 {
		t.Fatalf("%s", ctx.Response.Body())
	}
	d.submit("", `{"type":"ota","product":"p","device":"d-0","size":1000}`)
	ask := func(query, accept string) (status int, kind string, body []byte) {
		ctx, _ := d.ask(request{
			token: "admin", method: "GET", uri: "/v1/products/p/logs" + query, header: map[string]string{"Accept": accept},
		})
		body = bytes.Clone(ctx.Response.Body())
		return ctx.Response.StatusCode(), string(ctx.Response.Header.ContentType()), body
	}
	for _, query := range []string{
		"?", "?type=up", "?verdict=accepted", "?verdict=ota_quota_exceeded", "?topic=t/1", "?limit=2", "?topic=nothing",
		"?from=2026-11-23T10:00:00Z&to=2100-01-01T00:00:00Z",
	} {
		_, _, text := ask(query+"&order=asc", mediaNDJSON)
		var want []map[string]any
		for line := range strings.Lines(string(text)) {
			want = append(want, jsonLine(t, line))
		}
		status, kind, body := ask(query, mediaParquet)
		if status != 200 || kind != mediaParquet {
			t.Fatalf("%s: %d %s %s", query, status, kind, body)
		}
		have := parquetLines(t, body)
		if !slices.EqualFunc(have, want, func(a, b map[string]any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%s: the file has\n%v\nwant\n%v", query, have, want)
		}
		if query == "?" && (len(want) != 7 || want[6]["would_deny"] == nil ||
			want[6]["requested"] != "1" || want[5]["topup_available"] != "0") {
			t.Errorf("the log has %d entries: %s", len(want), text)
		}
	}
	for accept, want := range map[string]string{
		"*/*":                        "application/json",
		"application/*":              "application/json",
		mediaParquet + ";q=0.5, */*": "application/json",
		mediaParquet + ", */*;q=0.1": mediaParquet,
		"text/html, " + mediaParquet: mediaParquet,
		mediaNDJSON + ";q=0.9, " + mediaParquet + ";q=0.8": mediaNDJSON,
	} {
		if _, kind, _ := ask("", accept); kind != want {
			t.Errorf("Accept: %s is answered as %s, want %s", accept, kind, want)
		}
	}
	if status, _, body := ask(
		"?order=desc",
		mediaParquet,
	); status != 400 ||
		!strings.Contains(string(body), `"field":"order"`) {
		t.Errorf("newest first: %d %s", status, body)
	}
	ctx, _ := d.ask(request{
		token:  "admin",
		method: "GET",
		uri:    "/v1/products/p/devices/d-0/logs",
		header: map[string]string{"Accept": mediaParquet},
	})
	if kind := string(ctx.Response.Header.ContentType()); ctx.Response.StatusCode() != 200 || kind != "application/json" {
		t.Errorf("a device's log: %s", &ctx.Response)
	}
	if n := d.handler.readers.count() + d.handler.sorted.count(); n != 0 {
		t.Errorf("%d still read", n)
	}
}
