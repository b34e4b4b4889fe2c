package api

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
	WouldDeny     string   `json:"would_deny,omitempty"` // code that an accepted event would have been denied with
	*quotaAnswer           // of events that a quota denied or would have denied
}

// quotaAnswer is what the answer to an event said about the quota that denied it or would have denied it.
type quotaAnswer struct {
	Limit         uint32  `json:"limit"`
	Used          uint32  `json:"used"`
	ResetsAt      instant `json:"resets_at"`
	*wantedAnswer         // of upgrades
}

// wantedAnswer is what an upgrade needed, and what packs had left for it, in units.
type wantedAnswer struct {
	Requested      uint32 `json:"requested"`
	TopupAvailable uint64 `json:"topup_available"`
}

// showDeviceLog answers GET /v1/products/{product}/devices/{device}/logs, newest first unless asked otherwise (R18).
func (c *call) showDeviceLog() error {
	q, err := c.deviceLogQuery()
	if err != nil {
		return err
	}
	return c.answerLog(&deviceLog{q}, func() (func(), error) { return func() {}, nil })
}

// showProductLog answers GET /v1/products/{product}/logs, likewise, of all devices (R18).
func (c *call) showProductLog() error {
	q, err := c.productLogQuery()
	if err != nil {
		return err
	}
	return c.answerLog(&productLog{q}, c.admitSorting, mediaParquet)
}

// answerLog answers with a page of a log, with what comes, or streams it: with a line an entry, or as one of some more
// media types. admit is asked before all of it is streamed.
func (c *call) answerLog(log askedLog, admit func() (leave func(), err error), more ...string) error {
	switch follows, err := c.choice("follow", "true", "false"); {
	case err != nil:
		return err
	case follows == "true":
		return c.followLog(log)
	}
	media, limit := c.preferred(append([]string{mediaJSON, mediaNDJSON}, more...)...), pageDefault
	streams := media != mediaJSON
	if streams {
		limit = 0
	}
	limit, err := c.limit(limit)
	if err != nil {
		return err
	}
	if media == mediaParquet {
		if c.query("order") == "desc" {
			return invalid("order", "must be asc, or left out: a Parquet file has the oldest entries first")
		}
		log.filter().Oldest = true
	}
	if !c.readers.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "too many logs are being read already; send it again"}
	}
	leave := func() { c.readers.leave(c.token.Name) }
	if err := c.tellLogBegin(log.product(), log.filter().FromMs); err != nil {
		leave()
		return err
	}
	if !streams {
		defer leave()
		return c.pageLog(log, limit)
	}
	if limit == 0 {
		admitted, err := admit()
		if err != nil {
			leave()
			return err
		}
		reader := leave
		leave = func() { admitted(); reader() }
	}
	c.streamLog(log, media, limit, leave)
	return nil
}

// admitSorting lets the request read all of a product's log, which is sorted on the disk, or says why it cannot.
func (c *call) admitSorting() (leave func(), err error) {
	token := c.token.Name
	if !c.sorted.enter(token) {
		return nil, &event.Problem{
			Code: event.Overloaded, Detail: "as many products' logs are streamed already as can be; ask for pages, or later",
		}
	}
	admitted, err := c.queries.AdmitProductLog()
	if err == nil {
		return func() { admitted(); c.sorted.leave(token) }, nil
	}
	c.sorted.leave(token)
	switch {
	case errors.Is(err, query.ErrBusy):
		return nil, &event.Problem{
			Code: event.Overloaded, Detail: "as many products' logs are streamed already as can be; ask for pages, or later",
		}
	case errors.Is(err, query.ErrNoRoom):
		return nil, &event.Problem{
			Code: event.DiskFull, Detail: "the disk has no room to sort the log of a product; ask for pages",
		}
	}
	return nil, fmt.Errorf("begin to read the log of a product: %w", err)
}

// pageLog answers with one page. It ends early at a number of bytes: the cursor goes on there.
func (c *call) pageLog(log askedLog, limit int) error {
	ctx, cancel := context.WithTimeout(c.ctx, logPageWithin)
	defer cancel()
	go watchClient(ctx, c.ctx.Conn(), cancel)
	var p logPage
	err := p.read(ctx, c.queries, log, limit, logAnswerBytesMax, true)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &event.Problem{
			Code:   event.Overloaded,
			Detail: "the log took too long to search; name a shorter time, from and to",
		}
	case err != nil:
		return fmt.Errorf("read a log of %s: %w", log.product().Name, err)
	}
	// A line is one JSON value and has no line break inside.
	list := json.RawMessage("[" + strings.ReplaceAll(strings.TrimSuffix(string(p.lines), "\n"), "\n", ",") + "]")
	var next *string
	if p.isCut {
		next = log.cursor(p.last)
	}
	return c.answerPage("logs", list, next)
}

func showLogEntry(e *query.LogEntry) logAnswer {
	r := &e.Row
	a := logAnswer{
		Time: maybe(instant(r.TimeMs)), DecidedAt: instant(r.DecidedMs), Type: r.Type.String(), Size: r.Size,
		Topic: maybe(string(r.Topic)), IsCut: r.IsCut, Verdict: r.Code.String(), DayUsed: r.Used,
	}
	if r.WouldDeny != event.Accepted {
		a.WouldDeny = r.WouldDeny.String()
	}
	if r.HasQuota() {
		a.quotaAnswer = &quotaAnswer{Limit: r.Quota.Limit, Used: r.Quota.Used, ResetsAt: instant(r.Quota.ResetsAtMs)}
		if r.Requested > 0 { // Records of older versions do not have it.
			a.wantedAnswer = &wantedAnswer{r.Requested, r.TopupAvailable}
		}
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
