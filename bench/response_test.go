package bench

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestParseResponse(t *testing.T) {
	const whole = "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n" +
		"{\"accepted\":1,\"denied\":[]}\n"
	long := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(answerBytesMax+1) + "\r\n\r\n"
	cases := []struct {
		name, text string
		want       response
		n          int
		err        error
	}{
		{"whole", whole, response{status: 200, body: []byte("{\"accepted\":1,\"denied\":[]}\n")}, len(whole), nil},
		{
			"followed",
			whole + "HTTP",
			response{status: 200, body: []byte("{\"accepted\":1,\"denied\":[]}\n")},
			len(whole),
			nil,
		},
		{"nothing", "", response{}, 0, nil},
		{"part of the head", whole[:30], response{}, 0, nil},
		{"part of the body", whole[:len(whole)-1], response{}, 0, nil},
		{"no reason", "HTTP/1.1 503\r\ncontent-length:0\r\n\r\n", response{status: 503, body: []byte{}}, 34, nil},
		{
			"closing",
			"HTTP/1.1 400 No\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nno",
			response{status: 400, body: []byte("no"), close: true},
			59,
			nil,
		},
		{"old version", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", response{}, 0, errResponse},
		{"no status", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n", response{}, 0, errResponse},
		{"long status", "HTTP/1.1 2000\r\nContent-Length: 0\r\n\r\n", response{}, 0, errResponse},
		{"status of nothing", "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", response{}, 0, errResponse},
		{"no length", "HTTP/1.1 200 OK\r\nDate: x\r\n\r\n", response{}, 0, errResponse},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", response{}, 0, errResponse},
		{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", response{}, 0, errResponse},
		{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", response{}, 0, errResponse},
		{"no colon", "HTTP/1.1 200 OK\r\nContent-Length 0\r\n\r\n", response{}, 0, errResponse},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", response{}, 0, errResponse},
		{"half a line end", "HTTP/1.1 200 OK\nDate: x\r\nContent-Length: 0\r\n\r\n", response{}, 0, errResponse},
		{"half a line end in a header", "HTTP/1.1 200 OK\r\nContent-Length: 0\nA: b\r\n\r\n", response{}, 0, errResponse},
		{"too long", long, response{}, 0, errResponseLong},
		{"endless head", strings.Repeat("x", answerBytesMax+1), response{}, 0, errResponseLong},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r, n, err := parseResponse([]byte(c.text))
			if !errors.Is(err, c.err) || n != c.n {
				t.Fatalf("%d bytes, %v; want %d, %v", n, err, c.n, c.err)
			}
			if err == nil && (r.status != c.want.status || !bytes.Equal(r.body, c.want.body) || r.close != c.want.close) {
				t.Fatalf("%+v, want %+v", r, c.want)
			}
		})
	}
}

// FuzzParseResponse: no panic, no over-read, the same at every length that is enough, and whatever is taken net/http
// takes too, with the same meaning.
func FuzzParseResponse(f *testing.F) {
	f.Add(
		[]byte(
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 26\r\n\r\n{\"accepted\":1,\"denied\":[]}",
		),
	)
	f.Add([]byte("HTTP/1.1 503\r\nRetry-After: 2\r\nConnection: close\r\ncontent-length:2\r\n\r\n{}HTTP/1.1 200 OK\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := parseResponse(b)
		if n < 0 || n > len(b) || err != nil && n != 0 {
			t.Fatalf("%d of %d bytes, %v", n, len(b), err)
		}
		if n == 0 {
			return
		}
		exact, m, err := parseResponse(b[:n:n])
		if err != nil || m != n || exact.status != r.status || !bytes.Equal(exact.body, r.body) {
			t.Fatalf("alone it is %d bytes, %v; with what follows %d", m, err, n)
		}
		if _, m, _ := parseResponse(b[: n-1 : n-1]); m != 0 && len(r.body) > 0 {
			t.Fatalf("without its last byte it is still %d bytes", m)
		}
		answer, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b[:n])), &http.Request{Method: http.MethodPost})
		if err != nil {
			return // Names and values of headers are net/http's to judge; the daemon's are well-formed.
		}
		body, err := io.ReadAll(answer.Body)
		bodiless := answer.StatusCode == http.StatusNoContent || answer.StatusCode == http.StatusNotModified ||
			answer.StatusCode < 200
		if err != nil || answer.StatusCode != r.status || !bodiless && !bytes.Equal(body, r.body) {
			t.Fatalf("net/http reads %d %q, %v; we %d %q", answer.StatusCode, body, err, r.status, r.body)
		}
	})
}

func BenchmarkParseResponse(b *testing.B) {
	text := []byte(
		"HTTP/1.1 200 OK\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 29\r\n" +
			"\r\n{\"accepted\":1000,\"denied\":[]}",
	)
	b.ReportAllocs()
	for b.Loop() {
		if _, n, err := parseResponse(text); n != len(text) || err != nil {
			b.Fatal(n, err)
		}
	}
}
