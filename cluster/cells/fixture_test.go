package cells

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/usage"
)

var testStart = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

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

func (c *handClock) nowMs() int64 {
	now, _ := c.Now()
	return now.UnixMilli()
}

// pass moves the clock, at most half a day, so that nothing leaps.
func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.running = c.wall.Add(d), c.running+d
}

// rig is a cluster of three cells in one process, and beside it one engine that has everything alone.
type rig struct {
	testing.TB
	clock   *handClock
	cells   []*shard.Engine
	alone   *shard.Engine
	engine  *Engine
	secrets map[string]string
	at      string // where the cluster listens
	aloneAt string

	mu        sync.Mutex
	doors     []*Door
	directory map[string]int       // products
	copies    []*license.Catalogue // what the node has of the cells; nil: the newest
	down      map[int]bool         // cells without an owner
	// fault, when it is set, is asked before and after a call is answered.
	fault func(cell int, call string, isDone bool) error
}

const rigCells = 3

func newRig(t testing.TB) *rig {
	g := &rig{
		TB: t, clock: &handClock{wall: testStart}, secrets: map[string]string{}, directory: map[string]int{},
		down: map[int]bool{}, doors: make([]*Door, rigCells), copies: make([]*license.Catalogue, rigCells),
	}
	g.alone = g.open("alone")
	for cell := range rigCells {
		g.cells = append(g.cells, g.open(fmt.Sprintf("cell-%d", cell)))
		g.own(cell, true)
	}
	var err error
	g.engine, err = New(Options{
		Cells: rigCells, Owners: g, NowMs: g.clock.nowMs,
		Catalogues: func(cell int) *license.Catalogue {
			g.mu.Lock()
			defer g.mu.Unlock()
			if c := g.copies[cell]; c != nil {
				return c
			}
			return g.cells[cell].Catalogue()
		},
	})
	g.must(err)
	t.Cleanup(g.engine.Close)
	g.at, g.aloneAt = g.serve(g.engine), g.serve(g.alone)
	g.token("gw", access.RoleGateway)
	return g
}

func (g *rig) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

func (g *rig) open(name string) *shard.Engine {
	dir, err := disk.OpenDir(disk.DirOptions{
		Path: filepath.Join(g.TempDir(), name), Region: "default",
		Space: disk.SpaceOptions{BallastBytes: 1 << 16, Free: func(string) (uint64, error) { return 1 << 40, nil }},
	})
	g.must(err)
	log, err := commitlog.Open(commitlog.Options{
		Path: dir.LogPath(), Retention: 30 * 24 * time.Hour, SegmentBytes: 1 << 20,
	})
	g.must(err)
	store, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	g.must(err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	g.must(err)
	e, err := shard.Open(shard.Options{
		Log: log, Ledger: usage.New(usage.Options{Store: store}), Checkpoints: checkpoints, Guard: dir.Guard(),
		Clock: g.clock, HashSeed: 42, Region: "default", Retention: 30 * 24 * time.Hour,
	})
	g.must(err)
	g.Cleanup(func() { g.must(errors.Join(e.Close(), log.Close(), store.Close(), dir.Close())) })
	return e
}

// own gives a cell a new owner, as its doors go.
func (g *rig) own(cell int, isFirst bool) {
	d, err := NewDoor(DoorOptions{Cell: g.cells[cell], Key: "key", IsFirst: isFirst, find: g.find})
	g.must(err)
	g.mu.Lock()
	before := g.doors[cell]
	g.doors[cell] = d
	g.mu.Unlock()
	if before != nil {
		before.Close()
	}
	g.Cleanup(d.Close)
}

// lose takes the owner from a cell, or gives it back.
func (g *rig) lose(cell int, isDown bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down[cell] = isDown
}

// copy makes c what the node has of a cell, nil: the newest.
func (g *rig) copy(cell int, c *license.Catalogue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.copies[cell] = c
}

// find is what the catalogue of cell 0 knows.
func (g *rig) find(_ *license.Catalogue, name string) (cell int, isOpen, found bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cell, found = g.directory[name]
	return cell, false, found
}

// Has implements Owners.
func (g *rig) Has(_ context.Context, cell int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.down[cell]
}

// Ask implements Owners.
func (g *rig) Ask(ctx context.Context, cell int, call string, body []byte) ([]byte, error) {
	if !g.Has(ctx, cell) {
		return nil, ErrNotSent
	}
	g.mu.Lock()
	door, fault := g.doors[cell], g.fault
	g.mu.Unlock()
	if fault != nil && call != callCommands {
		if err := fault(cell, call, false); err != nil {
			return nil, err
		}
	}
	type answered struct {
		b   []byte
		err error
	}
	done := make(chan answered, 1)
	body = bytes.Clone(body)
	go func() {
		b, err := door.Answer(call, body)
		done <- answered{b, err}
	}()
	select {
	case a := <-done:
		if fault != nil && a.err == nil && call != callCommands {
			a.err = fault(cell, call, true)
		}
		return a.b, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve has gateways ask an engine, and returns where.
func (g *rig) serve(e ingest.Engine) string {
	h, err := ingest.NewHandler(ingest.Options{Engine: e, People: func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(fasthttp.StatusNotFound)
	}})
	g.must(err)
	s, err := ingest.Listen("127.0.0.1:0", nil, h.Handle, slog.New(slog.DiscardHandler))
	g.must(err)
	g.Cleanup(func() {
		h.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		g.must(s.Shutdown(ctx))
	})
	return "http://" + s.Address().String()
}

type changeFunc = func(*license.Catalogue, license.Actor) (*license.Catalogue, *license.Change, error)

func (g *rig) administer(e *shard.Engine, fn changeFunc) {
	g.Helper()
	g.must(e.Administer("test", nil, fn))
}

// token makes a token for every account, in every cell.
func (g *rig) token(name string, role access.Role) {
	g.secrets[name] = access.NewSecret()
	t := access.Token{Name: name, Role: role, Hash: sha256.Sum256([]byte(g.secrets[name]))}
	for _, e := range append([]*shard.Engine{g.alone}, g.cells...) {
		g.administer(e, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			return c.CreateToken(by, t)
		})
	}
}

func (g *rig) revoke(name string) {
	for _, e := range append([]*shard.Engine{g.alone}, g.cells...) {
		g.administer(e, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			return c.DeleteToken(by, name)
		})
	}
}

