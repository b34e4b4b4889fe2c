package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestPostAndAsk sends bodies of every length of number through a server of net/http, which must read them as they were
// meant.
func TestPostAndAsk(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/events" ||
			r.Header.Get("Authorization") != "Bearer secret" ||
			r.Header.Get("Content-Type") != "application/x-ndjson" ||
			r.ContentLength != int64(len(body)) ||
			r.Header.Get("Meterd-Producer") != "gw-1" ||
			r.Header.Get("Meterd-Sequence") != fmt.Sprint(len(body)) {
			w.WriteHeader(http.StatusBadRequest)
		}
		w.Header().Set("Content-Length", "5000")
		answer := bytes.Repeat([]byte{'.'}, 5000) // More than the buffer begins with.
		copy(answer, body)
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	w, err := dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	p := newPost("/v1/events", address, "secret", "application/x-ndjson", "gw-1")
	for _, length := range []int{1, 9, 10, 99, 100, 4000, 1, 4999, 3 << 20} {
		body := bytes.Repeat([]byte{'a' + byte(length%20)}, length)
		r, err := converse(w, p.seal(append(p.blank(), body...), uint64(length)))
		if err != nil {
			t.Fatal(err)
		}
		have := min(length, 5000)
		if r.status != 200 || len(r.body) != 5000 || !bytes.Equal(r.body[:have], body[:have]) ||
			have < 5000 && r.body[have] != '.' {
			t.Fatalf("length %d: %d, %d bytes", length, r.status, len(r.body))
		}
	}
}

// talk is a session that asks once and keeps the answer.
type talk struct {
	wire   *wire
	text   []byte
	asked  bool
	answer response
}

func (s *talk) request() []byte { return s.text }
func (s *talk) line() *wire     { return s.wire }

func (s *talk) prepare() int {
	if s.asked {
		return 0
	}
	s.asked = true
	return 1
}

func (s *talk) receive(in []byte) (isWhole bool, err error) {
	s.answer, isWhole, err = wholeResponse(in)
	return isWhole, err
}

// converse sends a request over a connection and returns its answer.
func converse(w *wire, request []byte) (response, error) {
	s := &talk{wire: w, text: request}
	err := runAlone(s)
	return s.answer, err
}

// runAlone lets one session speak until it ends.
func runAlone(s session) error {
	l := &load{began: time.Now(), outcome: newOutcome()}
	l.callers = []*caller{{session: s, load: l}}
	p, err := newPoller(l)
	if err != nil {
		return err
	}
	p.run()
	return errors.Join(l.callers[0].err, p.close())
}

func TestAskFails(t *testing.T) {
	answers := map[string]string{
		"cut":       "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"followed":  "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc",
		"malformed": "SSH-2.0-OpenSSH\r\n\r\n",
	}
	for name, text := range answers {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = conn.Write([]byte(text))
				_ = conn.Close()
			}))
			defer server.Close()
			address := strings.TrimPrefix(server.URL, "http://")
			w, err := dial(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = w.Close() }()
			p := newPost("/", address, "", "text/plain", "")
			if r, err := converse(w, p.seal(append(p.blank(), 'x'), 0)); err == nil {
				t.Fatalf("taken as %d %q", r.status, r.body)
			}
		})
	}
}
