package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/query"
)

type logAnswer struct {
	Time          *instant `json:"time"` // what the gateway claimed, null without
	DecidedAt     instant  `json:"decided_at"`
	Type          string   `json:"type"`
	Size          int64    `json:"size"`
	Topic         *string  `json:"topic"`
	Payload       *string  `json:"payload,omitempty"`
	PayloadBase64 []byte   `json:"payload_base64,omitempty"`
	IsCut         bool     `json:"payload_truncated,omitempty"` // fewer bytes were kept than sent
	Verdict       string   `json:"verdict"`
	DayUsed       uint32   `json:"day_used"`
	*quotaAnswer           // of events that a quota denied
}

// quotaAnswer is what the answer to an event said about the quota that denied it.
type quotaAnswer struct {
	Limit    uint32  `json:"limit"`
	Used     uint32  `json:"used"`
	ResetsAt instant `json:"resets_at"`
}

// showLogs answers GET /v1/products/{product}/devices/{device}/logs, newest first (R18).
func (c *call) showLogs() error {
	q, err := c.logQuery()
	if err != nil {
		return err
	}
	streams, limit := c.preferred(mediaJSON, mediaNDJSON) == mediaNDJSON, pageDefault
	if streams {
		limit = 0
	}
	if limit, err = c.limit(limit); err != nil {
		return err
	}
	if !c.readers.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "too many logs are being read already; send it again"}
	}
	leave := func() { c.readers.leave(c.token.Name) }
	if err := c.tellLogBegin(q.Product, q.FromMs); err != nil {
		leave()
		return err
	}
	if streams {
		c.streamLogs(q, limit, leave)
		return nil
	}
	defer leave()
	return c.pageLogs(q, limit)
}

// pageLogs answers with one page. It ends early at a number of bytes: the cursor goes on there.
func (c *call) pageLogs(q query.LogQuery, limit int) error {
	ctx, cancel := context.WithTimeout(c.ctx, logPageWithin)
	defer cancel()
	go watchClient(ctx, c.ctx.Conn(), cancel)
	var p logPage
	err := p.read(ctx, c.queries, q, limit, logAnswerBytesMax, true)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &event.Problem{
			Code:   event.Overloaded,
			Detail: "the log took too long to search; name a shorter time, from and to",
		}
	case err != nil:
		return fmt.Errorf("read the log of a device of %s: %w", q.Product.Name, err)
	}
	// A line is one JSON value and has no line break inside.
	list := json.RawMessage("[" + strings.ReplaceAll(strings.TrimSuffix(string(p.lines), "\n"), "\n", ",") + "]")
	var next *string
	if p.isCut {
		next = cursorOf(uint64(p.last.DecidedMs), p.last.Tie)
	}
	return c.answerPage("logs", list, next)
}

// logQuery reads what the request asks for.
func (c *call) logQuery() (q query.LogQuery, err error) {
	if q.Product, err = c.product(); err != nil {
		return q, err
	}
	if q.Device, err = c.device(); err != nil {
		return q, err
	}
	if q.FromMs, _, err = c.instant("from"); err != nil {
		return q, err
	}
	to, until, err := c.instant("to")
	if err != nil {
		return q, err
	}
	if until {
		q.ToMs = max(to, 1) // 0 would stand for now; nothing was decided before 1970 either way.
	}
	var types []string
	for t := event.Connect; int(t) < event.Types; t++ {
		types = append(types, t.String())
	}
	kind, err := c.choice("type", types...)
	if err != nil {
		return q, err
	}
	q.Type = event.ParseType([]byte(kind))
	var ms uint64
	_, err = c.cursorNumbers(&ms, &q.After.Tie)
	q.After.DecidedMs = int64(ms)
	return q, err
}

func showLogEntry(e *query.LogEntry) logAnswer {
	r := &e.Row
	a := logAnswer{
		Time: maybe(instant(r.TimeMs)), DecidedAt: instant(r.DecidedMs), Type: r.Type.String(), Size: r.Size,
		Topic: maybe(string(r.Topic)), IsCut: r.IsCut, Verdict: r.Code.String(), DayUsed: r.Used,
	}
	if r.Code.IsQuota() {
		a.quotaAnswer = &quotaAnswer{r.Quota.Limit, r.Quota.Used, instant(r.Quota.ResetsAtMs)}
	}
	text := r.Payload
	if r.IsCut {
		text = wholeRunes(text)
	}
	switch {
	case len(r.Payload) == 0:
	case utf8.Valid(text):
		payload := string(text)
		a.Payload = &payload
	default:
		a.PayloadBase64 = r.Payload
	}
	return a
}

// wholeRunes returns b without the beginning of a character that it ends in.
func wholeRunes(b []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if end := b[len(b)-n:]; utf8.RuneStart(end[0]) {
			if !utf8.FullRune(end) {
				return b[:len(b)-n]
			}
			return b
		}
	}
	return b
}
