package names

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/call"
	"github.com/meterd/meterd/console/api"
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
	"github.com/meterd/meterd/webhook"
)

const (
	cellsOfTests = 3
	hopOfTests   = access.Hop("the nodes' key")
	week         = 168 * time.Hour
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cell is a cell of the cluster: its owner's engine and the people's door in front of it.
type cell struct {
	t       testing.TB
	number  int
	path    string
	cluster *cluster
	engine  atomic.Pointer[shard.Engine]
	reader  *query.Reader
	handler *api.Handler
	owner   *Owner
	close   func() error
}

// cluster is cells in one process, and a node that has a Directory.
type cluster struct {
	testing.TB
	cells  [cellsOfTests]*cell
	bus    *faults
	client *call.Client
	*Directory
	secret string // of the administrator
}

func newCluster(t testing.TB) *cluster {
	c := &cluster{TB: t}
	c.bus = &faults{Bus: call.NewMemory(), left: -1}
	c.client = &call.Client{Bus: c.bus, Cluster: "test"}
	for i := range c.cells {
		c.cells[i] = &cell{t: t, number: i, path: t.TempDir(), cluster: c}
		c.cells[i].open()
	}
	t.Cleanup(func() {
		for _, one := range c.cells {
			must(t, one.close())
		}
	})
	var err error
	c.Directory, err = New(Options{
		Cells:     cellsOfTests,
		Client:    &call.Client{Bus: node{c.bus}, Cluster: "test"},
		Logger:    slog.New(slog.DiscardHandler),
		Forward:   c.bus.forward(c),
		Catalogue: func(i int) *license.Catalogue { return c.cells[i].engine.Load().Catalogue() },
	})
	must(t, err)
	c.loadWait = within // Tests count on every cell's answer.
	var waiting sync.WaitGroup
	for _, one := range c.cells {
		waiting.Go(func() {
			one.owner.AwaitTokens(t.Context(), nil)
			if one.number != 0 && one.engine.Load().Catalogue().Token("admin") == nil {
				t.Errorf("cell %d is to be opened, and knows no token", one.number)
			}
		})
	}
	c.secret = access.NewSecret()
	must(t, c.cells[0].engine.Load().Administer("setup", nil,
		func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			return cat.CreateToken(by, access.Token{
				Name: "admin", Role: access.RoleAdmin, Hash: sha256.Sum256([]byte(c.secret)),
			})
		}))
	must(t, c.awaitMirrors(t.Context()))
	waiting.Wait()
	return c
}

