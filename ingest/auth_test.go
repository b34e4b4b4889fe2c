package ingest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/usage"
)

// morningClock runs from ten in the morning on: no test sees a midnight or the end of a month.
type morningClock struct{ shard.SystemClock }

// Now implements shard.Clock.
func (c morningClock) Now() (wall time.Time, running time.Duration) {
	_, running = c.SystemClock.Now()
	return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Add(running), running
}

// guardedDoor is a door before an engine that has two accounts with a product each, and a token of each role: one that
// sees all, and one that is bound to acme.
type guardedDoor struct {
	*testing.T
	engine  *shard.Engine
	ledger  *usage.Ledger
	store   *slowStore // the ledger's
	disk    *slowDisk
	handler *Handler
	secrets map[string]string
	held    []time.Duration // how long answers would have been held back
}

func newGuardedDoor(t *testing.T) *guardedDoor {
	d := &guardedDoor{T: t, secrets: map[string]string{"wrong": access.NewSecret()}}
	d.open()
	d.handler = d.newHandler()
	for account, product := range map[string]string{"acme": "pa", "zeta": "pz"} {
		d.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.CreateAccount(by, account, license.Personal, "")
			return next, ch, err
		})
		d.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch, _, err := c.CreateProduct(by, license.ProductSpec{Name: product, Account: account, Zone: "UTC"})
			return next, ch, err
		})
	}
	for _, role := range []access.Role{access.RoleAdmin, access.RoleGateway, access.RoleBilling, access.RoleViewer} {
		d.token(access.Token{Name: string(role), Role: role})
		d.token(access.Token{Name: string(role) + "-of-acme", Role: role, Account: "acme"})
	}
	return d
}

func (d *guardedDoor) open() {
	dir, err := disk.OpenDir(disk.DirOptions{
		Path: filepath.Join(d.TempDir(), "data"), Region: "default",
		Space: disk.SpaceOptions{BallastBytes: 1 << 16, Free: func(string) (uint64, error) { return 1 << 40, nil }},
	})
	d.must(err)
	log, err := commitlog.Open(commitlog.Options{Path: dir.LogPath(), Retention: time.Hour, SegmentBytes: 1 << 20})
	d.must(err)
	d.disk = &slowDisk{Log: log}
	store, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	d.must(err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	d.must(err)
	d.store = &slowStore{Store: store}
	d.ledger = usage.New(usage.Options{Store: d.store})
	d.engine, err = shard.Open(shard.Options{
		Log:         d.disk,
		Ledger:      d.ledger,
		Checkpoints: checkpoints,
		Guard:       dir.Guard(),
		Clock:       morningClock{shard.NewSystemClock()},
		HashSeed:    42,
		Region:      "default",
		Retention:   time.Hour,
	})
	d.must(err)
	d.Cleanup(func() { d.must(errors.Join(d.engine.Close(), log.Close(), store.Close(), dir.Close())) })
}

func (d *guardedDoor) newHandler() *Handler { return d.newHandlerOf(d.engine) }

func (d *guardedDoor) newHandlerOf(e Engine) *Handler {
	h, err := NewHandler(
		Options{
			Engine: e,
			People: func(*fasthttp.RequestCtx) { d.Error("a gateway's call went to the people's door") },
		},
	)
	d.must(err)
	h.penalties = access.NewPenalties(func(_ <-chan struct{}, held time.Duration) { d.held = append(d.held, held) })
	return h
}

func (d *guardedDoor) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

func (d *guardedDoor) change(fn func(*license.Catalogue, license.Actor) (*license.Catalogue, *license.Change, error)) {
	d.Helper()
	d.must(d.engine.Administer("setup", nil, fn))
}

func (d *guardedDoor) token(t access.Token) {
	d.secrets[t.Name] = access.NewSecret()
	t.Hash = sha256.Sum256([]byte(d.secrets[t.Name]))
	d.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.CreateToken(by, t)
	})
}

// ask makes a call, METHOD PATH BODY, and returns what was answered.
func (d *guardedDoor) ask(h *Handler, token, call string) *fasthttp.RequestCtx {
	ctx := &fasthttp.RequestCtx{}
	near, far := net.Pipe()
	d.Cleanup(func() { d.must(errors.Join(near.Close(), far.Close())) })
	ctx.Init2(near, nil, true)
	parts := append(strings.SplitN(call, " ", 3), "")
	ctx.Request.Header.SetMethod(parts[0])
	ctx.Request.SetRequestURI(parts[1])
	ctx.Request.Header.Set("Meterd-Producer", "gw")
	if parts[2] != "" {
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.SetBodyStream(bytes.NewReader([]byte(parts[2])), len(parts[2]))
	}
	if token != "" {
		ctx.Request.Header.Set("Authorization", "Bearer "+d.secrets[token])
	}
	h.Handle(ctx)
	return ctx
}

