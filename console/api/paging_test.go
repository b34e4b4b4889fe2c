package api

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
)

func unmarshal(t testing.TB, body []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(body, to); err != nil {
		t.Fatalf("%v in %.300s", err, body)
	}
}

// element is what the tests look at of an element of any list.
type element struct {
	Serial                          uint64
	Product, Device, State, Payload string
	DayUsed                         int `json:"day_used"`
}

// pages reads a list to its end and calls fn for every element. It returns how many pages there were.
func (d *daemon) pages(uri, member string, fn func(element)) (count int) {
	d.t.Helper()
	cursor := ""
	for {
		separator := "?"
		if strings.Contains(uri, "?") {
			separator = "&"
		}
		at := uri
		if cursor != "" {
			at += separator + "cursor=" + cursor
		}
		count++
		var page map[string]json.RawMessage
		unmarshal(d.t, d.expect(fasthttp.StatusOK, "GET", at, ""), &page)
		var list []element
		unmarshal(d.t, page[member], &list)
		for _, a := range list {
			fn(a)
		}
		var next *string
		unmarshal(d.t, page["next"], &next)
		if next == nil {
			return count
		}
		cursor = *next
	}
}

// connect connects devices from..to of a product.
func (d *daemon) connect(product string, from, to int) {
	d.t.Helper()
	var lines strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&lines, `{"type":"connect","product":%q,"device":"d-%d"}`+"\n", product, i)
	}
	for i, code := range d.submit("", lines.String()) {
		if code != "accepted" {
			d.t.Fatalf("device %d of %s: %s", from+i, product, code)
		}
	}
}

// A list of licences shows each that was consumed before it was begun exactly once and in the order of serials,
// although others are consumed all the while.
func TestLicensePagesWhileLicensesAreConsumed(t *testing.T) {
	const before, after = 120, 400
	products := []string{"p", "q"}
	d := newDaemon(t, nil)
	d.create(after, products...)
	for _, p := range products {
		d.connect(p, 0, before)
	}
	var wg sync.WaitGroup
	defer wg.Wait() // The engine must not be closed under them.
	for _, p := range products {
		wg.Go(func() {
			for i := before; i < after; i += 4 {
				d.connectQuietly(p, i, i+4)
			}
		})
	}
	for _, uri := range []string{
		"/v1/products/p/licenses", "/v1/accounts/acme/licenses",
		"/v1/products/q/licenses?limit=1000",
	} {
		if !strings.Contains(uri, "?") {
			uri += "?limit=7"
		}
		seen, last := map[string]uint64{}, map[string]uint64{}
		d.pages(uri, "licenses", func(l element) {
			name := l.Product + "/" + l.Device
			if was, twice := seen[name]; twice {
				t.Errorf("%s: %s is shown with serial %d and %d", uri, name, was, l.Serial)
			}
			if l.Serial <= last[l.Product] {
				t.Errorf("%s: serial %d of %s comes behind %d", uri, l.Serial, name, last[l.Product])
			}
			seen[name], last[l.Product] = l.Serial, l.Serial
		})
		for p := range last {
			for i := range before {
				if name := fmt.Sprintf("%s/d-%d", p, i); seen[name] == 0 {
					t.Errorf("%s: %s is missing", uri, name)
				}
			}
		}
		if strings.Contains(uri, "acme") && len(last) != len(products) {
			t.Errorf("%s shows %d products, want %d", uri, len(last), len(products))
		}
	}
	wg.Wait()

	serials := map[uint64]bool{}
	if n := d.pages(
		"/v1/accounts/acme/licenses",
		"licenses",
		func(l element) { serials[l.Serial] = true },
	); n != 2*after/pageDefault {
		t.Errorf("%d pages of %d licences", n, 2*after)
	}
	if len(serials) != 2*after {
		t.Errorf("%d serials in all, want %d", len(serials), 2*after)
	}
}

// connectQuietly is connect for other goroutines than the test's.
func (d *daemon) connectQuietly(product string, from, to int) {
	r := &shard.Request{Batch: &event.Batch{}}
	var lines strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&lines, `{"type":"connect","product":%q,"device":"d-%d"}`+"\n", product, i)
	}
	if p := wire.DecodeNDJSON(r.Batch, []byte(lines.String())); p != nil {
		d.t.Error(p)
		return
	}
	if err := d.engine.Submit(r); err != nil || r.Result.Accepted != to-from {
		d.t.Errorf("devices %d to %d of %s: %d accepted, %v", from, to, product, r.Result.Accepted, err)
	}
}

// A list of devices shows each once, also when it takes several Views to find them among others and some are added
// meanwhile.
func TestDevicePages(t *testing.T) {
	const before, after = scanDevices + 500, scanDevices + 900
	d := newDaemon(t, nil)
	d.create(after, "p", "q")
	d.connect("q", 0, before)
	d.connect("p", 0, before)
	d.submit("", `{"type":"disconnect","product":"p","device":"d-17"}`)

	var wg sync.WaitGroup
	defer wg.Wait() // The engine must not be closed under them.
	wg.Go(func() {
		for i := before; i < after; i += 50 {
			d.connectQuietly("p", i, i+50)
		}
	})
	seen := map[string]bool{}
	d.pages("/v1/products/p/devices?limit=1000", "devices", func(a element) {
		if seen[a.Device] || a.Product != "p" || a.State != "active" {
			t.Errorf("%+v is shown twice, or is not an active device of p", a)
		}
		seen[a.Device] = true
	})
	wg.Wait()
	for i := range before {
		if name := fmt.Sprintf("d-%d", i); !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
	count := func(query string) (n int) {
		d.pages("/v1/products/p/devices?"+query, "devices", func(element) { n++ })
		return n
	}
	for query, want := range map[string]int{
		"limit=1000": after, "limit=1000&online=true": after - 1, "online=false": 1, "online=false&state=active&limit=1": 1,
		"state=unactivated": 0,
	} {
		if got := count(query); got != want {
			t.Errorf("%s: %d devices, want %d", query, got, want)
		}
	}
}

// A log is shown whole in pages of any size, newest first, and a page that was begun is not moved by what comes later.
func TestLogPages(t *testing.T) {
	const batches, each = 9, 5
	d := newDaemon(t, nil)
	d.create(1, "p")
	d.connect("p", 0, 1)
	for b := range batches {
		var lines strings.Builder
		for i := range each {
			fmt.Fprintf(&lines, `{"type":"up","product":"p","device":"d-0","payload":"%d"}`+"\n", b*each+i)
		}
		d.submit("", lines.String())
	}
	for _, limit := range []int{1, each, 1000, 4} {
		next := batches * each
		uri := fmt.Sprintf("/v1/products/p/devices/d-0/logs?type=up&limit=%d", limit)
		d.pages(uri, "logs", func(a element) {
			next--
			if a.Payload != fmt.Sprint(next) || a.DayUsed != next+1 {
				t.Fatalf("limit %d: %+v in the place of %d", limit, a, next)
			}
			if limit == 4 { // It is decided while the list is read; a page goes on where it was.
				d.submit("", `{"type":"down","product":"p","device":"d-0","size":1}`)
				d.expect(fasthttp.StatusOK, "GET", "/v1/products/p/devices/d-0", "")
			}
		})
		if next != 0 {
			t.Errorf("limit %d: %d entries are missing", limit, next)
		}
		if limit == 4 {
			return // The day's use is another one now.
		}
	}
}
