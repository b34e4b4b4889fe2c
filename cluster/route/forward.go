package route

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
)

// outcome is what became of a request that was sent to an owner.
type outcome int

const (
	answered outcome = iota // the response is the owner's, or tells the client what is wrong with what it sent
	notSent                 // the owner does not have the whole request, and will not do anything of it
	unknown                 // the owner may have done what it asks for, and did not answer
)

// errBody is that the client did not send its body to the end.
var errBody = errors.New("the body ended too early")

// forward has a cell's owner answer a request.
func (r *Router) forward(ctx *fasthttp.RequestCtx, cell int) {
	mayRepeat := (ctx.IsGet() || ctx.IsHead()) && ctx.Request.Header.ContentLength() <= 0 && !isOnce(ctx)
	for try := 1; ; try++ {
		became, err := r.attempt(ctx, cell, mayRepeat)
		switch {
		case became == answered:
			return
		case errors.Is(err, errNoOwner):
			r.refuse(ctx, overloaded(fmt.Sprintf("cell %d has no owner now; send it again", cell)))
			return
		case mayRepeat && try < triesMax:
			continue
		case became == notSent || mayRepeat || changesNothing(ctx):
			r.logger.Debug("a request did not reach its cell", "cell", cell, "error", err)
			r.refuse(ctx, overloaded("the owner of the cell cannot be reached; send it again"))
			return
		}
		r.logger.Debug("an owner did not answer", "cell", cell, "error", err)
		hangUp(ctx)
		return
	}
}

// attempt has the owner of a cell answer a request, once.
func (r *Router) attempt(ctx *fasthttp.RequestCtx, cell int, mayRepeat bool) (outcome, error) {
	l, err := r.reachFor(ctx, ctx, cell)
	if err != nil {
		return notSent, err
	}
	if mayRepeat {
		l.watch(ctx.Conn())
	}
	return r.exchange(ctx, l, 0)
}

// exchange sends a request to an owner, and takes the answer.
func (r *Router) exchange(ctx *fasthttp.RequestCtx, l *link, reservation uint64) (outcome, error) {
	sent := l.send(ctx, r.o.Hop, reservation)
	if errors.Is(sent, errBody) {
		l.end()
		r.refuseBody(ctx, sent)
		return answered, nil
	}
	// An owner may refuse a request before it has read it, and not read on.
	if err := l.readHeader(ctx, sent != nil); err != nil {
		l.end()
		if sent != nil {
			return notSent, fmt.Errorf("node %s: %w", l.of.to.node, sent)
		}
		return unknown, fmt.Errorf("node %s: %w", l.of.to.node, err)
	}
	if sent != nil {
		l.response.Header.SetConnectionClose() // Nothing can follow what was cut.
		leaveUnread(ctx)
	}
	return l.answer(ctx)
}

// kindOf returns the kind of connection for a request.
func kindOf(ctx *fasthttp.RequestCtx) kind {
	header := &ctx.Request.Header
	length := header.ContentLength()
	if string(ctx.Path()) == "/v1/events" && length > 0 && length <= plainBytesMax && len(header.ContentEncoding()) == 0 {
		return forPlain
	}
	return forOthers
}

// isOnce reports whether a request uses something up that is good for one use only.
func isOnce(ctx *fasthttp.RequestCtx) bool {
	return strings.HasPrefix(string(ctx.Path()), "/v1/downloads/")
}

// changesNothing reports whether a request that is no GET only reads.
func changesNothing(ctx *fasthttp.RequestCtx) bool {
	path := string(ctx.Path())
	return path == "/v1/check" || strings.HasPrefix(path, "/prometheus/")
}

// send writes the whole request. The error is errBody, or the connection's.
func (l *link) send(ctx *fasthttp.RequestCtx, hop access.Hop, reservation uint64) error {
	h := &l.request
	l.introduce(ctx, hop)
	isUpgrade, length := ctx.Request.Header.ConnectionUpgrade(), ctx.Request.Header.ContentLength()
	if reservation > 0 {
		h.Set(access.HeaderReservation, strconv.FormatUint(reservation, 10))
	}
	if isUpgrade {
		h.Set(fasthttp.HeaderConnection, "Upgrade")
		h.SetBytesV(fasthttp.HeaderUpgrade, ctx.Request.Header.Peek(fasthttp.HeaderUpgrade))
	}
	if length >= 0 || length == chunked {
		h.SetContentLength(length)
	}
	l.allow()
	if _, err := l.out.Write(h.Header()); err != nil {
		return err
	}
	if length > 0 || length == chunked {
		if err := l.sendBody(ctx, length); err != nil {
			return err
		}
	}
	return l.out.Flush()
}