// said is status and body of an answer.
func said(ctx *fasthttp.RequestCtx) string {
	return fmt.Sprintf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
}

func connect(product string) string {
	return fmt.Sprintf(`POST /v1/events {"type":"connect","product":%q,"device":"d"}`, product)
}

// Gateways and administrators may send events, take devices offline and read commands; other roles may not. To a token
// that is bound to an account, another account's product looks like a product that does not exist.
func TestAccessOfGateways(t *testing.T) {
	d := newGuardedDoor(t)
	for token, want := range map[string]int{
		"admin": 200, "admin-of-acme": 200, "gateway": 200, "gateway-of-acme": 200,
		"billing": 403, "billing-of-acme": 403, "viewer": 403, "viewer-of-acme": 403, "": 401, "wrong": 401,
	} {
		for _, call := range []string{connect("pa"), "GET /v1/producers/gw", "POST /v1/producers/other/offline"} {
			if ctx := d.ask(d.handler, token, call); ctx.Response.StatusCode() != want {
				t.Errorf("token %q, %s: %s, want %d", token, call, said(ctx), want)
			}
		}
		if got := d.commands(token); got != want {
			t.Errorf("token %q, GET /v1/commands: %d, want %d", token, got, want)
		}
		if want != 200 {
			continue
		}
		bound := strings.HasSuffix(token, "-of-acme")
		foreign, missing := said(d.ask(d.handler, token, connect("pz"))), said(d.ask(d.handler, token, connect("py")))
		switch {
		case !strings.Contains(missing, `"code":"unknown_product"`):
			t.Errorf("%s, a product that there is not: %s", token, missing)
		case bound && foreign != missing:
			t.Errorf("%s, another account's product: %s, but one that there is not: %s", token, foreign, missing)
		case !bound && !strings.HasPrefix(foreign, "200 "):
			t.Errorf("%s, any account's product: %s", token, foreign)
		}
	}
}

// commands opens a command stream, ends it, and returns its status.
func (d *guardedDoor) commands(token string) int {
	h := d.newHandler()
	ctx := d.ask(h, token, "GET /v1/commands")
	h.Close()
	ctx.Response.Body() // To its end.
	return ctx.Response.StatusCode()
}

// Producers belong to the token's account; tokens that are bound to none share one space of names.
func TestProducersBelongToTheAccount(t *testing.T) {
	d := newGuardedDoor(t)
	for _, step := range []struct{ token, call, want string }{
		{"gateway-of-acme", "GET /v1/producers/gw", "404 "},
		{"gateway-of-acme", connect("pa"), `200 {"accepted":1}`},
		{"admin-of-acme", "GET /v1/producers/gw", "200 "},
		{"gateway", "GET /v1/producers/gw", "404 "},
		{"gateway", connect("pz"), `200 {"accepted":1}`},
		{"gateway", "POST /v1/producers/gw/offline", `200 {"devices":1}`},
		{"admin", "POST /v1/producers/gw/offline", `200 {"devices":0}`},
		{"admin-of-acme", "POST /v1/producers/gw/offline", `200 {"devices":1}`},
		{"gateway-of-acme", "POST /v1/producers/gw/offline", `200 {"devices":0}`},
	} {
		if got := said(d.ask(d.handler, step.token, step.call)); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s, %s: %s, want %s", step.token, step.call, got, step.want)
		}
	}
}

// A deleted token is refused from then on.
func TestRevokedAtOnce(t *testing.T) {
	d := newGuardedDoor(t)
	if got := said(d.ask(d.handler, "gateway", connect("pa"))); got != `200 {"accepted":1}` {
		t.Fatalf("before: %s", got)
	}
	d.change(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		return c.DeleteToken(by, "gateway")
	})
	if got := d.ask(d.handler, "gateway", connect("pa")).Response.StatusCode(); got != 401 {
		t.Errorf("after: %d", got)
	}
}

// chattyEngine always has another command. At the third call it deletes the token of the stream; the tenth call fails.
type chattyEngine struct {
	*shard.Engine
	looks  int
	revoke func()
}

