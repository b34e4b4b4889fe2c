package api

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/usage/snapshot"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// snapshots joins a Maker and its Store, as the daemon does.
type snapshots struct {
	*sealed.Maker
	*sealed.Store
}

// openSnapshots gives the daemon snapshots of what its devices have used today.
func (d *daemon) openSnapshots() Snapshots {
	d.t.Helper()
	store, err := sealed.OpenStore(d.t.TempDir(), "", nil)
	must(d.t, err)
	maker, err := sealed.NewMaker(sealed.Options{
		Store: store, Cut: d.cut, Catalogue: d.engine.Catalogue, NowMs: d.engine.NowMs,
		Note: func(string, string, any) error { return nil },
	})
	must(d.t, err)
	return snapshots{maker, store}
}

// today is a source of what the devices have used today.
type today struct {
	about    snapshot.About
	rows     []snapshot.Row
	products []snapshot.ProductRow
}

func (d *daemon) cut(_ context.Context, account string, month uint32) (snapshot.Source, error) {
	s := &today{about: snapshot.About{Account: account, Month: month, Group: 7, AsOfMs: d.engine.NowMs()}}
	return s, d.queries.View(func(v *query.View) {
		for _, p := range d.engine.Catalogue().Products(account) {
			_, end := calendar.MonthBounds(month, p.Zone)
			s.about.Final = s.about.AsOfMs >= end
			line := snapshot.ProductRow{Product: p.Name, Account: p.Account, Plan: p.Plan, PlanSinceMs: p.PlanSinceMs}
			line.Licenses, _ = v.Licenses(p)
			v.Devices(p, 0, 1000, func(dev *query.Device) bool {
				u := snapshot.Usage{MessagesUp: uint64(dev.Up), MessagesDown: uint64(dev.Down)}
				s.rows = append(s.rows, snapshot.Row{
					Product: p.Name, Device: []byte(dev.Name), Active: dev.Active, ActivatedS: dev.ActivatedS,
					ExpiresS: dev.ExpiresS, Usage: u,
				})
				line.MessagesUp += u.MessagesUp
				line.MessagesDown += u.MessagesDown
				if dev.Active {
					line.DevicesActive++
				}
				return true
			})
			s.products = append(s.products, line)
		}
		s.about.Rows = uint64(len(s.rows))
	})
}

func (s *today) About() snapshot.About { return s.about }