// product makes a product with an account of its own in a cell, and beside it, and credits it with licences.
func (g *rig) product(name string, cell int, plan string, licenses uint64) {
	g.Helper()
	var patch license.PlanPatch
	g.must(patch.UnmarshalJSON([]byte(plan)))
	for _, e := range []*shard.Engine{g.alone, g.cells[cell]} {
		g.administer(e, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.CreateAccount(by, "acc-"+name, license.Personal, "")
			return next, ch, err
		})
		g.administer(e, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.CreateProduct(
				by, license.ProductSpec{Name: name, Account: "acc-" + name, Zone: "Asia/Shanghai", Plan: patch},
			)
			return next, ch, err
		})
		if licenses == 0 {
			continue
		}
		g.administer(e, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.ApplyCredit(by, name, license.Credit{Order: "PO-1", Quantity: licenses})
			return next, ch, err
		})
	}
	g.mu.Lock()
	g.directory[name] = cell
	g.mu.Unlock()
}

// request is what a gateway sends.
type request struct {
	method, path string
	header       map[string]string
	body         string
}

// answered is what a gateway reads. Closed: the connection was closed without an answer.
type answered struct {
	status int
	header string
	body   string
	closed bool
}

// shown are the header fields that are compared.
var shown = []string{"Content-Type", "RateLimit", "RateLimit-Policy", "Meterd-Replayed", "WWW-Authenticate"}

func (g *rig) send(at string, r *request) (a answered) {
	g.Helper()
	q, s := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(q)
	defer fasthttp.ReleaseResponse(s)
	q.SetRequestURI(at + r.path)
	q.Header.SetMethod(r.method)
	q.Header.Set("Authorization", "Bearer "+g.secrets["gw"])
	for name, value := range r.header {
		q.Header.Set(name, value)
	}
	q.SetBodyString(r.body)
	client := fasthttp.Client{MaxIdemponentCallAttempts: 1, RetryIfErr: func(*fasthttp.Request, int, error) (bool, bool) {
		return false, false
	}}
	defer client.CloseIdleConnections()
	if err := client.DoTimeout(q, s, time.Minute); err != nil {
		return answered{closed: true}
	}
	a.status, a.body = s.StatusCode(), string(s.Body())
	for _, name := range shown {
		if v := s.Header.Peek(name); len(v) > 0 {
			a.header += fmt.Sprintf("%s: %s\n", name, v)
		}
	}
	return a
}

// batch is POST /v1/events under a sequence, 0: without, of a producer, "": without.
func batch(producer string, sequence uint64, contentType, body string) *request {
	r := &request{method: "POST", path: "/v1/events", body: body, header: map[string]string{"Content-Type": contentType}}
	if producer != "" {
		r.header["Meterd-Producer"] = producer
	}
	if sequence != 0 {
		r.header["Meterd-Sequence"] = fmt.Sprint(sequence)
	}
	return r
}

const ndjson = "application/x-ndjson"

func line2(kind, product, device string) string {
	return fmt.Sprintf(`{"type":%q,"product":%q,"device":%q,"size":7}`+"\n", kind, product, device)
}

// same sends a request to the cluster and to the one that has everything alone, and compares.
func (g *rig) same(r *request) answered {
	g.Helper()
	want := g.send(g.aloneAt, r)
	got := g.send(g.at, r)
	if got != want {
		g.Fatalf("%s %s %v\n%.2000s\nthe cluster answers\n%+v\none node\n%+v", r.method, r.path,
			maps.Collect(maps.All(r.header)), r.body, got, want)
	}
	return got
}

// used returns how many messages a device has used today in a cell.
func (g *rig) used(e *shard.Engine, product, device string) (up, down uint32) {
	g.must(e.View(func(v *shard.View) {
		p := v.Catalogue.Product([]byte(product))
		slot := v.Table.Find(v.Table.KeyOf(p.ID, []byte(device)))
		if slot == nil {
			return
		}
		day := slot.Message().At(p.Window(v.NowMs).Day)
		up, down = day.Up(), day.Down()
	}))
	return up, down
}
