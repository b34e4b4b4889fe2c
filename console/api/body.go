package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// fields says what a body may have: a reader for each member. It returns a *event.Problem, or an error that says what
// the member must be.
type fields map[string]func(raw json.RawMessage) error

// read reads the request's body as one object with no other members than those of f.
func (c *call) read(f fields) error {
	body, err := readBody(c.ctx, bodyBytesMax)
	if err != nil {
		return err
	}
	return decodeObject(body, f)
}

// readNothing reads the body of a call that takes none: it is empty, or an object without members.
func (c *call) readNothing() error {
	body, err := readBody(c.ctx, bodyBytesMax)
	if err != nil || len(bytes.TrimSpace(body)) == 0 {
		return err
	}
	return decodeObject(body, fields{})
}

// readBody returns the body, of bytesMax bytes at most.
func readBody(ctx *fasthttp.RequestCtx, bytesMax int) ([]byte, error) {
	header := &ctx.Request.Header
	if kind := string(header.ContentType()); !maybeJSON(kind) {
		return nil, &event.Problem{
			Code: event.UnsupportedMedia, Field: "Content-Type", Detail: "Content-Type: must be application/json",
		}
	}
	if encoding := string(header.ContentEncoding()); encoding != "" && encoding != "identity" {
		return nil, &event.Problem{
			Code:   event.UnsupportedEncoding,
			Field:  "Content-Encoding",
			Detail: "Content-Encoding: an administrative body is sent plain",
		}
	}
	tooLarge := &event.Problem{Code: event.BodyTooLarge, Detail: fmt.Sprintf("the body is over %d bytes", bytesMax)}
	if header.ContentLength() > bytesMax {
		return nil, tooLarge
	}
	stream := ctx.RequestBodyStream()
	if stream == nil {
		stream = bytes.NewReader(ctx.Request.Body())
	}
	body, err := io.ReadAll(io.LimitReader(stream, int64(bytesMax)+1))
	switch {
	case err != nil:
		return nil, &event.Problem{Code: event.BadRequest, Detail: "the body ended too early"}
	case len(body) > bytesMax:
		return nil, tooLarge
	}
	return body, nil
}

// maybeJSON reports whether a body of this content type is read. Clients that never say what they send name a form, or
// text.
func maybeJSON(kind string) bool {
	kind, _, _ = strings.Cut(kind, ";")
	switch kind = strings.ToLower(strings.TrimSpace(kind)); kind {
	case "",
		"application/json",
		"text/json",
		"text/plain",
		"application/octet-stream",
		"application/x-www-form-urlencoded":
		return true
	}
	return strings.HasSuffix(kind, "+json")
}

// decodeObject reads body, which must be one JSON object whose members are all in f, each given once.
func decodeObject(body []byte, f fields) error {
	if err := checkJSON(body); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errNoObject()
	}
	seen := make(map[string]bool, len(f))
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return fmt.Errorf("read a member that was checked before: %w", err)
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("read a value that was checked before: %w", err)
		}
		if err := f.member(name.(string), raw, seen); err != nil {
			return err
		}
	}
	return nil
}

// member reads one member.
func (f fields) member(name string, raw json.RawMessage, seen map[string]bool) error {
	read, known := f[name]
	if !known {
		name = strings.ToValidUTF8(name[:min(len(name), fieldBytesMax)], "")
		return &event.Problem{Code: event.UnknownField, Field: name, Detail: name + ": is not a field of this request"}
	}
	if seen[name] {
		return invalid(name, "is given twice")
	}
	seen[name] = true
	err := read(raw)
	var p *event.Problem
	if err == nil || errors.As(err, &p) {
		return err
	}
	return invalid(name, err.Error())
}

// checkJSON refuses what is not one JSON value, with the line where it ceases to be.
func checkJSON(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return &event.Problem{Code: event.BadRequest, Detail: "the body is empty; send one JSON object"}
	}
	if !utf8.Valid(body) {
		return &event.Problem{Code: event.BadRequest, Detail: "the body is not UTF-8"}
	}
	var raw json.RawMessage
	err := json.Unmarshal(body, &raw)
	if err == nil {
		return nil
	}
	p := &event.Problem{Code: event.BadRequest, Detail: "the body is not JSON: " + err.Error()}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		p.Line = 1 + bytes.Count(body[:min(int(syntax.Offset), len(body))], []byte{'\n'})
	}
	return p
}

// text reads a string.
func text(to *string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if raw[0] != '"' || json.Unmarshal(raw, to) != nil {
			return errors.New("must be a string")
		}
		return nil
	}
}

// amount reads a whole number, however it is written: 1000, 1000.0, 1e3. The caller checks its bounds.
func amount(to *uint64) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		n, ok := event.ParseWhole(raw, math.MaxUint64)
		if !ok {
			return errors.New("must be a whole number, not negative")
		}
		*to = n
		return nil
	}
}

// plan reads a plan; its values are checked when it is applied.
func plan(to *license.PlanPatch) func(json.RawMessage) error {
	return func(raw json.RawMessage) error { return json.Unmarshal(raw, to) }
}

// decodePlan reads a body that is a plan itself.
func decodePlan(body []byte) (patch license.PlanPatch, err error) {
	if err := checkJSON(body); err != nil {
		return patch, err
	}
	if bytes.TrimSpace(body)[0] != '{' {
		return patch, errNoObject()
	}
	return patch, json.Unmarshal(body, &patch)
}

func errNoObject() error {
	return &event.Problem{Code: event.BadRequest, Detail: "the body must be one JSON object"}
}
