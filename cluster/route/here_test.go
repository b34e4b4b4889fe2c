package route

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/metric/metrictest"
)

func TestHere(t *testing.T) {
	set := metric.NewSet()
	set.Gauges("meterd_devices", "Devices that are known.").Func(func() float64 { return 2 })
	leaving := false
	r := newRig(t, func(o *Options) {
		o.Cells, o.Names, o.Gateways = 2, &several{}, func(*fasthttp.RequestCtx) {}
		o.Leaving = func() bool { return leaving }
		o.Metrics = func() []metric.Part { return []metric.Part{{Set: set, Label: "cell", Value: "1"}} }
	})
	resp, text := r.do("GET", "/readyz", nil)
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "no cell has an owner")
	r.board.set(1, "n2", "127.0.0.1:1")
	resp, text = r.do("GET", "/readyz", nil)
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "1 of 2 cells have an owner so far")
	r.board.set(0, "n2", "127.0.0.1:2")
	if _, text = r.do("GET", "/readyz", nil); text != "ok\n" {
		t.Errorf("ready: %q", text)
	}
	r.board.unset(0)
	_, text = r.do("GET", "/readyz?verbose", nil)
	if text != "ok\ncell 0: has no owner\ncell 1: owned by n2 at 127.0.0.1:1, epoch 7\n" {
		t.Errorf("verbose: %q", text)
	}
	leaving = true
	resp, text = r.do("GET", "/readyz", nil)
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "stopping")
	if _, text = r.do("GET", "/livez", nil); text != "ok\n" {
		t.Errorf("alive: %q", text)
	}
	if resp, text = r.do("POST", "/livez", nil); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /livez: %d %s", resp.StatusCode, text)
	}
	if _, text = r.do("GET", "/docs/a.js", nil); text != "docs" {
		t.Errorf("docs: %q", text)
	}
	_, text = r.do("GET", "/metrics", nil)
	metrictest.Lint(t, []byte(text))
	if !strings.Contains(text, "\nmeterd_devices{cell=\"1\"} 2\n") {
		t.Errorf("metrics: %s", text)
	}
}

// A node is known by its certificate alone, and so is the one that calls it.
func TestPeers(t *testing.T) {
	var fingerprint string
	r := newRig(t, func(o *Options) {
		o.Peer = func(string) *tls.Config { return PeerTLS(fingerprint, func() *tls.Certificate { return nil }) }
	})
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	defer s.Close()
	r.board.set(0, "n1", s.Listener.Addr().String())
	fingerprint = Fingerprint(&s.TLS.Certificates[0])
	if _, text := r.do("POST", "/v1/events", strings.NewReader("x")); text != "ok" {
		t.Errorf("got %q", text)
	}
	fingerprint = strings.Repeat("0", len(fingerprint))
	r.links.close()
	resp, text := r.do("POST", "/v1/events", strings.NewReader("x"))
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "cannot be reached")
}

// A cell that wants certificates of clients takes those that nodes have told.
func TestAdmitPeers(t *testing.T) {
	s := httptest.NewUnstartedServer(
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }),
	)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert}
	known := ""
	AdmitPeers(s.TLS, func(f string) bool { return f == known })
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.StartTLS()
	defer s.Close()
	own := &s.TLS.Certificates[0]
	ask := func(own *tls.Certificate) error {
		config := PeerTLS(Fingerprint(&s.TLS.Certificates[0]), func() *tls.Certificate { return own })
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: patience}
		defer client.CloseIdleConnections()
		resp, err := client.Get(s.URL)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	if ask(nil) == nil || ask(own) == nil {
		t.Error("a stranger was admitted")
	}
	known = Fingerprint(own)
	if err := ask(own); err != nil {
		t.Error(err)
	}
}
