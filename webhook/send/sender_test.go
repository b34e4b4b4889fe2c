package send

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func call(url string) *Call {
	return &Call{URL: url, Secrets: [][]byte{[]byte("secret")}, ID: "msg_1", Body: []byte(`{"a":1}`)}
}

func newSender(t *testing.T, o Options) *Sender {
	s := New(o)
	t.Cleanup(s.Close)
	return s
}

// A receiver gets what the specification says, and its library takes it.
func TestSend(t *testing.T) {
	library, err := standardwebhooks.NewWebhookRaw([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = library.Verify(body, r.Header)
		}
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" ||
			r.Header.Get("User-Agent") != "meterd/1" || string(body) != `{"a":1}` {
			t.Errorf("%s %v %q: %v", r.Method, r.Header, body, err)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	s := newSender(t, Options{AllowPrivate: true, Version: "1"})
	if o := s.Send(t.Context(), call(receiver.URL)); o != (Outcome{}) {
		t.Errorf("%+v", o)
	}
}

// Whatever leads to this machine is refused when it is connected to, names that resolve to it as well.
func TestSendReachesNothingInside(t *testing.T) {
	var reached atomic.Int32
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer receiver.Close()
	_, port, err := net.SplitHostPort(receiver.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newSender(t, Options{})
	for _, host := range []string{
		"127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "127.1.2.3", "[::1]", "[::]",
		"169.254.169.254", "10.0.0.1", "100.64.0.1", "192.168.0.1", "[fe80::1]", "[fd00:ec2::254]",
	} {
		o := s.Send(t.Context(), call("http://"+host+":"+port+"/"))
		if o.Err == nil || reached.Load() > 0 {
			t.Errorf("%s was reached", host)
		} else if o.Err.Error() != errRefused.Error() {
			t.Errorf("%s: %v", host, o.Err)
		}
	}
}

// A name may resolve to a public address when it is looked at, and to another one when it is called: what counts is
// the address of the connection.
func TestRefusalIsByConnection(t *testing.T) {
	for address, refused := range map[string]bool{
		"127.0.0.1:80": true, "[::ffff:10.0.0.1]:443": true, "[fe80::1%lo]:80": true, "nonsense": true, "8.8.8.8:443": false,
	} {
		if err := refuseInside("tcp", address, nil); (err != nil) != refused {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A proxy of the environment is not asked.
func TestSendUsesNoProxy(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	t.Setenv("NO_PROXY", "")
	s := newSender(t, Options{AllowPrivate: true})
	// Port 1 of this machine: nobody listens there. (The environment's proxy never serves localhost names.)
	if o := s.Send(t.Context(), call("http://127.0.0.1:1/")); o.Err == nil {
		t.Error("somebody answered")
	}
	if s.client.Transport.(*http.Transport).Proxy != nil || asked.Load() > 0 {
		t.Error("the proxy was asked")
	}
}

func TestOutcomes(t *testing.T) {
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	for _, status := range []int{200, 204, 299, 400, 404, 410, 500, 502} {
		mux.HandleFunc(fmt.Sprintf("/%d", status), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		mux.Handle(fmt.Sprintf("/%d", status), http.RedirectHandler(elsewhere.URL, status))
	}
	mux.HandleFunc("/429", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 1<<20))
	})
	mux.HandleFunc("/broken", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	receiver := httptest.NewServer(mux)
	defer receiver.Close()
	s := newSender(t, Options{AllowPrivate: true})
	for path, taken := range map[string]bool{
		"200": true, "204": true, "299": true, "endless": true,
		"301": false, "302": false, "303": false, "307": false, "308": false, "400": false, "404": false, "410": false,
		"429": false, "500": false, "502": false, "headers": false, "broken": false,
	} {
		o := s.Send(t.Context(), call(receiver.URL+"/"+path))
		if (o.Err == nil) != taken || o.Gone != (path == "410") || (o.RetryAfter == 2*time.Minute) != (path == "429") {
			t.Errorf("%s: %+v", path, o)
		}
	}
	if reached.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// headed calls back when the head of an answer has come.
type headed struct {
	http.RoundTripper
	come func()
}

func (h headed) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := h.RoundTripper.RoundTrip(r)
	h.come()
	return answer, err
}

// A receiver that hangs is given up, whenever it hangs.
func TestSendGivesUp(t *testing.T) {
	asked, release := make(chan struct{}, 2), make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		if r.URL.Path == "/body" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		<-release
	}))
	defer receiver.Close()
	defer close(release)
	s := newSender(t, Options{AllowPrivate: true})
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		<-asked
		giveUp()
	}()
	if o := s.Send(ctx, call(receiver.URL+"/head")); o.Err == nil {
		t.Error("what was not answered is taken")
	}
	ctx, giveUpBody := context.WithCancel(t.Context())
	s.client.Transport = headed{s.client.Transport, giveUpBody}
	if o := s.Send(ctx, call(receiver.URL+"/body")); o.Err != nil {
		t.Errorf("answered without an end: %v", o.Err)
	}
}

// Certificates are verified.
func TestSendVerifies(t *testing.T) {
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	receiver.Config.ErrorLog = nil
	defer receiver.Close()
	if o := newSender(t, Options{AllowPrivate: true}).Send(t.Context(), call(receiver.URL)); o.Err == nil {
		t.Error("a certificate of nobody was taken")
	}
	roots := x509.NewCertPool()
	roots.AddCert(receiver.Certificate())
	s := newSender(t, Options{AllowPrivate: true, roots: roots})
	if o := s.Send(t.Context(), call(receiver.URL)); o.Err != nil {
		t.Error(o.Err)
	}
	other := strings.Replace(receiver.URL, "127.0.0.1", "localhost", 1) // The certificate does not name it.
	if o := s.Send(t.Context(), call(other)); o.Err == nil {
		t.Error("a certificate of another host was taken")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "x": 0, "99999999999": 0, "4000": RetryAfterMax,
		"Fri, 27 Nov 2026 12:01:00 GMT": time.Minute, "Fri, 27 Nov 2026 11:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
