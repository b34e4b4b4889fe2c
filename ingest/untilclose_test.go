package ingest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// askOld sends an HTTP/1.0 request over a raw socket.
func (d *guardedDoor) askOld(base, line string) net.Conn {
	d.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	d.must(err)
	d.Cleanup(func() { _ = c.Close() }) // The test may have closed it.
	d.must(c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, line+" HTTP/1.0\r\nAuthorization: Bearer "+d.secrets["gateway"]+"\r\n\r\n")
	d.must(err)
	return c
}

// header reads the header of an answer, which must be one that ends with the connection.
func (d *guardedDoor) header(r *bufio.Reader) {
	d.Helper()
	text := ""
	for !strings.HasSuffix(text, "\r\n\r\n") {
		line, err := r.ReadString('\n')
		d.must(err)
		text += line
	}
	if !strings.Contains(text, " 200 OK\r\n") || !strings.Contains(text, "Connection: close\r\n") ||
		strings.Contains(text, "Transfer-Encoding") || strings.Contains(text, "Content-Length") {
		d.Fatalf("the header is %q", text)
	}
}

// A client of HTTP/1.0 knows no chunks: a stream is what stands on the wire, until the connection ends (RFC 9112, 6.1).
func TestOldClientsGetNoChunks(t *testing.T) {
	d := newGuardedDoor(t)
	cut := make(chan struct{})
	d.handler.people = func(ctx *fasthttp.RequestCtx) {
		path, conn := string(ctx.Path()), ctx.Conn()
		ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
			switch {
			case !writes(w, "one\n"): // The client of HEAD takes nothing.
			case path == "/cut":
				<-cut
				_ = conn.Close() // What it fails with says nothing.
			default:
				writes(w, "two\n")
			}
		})
	}
	base := d.serve()

	whole := bufio.NewReader(d.askOld(base, "GET /whole"))
	d.header(whole)
	if body, err := io.ReadAll(whole); string(body) != "one\ntwo\n" || err != nil {
		t.Errorf("a stream is %q: %v", body, err)
	}
	head := bufio.NewReader(d.askOld(base, "HEAD /whole"))
	d.header(head)
	if body, err := io.ReadAll(head); len(body) > 0 || err != nil {
		t.Errorf("the body of HEAD is %q: %v", body, err)
	}

	// Each piece leaves at once, and a stream that was cut off does not look whole.
	short := bufio.NewReader(d.askOld(base, "GET /cut"))
	d.header(short)
	if line, err := short.ReadString('\n'); line != "one\n" || err != nil {
		t.Fatalf("the first piece is %q: %v", line, err)
	}
	close(cut)
	if rest, err := io.ReadAll(short); len(rest) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("behind the cut there is %q: %v", rest, err)
	}

	events := bufio.NewReader(d.askOld(base, "GET /v1/commands"))
	d.header(events)
	if line, err := events.ReadString('\n'); line != ": meterd\n" || err != nil {
		t.Errorf("a command stream begins with %q: %v", line, err)
	}
	d.handler.Close() // The stream ends with the daemon, whole.
	if rest, err := io.ReadAll(events); string(rest) != "\n" || err != nil {
		t.Errorf("a command stream ends with %q: %v", rest, err)
	}

	resp, err := http.Get(base + "/whole")
	d.must(err)
	body, err := io.ReadAll(resp.Body)
	d.must(errors.Join(err, resp.Body.Close()))
	if string(body) != "one\ntwo\n" || len(resp.TransferEncoding) != 1 {
		t.Errorf("with HTTP/1.1 a stream is %q, encoded %q", body, resp.TransferEncoding)
	}
}

// writes writes text and reports whether that worked.
func writes(w *bufio.Writer, text string) bool {
	_, err := w.WriteString(text)
	return err == nil && w.Flush() == nil
}