// introduce makes the client's header the link's, as the owner is to have it.
func (l *link) introduce(ctx *fasthttp.RequestCtx, hop access.Hop) {
	h := &l.request
	ctx.Request.Header.CopyTo(h)
	h.SetNoDefaultContentType(true)
	h.SetProtocol("HTTP/1.1")
	if len(h.Host()) == 0 {
		h.SetHost(l.of.to.address)
	}
	dropHopByHop(h)
	h.Set(access.HeaderHop, string(hop))
	h.Set(access.HeaderClient, ctx.RemoteIP().String())
}

// chunked is fasthttp's length of a body that comes in chunks.
const chunked = -1

// dropHopByHop removes the fields that are about the client's connection alone, and those that only nodes may send.
func dropHopByHop(h *fasthttp.RequestHeader) {
	for _, name := range []string{
		fasthttp.HeaderConnection, fasthttp.HeaderKeepAlive, fasthttp.HeaderProxyConnection, fasthttp.HeaderTE,
		fasthttp.HeaderTrailer, fasthttp.HeaderUpgrade, fasthttp.HeaderExpect, fasthttp.HeaderTransferEncoding,
		access.HeaderHop, access.HeaderClient, access.HeaderReservation,
	} {
		h.Del(name)
	}
}

// allow gives the owner its time for what is written next.
func (l *link) allow() {
	_ = l.Conn.SetWriteDeadline(time.Now().Add(takeTimeout)) // It fails on a closed connection, as writing will.
}

// sendBody copies the request's body as it comes.
func (l *link) sendBody(ctx *fasthttp.RequestCtx, length int) error {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return l.sendHeld(ctx.Request.Body(), length)
	}
	buffer := l.of.pieces.Get().(*[]byte) //nolint:forcetypeassert // New makes no others.
	defer l.of.pieces.Put(buffer)
	sent, progress := 0, 0
	for {
		n, err := stream.Read(*buffer)
		if n > 0 {
			if err := l.sendPiece((*buffer)[:n], length); err != nil {
				return err
			}
			sent += n
			if progress += n; progress >= progressBytes {
				progress = 0
				l.allow()
				_ = ctx.Conn().SetReadDeadline(time.Now().Add(bodyTimeout)) // It fails as reading will.
			}
		}
		switch {
		case err == nil:
		case err != io.EOF: // What is wrapped is no end: a chunk may be broken by one.
			return errors.Join(errBody, err)
		case length > sent, length == chunked && cutShort(ctx.Conn()):
			return errBody
		default:
			return l.endBody(length)
		}
	}
}

func (l *link) sendHeld(body []byte, length int) error {
	if length > len(body) {
		return errBody
	}
	if err := l.sendPiece(body, length); err != nil {
		return err
	}
	return l.endBody(length)
}

func (l *link) sendPiece(b []byte, length int) error {
	if length != chunked {
		_, err := l.out.Write(b)
		return err
	}
	if len(b) == 0 {
		return nil // That would be the end.
	}
	_, err := l.out.WriteString(strconv.FormatInt(int64(len(b)), 16) + "\r\n")
	if err == nil {
		_, err = l.out.Write(b)
	}
	if err == nil {
		_, err = l.out.WriteString("\r\n")
	}
	return err
}

func (l *link) endBody(length int) error {
	if length != chunked {
		return nil
	}
	_, err := l.out.WriteString("0\r\n\r\n")
	return err
}

// cutShort reports whether the client has closed its side; package ingest says what that means.
func cutShort(c net.Conn) bool {
	watched, ok := c.(interface{ CutShort() bool })
	return ok && watched.CutShort()
}