func (e *chattyEngine) Commands(
	after commands.Place,
	_ shard.Listener,
) ([]shard.Command, commands.Place, <-chan struct{}, error) {
	switch e.looks++; e.looks {
	case 3:
		e.revoke()
	case 10:
		return nil, after, nil, shard.ErrStopped
	}
	return []shard.Command{{Product: "pa"}}, after, nil, nil
}

// A stream ends with its token also while commands keep coming.
func TestRevokedWhileItHears(t *testing.T) {
	d := newGuardedDoor(t)
	engine := &chattyEngine{Engine: d.engine, revoke: func() {
		err := d.engine.Administer(
			"setup", nil,
			func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
				return c.DeleteToken(by, "gateway")
			},
		)
		if err != nil {
			t.Error(err)
		}
	}}
	h, err := NewHandler(Options{Engine: engine, People: func(*fasthttp.RequestCtx) {}})
	d.must(err)
	ctx := d.ask(h, "gateway", "GET /v1/commands")
	if said := string(ctx.Response.Body()); engine.looks != 3 || strings.Count(said, "event: refresh") != 3 {
		t.Errorf("%d looks, heard %q", engine.looks, said)
	}
}

// Wrong tokens wait longer and longer before they are answered, without their body being read. Right ones never wait.
func TestWrongTokensWait(t *testing.T) {
	d := newGuardedDoor(t)
	for _, step := range []struct {
		token  string
		status int
		held   []time.Duration
	}{
		{"gateway", 200, nil},
		{"wrong", 401, []time.Duration{100 * time.Millisecond}},
		{"", 401, []time.Duration{200 * time.Millisecond}},
		{"gateway", 200, nil},
		{"wrong", 401, []time.Duration{400 * time.Millisecond}},
		{"wrong", 401, []time.Duration{800 * time.Millisecond}},
		{"viewer", 403, nil},
		{"wrong", 401, []time.Duration{time.Second}},
		{"gateway", 200, nil},
	} {
		d.held = nil
		ctx := d.ask(d.handler, step.token, connect("pa"))
		if ctx.Response.StatusCode() != step.status || !slices.Equal(d.held, step.held) {
			t.Errorf("token %q: %s after %v, want %d after %v", step.token, said(ctx), d.held, step.status, step.held)
		}
		if ctx.Response.ConnectionClose() != (step.status != 200) {
			t.Errorf("token %q: %d, connection closed: %v", step.token, step.status, ctx.Response.ConnectionClose())
		}
		if read, _ := ctx.RequestBodyStream().(*bytes.Reader); step.status != 200 && read.Len() == 0 {
			t.Errorf("token %q: its body was read", step.token)
		}
	}
}

// When the most answers are held back, the next one is sent at once, and its connection is closed.
func TestTooManyWrongTokens(t *testing.T) {
	d := newGuardedDoor(t)
	var whenFull func()
	d.handler.penalties = access.NewPenalties(func(<-chan struct{}, time.Duration) { whenFull() })
	answered := 0
	whenFull = func() { // Called while all earlier answers are held back.
		if d.handler.penalties.Hold(nil, 0, nil) {
			return
		}
		answered++
		ctx := d.ask(d.handler, "", "GET /v1/commands")
		if ctx.Response.StatusCode() != 401 || !ctx.Response.ConnectionClose() {
			t.Errorf("%s, connection closed: %v", said(ctx), ctx.Response.ConnectionClose())
		}
		if got := said(d.ask(d.handler, "gateway", connect("pa"))); got != `200 {"accepted":1}` {
			t.Errorf("a right token: %s", got)
		}
	}
	whenFull()
	if answered != 1 {
		t.Errorf("the bound was met %d times", answered)
	}
}

// deposedEngine belongs to a node whose cell another one owns.
type deposedEngine struct{ Engine }

func (deposedEngine) Durable() error { return shard.ErrStopped }

// A node that another one has taken a cell from says of no token that there is none.
func TestWrongTokensOfADeposedNode(t *testing.T) {
	d := newGuardedDoor(t)
	h := d.newHandlerOf(deposedEngine{d.engine})
	for _, token := range []string{"wrong", "viewer"} {
		ctx := d.ask(h, token, connect("pa"))
		if len(ctx.Response.Body()) > 0 || !ctx.Response.ConnectionClose() {
			t.Errorf("token %q: %s", token, said(ctx))
		}
		if _, err := ctx.Conn().Write([]byte("x")); err == nil {
			t.Errorf("token %q: the connection is open", token)
		}
	}
}
