package ingest

import (
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"
	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// call holds the memory of one request. It is pooled.
type call struct {
	h        *Handler
	format   *format
	charged  int64 // bytes of the admission budget
	arriving arriving
	body     []byte
	batch    event.Batch
	request  shard.Request
	claim    claims.Claim
	producer []byte
	cloud    wire.CloudHeaders // of binaryFormat; they lie in the request
	answer   []byte
	err      error // of Decide, or of Settle, set by a loop
	isStored bool  // of a batch of a stream: its group is durable

	gzip   *gzip.Reader
	zstd   *zstd.Decoder
	snappy *snappy.Reader
}

func newCall(h *Handler) *call {
	c := &call{h: h}
	c.request.Batch = &c.batch
	return c
}

// charge reserves n bytes of the budget until release.
func (c *call) charge(n int64) bool {
	if !c.h.admission.take(n) {
		return false
	}
	c.charged += n
	return true
}

// release returns the request's share of the budget, and the call to its pool.
func (c *call) release() {
	c.h.admission.give(c.charged)
	c.charged, c.cloud = 0, wire.CloudHeaders{}
	if cap(c.body) > bufferBytesKept || cap(c.batch.Data) > bufferBytesKept || cap(c.batch.Events) > eventsKept ||
		cap(c.answer) > bufferBytesKept {
		if c.zstd != nil {
			c.zstd.Close()
		}
		return // Too large to be kept.
	}
	c.batch.Reset()
	c.h.calls.Put(c)
}

// postEvents answers POST /v1/events.
func (h *Handler) postEvents(ctx *fasthttp.RequestCtx, token *access.Token) {
	h.decided(ctx, token, false)
}

// decided has a batch decided, or checked, and answers.
func (h *Handler) decided(ctx *fasthttp.RequestCtx, token *access.Token, isCheck bool) {
	c := h.calls.Get().(*call)
	defer c.release()
	header := &ctx.Request.Header
	kind, problem := c.formatOf(header)
	if problem != nil {
		refuse(ctx, problem)
		return
	}
	var sequence field
	if !isCheck {
		sequence = fieldOf(header, "Meterd-Sequence")
	}
	if problem := c.header(
		token,
		kind,
		fieldOf(header, "Meterd-Producer"),
		sequence,
	); problem != nil {
		refuse(ctx, problem)
		return
	}
	if problem := c.readBody(ctx); problem != nil {
		refuse(ctx, problem)
		return
	}
	if problem := c.decode(c.body); problem != nil {
		writeProblem(&ctx.Response, problem)
		return
	}
	var err error
	if isCheck {
		err = c.check()
	} else {
		err = h.engine.Submit(&c.request)
	}
	if err != nil {
		fail(ctx, err)
		return
	}
	c.write(&ctx.Response)
}

// check answers POST /v1/check: what would be answered to the events. It counts nothing, and a sequence that the
// request carries is not looked at.
func (h *Handler) check(ctx *fasthttp.RequestCtx, token *access.Token) {
	h.decided(ctx, token, true)
}

// check has the batch checked, which copies what it looks at.
func (c *call) check() error {
	if !c.charge(int64(len(c.batch.Events)) * checkCost) {
		return errOverloaded
	}
	return c.h.engine.Check(&c.request)
}

// field is a header field of a request.
type field struct {
	value []byte // of its first occurrence
	times int
}

func fieldOf(h *fasthttp.RequestHeader, name string) field {
	all := h.PeekAll(name) // Valid until the next call of PeekAll.
	if len(all) == 0 {
		return field{}
	}
	return field{all[0], len(all)}
}

// header sets format (nil: there is none), producer and sequence from the header fields, and copies what it keeps.
func (c *call) header(token *access.Token, kind *format, producer, sequence field) *event.Problem {
	c.request.Token, c.request.Account = token, token.AccountID
	c.request.Producer, c.request.Claim = nil, nil
	if c.format = kind; c.format == nil {
		return unsupportedMedia()
	}
	switch {
	case producer.times > 1:
		return &event.Problem{
			Code:   event.InvalidArgument,
			Field:  "Meterd-Producer",
			Detail: "Meterd-Producer: must stand there once",
		}
	case len(producer.value) > 0:
		if !event.ValidName(producer.value) {
			return illProducer("Meterd-Producer")
		}
		c.producer = append(c.producer[:0], producer.value...)
		c.request.Producer = c.producer
	}
	if sequence.times == 0 {
		return nil
	}
	n, err := strconv.ParseUint(string(sequence.value), 10, 64)
	switch {
	case err != nil || sequence.times > 1: // Also an empty one: its sender believes that it can retry safely.
		return &event.Problem{
			Code:   event.InvalidArgument,
			Field:  "Meterd-Sequence",
			Detail: "Meterd-Sequence: must be a whole number, not negative",
		}
	case len(c.request.Producer) == 0:
		return &event.Problem{
			Code:   event.InvalidArgument,
			Field:  "Meterd-Producer",
			Detail: "Meterd-Producer: is needed with Meterd-Sequence",
		}
	}
	c.claim = claims.Claim{Sequence: n}
	c.request.Claim = &c.claim
	return nil
}

// decode decodes an inflated body into the batch, and charges for its events. It keeps nothing of body.
func (c *call) decode(body []byte) *event.Problem {
	isBinary := c.format == &binaryFormat
	if c.request.Claim != nil {
		seed := c.format.seed
		if isBinary {
			seed = c.cloud.Hash(seed)
		}
		c.claim.Hash = xxh3.Hash128Seed(body, seed).Bytes()
	}
	var problem *event.Problem
	if isBinary {
		c.request.Single, problem = true, wire.DecodeCloudBinary(&c.batch, &c.cloud, body)
	} else {
		c.request.Single, problem = c.format.decode(&c.batch, body)
	}
	if problem != nil {
		return problem
	}
	if !c.charge(int64(len(c.batch.Events)) * eventCost) {
		return errOverloaded
	}
	return nil
}

// write answers a decided batch.
func (c *call) write(to *fasthttp.Response) {
	r := &c.request.Result
	if c.request.Replayed {
		to.Header.Set("Meterd-Replayed", "true")
	}
	if !c.request.Single {
		to.Header.SetContentType(c.format.answerType)
		c.answer = c.format.answer(c.answer[:0], r)
		to.SetBody(c.answer)
		return
	}
	v := &r.Last
	switch c.batch.Events[0].Type {
	case event.Up, event.Down, event.OTA:
		if v.WindowStartMs != 0 {
			c.rateLimit(to, v)
		}
	}
	if v.Code == event.Accepted {
		to.Header.SetContentType("application/json")
		c.answer = wire.AppendAccepted(c.answer[:0], r)
		to.SetBody(c.answer)
		return
	}
	to.SetStatusCode(v.Code.Status())
	to.Header.SetContentType("application/problem+json")
	if v.Code.Status() == fasthttp.StatusTooManyRequests {
		to.Header.Set("Retry-After", strconv.FormatInt(secondsUntil(c.request.DecidedMs, v.ResetsAtMs), 10))
	}
	c.answer = wire.AppendVerdict(c.answer[:0], v)
	to.SetBody(c.answer)
}

// rateLimit sets the RateLimit headers of a single event: what is left of its quota.
func (c *call) rateLimit(to *fasthttp.Response, v *event.Verdict) {
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
	to.Header.SetBytesV("RateLimit-Policy", header)
	header = append(header[:0], name...)
	header = append(header, ";r="...)
	header = strconv.AppendInt(header, max(left, 0), 10)
	header = append(header, ";t="...)
	header = strconv.AppendInt(header, secondsUntil(c.request.DecidedMs, v.ResetsAtMs), 10)
	to.Header.SetBytesV("RateLimit", header)
	c.answer = header
}

// secondsUntil rounds up, so that a client that waits that long is never too early.
func secondsUntil(nowMs, thenMs int64) int64 { return max(0, (thenMs-nowMs+999)/1000) }
