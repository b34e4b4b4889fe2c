package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
)

type logAnswer struct {
	Time          *instant `json:"time"` // what the gateway claimed, null without
	DecidedAt     instant  `json:"decided_at"`
	Type          string   `json:"type"`
	Size          int64    `json:"size"`
	Topic         *string  `json:"topic"`
	Payload       *string  `json:"payload,omitempty"`
	PayloadBase64 []byte   `json:"payload_base64,omitempty"`
	Verdict       string   `json:"verdict"`
	DayUsed       uint32   `json:"day_used"`
}

const ndjson = "application/x-ndjson"

// showLogs answers GET /v1/products/{product}/devices/{device}/logs, newest first (R18).
func (c *call) showLogs() error {
	q, err := c.logQuery()
	if err != nil {
		return err
	}
	if c.prefersNDJSON() {
		limit, err := c.limit(0)
		if err != nil {
			return err
		}
		c.streamLogs(q, limit)
		return nil
	}
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	list, last, more := []logAnswer{}, shard.LogPlace{}, false
	err = c.engine.DeviceLog(c.ctx, q, func(e *shard.LogEntry) bool {
		if len(list) == limit {
			more = true
			return false
		}
		list, last = append(list, showLogEntry(e)), e.Place
		return true
	})
	switch {
	case err != nil:
		return fmt.Errorf("read the log of a device of %s: %w", q.Product.Name, err)
	case more:
		return c.answerPage("logs", list, cursorOf(uint64(last.DecidedMs), last.Seq, uint64(last.Index)))
	}
	return c.answerPage("logs", list, nil)
}

// logQuery reads what the request asks for.
func (c *call) logQuery() (q shard.LogQuery, err error) {
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
	var ms, seq, index uint64
	onward, err := c.cursorNumbers(&ms, &seq, &index)
	if err == nil && onward && (seq == 0 || index > logIndexMax) {
		err = badCursor()
	}
	q.After = shard.LogPlace{DecidedMs: int64(ms), Seq: seq, Index: int(index)}
	return q, err
}

// prefersNDJSON reports whether the request accepts a line an entry, and names it before the JSON of a page.
func (c *call) prefersNDJSON() bool {
	for kind := range strings.SplitSeq(string(c.ctx.Request.Header.Peek(fasthttp.HeaderAccept)), ",") {
		kind, _, _ = strings.Cut(kind, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case ndjson:
			return true
		case "application/json":
			return false
		}
	}
	return false
}

func showLogEntry(e *shard.LogEntry) logAnswer {
	r := &e.Row
	a := logAnswer{
		Time: maybe(instant(r.TimeMs)), DecidedAt: instant(r.DecidedMs), Type: r.Type.String(), Size: r.Size,
		Topic: maybe(string(r.Topic)), Verdict: r.Code.String(), DayUsed: r.Used,
	}
	switch {
	case len(r.Payload) == 0:
	case utf8.Valid(r.Payload):
		payload := string(r.Payload)
		a.Payload = &payload
	default:
		a.PayloadBase64 = r.Payload
	}
	return a
}

// appendLogLine appends an entry as a line of NDJSON.
func appendLogLine(dst []byte, e *shard.LogEntry) ([]byte, error) {
	line, err := json.Marshal(showLogEntry(e))
	if err != nil {
		return dst, fmt.Errorf("encode a log entry: %w", err)
	}
	return append(append(dst, line...), '\n'), nil
}
