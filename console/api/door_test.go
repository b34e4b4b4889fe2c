package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/metric/metrictest"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/shard/views"
)

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := New(Options{TimeZone: "Nowhere"})
	for _, fault := range []string{"Engine", "Queries", "Metrics", "Ready", "DiskFree", `TimeZone "Nowhere"`} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v does not name %s", err, fault)
		}
	}
}

// faultyQueries are queries that can fail.
type faultyQueries struct {
	Queries
	err      error
	admitErr error // of AdmitProductLog
	logErr   error // of ProductLog, behind its entries
	views    int
}

func (e *faultyQueries) View(fn func(*query.View)) error {
	e.views++
	if e.err != nil {
		return e.err
	}
	return e.Queries.View(fn)
}

func (e *faultyQueries) ProductLog(
	ctx context.Context, q query.ProductLogQuery, fn func(*query.LogEntry) bool,
) error {
	if err := e.Queries.ProductLog(ctx, q, fn); err != nil {
		return err
	}
	return e.logErr
}

func (e *faultyQueries) AdmitProductLog() (func(), error) {
	if e.admitErr != nil {
		return nil, e.admitErr
	}
	return e.Queries.AdmitProductLog()
}

func (e *faultyQueries) DeviceLog(ctx context.Context, q query.LogQuery, fn func(*query.LogEntry) bool) error {
	if err := e.Queries.DeviceLog(ctx, q, fn); err != nil {
		return err
	}
	return e.err
}

// faultyDaemon has a device with three entries in its log, and tells what it logs itself.
func faultyDaemon(t *testing.T) (*daemon, *faultyQueries, *bytes.Buffer) {
	queries, logged := &faultyQueries{}, &bytes.Buffer{}
	d := newDaemon(t, func(o *Options) {
		queries.Queries = o.Queries
		o.Queries, o.Logger = queries, slog.New(slog.NewTextHandler(logged, nil))
	})
	d.create(1, "p")
	d.connect("p", 0, 1)
	d.submit("", strings.Repeat(`{"type":"up","product":"p","device":"d-0","size":1}`+"\n", 2))
	return d, queries, logged
}

// After ErrStopped nobody knows what is on disk, so nothing is answered; other errors are, and told to the operator
// alone.
func TestEngineErrors(t *testing.T) {
	d, queries, logged := faultyDaemon(t)
	for _, c := range []struct {
		err    error
		closed bool
		status int
		says   string
		logs   bool
	}{
		{err: shard.ErrStopped, closed: true},
		{err: fmt.Errorf("read: %w", shard.ErrStopped), closed: true},
		{err: fmt.Errorf("scan: %w", context.Canceled), status: 503, says: `"code":"overloaded"`},
		{err: errors.New("the secret of the disk"), status: 500, says: `"code":"internal_error"`, logs: true},
	} {
		queries.err = c.err
		logged.Reset()
		ctx, conn := d.ask(request{token: "admin", method: "GET", uri: "/v1/products/p"})
		body := string(ctx.Response.Body())
		if conn.closed.Load() != c.closed {
			t.Errorf("%v: closed is %v", c.err, conn.closed.Load())
		}
		if !c.closed && (ctx.Response.StatusCode() != c.status || !strings.Contains(body, c.says)) {
			t.Errorf("%v: %d %s", c.err, ctx.Response.StatusCode(), body)
		}
		if strings.Contains(body, "secret") || strings.Contains(logged.String(), "secret") != c.logs {
			t.Errorf("%v: answered %s, logged %s", c.err, body, logged)
		}
		if c.status == 503 && len(ctx.Response.Header.Peek("Retry-After")) == 0 {
			t.Errorf("%v: no Retry-After", c.err)
		}
	}
}

