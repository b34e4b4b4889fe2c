package overview

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/forget"
	"github.com/meterd/meterd/docs/contract"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// told is a board that never changes.
type told struct {
	nodes  []board.Status
	owners map[int]string
}

func (b told) Nodes() []board.Status { return b.nodes }

func (b told) Owner(cell int) (node, address string, epoch uint64, ok bool) {
	node, ok = b.owners[cell]
	return node, "h:1", 7, ok
}

func cellStatus(cell int, role board.Role, group uint64) board.CellStatus {
	return board.CellStatus{Cell: cell, Role: role, Group: group, Epoch: 6, Devices: group * 2}
}

func (told) Changed() <-chan struct{} { return nil }

// handed is a board whose cell 0 gets its new owner a while after it was let go of.
type handed struct {
	told
	changed chan struct{}
}

func (b handed) Changed() <-chan struct{} { return b.changed }

func (b handed) Owner(cell int) (node, address string, epoch uint64, ok bool) {
	select {
	case <-b.changed:
		return "n2", "h:2", 8, cell == 0
	default:
		return "", "", 0, false
	}
}

// A move is answered when this node knows the new owner, and shows it at once.
func TestMoveAwaitsItsOwner(t *testing.T) {
	f := newFixture(t)
	b := handed{three(), make(chan struct{})}
	f.o.Board = b
	if c := f.Map().Cells[0]; c.State != Unowned {
		t.Fatalf("%+v", c)
	}
	answered := make(chan int)
	go func() {
		status, _ := f.call("POST", "/v1/cluster/cells/0/move", "admin", `{"node":"n2"}`)
		answered <- status
	}()
	close(b.changed)
	if status := <-answered; status != 204 {
		t.Fatal(status)
	}
	if c := f.Map().Cells[0]; c.Owner != "n2" {
		t.Fatalf("%+v", c)
	}
}

// three nodes: cell 0 is owned by n1, cell 1 damaged, nobody owns cell 2 or has heard of cell 3.
func three() told {
	bad := cellStatus(1, board.Damaged, 4)
	bad.Why = "it lost something"
	return told{
		nodes: []board.Status{
			{Node: "n1", State: board.Ready, Address: "h:80", Version: "v", Cells: []board.CellStatus{
				cellStatus(0, board.Owner, 100), cellStatus(1, board.Standby, 9), cellStatus(2, board.Standby, 5),
			}},
			{Node: "n2", State: board.Ready, Cells: []board.CellStatus{cellStatus(0, board.Standby, 98), bad}},
			{Node: "n3", State: board.Silent, Cells: []board.CellStatus{cellStatus(0, board.Following, 101)}},
		},
		owners: map[int]string{0: "n1"},
	}
}

