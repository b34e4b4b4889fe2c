package api

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/backup"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/shard/rawlog"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage"
)

var (
	_ Engine  = (*shard.Engine)(nil)
	_ Queries = (*query.Reader)(nil)
)

// handClock is a clock that a test moves.
type handClock struct {
	mu      sync.Mutex
	wall    time.Time
	running time.Duration
}

func (c *handClock) Now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall, c.running
}

// pass lets time pass: on both clocks, or with leap on the wall alone.
func (c *handClock) pass(d time.Duration, leap bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall = c.wall.Add(d)
	if !leap {
		c.running += d
	}
}

// daemon is an engine on a directory of its own, and the people's door in front of it.
type daemon struct {
	t       testing.TB
	clock   *handClock
	engine  *shard.Engine
	queries *query.Reader
	handler *Handler
	ready   atomic.Bool
	tokens  map[string]string // secrets by name
	held    heldAnswers
	names   int    // that were made up
	next    string // the last cursor that an answer gave
}

func diskOfTests() Disk {
	growth, days := int64(7), 12.345
	return Disk{
		FreeBytes: 123456789, StopBytes: 1 << 20, DaysLeft: &days,
		Uses: []DiskUse{{Kind: "log", Bytes: 4096}, {Kind: "archive", Bytes: 8192, GrowthBytes: &growth}},
	}
}

const retentionOfTests = 168 * time.Hour

// newDaemon opens a daemon with an administrator's token "admin".
func newDaemon(t testing.TB, change func(*Options)) *daemon {
	t.Helper()
	d := &daemon{
		t:      t,
		clock:  &handClock{wall: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)},
		tokens: map[string]string{},
	}
	d.ready.Store(true)
	d.open()
	set := metric.NewSet()
	d.engine.RegisterMetrics(set)
	o := Options{
		Engine: d.engine, Queries: d.queries, Metrics: set, Ready: d.ready.Load, TimeZone: "Asia/Shanghai",
		DiskFree: func() uint64 { return 123456789 }, Version: "1.2.3", Disk: diskOfTests,
	}
	o.Backup = func(context.Context) (*backup.Cut, error) { return nil, backup.ErrNoRoom }
	o.Snapshots = d.openSnapshots()
	o.Webhooks = openHooks(t)
	if change != nil {
		change(&o)
	}
	var err error
	if d.handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	d.handler.penalties = access.NewPenalties(d.held.wait)
	d.addToken("admin", access.RoleAdmin, "")
	return d
}

// open opens the engine as the daemon does, and closes it with the test.
func (d *daemon) open() {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), "data")
	dir, err := disk.OpenDir(disk.DirOptions{
		Path: path, Region: "eu-1",
		Space: disk.SpaceOptions{BallastBytes: 1 << 16, Free: func(string) (uint64, error) { return 1 << 40, nil }},
	})
	must(d.t, err)
	log, err := commitlog.Open(commitlog.Options{Path: dir.LogPath(), Retention: retentionOfTests, SegmentBytes: 1 << 20})
	must(d.t, err)
	store, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	must(d.t, err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	must(d.t, err)
	rows, err := archive.Open(archive.Options{Path: dir.ArchivePath(), Retention: retentionOfTests})
	must(d.t, err)
	raw, err := rawlog.New(rawlog.Options{Store: rows, Log: log, Retention: retentionOfTests})
	must(d.t, err)
	list := usage.New(usage.Options{Store: store})
	d.engine, err = shard.Open(shard.Options{
		Log: log, Ledger: list, Checkpoints: checkpoints, Guard: dir.Guard(), Clock: d.clock, HashSeed: 42,
		Region: dir.Region(), Retention: retentionOfTests, Views: []views.View{raw},
	})
	must(d.t, err)
	raw.SetAdministration(d.engine)
	d.queries, err = query.New(query.Options{Engine: d.engine, RawLog: raw, Ledger: list, Retention: retentionOfTests})
	must(d.t, err)
	d.t.Cleanup(func() {
		must(d.t, errors.Join(d.engine.Close(), raw.Close(), log.Close(), store.Close(), dir.Close()))
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// addToken creates a token whose secret is kept under its name.
func (d *daemon) addToken(name string, role access.Role, account string) {
	d.t.Helper()
	secret := access.NewSecret()
	token := access.Token{Name: name, Role: role, Account: account, Hash: sha256.Sum256([]byte(secret))}
	must(
		d.t,
		d.engine.Administer(
			"setup", nil,
			func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
				if a := c.Account(account); a != nil {
					token.AccountID = a.ID
				}
				return c.CreateToken(by, token)
			},
		),
	)
	d.tokens[name] = secret
}

// submit decides events, a line each, and returns their codes.
func (d *daemon) submit(producer, lines string) []string {
	d.t.Helper()
	r := &shard.Request{Batch: &event.Batch{}, Producer: []byte(producer)}
	if p := wire.DecodeNDJSON(r.Batch, []byte(lines)); p != nil {
		d.t.Fatal(p)
	}
	must(d.t, d.engine.Submit(r))
	codes := make([]string, len(r.Batch.Events))
	for i := range codes {
		codes[i] = "accepted"
	}
	for _, denial := range r.Result.Denials {
		codes[denial.Index] = denial.Verdict.Code.String()
	}
	return codes
}

// request is what a test asks.
type request struct {
	token, method, uri, body string
	header                   map[string]string
}

// ask has the handler answer and returns the context with the answer, and the connection. Both must be as
// docs/openapi.yaml says.
func (d *daemon) ask(r request) (*fasthttp.RequestCtx, *clientConn) {
	ctx, conn := askHandler(d.handler, r, d.tokens[r.token])
	if !conn.closed.Load() { // Else there is no answer.
		d.check(r, ctx)
	}
	return ctx, conn
}

func askHandler(h *Handler, r request, secret string) (*fasthttp.RequestCtx, *clientConn) {
	ctx, conn := &fasthttp.RequestCtx{}, &clientConn{}
	ctx.Init2(conn, nil, true)
	ctx.Request.Header.SetMethod(r.method)
	ctx.Request.SetRequestURI(r.uri)
	if secret != "" {
		ctx.Request.Header.Set("Authorization", "Bearer "+secret)
	}
	for name, value := range r.header {
		ctx.Request.Header.Set(name, value)
	}
	if r.body != "" {
		ctx.Request.SetBodyString(r.body)
	}
	h.Handle(ctx)
	return ctx, conn
}

// clientConn is a connection that only notes what is done to it.
type clientConn struct {
	closed    atomic.Bool
	deadlines atomic.Int64
}

func (c *clientConn) Read([]byte) (int, error)         { return 0, net.ErrClosed }
func (c *clientConn) Write(b []byte) (int, error)      { return len(b), nil }
func (c *clientConn) Close() error                     { c.closed.Store(true); return nil }
func (c *clientConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *clientConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *clientConn) SetDeadline(time.Time) error      { return nil }
func (c *clientConn) SetReadDeadline(time.Time) error  { return nil }
func (c *clientConn) SetWriteDeadline(time.Time) error { c.deadlines.Add(1); return nil }

// newSmallWriter returns a buffered writer that passes every line on.
func newSmallWriter(w io.Writer) *bufio.Writer { return bufio.NewWriterSize(w, 16) }
