package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	eventwire "github.com/meterd/meterd/event/wire"
)

// fake is a daemon that counts what it is sent, and tells it as it is unless it is told to lie.
type fake struct {
	mu       sync.Mutex
	created  []string
	accepted uint64
	sent     map[string]*[3]uint64 // connects, ups, downs by device
	rows     map[string][]fakeRow
	// sequences are the last ones of each producer.
	sequences map[string]uint64

	lieAccepted, lieLogged, lieDenied uint64 // added
	lieUsed                           int
	lieUp, lieDown, lieLog            uint64 // of every device
	refuse                            bool   // denies the last event of each batch
}

func startFake(t *testing.T) (*fake, Options) {
	t.Helper()
	f := &fake{sent: map[string]*[3]uint64{}, rows: map[string][]fakeRow{}, sequences: map[string]uint64{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", f.metrics)
	mux.HandleFunc("POST /v1/events", f.events)
	mux.HandleFunc("POST /v1/accounts", f.create)
	mux.HandleFunc("POST /v1/products", f.create)
	mux.HandleFunc("POST /v1/products/{product}/lots", f.create)
	mux.HandleFunc("GET /v1/products/{product}", f.product)
	mux.HandleFunc("GET /v1/products/{product}/devices/{device}", f.device)
	mux.HandleFunc("GET /v1/products/{product}/devices/{device}/logs", f.logs)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	o := DefaultOptions()
	o.URL, o.Token, o.Product, o.Devices, o.Samples = server.URL, "secret", "p1", 300, 50
	return f, o
}

func (f *fake) create(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	f.created = append(f.created, r.URL.Path+" "+string(body))
	w.WriteHeader(http.StatusCreated)
}

func (f *fake) events(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	var b event.Batch
	decode, answer := eventwire.DecodeNDJSON, eventwire.AppendResult
	if r.Header.Get("Content-Type") == "application/x-protobuf" {
		decode, answer = eventwire.DecodeProtobuf, eventwire.AppendResultProtobuf
	}
	if p := decode(&b, body); p != nil || r.Header.Get("Authorization") != "Bearer secret" || !f.rises(r.Header) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for i := range b.Events {
		name := string(b.Bytes(b.Events[i].Device))
		if f.sent[name] == nil {
			f.sent[name] = &[3]uint64{}
		}
		kind := map[event.Type]int{event.Connect: 0, event.Up: 1, event.Down: 2}[b.Events[i].Type]
		f.sent[name][kind]++
		f.rows[name] = append(
			f.rows[name],
			fakeRow{Type: b.Events[i].Type.String(), Verdict: "accepted", DecidedAt: time.Now()},
		)
	}
	f.accepted += uint64(len(b.Events))
	result := event.Result{Accepted: len(b.Events)}
	if f.refuse {
		result.Accepted--
		result.Denials = []event.Denial{{Index: len(b.Events) - 1, Verdict: event.Verdict{Code: event.LicenseExhausted}}}
	}
	_, _ = w.Write(answer(nil, &result))
}

// rises reports whether a request has a sequence, and one higher than the last one of its producer.
func (f *fake) rises(h http.Header) bool {
	producer := h.Get("Meterd-Producer")
	n, err := strconv.ParseUint(h.Get("Meterd-Sequence"), 10, 64)
	last := f.sequences[producer]
	f.sequences[producer] = n
	return err == nil && n > last && producer != ""
}

func (f *fake) metrics(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = fmt.Fprintf(
		w,
		"meterd_events_total{type=\"up\",verdict=\"accepted\"} %d\nmeterd_events_total{type=\"up\",verdict=\"suspended\"} "+
			"%d\nmeterd_log_rows_total %d\n",
		f.accepted+f.lieAccepted,
		f.lieDenied,
		f.accepted+f.lieLogged,
	)
}

func (f *fake) product(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	used := len(f.sent) + f.lieUsed
	_, _ = fmt.Fprintf(w, `{"licenses":{"total":300,"used":%d,"available":%d}}`, used, 300-used)
}

func (f *fake) device(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.sent[r.PathValue("device")]
	if n == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = fmt.Fprintf(w, `{"state":"active","messages":{"up":%d,"down":%d,"denied":0}}`, n[1]+f.lieUp, n[2]+f.lieDown)
}

// fakeRow is a row of a log.
type fakeRow struct {
	Type      string    `json:"type"`
	Verdict   string    `json:"verdict"`
	DecidedAt time.Time `json:"decided_at"`
}

// logs streams the rows since an instant.
func (f *fake) logs(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	since, err := time.Parse(time.RFC3339, r.URL.Query().Get("from"))
	if err != nil || r.Header.Get("Accept") != "application/x-ndjson" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	rows := json.NewEncoder(w)
	for _, row := range f.rows[r.PathValue("device")] {
		if !row.DecidedAt.Before(since) {
			_ = rows.Encode(row)
		}
	}
	for range f.lieLog {
		_ = rows.Encode(fakeRow{Type: "up", Verdict: "accepted"})
	}
}

func (f *fake) createdText() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.created, "\n")
}