func (s *today) Devices(_ context.Context, fn func(*snapshot.Row) error) error {
	for i := range s.rows {
		if err := fn(&s.rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *today) Products(_ context.Context, fn func(*snapshot.ProductRow) error) error {
	for i := range s.products {
		if err := fn(&s.products[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *today) Close() error { return nil }

// sealOne makes a snapshot of some devices and returns its id and its devices.csv.
func sealOne(t *testing.T, d *daemon) (id, text string) {
	t.Helper()
	must(t, d.engine.Administer("setup", nil,
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.CreateAccount(by, "acme", "enterprise", "eu-1")
			return next, ch, err
		}))
	d.ask(request{token: "admin", method: "POST", uri: "/v1/products", body: `{"product":"p1","account":"acme"}`})
	for i := range 8 {
		d.submit("", fmt.Sprintf(`{"type":"connect","product":"p1","device":"d%d"}`, i))
	}
	ctx, _ := d.ask(request{token: "admin", method: "POST", uri: "/v1/snapshots", body: `{}`})
	if ctx.Response.StatusCode() != 201 || string(ctx.Response.Header.Peek("Location")) != "/v1/snapshots/s00000001" {
		t.Fatalf("it is answered %s", ctx.Response.String())
	}
	ctx, _ = d.ask(request{token: "admin", method: "GET", uri: "/v1/snapshots/s00000001/devices.csv"})
	return "s00000001", string(ctx.Response.Body())
}

// A month that is empty, from a variable that is not set, must not seal the running one.
func TestSnapshotOfNoMonth(t *testing.T) {
	d := newDaemon(t, nil)
	sealOne(t, d)
	for _, period := range []string{`""`, `null`, `" "`, `"2026"`, `202611`} {
		body := d.expect(400, "POST", "/v1/snapshots", `{"period":`+period+`}`)
		if !strings.Contains(string(body), `"field":"period"`) {
			t.Errorf("period %s is answered %s", period, body)
		}
	}
}

func TestDownloads(t *testing.T) {
	d := newDaemon(t, nil)
	id, text := sealOne(t, d)
	size := len(text)
	d.addToken("viewer", access.RoleViewer, "")
	tag := ""
	for _, c := range []struct {
		header, value string
		status        int
		want, ranged  string
	}{
		{"", "", 200, text, ""},
		{"Range", "bytes=0-9", 206, text[:10], fmt.Sprintf("bytes 0-9/%d", size)},
		{"Range", "bytes=10-", 206, text[10:], fmt.Sprintf("bytes 10-%d/%d", size-1, size)},
		{"Range", "bytes=-7", 206, text[size-7:], fmt.Sprintf("bytes %d-%d/%d", size-7, size-1, size)},
		{"Range", "bytes=5-999999", 206, text[5:], fmt.Sprintf("bytes 5-%d/%d", size-1, size)},
		{"Range", "bytes=-999999", 206, text, fmt.Sprintf("bytes 0-%d/%d", size-1, size)},
		{"Range", "bytes=5-9223372036854775807", 206, text[5:], fmt.Sprintf("bytes 5-%d/%d", size-1, size)},
		{"Range", fmt.Sprintf("bytes=%d-", size), 416, "", fmt.Sprintf("bytes */%d", size)},
		{"Range", "bytes=-0", 416, "", fmt.Sprintf("bytes */%d", size)},
		{"Range", "bytes=0-1,4-5", 200, text, ""},
		{"Range", "bytes=9-3", 200, text, ""},
		{"Range", "lines=1-3", 200, text, ""},
		{"Range", "bytes=a-b", 200, text, ""},
		{"If-None-Match", "TAG", 304, "", ""},
		{"If-None-Match", `"other", W/TAG`, 304, "", ""},
		{"If-None-Match", `*`, 304, "", ""},
		{"If-None-Match", `"other"`, 200, text, ""},
	} {
		r := request{token: "viewer", method: "GET", uri: "/v1/snapshots/" + id + "/devices.csv"}
		if c.header != "" {
			r.header = map[string]string{c.header: strings.ReplaceAll(c.value, "TAG", tag)}
		}
		ctx, _ := d.ask(r)
		h := &ctx.Response.Header
		if tag == "" {
			tag = string(h.Peek("ETag"))
		}
		if got := ctx.Response.StatusCode(); got != c.status || string(h.Peek("Content-Range")) != c.ranged {
			t.Errorf("%s: %s is answered %d, %s", c.header, c.value, got, h.Peek("Content-Range"))
		}
		if got := string(ctx.Response.Body()); c.status != 416 && got != c.want {
			t.Errorf("%s: %s is answered %q", c.header, c.value, got)
		}
		if c.status != 416 && string(h.Peek("ETag")) != tag {
			t.Errorf("%s: %s has the tag %s, and not %s", c.header, c.value, h.Peek("ETag"), tag)
		}
	}
	for since, status := range map[string]int{tag: 206, `"other"`: 200} {
		ctx, _ := d.ask(request{
			token: "admin", method: "GET", uri: "/v1/snapshots/" + id + "/devices.csv",
			header: map[string]string{"Range": "bytes=0-3", "If-Range": since},
		})
		if got := ctx.Response.StatusCode(); got != status {
			t.Errorf("If-Range: %s is answered %d", since, got)
		}
		must(t, ctx.Response.CloseBodyStream())
	}
	ctx, _ := d.ask(request{token: "admin", method: "HEAD", uri: "/v1/snapshots/" + id + "/devices.csv"})
	if got := ctx.Response.Header.ContentLength(); got != size || len(ctx.Response.Body()) > 0 || !ctx.Response.SkipBody {
		t.Errorf("HEAD is answered %d bytes, and %q", got, ctx.Response.Body())
	}
	if d.handler.downloads.count() != 0 {
		t.Errorf("%d downloads are counted still", d.handler.downloads.count())
	}
}

func TestFocusNames(t *testing.T) {
	d := newDaemon(t, nil)
	id, text := sealOne(t, d)
	_, rows, _ := strings.Cut(text, "\n")
	ctx, _ := d.ask(request{token: "admin", method: "GET", uri: "/v1/snapshots/" + id + "/devices.csv?columns=focus"})
	head, rest, _ := strings.Cut(string(ctx.Response.Body()), "\n")
	if rest != rows || !strings.HasPrefix(head, "SubAccountId,ResourceId,x_State,") {
		t.Errorf("it is\n%s\n%s", head, rest)
	}
	for name, status := range map[string]int{"devices.ndjson": 200, "products.csv": 200, "devices.parquet": 400} {
		ctx, _ := d.ask(request{token: "admin", method: "GET", uri: "/v1/snapshots/" + id + "/" + name + "?columns=focus"})
		if got := ctx.Response.StatusCode(); got != status {
			t.Errorf("%s is answered %d", name, got)
		}
		_ = ctx.Response.Body()
	}
	kinds := map[string]string{
		"devices.csv": "text/csv; charset=utf-8; header=present", "devices.ndjson": "application/x-ndjson",
		"devices.parquet": "application/vnd.apache.parquet", "products.csv": "text/csv; charset=utf-8; header=present",
		"SHA256SUMS": "text/plain; charset=utf-8",
	}
	for name, kind := range kinds {
		ctx, _ := d.ask(request{token: "admin", method: "GET", uri: "/v1/snapshots/" + id + "/" + name})
		if got := string(ctx.Response.Header.ContentType()); ctx.Response.StatusCode() != 200 || got != kind {
			t.Errorf("%s is %s", name, got)
		}
		_ = ctx.Response.Body()
	}
	if d.handler.downloads.count() != 0 {
		t.Errorf("%d downloads are counted still", d.handler.downloads.count())
	}
}

// TestDownloadsAtATime has one token take its part, and no more.
func TestDownloadsAtATime(t *testing.T) {
	d := newDaemon(t, nil)
	id, _ := sealOne(t, d)
	d.addToken("other", access.RoleBilling, "")
	r := request{token: "admin", method: "GET", uri: "/v1/snapshots/" + id + "/devices.csv"}
	var open []*fasthttp.RequestCtx
	for range downloadsATokenMax {
		ctx, _ := d.ask(r)
		open = append(open, ctx)
	}
	if ctx, _ := d.ask(r); ctx.Response.StatusCode() != 503 {
		t.Errorf("one too many is answered %d", ctx.Response.StatusCode())
	}
	r.token = "other"
	if ctx, _ := d.ask(r); ctx.Response.StatusCode() != 200 || len(ctx.Response.Body()) == 0 {
		t.Errorf("another token is answered %d", ctx.Response.StatusCode())
	}
	for _, ctx := range open {
		_, _ = io.Copy(io.Discard, ctx.Response.BodyStream())
		must(t, ctx.Response.CloseBodyStream())
	}
	if d.handler.downloads.count() != 0 {
		t.Errorf("%d downloads are counted still", d.handler.downloads.count())
	}
}
