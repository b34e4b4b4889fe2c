package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeMeterd speaks the part of the contract that a gateway uses: batches in NDJSON decided in order and once a
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
	answers  map[string]string // by sequence
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
		address:  reserve(t),
		licenses: 1000,
		limit:    1000,
		limits:   map[string]int{},
		denials:  map[string]string{},
		devices:  map[string]*fakeDevice{},
		answers:  map[string]string{},
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
	type ev struct {
		Type, Product, Device, Topic, Payload string
		Size                                  *int
	}
	var batch []ev
	sc := bufio.NewScanner(r.Body)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var e ev
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			f.t.Errorf("the gateway sent %q: %v", sc.Text(), err)
			http.Error(w, `{"code":"bad_request"}`, http.StatusBadRequest)
			return
		}
		batch = append(batch, e)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if hold := f.hold; hold != nil && slices.ContainsFunc(batch, func(e ev) bool { return e.Device == f.holding }) {
		f.held++
		f.changed.Broadcast()
		f.mu.Unlock()
		<-hold
		f.mu.Lock()
	}
	sequence := r.Header.Get("Meterd-Sequence")
	if answer := f.answers[sequence]; answer != "" { // Slow tests run into the client's timeouts, too.
		w.Header().Set("Meterd-Replayed", "true")
		fmt.Fprint(w, answer)
		return
	}
	accepted, denied := 0, []string{}
	for i, e := range batch {
		code := f.decide(e.Type, e.Product+"/"+e.Device, e.Device)
		what := e.Type
		if e.Type == "up" || e.Type == "down" {
			if e.Size == nil || e.Payload != "" && *e.Size != len(e.Payload) {
				f.t.Errorf("%s of %s has no right size", e.Type, e.Device)
			}
			what += " " + e.Payload
		}
		f.log = append(f.log, strings.Join([]string{e.Device, strings.TrimSpace(what), code}, " "))
		if code == "accepted" {
			accepted++
		} else {
			denied = append(denied, fmt.Sprintf(`{"index":%d,"code":%q}`, i, code))
		}
	}
	f.changed.Broadcast()
	f.answers[sequence] = fmt.Sprintf(`{"accepted":%d,"denied":[%s]}`, accepted, strings.Join(denied, ","))
	fmt.Fprint(w, f.answers[sequence])
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
