package ingest

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

const plainBody = `{"type":"up","product":"p","device":"d"}`

// plainWith is a plain request with some more lines in its header.
func plainWith(lines ...string) string {
	header := append([]string{
		"Host: meterd:8080", "Authorization: Bearer secret", "Content-Type: application/json", "Content-Length: 40",
	}, lines...)
	return plainLine + strings.Join(header, "\r\n") + "\r\n\r\n" + plainBody
}

// sameAsFasthttp fails unless fasthttp reads a plain request from b and finds in it what p says, and n bytes long.
func sameAsFasthttp(t *testing.T, b []byte, p *plain, n int) {
	t.Helper()
	var r fasthttp.Request
	in := bufio.NewReaderSize(bytes.NewReader(b), headerBytesMax)
	if err := r.Read(in); err != nil {
		t.Fatalf("%q is plain to a loop; to fasthttp: %v", b, err)
	}
	rest, err := io.ReadAll(in)
	if err != nil || len(b)-len(rest) != n {
		t.Fatalf("%q: %d bytes to a loop, %d to fasthttp (%v)", b, n, len(b)-len(rest), err)
	}
	h := &r.Header
	if string(h.Method()) != "POST" || string(r.URI().Path()) != "/v1/events" || h.ConnectionClose() ||
		len(h.ContentEncoding()) > 0 ||
		r.MayContinue() {
		t.Fatalf("%q is not plain to fasthttp", b)
	}
	if !bytes.Equal(r.Body(), p.body) || !bytes.Equal(h.ContentType(), p.contentType.value) ||
		!bytes.Equal(h.Host(), p.host.value) {
		t.Fatalf("%q: fasthttp reads %q %q %q", b, r.Body(), h.ContentType(), h.Host())
	}
	for name, f := range map[string]field{
		"Authorization": p.authorization, "Meterd-Producer": p.producer, "Meterd-Sequence": p.sequence,
	} {
		if got := fieldOf(h, name); got.times != f.times || !bytes.Equal(got.value, f.value) {
			t.Fatalf("%q: %s is %q to a loop, %q to fasthttp", b, name, f.value, got.value)
		}
	}
}

func TestPlain(t *testing.T) {
	var p plain
	for _, more := range [][]string{
		nil,
		{"Meterd-Producer: gw", "Meterd-Sequence: 17"},
		{"meterd-producer:gw", "METERD-SEQUENCE:\t17 "},
		{"User-Agent: x", "Accept: */*", "Accept-Encoding: gzip"},
		{"Connection: Keep-Alive"},
		{"traceparent: 00-1-2-00", "X-Forwarded-For: 10.0.0.1, 10.0.0.2"},
		{"Meterd-Producer:"},
	} {
		b := []byte(plainWith(more...))
		n, is := p.parse(b)
		if is != isPlain || n != len(b) {
			t.Fatalf("%q: %d bytes, %d", b, n, is)
		}
		sameAsFasthttp(t, b, &p, n)
		sameAsFasthttp(t, append(b[:n:n], "POST /v1"...), &p, n)
		for i := range b {
			if n, is := p.parse(b[:i]); is != isPartial || n != 0 {
				t.Fatalf("%q: %d bytes, %d", b[:i], n, is)
			}
		}
	}
}

// What could be read in two ways, or needs more than a decision, is left to fasthttp.
func TestForeign(t *testing.T) {
	whole := plainWith()
	replaced := func(was, is string) string { return strings.Replace(whole, was, is, 1) }
	var p plain
	for _, b := range []string{
		"GET /v1/events HTTP/1.1\r\n", "POST /v1/events/ HTTP/1.1\r\n", "POST /v1/events?a=b HTTP/1.1\r\n",
		"POST /v1/events HTTP/1.0\r\n", "post /v1/events HTTP/1.1\r\n", "POST  /v1/events HTTP/1.1\r\n",
		"POST /v1/events HTTP/1.1\n", "\r\n" + whole, "PRI * HTTP/2.0\r\n", "X", "\x16\x03\x01",
		replaced("Content-Length: 40\r\n", ""), replaced("Content-Length: 40", "Content-Length: 0"),
		replaced("Content-Length: 40", "Content-Length: 040"), replaced("Content-Length: 40", "Content-Length: +40"),
		replaced("Content-Length: 40", "Content-Length: 40, 40"), replaced("Content-Length: 40", "Content-Length: 4 0"),
		replaced("Content-Length: 40", "Content-Length : 40"), replaced("Content-Length: 40", " Content-Length: 40"),
		replaced("Content-Length: 40", "Content-Length: 16384"),
		replaced("Content-Length: 40", "Content-Length: 999999"), replaced("Content-Length: 40", "Content-Length: -1"),
		replaced("Content-Length: 40\r", "Content-Length: 40"), plainWith("Content-Length: 40"),
		plainWith("Content-Length: 41"), plainWith("Transfer-Encoding: chunked"),
		plainWith("transfer-encoding: identity"), plainWith("Content-Encoding: gzip"), plainWith("Content-Encoding:"),
		plainWith("Expect: 100-continue"), plainWith("Connection: close"), plainWith("Connection: upgrade"),
		plainWith("Connection: keep-alive", "Connection: close"), plainWith("Upgrade: h2c"), plainWith("Trailer: x"),
		plainWith("TE: trailers"), plainWith("Host: other"), replaced("Host: meterd:8080\r\n", ""),
		replaced("Host: meterd:8080", "Host:"), replaced("Host: meterd:8080", "Host: a b"),
		replaced("Host: meterd:8080", "Host: a/b"), plainWith("Authorization: Bearer other"),
		plainWith("Content-Type: text/plain"), plainWith("Meterd-Producer: a", "Meterd-Producer: a"),
		plainWith("Meterd-Sequence: 1", "Meterd-Sequence: 2"), plainWith("no colon"), plainWith(": no name"),
		plainWith("a b: c"), plainWith("folded: a", " b"), plainWith("x: a\x00b"), plainWith("x: a\rb"),
		plainWith("x: a\x7fb"), plainWith("ü: x"), plainWith("ce-specversion: 1.0"), plainWith("CE-Type: io.meterd.up"),
	} {
		if n, is := p.parse([]byte(b)); is != isForeign || n != 0 {
			t.Errorf("%q: %d bytes, %d", b, n, is)
		}
	}
}

func FuzzPlainIsWhatFasthttpReads(f *testing.F) {
	f.Add([]byte(plainWith("Meterd-Producer: gw", "Meterd-Sequence: 17")))
	f.Add([]byte(plainWith("Connection: keep-alive", "X-Any: \x80")))
	f.Add([]byte(plainWith("A: ", "B:\t") + plainWith()))
	f.Add([]byte(strings.Replace(plainWith(), "meterd:8080", "[::1]:8080", 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p plain
		n, is := p.parse(b)
		if is != isPlain {
			if n != 0 {
				t.Fatalf("%q: %d bytes of no plain request", b, n)
			}
			return
		}
		sameAsFasthttp(t, b, &p, n)
		if _, is := p.parse(b[:n-1]); is != isPartial {
			t.Fatalf("%q without its last byte is %d", b[:n], is)
		}
	})
}