// A stream whose status is already sent can say that it is not whole only by closing the connection.
func TestLogStreamErrors(t *testing.T) {
	d, queries, logged := faultyDaemon(t)
	stream := request{
		token:  "admin",
		method: "GET",
		uri:    "/v1/products/p/devices/d-0/logs",
		header: map[string]string{"Accept": "application/x-ndjson"},
	}
	for _, c := range []struct {
		err          error
		closed, logs bool
	}{
		{nil, false, false},
		{errors.New("a group is damaged"), true, true},
		{shard.ErrStopped, true, false},
		{context.Canceled, true, false},
	} {
		queries.err = c.err
		logged.Reset()
		ctx, conn := d.ask(stream)
		if lines := strings.Count(string(ctx.Response.Body()), "\n"); lines != 3 {
			t.Errorf("%v: %d lines", c.err, lines)
		}
		if conn.closed.Load() != c.closed || (logged.Len() > 0) != c.logs || conn.deadlines.Load() < 2 {
			t.Errorf("%v: closed %v, %d deadlines, logged %q", c.err, conn.closed.Load(), conn.deadlines.Load(), logged)
		}
	}
	queries.err = nil
	stream.method = "HEAD"
	if ctx, _ := d.ask(stream); ctx.Response.IsBodyStream() || ctx.Response.StatusCode() != 200 {
		t.Errorf("HEAD: %s", &ctx.Response)
	}
}

// A client that goes away ends the search for what it asked.
func TestLogStreamClientGoesAway(t *testing.T) {
	d, _, logged := faultyDaemon(t)
	s := &logStream{h: d.handler, pieces: pieces{conn: &clientConn{}}, log: &deviceLog{query.LogQuery{
		Product: d.engine.Catalogue().Product([]byte("p")), Device: []byte("d-0"),
	}}}
	s.run(context.Background(), newSmallWriter(goneWriter{}))
	if s.lines != 0 || !s.isGone || logged.Len() > 0 {
		t.Errorf("%d lines written, the client is gone: %v, logged %s", s.lines, s.isGone, logged)
	}
}

// The sums of a page are read in Views of bounded length.
func TestSumsAreReadInSteps(t *testing.T) {
	d, queries, _ := faultyDaemon(t)
	big := func() *license.Product {
		p := &license.Product{State: &license.ProductState{Account: &license.AccountState{}}}
		for range scanLots {
			p.Lots = append(p.Lots, &license.Lot{Pool: &license.Pool{Credited: 3, Drawn: 1}})
		}
		return p
	}
	c := &call{Handler: d.handler}
	products := []*license.Product{big(), big(), d.engine.Catalogue().Product([]byte("p"))}
	queries.views = 0
	list, err := c.stocks(products)
	must(t, err)
	if queries.views != 3 ||
		list[1].licenses != (license.Counts{Total: 3 * scanLots, Used: scanLots, Available: 2 * scanLots}) ||
		list[2].active != 1 {
		t.Errorf("%d Views: %+v", queries.views, list)
	}
	queries.views = 0
	account := func(p *license.Product) *license.Account {
		return &license.Account{Gifts: &license.Pool{Credited: 5}, State: p.State.Account}
	}
	accounts, err := c.accountStocks(
		[]*license.Account{account(products[0]), account(products[1])}, [][]*license.Product{products[:1], products[1:2]})
	must(t, err)
	if queries.views != 2 || accounts[1].licenses.Total != 3*scanLots+5 || accounts[1].gifts.Total != 5 {
		t.Errorf("%d Views: %+v", queries.views, accounts)
	}
	queries.views = 0
	lots := append(big().Lots, &license.Lot{Order: "last", Pool: &license.Pool{Credited: 9}})
	answers, err := showAll(c, products[0], lots, showLot)
	must(t, err)
	if queries.views != 2 || len(answers) != len(lots) || answers[scanLots].Order != "last" || answers[0].Available != 2 {
		t.Errorf("%d Views, %d answers", queries.views, len(answers))
	}
}