// readHeader waits for the answer's header. If the request was not sent to its end the owner has either answered
// already or never will.
func (l *link) readHeader(ctx *fasthttp.RequestCtx, isCut bool) error {
	wait := time.Time{}
	if isCut {
		wait = time.Now().Add(dialTimeout)
	}
	_ = l.Conn.SetReadDeadline(wait) // It fails on a closed connection, as reading will.
	l.response.Reset()
	l.response.Header.SetNoDefaultContentType(true)
	l.response.Header.DisableNormalizing() // The owner's names stay as they are written.
	l.response.SkipBody = ctx.IsHead()
	return l.response.Header.Read(l.in)
}

// answer hands the owner's answer to the client: header, then body.
func (l *link) answer(ctx *fasthttp.RequestCtx) (outcome, error) {
	from, to := &l.response, &ctx.Response
	status, length := from.Header.StatusCode(), from.Header.ContentLength()
	isLast := from.Header.ConnectionClose()
	hasNoBody := ctx.IsHead() || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
	switch {
	case status == fasthttp.StatusSwitchingProtocols:
		from.Header.CopyTo(&to.Header)
		l.tunnel(ctx)
		return answered, nil
	case hasNoBody || length == 0:
	case length > 0 && length <= answerBytesHeld:
		l.hush()
		if err := from.ReadBody(l.in, answerBytesHeld); err != nil {
			l.end()
			return unknown, err
		}
		to.SetBody(from.Body())
	default:
		from.StreamBody = true
		if err := from.ReadBody(l.in, 0); err != nil {
			l.end()
			return unknown, err
		}
		to.ImmediateHeaderFlush = length < 0
		to.SetBodyStream(&answerBody{l: l, client: ctx.Conn(), isLast: isLast}, max(length, chunked))
		copyHeader(to, from)
		return answered, nil
	}
	copyHeader(to, from)
	if hasNoBody && length >= 0 && status != fasthttp.StatusNoContent {
		to.Header.SetContentLength(length)
	}
	l.done(isLast)
	return answered, nil
}

// copyHeader copies what is not about the owner's connection. An owner that closes its connection has its reason to
// have the client's closed.
func copyHeader(to, from *fasthttp.Response) {
	isLast := to.Header.ConnectionClose() || from.Header.ConnectionClose()
	from.Header.CopyTo(&to.Header)
	to.Header.Del(fasthttp.HeaderConnection)
	to.Header.Del(fasthttp.HeaderKeepAlive)
	if isLast {
		to.Header.SetConnectionClose()
	}
}

// hush bounds the silence of an owner in the middle of an answer.
func (l *link) hush() {
	_ = l.Conn.SetReadDeadline(time.Now().Add(silenceMax)) // It fails on a closed connection, as reading will.
}

// done is called when the answer was read to its end.
func (l *link) done(isLast bool) {
	if isLast {
		l.end()
		return
	}
	l.keep()
}

// answerBody is the body of an answer, as the client's server reads it.
type answerBody struct {
	l       *link
	client  net.Conn
	isLast  bool
	isWhole bool
}

// Read gives the owner and the client their time for each piece.
func (b *answerBody) Read(p []byte) (int, error) {
	_ = b.client.SetWriteDeadline(time.Now().Add(takeTimeout)) // It fails on a closed connection, as writing will.
	b.l.hush()
	n, err := b.l.response.BodyStream().Read(p)
	b.isWhole = err == io.EOF // What is wrapped is no end: a chunk may be broken by one.
	return n, err
}

// Close is called once, when the body was written or never will be.
func (b *answerBody) Close() error {
	if !b.isWhole {
		// A body of known length is not read beyond it.
		_, err := b.l.response.BodyStream().Read(nil)
		b.isWhole = err == io.EOF
	}
	_ = b.l.response.CloseBodyStream() // It lets go of the reader.
	b.l.done(b.isLast || !b.isWhole)
	return nil
}

// refuseBody answers a client that did not send its body to the end. Nothing of it was done.
func (r *Router) refuseBody(ctx *fasthttp.RequestCtx, err error) {
	p := &event.Problem{Code: event.BadRequest, Detail: "the body ended too early"}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p = &event.Problem{
			Code:   event.RequestTimeout,
			Detail: fmt.Sprintf("less than %d bytes came within %s; nothing was counted", progressBytes, bodyTimeout),
		}
	}
	r.refuse(ctx, p)
}