func TestMap(t *testing.T) {
	b, err := json.Marshal(Of("demo", 4, three()))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"cluster":"demo","nodes":[{"node":"n1","address":"h:80","state":"ready","version":"v"},` +
		`{"node":"n2","address":"","state":"ready","version":""},{"node":"n3","address":"","state":"silent","version":""}],` +
		`"cells":[{"cell":0,"state":"owned","owner":"n1","address":"h:1","epoch":7,"group":100,"devices":200,"replicas":[` +
		`{"node":"n1","role":"owner","lag_groups":0},{"node":"n2","role":"standby","lag_groups":2},` +
		`{"node":"n3","role":"following","lag_groups":0}]},` +
		`{"cell":1,"state":"damaged","owner":"","address":"","epoch":6,"group":9,"devices":18,"replicas":[` +
		`{"node":"n1","role":"standby","lag_groups":0},` +
		`{"node":"n2","role":"damaged","lag_groups":5,"why":"it lost something"}]},` +
		`{"cell":2,"state":"unowned","owner":"","address":"","epoch":6,"group":5,"devices":10,"replicas":[` +
		`{"node":"n1","role":"standby","lag_groups":0}]},` +
		`{"cell":3,"state":"unowned","owner":"","address":"","epoch":0,"group":0,"devices":0,"replicas":[]}]}`
	if string(b) != want {
		t.Fatalf("%s\n, not\n%s", b, want)
	}
}

// fixture is an overview, and the secrets of tokens that it knows.
type fixture struct {
	*Overview
	t        *testing.T
	contract *contract.Checker
	secrets  map[string]string
	asked    []string
	err      error
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	document, err := contract.New()
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, contract: document, secrets: map[string]string{"fresh": access.NewSecret()}}
	by := license.Actor{Token: "t", AtMs: time.Now().UnixMilli()}
	c, _, _, err := license.New("here", time.Hour).CreateAccount(by, "acme", "personal", "here")
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]access.Token{
		"admin": {Role: access.RoleAdmin}, "gateway": {Role: access.RoleGateway, Account: "acme"},
	} {
		f.secrets[name] = access.NewSecret()
		token.Name, token.Hash = name, sha256.Sum256([]byte(f.secrets[name]))
		if c, _, err = c.CreateToken(by, token); err != nil {
			t.Fatal(err)
		}
	}
	other, _, _, err := license.New("here", time.Hour).CreateAccount(by, "far", "personal", "here")
	if err != nil {
		t.Fatal(err)
	}
	f.secrets["far"] = access.NewSecret()
	other, _, err = other.CreateToken(by, access.Token{
		Name: "far", Role: access.RoleAdmin, Account: "far", Hash: sha256.Sum256([]byte(f.secrets["far"])),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.secrets["gone"] = access.NewSecret() // Cell 1's copy is behind cell 0's, where it is deleted.
	other, _, err = other.CreateToken(by, access.Token{
		Name: "gone", Role: access.RoleAdmin, Hash: sha256.Sum256([]byte(f.secrets["gone"])),
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Overview, err = New(Options{
		Cluster: "demo", Node: "n2", Cells: 4, Board: three(),
		Catalogues: func(cell int) *license.Catalogue {
			return map[int]*license.Catalogue{0: c, 1: other}[cell]
		},
		Unknown: func(ctx *fasthttp.RequestCtx) *event.Problem {
			if string(access.Secret(ctx.Request.Header.Peek("Authorization"))) == f.secrets["fresh"] {
				return &event.Problem{Code: event.Overloaded, Detail: "an owner has it"}
			}
			return &event.Problem{Code: event.Unauthorized}
		},
		Move: func(_ context.Context, cell int, node string) error {
			f.asked = append(f.asked, "move "+string(rune('0'+cell))+" "+node)
			return f.err
		},
		Repair: func(_ context.Context, cell int) error {
			f.asked = append(f.asked, "repair "+string(rune('0'+cell)))
			return f.err
		},
		Forget: func(_ context.Context, node string) (forget.Answer, error) {
			f.asked = append(f.asked, "forget "+node)
			return forget.Answer{Node: node, Server: node + "-1", Said: "it is gone"}, f.err
		},
		ConfirmClock: func() { f.asked = append(f.asked, "confirm") },
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) call(method, path, token, body string) (status int, answer string) {
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod(method)
	ctx.Request.SetRequestURI(path)
	ctx.Request.Header.Set("Authorization", "Bearer "+f.secrets[token])
	if body != "" {
		ctx.Request.Header.SetContentType("application/json")
		ctx.Request.SetBodyString(body)
	}
	if !f.Handle(&ctx) {
		return 0, ""
	}
	f.check(&ctx, body)
	return ctx.Response.StatusCode(), string(ctx.Response.Body())
}

// check compares a call with docs/openapi.yaml.
func (f *fixture) check(ctx *fasthttp.RequestCtx, body string) {
	f.t.Helper()
	asked, err := http.NewRequestWithContext(f.t.Context(), string(ctx.Method()), "http://meterd"+string(ctx.RequestURI()),
		http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	asked.Header.Set("Content-Type", string(ctx.Request.Header.ContentType()))
	header := http.Header{}
	for name, value := range ctx.Response.Header.All() {
		header.Add(string(name), string(value))
	}
	if err := f.contract.Check(&contract.Exchange{
		Request: asked, Sent: []byte(body), Status: ctx.Response.StatusCode(), Header: header, Body: ctx.Response.Body(),
	}); err != nil {
		f.t.Error(err)
	}
}

func TestCalls(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		call, token, body string
		status            int
		says              string
	}{
		{"GET /v1/clusters", "admin", "", 0, ""},
		{"GET /v1/accounts", "admin", "", 0, ""},
		{"GET /v1/cluster", "admin", "", 200, `{"cluster":"demo","nodes":[`},
		{"GET /v1/cluster", "gateway", "", 200, `{"cluster":"demo","cell":0,"nodes":[`},
		{"GET /v1/cluster", "far", "", 200, `{"cluster":"demo","cell":1,"nodes":[`},
		{"POST /v1/cluster/cells/1/move", "far", `{"node":"n1"}`, 403, "does not allow"},
		{"POST /v1/clock/confirm", "nobody", "", 0, ""},
		{"POST /v1/clock/confirm", "gateway", "", 0, ""},
		{"POST /v1/clock/confirm", "admin", "", 0, ""},
		{"GET /v1/cluster", "nobody", "", 401, "unauthorized"},
		{"GET /v1/cluster", "gone", "", 401, "unauthorized"},
		{"GET /v1/cluster", "fresh", "", 503, "an owner has it"},
		{"POST /v1/cluster", "admin", "", 405, "use GET or HEAD"},
		{"GET /v1/cluster/cells/0/move", "admin", "", 405, "use POST"},
		{"POST /v1/cluster/cells", "admin", "", 404, "nothing at"},
		{"POST /v1/cluster/cells/0/burn", "admin", "", 404, "nothing at"},
		{"POST /v1/cluster/cells/4/move", "admin", `{"node":"n1"}`, 404, "they are 0 to 3"},
		{"POST /v1/cluster/cells/00/move", "admin", `{"node":"n1"}`, 404, "they are 0 to 3"},
		{"POST /v1/cluster/cells/0/move", "gateway", `{"node":"n1"}`, 403, "does not allow"},
		{"POST /v1/cluster/cells/0/move", "admin", ``, 400, "name the node"},
		{"POST /v1/cluster/cells/0/move", "admin", `{"to":"n1"}`, 400, "must be like"},
		{"POST /v1/cluster/cells/0/move", "admin", `{"node":"n1","node":"n2"}`, 400, "node: is given twice"},
		{"POST /v1/cluster/cells/0/move", "admin", `{"node":"n1","Node":"n2"}`, 400, "node: is given twice"},
		{"POST /v1/cluster/cells/0/repair", "admin", `{"node":"n1"}`, 400, "must be like"},
		{"POST /v1/cluster/cells/0/move", "admin", `{"node":"` + strings.Repeat("n", bodyBytesMax) + `"}`, 413, "over"},
		{"POST /v1/cluster/cells/0/move", "admin", `{"node":"n1"}`, 204, ""},
		{"POST /v1/cluster/cells/3/repair", "admin", ``, 204, ""},
		{"POST /v1/cluster/nodes", "admin", ``, 404, "nothing at"},
		{"GET /v1/cluster/nodes/n3/forget", "admin", ``, 405, "use POST"},
		{"POST /v1/cluster/nodes/n3/forget", "gateway", ``, 403, "does not allow"},
		{"POST /v1/cluster/nodes/n3/forget", "admin", `{"node":"n3"}`, 400, "empty for repair and forget"},
		{"POST /v1/cluster/nodes/n3/forget", "admin", ``, 200, `{"node":"n3","server":"n3-1","said":"it is gone"}`},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		status, answer := f.call(method, path, c.token, c.body)
		if status != c.status || !strings.Contains(answer, c.says) {
			t.Errorf("%s by %s: %d %s, not %d %q", c.call, c.token, status, answer, c.status, c.says)
		}
	}
	f.err = errors.New("node n1 is silent")
	if status, answer := f.call("POST", "/v1/cluster/cells/1/move", "admin", `{"node":"n1"}`); status != 409 ||
		!strings.Contains(answer, "cluster_refused") || !strings.Contains(answer, "silent") {
		t.Error(status, answer)
	}
	if status, answer := f.call("POST", "/v1/cluster/nodes/n1/forget", "admin", ""); status != 409 ||
		!strings.Contains(answer, "silent") {
		t.Error(status, answer)
	}
	f.o.Board, f.madeAt = told{}, time.Time{}
	if status, _ := f.call("POST", "/v1/clock/confirm", "admin", ""); status != 204 {
		t.Error("nobody else can answer", status)
	}
	if want := []string{
		"confirm", "move 0 n1", "repair 3", "forget n3", "move 1 n1", "forget n1", "confirm",
	}; !slices.Equal(f.asked, want) {
		t.Errorf("%v, not %v", f.asked, want)
	}
}

func TestMetrics(t *testing.T) {
	set := metric.NewSet()
	newFixture(t).RegisterMetrics(set)
	text := string(metric.Text(metric.Part{Set: set}))
	for want, n := range map[string]int{
		`meterd_cluster_nodes{state="ready"} 2`: 1, `meterd_cluster_nodes{state="silent"} 1`: 1,
		`meterd_cluster_cell_state{cell="1",state="damaged"} 1`: 1, `meterd_cluster_cell_role{cell="1",role="damaged"} 1`: 1,
		`meterd_cluster_cell_lag_groups{cell="0"} 2`: 1, `meterd_cluster_cell_epoch{cell="0"} 7`: 1,
		`state="unowned"} 1`: 2,
	} {
		if strings.Count(text, want) != n {
			t.Errorf("%q is not there %d times in\n%s", want, n, text)
		}
	}
}
