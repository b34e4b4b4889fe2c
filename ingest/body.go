package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
)

var errOverloaded = &event.Problem{Code: event.Overloaded, Detail: "requests hold too many bytes; send it again later"}

// readBody reads the request's body, inflated, into c.body. It charges the memory to the budget before it allocates it.
func (c *call) readBody(ctx *fasthttp.RequestCtx) *event.Problem {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		stream = bytes.NewReader(ctx.Request.Body())
	}
	length := ctx.Request.Header.ContentLength()
	if length > event.BodyBytesMax {
		return tooLarge()
	}
	c.arriving = arriving{in: stream, conn: ctx.Conn(), left: length}
	encoding := string(ctx.Request.Header.ContentEncoding())
	if encoding != "" && len(ctx.Request.Header.PeekAll("Content-Encoding")) > 1 {
		encoding = "several" // Refused, like several encodings in one line.
	}
	in, problem := c.inflater(encoding, &c.arriving)
	if problem != nil {
		return problem
	}
	isInflating := in != io.Reader(&c.arriving)
	if isInflating {
		length = 0 // The inflated size is unknown.
	}
	if !c.charge(int64(max(length, costMin/costFactor)) * costFactor) {
		return errOverloaded
	}
	if problem := c.readAll(in, max(length, 0), isInflating); problem != nil {
		return problem
	}
	if ctx.Request.Header.ContentLength() == -1 && cutShort(ctx.Conn()) {
		return &event.Problem{Code: event.BadRequest, Detail: "the body ended before its last chunk"}
	}
	return nil
}

// arriving reads a body from its connection. It reports an error if the body is shorter than its Content-Length:
// fasthttp takes the end of the connection for the end of the body, and the lines up to there may be well-formed.
//
// Each time progressBytes have arrived, the read deadline is moved to readTimeout from then.
type arriving struct {
	in       io.Reader
	conn     net.Conn
	left     int // bytes to come; negative if the length is unknown
	progress int // bytes since the deadline was moved
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.in.Read(p)
	if a.progress += n; a.progress >= progressBytes {
		a.progress = 0
		_ = a.conn.SetReadDeadline(time.Now().Add(readTimeout)) // It fails on a broken connection, as reading will.
	}
	if a.left > 0 {
		if a.left -= n; a.left > 0 && err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

// readAll reads in to its end. want is how many bytes are expected and charged, 0 if unknown. Of a buffer that is used
// again no more is filled than is charged.
func (c *call) readAll(in io.Reader, want int, inflating bool) *event.Problem {
	c.body = c.body[:0]
	if cap(c.body) < want+1 {
		c.body = make([]byte, 0, want+1)
	}
	room := want + 1
	for {
		if len(c.body) == room {
			// The buffer doubles. Its memory is charged before it is allocated.
			more := max(room, costMin)
			if !c.charge(int64(more) * costFactor) {
				return errOverloaded
			}
			if room += more; room > cap(c.body) {
				c.body = append(make([]byte, 0, room), c.body...)
			}
		}
		n, err := in.Read(c.body[len(c.body):room])
		c.body = c.body[:len(c.body)+n]
		if len(c.body) > event.BodyBytesMax {
			return tooLarge()
		}
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return tooSlow()
		case err != nil && inflating:
			return &event.Problem{
				Code:   event.BadRequest,
				Detail: fmt.Sprintf("the body is not what its Content-Encoding says: %v", err),
			}
		case err != nil:
			return &event.Problem{Code: event.BadRequest, Detail: "the body ended too early"}
		}
	}
}

func tooSlow() *event.Problem {
	return &event.Problem{
		Code:   event.RequestTimeout,
		Detail: fmt.Sprintf("less than %d bytes came within %s; nothing was counted", progressBytes, readTimeout),
	}
}

func tooLarge() *event.Problem {
	return &event.Problem{
		Code:   event.BodyTooLarge,
		Detail: fmt.Sprintf("the body is over %d bytes, inflated", event.BodyBytesMax),
	}
}

// inflater returns what inflates stream, stream itself without an encoding.
func (c *call) inflater(encoding string, stream io.Reader) (io.Reader, *event.Problem) {
	var err error
	switch strings.ToLower(encoding) {
	case "", "identity":
		return stream, nil
	case "gzip", "x-gzip":
		if c.gzip == nil {
			c.gzip = new(gzip.Reader)
		}
		if err = c.gzip.Reset(stream); err == nil {
			return c.gzip, nil
		}
	case "zstd":
		if c.zstd == nil {
			// One goroutine, and no more memory than a body may have, whatever a hostile frame header asks for.
			c.zstd, err = zstd.NewReader(
				nil,
				zstd.WithDecoderConcurrency(1),
				zstd.WithDecoderMaxWindow(8<<20),
				zstd.WithDecoderMaxMemory(event.BodyBytesMax+1),
			)
		}
		if err == nil {
			err = c.zstd.Reset(stream)
		}
		if err == nil {
			return c.zstd, nil
		}
	case "snappy", "x-snappy-framed":
		if c.snappy == nil {
			c.snappy = snappy.NewReader(stream)
		} else {
			c.snappy.Reset(stream)
		}
		return c.snappy, nil
	default:
		return nil, &event.Problem{
			Code:   event.UnsupportedEncoding,
			Field:  "Content-Encoding",
			Detail: "Content-Encoding: must be gzip, zstd or snappy",
		}
	}
	if errors.Is(err, io.EOF) {
		return nil, &event.Problem{Code: event.BadRequest, Detail: "the body is empty"}
	}
	return nil, &event.Problem{
		Code:   event.BadRequest,
		Detail: fmt.Sprintf("the body is not what its Content-Encoding says: %v", err),
	}
}
