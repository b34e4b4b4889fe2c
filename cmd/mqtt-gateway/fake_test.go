package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meterd/meterd/bench/testport"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// fakeMeterd speaks the part of the contract that a gateway uses: batches in protobuf decided in order and once a
// sequence, licences (R1), a quota a device and day (R10), holders (R3), the offline call, and the stream of commands
// with its places.
type fakeMeterd struct {
	t       *testing.T
	address string
	srv     *http.Server

	mu       sync.Mutex
	changed  *sync.Cond
	licenses int            // left
	limit    int            // messages a device
	limits   map[string]int // device → its own limit
	denials  map[string]string
	devices  map[string]*fakeDevice
	log      []string // "type device code", in the order decided
	hold     chan struct{}
	holding  string            // device whose batches wait for hold
	answers  map[string][]byte // by sequence
	held     int
	told     []string // events of the stream of commands
}

type fakeDevice struct {
	active, online bool
	used           int
}

func newFake(t *testing.T) *fakeMeterd {
	f := &fakeMeterd{
		t:        t,
		address:  testport.Free(t),
		licenses: 1000,
		limit:    1000,
		limits:   map[string]int{},
		denials:  map[string]string{},
		devices:  map[string]*fakeDevice{},
		answers:  map[string][]byte{},
	}
	f.changed = sync.NewCond(&f.mu)
	f.start()
	t.Cleanup(f.stop)
	return f
}

// start listens, after a stop on the same address as before.
func (f *fakeMeterd) start() {
	f.t.Helper()
	ln, err := net.Listen("tcp", f.address)
	if err != nil {
		f.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events", f.events)
	mux.HandleFunc("GET /v1/producers/{producer}", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":"not_found"}`)
	})
	mux.HandleFunc("POST /v1/producers/{producer}/offline", f.offline)
	mux.HandleFunc("GET /v1/commands", f.commands)
	f.srv = &http.Server{Handler: mux}
	go func(srv *http.Server) { _ = srv.Serve(ln) }(f.srv)
}

func (f *fakeMeterd) stop() { _ = f.srv.Close() }

func (f *fakeMeterd) offline(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, d := range f.devices {
		if d.online {
			n, d.online = n+1, false
		}
	}
	f.log = append(f.log, "offline "+r.PathValue("producer"))
	f.changed.Broadcast()
	fmt.Fprintf(w, `{"devices":%d}`, n)
}

func (f *fakeMeterd) events(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer t0ken" || r.Header.Get("Meterd-Producer") != "gw-test" {
		http.Error(w, `{"code":"unauthorized"}`, http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	var batch event.Batch
	if p := wire.DecodeProtobuf(&batch, body); p != nil || err != nil {
		f.t.Errorf("the gateway sent %q: %v, %+v", body, err, p)
		http.Error(w, `{"code":"bad_request"}`, http.StatusBadRequest)
		return
	}
	text := func(r event.Ref) string { return string(batch.Bytes(r)) }
	w.Header().Set("Content-Type", "application/x-protobuf")
	f.mu.Lock()
	defer f.mu.Unlock()
	if hold := f.hold; hold != nil && slices.ContainsFunc(batch.Events, func(e event.Event) bool {
		return text(e.Device) == f.holding
	}) {
		f.held++
		f.changed.Broadcast()
		f.mu.Unlock()
		<-hold
		f.mu.Lock()
	}
	sequence := r.Header.Get("Meterd-Sequence")
	if answer := f.answers[sequence]; answer != nil { // Slow tests run into the client's timeouts, too.
		w.Header().Set("Meterd-Replayed", "true")
		_, _ = w.Write(answer)
		return
	}
	accepted := 0
	var answer []byte // meterd.v1.Answer
	for i := range batch.Events {
		e := &batch.Events[i]
		device, what := text(e.Device), e.Type.String()
		code := f.decide(what, text(e.Product)+"/"+device, device)
		if e.Type == event.Up || e.Type == event.Down {
			if e.Payload.Len != 0 && e.Size != int64(e.Payload.Len) {
				f.t.Errorf("%s of %s has no right size", e.Type, device)
			}
			what += " " + text(e.Payload)
		}
		f.log = append(f.log, strings.Join([]string{device, strings.TrimSpace(what), code}, " "))
		if code == "accepted" {
			accepted++
		} else {
			denial := protowire.AppendTag(appendVarint(nil, 1, i), 2, protowire.BytesType)
			denial = protowire.AppendString(denial, code)
			answer = protowire.AppendBytes(protowire.AppendTag(answer, 2, protowire.BytesType), denial)
		}
	}
	f.changed.Broadcast()
	f.answers[sequence] = appendVarint(answer, 1, accepted)
	_, _ = w.Write(f.answers[sequence])
}

// appendVarint appends a number as protobuf does.
func appendVarint(dst []byte, field protowire.Number, v int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, field, protowire.VarintType), uint64(v))
}

func (f *fakeMeterd) decide(typ, key, device string) string {
	d := f.devices[key]
	if d == nil {
		d = &fakeDevice{}
		f.devices[key] = d
	}
	if code := f.denials[device]; code != "" && typ != "disconnect" {
		return code
	}
	switch typ {
	case "connect":
		if !d.active && f.licenses == 0 {
			return "license_exhausted"
		}
		if !d.active {
			f.licenses--
		}
		d.active, d.online = true, true
	case "disconnect":
		d.online = false
	case "up", "down":
		limit, own := f.limits[device]
		if !own {
			limit = f.limit
		}
		switch {
		case !d.active:
			return "not_activated"
		case d.used >= limit:
			return "message_quota_exceeded"
		}
		d.used++
	default:
		f.t.Errorf("the gateway sent type %q", typ)
	}
	return "accepted"
}

// set changes the fake's rules.
func (f *fakeMeterd) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// heard returns the log lines that begin with prefix.
func (f *fakeMeterd) heard(prefix string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heardLocked(prefix)
}

func (f *fakeMeterd) heardLocked(prefix string) (lines []string) {
	for _, l := range f.log {
		if strings.HasPrefix(l, prefix) {
			lines = append(lines, l)
		}
	}
	return lines
}

// await waits until n log lines begin with prefix.
func (f *fakeMeterd) await(prefix string, n int) {
	f.t.Helper()
	f.awaitThat(fmt.Sprintf("%d × %q", n, prefix), func() bool { return len(f.heardLocked(prefix)) >= n })
}

// awaitThat waits for a condition, which is looked at with the lock held whenever something was decided. The deadline
// ends a failed test, it measures nothing.
func (f *fakeMeterd) awaitThat(what string, cond func() bool) {
	f.t.Helper()
	expired := false
	timer := time.AfterFunc(patience, func() {
		f.mu.Lock()
		expired = true
		f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer timer.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !cond() {
		if expired {
			f.t.Fatalf("waited in vain for %s; the log:\n%s", what, strings.Join(f.log, "\n"))
		}
		f.changed.Wait()
	}
}

// online reports what the fake thinks of "product/device".
func (f *fakeMeterd) online(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.devices[key] != nil && f.devices[key].online
}