// open opens the cell's engine and has it owned by this process.
func (c *cell) open() {
	t := c.t
	t.Helper()
	dir, err := disk.OpenDir(disk.DirOptions{
		Path: filepath.Join(c.path, "data"), Region: "eu-1",
		Space: disk.SpaceOptions{BallastBytes: 1 << 16, Free: func(string) (uint64, error) { return 1 << 40, nil }},
	})
	must(t, err)
	log, err := commitlog.Open(commitlog.Options{Path: dir.LogPath(), Retention: week, SegmentBytes: 1 << 20})
	must(t, err)
	store, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	must(t, err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	must(t, err)
	rows, err := archive.Open(archive.Options{Path: dir.ArchivePath(), Retention: week})
	must(t, err)
	raw, err := rawlog.New(rawlog.Options{Store: rows, Log: log, Retention: week})
	must(t, err)
	list := usage.New(usage.Options{Store: store})
	engine, err := shard.Open(shard.Options{
		Log: log, Ledger: list, Checkpoints: checkpoints, Guard: dir.Guard(), Clock: shard.NewSystemClock(),
		HashSeed: 43, Region: "eu-1", Retention: week, Views: []views.View{raw}, Barrier: func() error { return nil },
	})
	must(t, err)
	c.engine.Store(engine)
	raw.SetAdministration(engine)
	c.reader, err = query.New(query.Options{Engine: engine, RawLog: raw, Ledger: list, Retention: week})
	must(t, err)
	c.handler, err = api.New(api.Options{
		Engine:   engine,
		Queries:  c.reader,
		Metrics:  metric.NewSet(),
		Ready:    func() bool { return true },
		DiskFree: func() uint64 { return 1 << 40 },
		Disk:     func() api.Disk { return api.Disk{} },
		Version:  "1",
		Webhooks: hooks{},
		Hop:      hopOfTests,
		Cell:     api.Cell{Number: c.number, Of: cellsOfTests},
	})
	must(t, err)
	c.own()
	c.close = func() error {
		return errors.Join(c.owner.Close(), c.engine.Load().Close(), raw.Close(), log.Close(), store.Close(), dir.Close())
	}
}

func (c *cell) own() {
	zero := c.cluster.cells[0]
	var err error
	c.owner, err = Own(OwnerOptions{
		Cell: c.number, Engine: c.engine.Load(), Client: c.cluster.client, Logger: slog.New(slog.DiscardHandler),
		Truth: func() (*license.Catalogue, func() error) {
			return zero.engine.Load().Catalogue(), zero.engine.Load().Durable
		},
	})
	must(c.t, err)
}

// restart closes the cell and has it recovered.
func (c *cell) restart() {
	must(c.t, c.close())
	c.open()
}

// hooks delivers nothing.
type hooks struct{}

func (hooks) CheckURL(string) error                                                { return nil }
func (hooks) Status(*license.Hook) webhook.Status                                  { return webhook.Status{} }
func (hooks) MayRetry(*license.Hook, string) error                                 { return nil }
func (hooks) Retry(*license.Hook, string) error                                    { return nil }
func (hooks) TryNow(*license.Hook)                                                 {}
func (hooks) DeadLetters(*license.Hook, uint64, int) ([]webhook.DeadLetter, error) { return nil, nil }

// answer is what a client gets; status 0: its connection was closed.
type answer struct {
	status int
	body   string
	code   string
}

// ask has the node answer a call that gives or takes names.
func (c *cluster) ask(method, path, body, secret string) answer {
	c.Helper()
	ctx, conn := &fasthttp.RequestCtx{}, &clientConn{}
	ctx.Init2(conn, nil, true)
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(path)
	ctx.Request.Header.Set("Authorization", "Bearer "+secret)
	ctx.Request.SetBodyString(body)
	handle := c.Route(ctx.Method(), ctx.Path())
	if handle == nil {
		c.Fatalf("%s %s is none of the directory's calls", method, path)
	}
	handle(ctx)
	if conn.closed {
		return answer{}
	}
	a := answer{status: ctx.Response.StatusCode(), body: string(ctx.Response.Body())}
	var p struct {
		Code string `json:"code"`
	}
	if json.Unmarshal(ctx.Response.Body(), &p) == nil {
		a.code = p.Code
	}
	return a
}

func (c *cluster) want(a answer, status int, code string) answer {
	c.Helper()
	if a.status != status || a.code != code {
		c.Fatalf("got %d %q: %s; want %d %q", a.status, a.code, a.body, status, code)
	}
	return a
}

func (c *cluster) admin(method, path, body string) answer { return c.ask(method, path, body, c.secret) }

// token makes a token and returns its secret.
func (c *cluster) token(body string) string {
	c.Helper()
	a := c.want(c.admin("POST", "/v1/tokens", body), 201, "")
	var t struct {
		Token string `json:"token"`
	}
	must(c, json.Unmarshal([]byte(a.body), &t))
	return t.Token
}

// holders returns the cells that have an object.
func (c *cluster) holders(kind license.NameKind, name string) (list []int) {
	for i, one := range c.cells {
		if one.engine.Load().Catalogue().IsTaken(kind, name) {
			list = append(list, i)
		}
	}
	return list
}

// account makes an account and returns its cell.
func (c *cluster) account(name string) int {
	c.Helper()
	c.want(c.admin("POST", "/v1/accounts", `{"account":"`+name+`","kind":"personal"}`), 201, "")
	list := c.holders(license.NameAccount, name)
	if len(list) != 1 {
		c.Fatalf("account %s is in cells %v", name, list)
	}
	return list[0]
}

type clientConn struct {
	net.Conn
	closed bool
}

func (c *clientConn) Close() error       { c.closed = true; return nil }
func (*clientConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (*clientConn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

// faults is a bus, and a way to owners, on which the node that uses it dies at a step: it sends nothing more, or sends
// it and hears no answer.
type faults struct {
	call.Bus
	mu     sync.Mutex
	left   int  // steps before it dies; negative: it lives
	after  bool // it dies behind the step
	isDead bool
	// held is what was sent under a reservation last; lose has it lost on its way, to come later.
	held func() int
	lose bool
}

var errDead = errors.New("the node is dead")

// arm has the node die at step n.
func (f *faults) arm(n int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left, f.after, f.isDead = n, after, false
}

func (f *faults) heal() { f.arm(-1, false) }

// step says whether a step is done, and whether its answer comes back.
func (f *faults) step() (does, answers bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.isDead {
		return false, false
	}
	if f.left == 0 {
		f.isDead = true
		return f.after, false
	}
	f.left = max(f.left-1, -1)
	return true, true
}

// node is the bus of the node that may die; owners use the other one.
type node struct{ *faults }

func (n node) Request(ctx context.Context, subject string, b []byte) ([]byte, error) {
	does, answers := n.step()
	if !does {
		return nil, errDead
	}
	answer, err := n.Bus.Request(ctx, subject, b)
	if !answers {
		return nil, errDead
	}
	return answer, err
}

// forward brings a request to a cell, as a router does.
func (f *faults) forward(c *cluster) func(context.Context, *fasthttp.RequestCtx, int, uint64) error {
	return func(_ context.Context, ctx *fasthttp.RequestCtx, number int, reservation uint64) error {
		does, answers := f.step()
		own := &fasthttp.RequestCtx{}
		conn := &clientConn{}
		own.Init2(conn, nil, true)
		ctx.Request.CopyTo(&own.Request)
		own.Request.Header.Set(access.HeaderHop, string(hopOfTests))
		own.Request.Header.Del(access.HeaderReservation)
		if reservation != 0 {
			own.Request.Header.Set(access.HeaderReservation, strconv.FormatUint(reservation, 10))
		}
		handle := func() int {
			c.cells[number].handler.Handle(own)
			return own.Response.StatusCode()
		}
		if reservation != 0 && f.lose {
			f.held = handle
			return errors.New("no answer")
		}
		if !does {
			return errDead
		}
		handle()
		if !answers || conn.closed {
			return errDead
		}
		own.Response.CopyTo(&ctx.Response)
		return nil
	}
}
