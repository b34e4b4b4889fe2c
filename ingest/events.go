package ingest

import (
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"
	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// call is the memory of one request; it is used again.
type call struct {
	h        *Handler
	format   *format
	charged  int64 // taken from the budget
	arriving arriving
	body     []byte
	batch    event.Batch
	request  shard.Request
	claim    shard.Claim
	answer   []byte

	gzip   *gzip.Reader
	zstd   *zstd.Decoder
	snappy *snappy.Reader
}

func newCall(h *Handler) *call {
	c := &call{h: h}
	c.request.Batch = &c.batch
	return c
}

// charge takes n bytes from the budget until release.
func (c *call) charge(n int64) bool {
	if !c.h.admission.take(n) {
		return false
	}
	c.charged += n
	return true
}

// release gives back what the request held.
func (c *call) release() {
	c.h.admission.give(c.charged)
	c.charged = 0
	if cap(c.body) > bufferBytesKept || cap(c.batch.Data) > bufferBytesKept || cap(c.batch.Events) > eventsKept || cap(c.answer) > bufferBytesKept {
		if c.zstd != nil {
			c.zstd.Close()
		}
		return // Too large to be kept.
	}
	c.batch.Reset()
	c.h.calls.Put(c)
}

// events answers POST /v1/events.
func (h *Handler) events(ctx *fasthttp.RequestCtx, token *license.Token) {
	c := h.calls.Get().(*call)
	defer c.release()
	f := formatOf(ctx.Request.Header.ContentType())
	if f == nil {
		refuse(ctx, unsupportedMedia())
		return
	}
	c.format = f
	if problem := c.header(ctx, token); problem != nil {
		refuse(ctx, problem)
		return
	}
	if problem := c.readBody(ctx); problem != nil {
		refuse(ctx, problem)
		return
	}
	if c.request.Claim != nil {
		c.claim.Hash = xxh3.Hash128Seed(c.body, f.seed).Bytes()
	}
	single, problem := f.decode(&c.batch, c.body)
	if problem != nil {
		writeProblem(ctx, problem)
		return
	}
	c.request.Single = single
	if !c.charge(int64(len(c.batch.Events)) * eventCost) {
		writeProblem(ctx, errOverloaded)
		return
	}
	if err := h.engine.Submit(&c.request); err != nil {
		fail(ctx, err)
		return
	}
	c.write(ctx)
}

// header reads what a request says about itself.
func (c *call) header(ctx *fasthttp.RequestCtx, token *license.Token) *event.Problem {
	c.request.Account = token.AccountID
	names := ctx.Request.Header.PeekAll("Meterd-Producer")
	if len(names) > 1 {
		return &event.Problem{Code: event.InvalidArgument, Field: "Meterd-Producer", Detail: "Meterd-Producer: must stand there once"}
	}
	c.request.Producer = nil
	if len(names) == 1 {
		c.request.Producer = names[0]
	}
	if len(c.request.Producer) > 0 && !event.ValidName(c.request.Producer) {
		return &event.Problem{Code: event.InvalidArgument, Field: "Meterd-Producer", Detail: "Meterd-Producer: must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -"}
	}
	c.request.Claim = nil
	texts := ctx.Request.Header.PeekAll("Meterd-Sequence")
	if len(texts) == 0 {
		return nil
	}
	n, err := strconv.ParseUint(string(texts[0]), 10, 64)
	switch {
	case err != nil || len(texts) > 1: // Also an empty one: who sends it believes that it may send again.
		return &event.Problem{Code: event.InvalidArgument, Field: "Meterd-Sequence", Detail: "Meterd-Sequence: must be a whole number, not negative"}
	case len(c.request.Producer) == 0:
		return &event.Problem{Code: event.InvalidArgument, Field: "Meterd-Producer", Detail: "Meterd-Producer: is needed with Meterd-Sequence"}
	}
	c.claim = shard.Claim{Sequence: n}
	c.request.Claim = &c.claim
	return nil
}

// write answers a decided batch.
func (c *call) write(ctx *fasthttp.RequestCtx) {
	r := &c.request.Result
	if c.request.Replayed {
		ctx.Response.Header.Set("Meterd-Replayed", "true")
	}
	if !c.request.Single {
		ctx.SetContentType(c.format.answerType)
		c.answer = c.format.answer(c.answer[:0], r)
		ctx.SetBody(c.answer)
		return
	}
	v := &r.Last
	switch c.batch.Events[0].Type {
	case event.Up, event.Down, event.OTA:
		if v.WindowStartMs != 0 {
			c.rateLimit(ctx, v)
		}
	}
	if v.Code == event.Accepted {
		ctx.SetContentType("application/json")
		ctx.SetBodyString(`{"accepted":1}`)
		return
	}
	ctx.SetStatusCode(v.Code.Status())
	ctx.SetContentType("application/problem+json")
	if v.Code.Status() == fasthttp.StatusTooManyRequests {
		ctx.Response.Header.Set("Retry-After", strconv.FormatInt(secondsUntil(c.request.DecidedMs, v.ResetsAtMs), 10))
	}
	c.answer = v.AppendProblem(c.answer[:0])
	ctx.SetBody(c.answer)
}

// rateLimit tells what is left of the quota that a single event was decided by.
func (c *call) rateLimit(ctx *fasthttp.RequestCtx, v *event.Verdict) {
	name, left := `"messages"`, int64(v.Limit)-int64(v.Used)
	if c.batch.Events[0].Type == event.OTA {
		name = `"ota"`
		left = max(left, 0) + int64(v.TopupAvailable)
	}
	window := (v.ResetsAtMs - v.WindowStartMs) / 1000
	header := append(c.answer[:0], name...)
	header = append(header, ";q="...)
	header = strconv.AppendUint(header, v.Limit, 10)
	header = append(header, ";w="...)
	header = strconv.AppendInt(header, window, 10)
	ctx.Response.Header.SetBytesV("RateLimit-Policy", header)
	header = append(header[:0], name...)
	header = append(header, ";r="...)
	header = strconv.AppendInt(header, max(left, 0), 10)
	header = append(header, ";t="...)
	header = strconv.AppendInt(header, secondsUntil(c.request.DecidedMs, v.ResetsAtMs), 10)
	ctx.Response.Header.SetBytesV("RateLimit", header)
	c.answer = header
}

// secondsUntil rounds up, so that who waits that long does not come too early.
func secondsUntil(nowMs, thenMs int64) int64 { return max(0, (thenMs-nowMs+999)/1000) }