func TestBodies(t *testing.T) {
	d := newDaemon(t, nil)
	const whole = `{"account":"acme","kind":"personal"}`
	padded := whole + strings.Repeat(" ", bodyBytesMax-len(whole))
	for _, c := range []struct {
		name   string
		stream io.Reader
		length int
		want   string
	}{
		{"announced too large", strings.NewReader(padded + " "), bodyBytesMax + 1, "413 body_too_large"},
		{"chunked and too large", strings.NewReader(padded + " "), -1, "413 body_too_large"},
		{"ends early", io.MultiReader(strings.NewReader(whole[:9]), failingReader{}), len(whole), "400 bad_request"},
		{"not UTF-8", strings.NewReader("{\"account\":\"\xff\"}"), -1, "400 bad_request"},
		{"a second line", strings.NewReader("{\"account\":\"x\",\n\"kind\":}"), -1, "400 bad_request"},
		{"as large as may be", strings.NewReader(padded), bodyBytesMax, "201 "},
	} {
		ctx := &fasthttp.RequestCtx{}
		ctx.Init2(&clientConn{}, nil, true)
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/v1/accounts")
		ctx.Request.Header.Set("Authorization", "Bearer "+d.tokens["admin"])
		ctx.Request.SetBodyStream(c.stream, c.length)
		d.handler.Handle(ctx)
		var problem struct {
			Code string
			Line int
		}
		unmarshal(t, ctx.Response.Body(), &problem)
		if got := fmt.Sprintf("%d %s", ctx.Response.StatusCode(), problem.Code); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if c.name == "a second line" && problem.Line != 2 {
			t.Errorf("line %d", problem.Line)
		}
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestReadiness(t *testing.T) {
	d := newDaemon(t, nil)
	d.ready.Store(false)
	for uri, want := range map[string]int{"/livez": 200, "/readyz": 503} {
		if ctx, _ := d.ask(request{method: "GET", uri: uri}); ctx.Response.StatusCode() != want {
			t.Errorf("%s: %d, want %d", uri, ctx.Response.StatusCode(), want)
		}
	}
	d.ready.Store(true)
	ctx, _ := d.ask(request{method: "GET", uri: "/readyz?verbose"})
	if body := string(ctx.Response.Body()); !strings.HasPrefix(body, "ok\nview archive: follows the log, ") {
		t.Errorf("how the views stand: %q", body)
	}
	d = newDaemon(t, func(o *Options) { o.Engine = gapped{o.Engine} })
	ctx, _ = d.ask(request{method: "GET", uri: "/readyz?verbose"})
	if body := string(ctx.Response.Body()); !strings.HasSuffix(body, " s behind, begins at 2026-11-02T03:04:05Z\n") {
		t.Errorf("where a view begins: %q", body)
	}
}

// gapped is an engine whose views have skipped groups.
type gapped struct{ Engine }

func (e gapped) Views() []views.Status {
	list := e.Engine.Views()
	for i := range list {
		list[i].AvailableFromMs = time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC).UnixMilli()
	}
	return list
}

func TestMetrics(t *testing.T) {
	d := newDaemon(t, nil)
	d.create(1, "p")
	d.connect("p", 0, 1)
	d.addToken("viewer", access.RoleViewer, "")
	d.addToken("bound", access.RoleViewer, "acme")
	d.addToken("billing", access.RoleBilling, "")
	for token, want := range map[string]int{"": 401, "billing": 403, "bound": 403, "viewer": 200, "admin": 200} {
		if ctx, _ := d.ask(request{token: token, method: "GET", uri: "/metrics"}); ctx.Response.StatusCode() != want {
			t.Errorf("token %q: %d, want %d", token, ctx.Response.StatusCode(), want)
		}
	}
	local, err := New(Options{
		Engine:   d.engine,
		Queries:  d.queries,
		Metrics:  metric.NewSet(),
		Ready:    d.ready.Load,
		DiskFree: func() uint64 { return 1 },
		Disk:     diskOfTests,
		Loopback: true,
	})
	must(t, err)
	if ctx, _ := askHandler(local, request{method: "GET", uri: "/metrics"}, ""); ctx.Response.StatusCode() != 200 {
		t.Errorf("on a loopback address: %d", ctx.Response.StatusCode())
	}

	text := string(d.expect(200, "GET", "/metrics", ""))
	for _, sample := range []string{
		`meterd_events_total{type="connect",verdict="accepted"} 1`,
		`meterd_events_total{type="up",verdict="message_quota_exceeded"} 0`,
		`meterd_commit_duration_seconds_count `, `meterd_checkpoint_age_seconds `, "meterd_disk_free_bytes 123456789\n",
		`meterd_ingest_stopped{reason="clock_leap"} 0`, `meterd_ingest_stopped{reason="disk_full"} 0`, "meterd_devices 1\n",
		`meterd_build_info{version="1.2.3"} 1`, "process_resident_memory_bytes ", "go_goroutines ",
		"# TYPE meterd_events_total counter\n", "# TYPE meterd_commit_duration_seconds histogram\n",
		"# TYPE meterd_checkpoint_age_seconds gauge\n", "# TYPE meterd_disk_free_bytes gauge\n",
		"# TYPE meterd_ingest_stopped gauge\n", "# TYPE meterd_devices gauge\n",
	} {
		if !strings.Contains(text, sample) {
			t.Errorf("no %q", sample)
		}
	}
	metrictest.Lint(t, []byte(text))
}

// goneWriter is a client that is gone.
type goneWriter struct{}

func (goneWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
