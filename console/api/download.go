package api

import (
	"bytes"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// download is the body of an answer that comes from a file. The server reads it when the handler has returned, and
// closes it in any case.
type download struct {
	conn    net.Conn
	reader  io.Reader
	content sealed.Content
	leave   func()
}

// Read gives the client takeTimeout for each piece; the server's own deadline is for the whole answer.
func (d *download) Read(b []byte) (int, error) {
	_ = d.conn.SetWriteDeadline(time.Now().Add(takeTimeout)) // It fails on a closed connection, as writing will.
	return d.reader.Read(b)
}

// Close is called once.
func (d *download) Close() error {
	d.leave()
	return d.content.Close()
}

// sendSealed sends a sealed file, or the part of it that the request asks for.
func (c *call) sendSealed(d *download, file *sealed.File) error {
	header := &c.ctx.Response.Header
	tag := `"` + file.SHA256 + `"`
	header.Set(fasthttp.HeaderAcceptRanges, "bytes")
	asked := string(c.ctx.Request.Header.Peek(fasthttp.HeaderRange))
	if since := c.ctx.Request.Header.Peek(fasthttp.HeaderIfRange); len(since) > 0 && string(since) != tag {
		asked = ""
	}
	from, to, kind := byteRange(asked, file.Bytes)
	if kind == rangeNone || c.hasTag(tag) {
		return c.sendWhole(d, file.Bytes, tag)
	}
	if kind == rangeOutside {
		header.Set(fasthttp.HeaderContentRange, "bytes */"+strconv.FormatInt(file.Bytes, 10))
		_ = d.Close() // Nothing was read.
		return &event.Problem{
			Code: event.RangeOutside, Detail: "Range: the file has " + strconv.FormatInt(file.Bytes, 10) + " bytes",
		}
	}
	d.reader = io.NewSectionReader(d.content, from, to-from)
	header.Set(fasthttp.HeaderETag, tag)
	header.SetContentRange(int(from), int(to-1), int(file.Bytes))
	c.ctx.SetStatusCode(fasthttp.StatusPartialContent)
	c.send(d, to-from)
	return nil
}

// sendWhole sends everything, size bytes (negative: nobody knows), unless the client has it.
func (c *call) sendWhole(d *download, size int64, tag string) error {
	c.ctx.Response.Header.Set(fasthttp.HeaderETag, tag)
	if c.hasTag(tag) {
		c.ctx.SetStatusCode(fasthttp.StatusNotModified)
		return d.Close()
	}
	c.send(d, size)
	return nil
}

func (c *call) send(d *download, size int64) {
	if c.ctx.IsHead() {
		c.ctx.Response.SkipBody = true
		if size >= 0 {
			c.ctx.Response.Header.SetContentLength(int(size))
		}
		_ = d.Close() // Nothing was read.
		return
	}
	c.ctx.SetBodyStream(d, int(size))
}

// hasTag reports whether the request says that the client has what tag stands for.
func (c *call) hasTag(tag string) bool {
	for known := range bytes.SplitSeq(c.ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), []byte{','}) {
		known = bytes.TrimPrefix(bytes.TrimSpace(known), []byte("W/"))
		if string(known) == tag || string(known) == "*" {
			return true
		}
	}
	return false
}

// What a header Range asks for.
type rangeKind int

const (
	rangeNone    rangeKind = iota // the whole: there is no header, or one that may be ignored
	rangePart                     // a part
	rangeOutside                  // what is not there
)

// byteRange reads a header Range for a file of size bytes: from, and to exclusive. Several ranges at once are answered
// with the whole, as RFC 9110 allows.
func byteRange(header string, size int64) (from, to int64, kind rangeKind) {
	unit, set, ok := strings.Cut(header, "=")
	first, last, isRange := strings.Cut(strings.TrimSpace(set), "-")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") || !isRange {
		return 0, 0, rangeNone
	}
	number := func(text string) (n int64, ok bool) {
		u, err := strconv.ParseUint(text, 10, 63)
		return int64(u), err == nil
	}
	from, hasFirst := number(first)
	to, hasLast := number(last)
	switch {
	case first == "" && hasLast: // The last so many bytes.
		from, to = max(0, size-to), size
		if from == to {
			return 0, 0, rangeOutside
		}
		return from, to, rangePart
	case !hasFirst, last != "" && (!hasLast || to < from):
		return 0, 0, rangeNone
	case from >= size:
		return 0, 0, rangeOutside
	case last == "" || to == math.MaxInt64:
		to = size - 1
	}
	return from, min(to+1, size), rangePart
}
