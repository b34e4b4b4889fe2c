package route

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/license"
)

const cellsOfTest = 3

// several is a rig with cells whose catalogues are known, and which answer by handler, or with what they were asked.
type several struct {
	*rig
	catalogues [cellsOfTest]atomic.Pointer[license.Catalogue]
	handler    func(cell int, w http.ResponseWriter, q *http.Request) bool
	servers    [cellsOfTest]*httptest.Server
	found      map[string]int // what is given, and in no catalogue here
}

// Route implements Names.
func (s *several) Route(method, path []byte) func(*fasthttp.RequestCtx) {
	switch {
	case string(method) == "POST" && string(path) == "/v1/sign-in":
		return func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(http.StatusUnauthorized) } // Its code is used.
	case string(method) != "POST" || string(path) != "/v1/accounts":
		return nil
	}
	return func(ctx *fasthttp.RequestCtx) {
		secret := access.Secret(ctx.Request.Header.Peek("Authorization"))
		if s.catalogues[0].Load().Authenticate(secret, 0) == nil { // As cell 0 does, which it goes to.
			ctx.SetStatusCode(http.StatusUnauthorized)
			return
		}
		ctx.SetBodyString("a name is given")
	}
}

// Find implements Names.
func (s *several) Find(_ context.Context, kind license.NameKind, name string) (int, bool, error) {
	cell, ok := s.found[kind.String()+" "+name]
	return cell, ok, nil
}

func newSeveral(t *testing.T) *several {
	t.Helper()
	s := &several{found: map[string]int{}}
	for cell := range cellsOfTest {
		c := license.New("default", 7*24*time.Hour)
		account, product := fmt.Sprintf("acme%d", cell), fmt.Sprintf("p%d", cell)
		s.catalogues[cell].Store(c)
		s.change(cell, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
			next, _, _, err := c.CreateAccount(by, account, "personal", "default")
			return next, err
		})
		s.change(cell, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
			next, _, _, err := c.CreateProduct(by, license.ProductSpec{Name: product, Account: account, Zone: "UTC"})
			return next, err
		})
		s.token(cell, "admin", "")
		s.token(cell, "bound"+strconv.Itoa(cell), account)
	}
	s.rig = newRig(t, func(o *Options) {
		o.Cells, o.Names = cellsOfTest, s
		o.Gateways = func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("a gateway of all accounts") }
		o.Catalogues = func(cell int) *license.Catalogue { return s.catalogues[cell].Load() }
	})
	for cell := range cellsOfTest {
		s.servers[cell] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			if s.handler == nil || !s.handler(cell, w, q) {
				fmt.Fprintf(w, "cell %d: %s %s", cell, q.Method, q.RequestURI)
			}
		}))
		t.Cleanup(s.servers[cell].Close)
		s.board.set(cell, "n1", s.servers[cell].Listener.Addr().String())
	}
	return s
}

func (s *several) change(cell int, fn func(*license.Catalogue, license.Actor) (*license.Catalogue, error)) {
	next, err := fn(s.catalogues[cell].Load(), license.Actor{Token: "t", AtMs: time.Now().UnixMilli()})
	if err != nil {
		panic(err)
	}
	s.catalogues[cell].Store(next)
}

// token makes a token whose secret is its name.
func (s *several) token(cell int, name, account string) {
	s.change(cell, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, error) {
		next, _, err := c.CreateToken(by, access.Token{
			Name: name, Role: access.RoleAdmin, Account: account, Hash: sha256.Sum256([]byte(name)),
		})
		return next, err
	})
}

func (s *several) as(token, method, path, body string) (*http.Response, string) {
	s.t.Helper()
	return s.do(method, path, strings.NewReader(body), "Authorization", "Bearer "+token)
}

// Every call of the people's door has its cells here.
func TestCallsAreThere(t *testing.T) {
	s := newSeveral(t)
	here := []string{"/livez", "/readyz", "/metrics", "/openapi.json", "/docs"}
	got := s.calls().List()
	for method, paths := range api.Calls() {
		for _, path := range paths {
			if slices.Contains(here, path) || strings.HasPrefix(path, "/docs/") {
				continue
			}
			if !slices.Contains(got[method], path) {
				t.Errorf("%s %s: say in calls.go which cells it concerns", method, path)
			}
		}
	}
	for method, paths := range got {
		for _, path := range paths {
			if !slices.Contains(api.Calls()[method], path) {
				t.Errorf("%s %s: no door has this call", method, path)
			}
		}
	}
}

func TestWhichCell(t *testing.T) {
	s := newSeveral(t)
	s.found["product fresh"], s.found["account late"] = 2, 1
	for _, tt := range []struct{ token, call, body, want string }{
		{"admin", "GET /v1/accounts/acme1", "", "cell 1: GET /v1/accounts/acme1"},
		{"admin", "GET /v1/accounts/acme%31", "", "cell 1: GET /v1/accounts/acme%31"},
		{"admin", "GET /v1/accounts/late/licenses", "", "cell 1: GET /v1/accounts/late/licenses"},
		{"admin", "PUT /v1/products/p2/plan", "{}", "cell 2: PUT /v1/products/p2/plan"},
		{"admin", "GET /v1/products/fresh/lots?limit=1", "", "cell 2: GET /v1/products/fresh/lots?limit=1"},
		{"admin", "GET /v1/products/nobody", "", "cell 0: GET /v1/products/nobody"},
		{"admin", "GET /v1/usage?account=acme2", "", "cell 2: GET /v1/usage?account=acme2"},
		{"admin", "GET /v1/usage?product=p1&window=hour", "", "cell 1: GET /v1/usage?product=p1&window=hour"},
		{"admin", "GET /v1/products?account=acme1", "", "cell 1: GET /v1/products?account=acme1"},
		{"admin", "GET /v1/whoami", "", "cell 0: GET /v1/whoami"},
		{"admin", "POST /v1/accounts", "{}", "a name is given"},
		{"admin", "POST /v1/events", "{}", "a gateway of all accounts"},
		{"admin", "GET /v1/commands?producer=gw", "", "a gateway of all accounts"},
		{"admin", "DELETE /v1/producers/gw", "", "a gateway of all accounts"},
		{"bound1", "POST /v1/events", "{}", "cell 1: POST /v1/events"},
		{"bound2", "POST /v1/producers/gw/offline", "", "cell 2: POST /v1/producers/gw/offline"},
		{"admin", "POST /v1/snapshots", `{"account":"acme2"}`, "cell 2: POST /v1/snapshots"},
		{"admin", "POST /v1/snapshots", `{"corrects":"1-s00000003"}`, "cell 1: POST /v1/snapshots"},
		{"admin", "POST /v1/snapshots", `{}`, "cell 0: POST /v1/snapshots"},
		{"admin", "GET /v1/snapshots/2-s00000003/devices.csv", "", "cell 2: GET /v1/snapshots/2-s00000003/devices.csv"},
		{"admin", "GET /v1/snapshots/s00000003", "", "cell 0: GET /v1/snapshots/s00000003"},
		{"admin", "GET /v1/snapshots?account=acme2", "", "cell 2: GET /v1/snapshots?account=acme2"},
		{"admin", "GET /v1/downloads/2-ABC", "", "cell 2: GET /v1/downloads/ABC"},
		{"admin", "GET /v1/downloads/9-ABC", "", "cell 0: GET /v1/downloads/none"},
		{"admin", "GET /v1/nothing", "", "cell 0: GET /v1/nothing"},
		{"admin", "GET /v1/backup?cell=2", "", "cell 2: GET /v1/backup?cell=2"},
		{"admin", "GET /v1/backup", "", "cell 0: GET /v1/backup"},
		{"admin", "PATCH /v1/accounts", "", "cell 0: PATCH /v1/accounts"},
		{"admin", "GET /prometheus/api/v1/query?query=1", "", "cell 0: GET /prometheus/api/v1/query?query=1"},
		// A bound token meets its own cell alone.
		{"bound2", "GET /v1/accounts/acme1", "", "cell 2: GET /v1/accounts/acme1"},
		{"bound2", "GET /v1/products", "", "cell 2: GET /v1/products"},
		{"bound2", "GET /v1/audit", "", "cell 2: GET /v1/audit"},
		{"bound2", "POST /v1/snapshots", "{}", "cell 2: POST /v1/snapshots"},
		{"bound2", "GET /prometheus/api/v1/query?query=1", "", "cell 2: GET /prometheus/api/v1/query?query=1"},
		{"bound2", "GET /v1/disk", "", "cell 2: GET /v1/disk"},
		{"bound2", "GET /v1/nothing", "", "cell 0: GET /v1/nothing"}, // It is no call, whoever asks.
		{"unknown", "GET /v1/nothing", "", "cell 0: GET /v1/nothing"},
	} {
		method, path, _ := strings.Cut(tt.call, " ")
		if _, text := s.as(tt.token, method, path, tt.body); text != tt.want {
			t.Errorf("%s %s %s: got %q, want %q", tt.token, tt.call, tt.body, text, tt.want)
		}
	}
}

// What only nodes may ask for no client reaches, however it writes the path.
func TestInnerPaths(t *testing.T) {
	s := newSeveral(t)
	s.handler = func(_ int, _ http.ResponseWriter, q *http.Request) bool {
		t.Errorf("a cell was asked for %s", q.RequestURI)
		return false
	}
	for _, path := range []string{
		"/internal/cells/decide", "//internal/x", "/v1/../internal/x", "/%69nternal/x", "/./internal/x",
		"/v1/..%2finternal/x",
	} {
		if resp, text := s.as("admin", "POST", path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, resp.StatusCode, text)
		}
	}
	s.handler = func(_ int, w http.ResponseWriter, q *http.Request) bool {
		body, _ := io.ReadAll(q.Body)
		fmt.Fprintf(w, "%s %s %t", q.URL.Path, body, s.inner.Holds([]byte(q.Header.Get("Meterd-Hop"))))
		return true
	}
	got, err := s.Ask(context.Background(), 1, "/internal/x", []byte("b"))
	if err != nil || string(got) != "/internal/x b true" {
		t.Errorf("a node is answered %q, %v", got, err)
	}
}

// sayWhose has owners say what the catalogues have.
func (s *several) sayWhose(catalogue func(cell int) *license.Catalogue) {
	s.handler = func(cell int, w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path != WhosePath {
			return false
		}
		hashes, _ := io.ReadAll(q.Body)
		answer, ok := Whose(catalogue(cell), 0, hashes)
		if !ok || !s.inner.Holds([]byte(q.Header.Get("Meterd-Hop"))) {
			s.t.Errorf("%d bytes, %t, %v", len(hashes), ok, q.Header)
		}
		_, _ = w.Write(answer) // Who asked sees it.
		return true
	}
}

// This node's copies of other cells may be ahead of that of cell 0, in which gateways' tokens are looked up. Then a new
// token is not refused for ever, and a deleted one is not promised to work later.
func TestCopiesApart(t *testing.T) {
	s := newSeveral(t)
	owners := [cellsOfTest]*license.Catalogue{}
	s.token(2, "new", "")
	for cell := range owners {
		owners[cell] = s.catalogues[cell].Load()
	}
	s.token(2, "deleted", "")
	s.sayWhose(func(cell int) *license.Catalogue { return owners[cell] })
	resp, text := s.as("new", "POST", "/v1/events", "{}")
	s.wantProblem(resp, text, http.StatusServiceUnavailable, "do not have this token yet")
	resp, text = s.as("deleted", "POST", "/v1/events", "{}")
	s.wantProblem(resp, text, http.StatusUnauthorized, "a token that is valid")
	s.token(0, "new", "")
	if resp, text = s.as("new", "POST", "/v1/events", "{}"); text != "a gateway of all accounts" {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// A token that was made a moment ago, through another node, is asked for where it is.
func TestFreshToken(t *testing.T) {
	s := newSeveral(t)
	theirs := s.catalogues[1].Load()
	s.token(1, "fresh", "acme1")
	s.token(1, "all", "")
	theirs = s.catalogues[1].Swap(theirs) // The owner has them, this node not yet.
	s.sayWhose(func(cell int) *license.Catalogue {
		if cell == 1 {
			return theirs
		}
		return s.catalogues[cell].Load()
	})
	if _, text := s.as("all", "GET", "/v1/products/p2", ""); text != "cell 2: GET /v1/products/p2" {
		t.Errorf("got %q", text)
	}
	if _, text := s.as("fresh", "GET", "/v1/products/p0", ""); text != "cell 1: GET /v1/products/p0" {
		t.Errorf("got %q", text)
	}
	resp, text := s.as("all", "POST", "/v1/events", "{}") // A gateway's call is decided by the copy of cell 0 here.
	s.wantProblem(resp, text, http.StatusServiceUnavailable, "do not have this token yet")
	resp, text = s.as("fresh", "POST", "/v1/accounts", "{}") // It went to a cell that does not have the token.
	s.wantProblem(resp, text, http.StatusServiceUnavailable, "do not have this token yet")
	if resp, text := s.as("wrong", "POST", "/v1/accounts", "{}"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("got %d %s", resp.StatusCode, text)
	}
	if resp, text := s.as("all", "POST", "/v1/sign-in", "{}"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a code that was used, beside a token that is good: %d %s", resp.StatusCode, text)
	}
	resp, text = s.as("wrong", "GET", "/v1/products/p1", "")
	s.wantProblem(resp, text, http.StatusUnauthorized, "a token that is valid")
	if resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("got %v", resp.Header)
	}
	s.servers[2].Close() // It may have made the token.
	resp, text = s.as("wrong", "GET", "/v1/products/p1", "")
	s.wantProblem(resp, text, http.StatusServiceUnavailable, "a cell that may have the token")
	if _, text := s.as("fresh", "GET", "/v1/products/p0", ""); text != "cell 1: GET /v1/products/p0" {
		t.Errorf("got %q", text)
	}
}

// entries are lists as cells have them: each page is what a real cell would answer.
func (s *several) entries(path, member string, byName bool, of func(cell int) []string) {
	s.handler = func(cell int, w http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path != path {
			return false
		}
		limit, cursor := 100, q.URL.Query().Get("cursor")
		if text := q.URL.Query().Get("limit"); text != "" {
			limit, _ = strconv.Atoi(text)
		}
		if limit < 1 || limit > 1000 {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "limit")
			return true
		}
		var list []json.RawMessage
		var next *string
		for _, raw := range of(cell) {
			var e struct {
				Name   string
				Number uint64
			}
			_ = json.Unmarshal([]byte(raw), &e)
			before, _ := strconv.ParseUint(cursor, 10, 64)
			if byName && e.Name <= cursor || !byName && cursor != "" && e.Number >= before {
				continue
			}
			if len(list) == limit {
				var last struct {
					Name   string
					Number uint64
				}
				_ = json.Unmarshal(list[limit-1], &last)
				text := last.Name
				if !byName {
					text = strconv.FormatUint(last.Number, 10)
				}
				next = &text
				break
			}
			list = append(list, json.RawMessage(raw))
		}
		_ = json.NewEncoder(w).Encode(map[string]any{member: append([]json.RawMessage{}, list...), "next": next})
		return true
	}
}

// walkPages reads a list to its end.
func (s *several) walkPages(path, member string, limit int) (list []string) {
	s.t.Helper()
	for cursor, n := "", 0; n < 1000; n++ {
		uri := path + "?limit=" + strconv.Itoa(limit)
		if cursor != "" {
			uri += "&cursor=" + url.QueryEscape(cursor)
		}
		resp, text := s.as("admin", "GET", uri, "")
		var got map[string]json.RawMessage
		var items []json.RawMessage
		var next *string
		if err := json.Unmarshal([]byte(text), &got); err != nil || resp.StatusCode != http.StatusOK {
			s.t.Fatalf("%s: %d %s", uri, resp.StatusCode, text)
		}
		_ = json.Unmarshal(got[member], &items)
		_ = json.Unmarshal(got["next"], &next)
		if len(items) > limit {
			s.t.Fatalf("%s: a page of %d", uri, len(items))
		}
		for _, item := range items {
			list = append(list, string(item))
		}
		if next == nil {
			return list
		}
		cursor = *next
	}
	s.t.Fatal("the list has no end")
	return nil
}

func TestListsInOrder(t *testing.T) {
	s := newSeveral(t)
	var want []string
	lists := [cellsOfTest][]string{}
	for i := range 40 {
		raw := fmt.Sprintf(`{"name":"n%02d","role":"admin"}`, i)
		want = append(want, raw)
		if i%10 == 0 { // What every cell has.
			for cell := range lists {
				lists[cell] = append(lists[cell], raw)
			}
			continue
		}
		lists[i*7%cellsOfTest] = append(lists[i*7%cellsOfTest], raw)
	}
	s.entries("/v1/tokens", "tokens", true, func(cell int) []string { return lists[cell] })
	for _, limit := range []int{1, 3, 7, 40, 1000} {
		if got := s.walkPages("/v1/tokens", "tokens", limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: got %q", limit, got)
		}
	}
	if resp, text := s.as(
		"admin",
		"GET",
		"/v1/tokens?limit=0",
		"",
	); resp.StatusCode != http.StatusBadRequest ||
		text != "limit" {
		t.Errorf("limit 0: %d %s", resp.StatusCode, text)
	}
	s.servers[2].Close()
	resp, text := s.as("admin", "GET", "/v1/tokens", "")
	s.wantProblem(resp, text, http.StatusServiceUnavailable, "cell 2")
}

func TestNewestFirst(t *testing.T) {
	s := newSeveral(t)
	type entry struct {
		at  int
		raw string
	}
	var all []entry
	lists := [cellsOfTest][]string{}
	for cell, n := range []int{17, 0, 30} {
		for i := n; i > 0; i-- {
			at := i*10 + cell
			raw := fmt.Sprintf(`"number":%d,"at":"2026-11-27T%02d:%02d:00Z"}`, i, at/60, at%60)
			lists[cell] = append(lists[cell], "{"+raw)
			all = append(all, entry{at, fmt.Sprintf(`{"cell":%d,%s`, cell, raw)})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].at > all[j].at })
	s.entries("/v1/audit", "entries", false, func(cell int) []string { return lists[cell] })
	for _, limit := range []int{1, 4, 47, 48} {
		got := s.walkPages("/v1/audit", "entries", limit)
		if len(got) != len(all) {
			t.Errorf("limit %d: %d entries of %d", limit, len(got), len(all))
			continue
		}
		for i := range got {
			if got[i] != all[i].raw {
				t.Errorf("limit %d: entry %d is %s, want %s", limit, i, got[i], all[i].raw)
				break
			}
		}
	}
	for _, cursor := range []string{"1", "1.2.x", "1.2.3.4", "-1.1.1"} {
		resp, text := s.as("admin", "GET", "/v1/audit?cursor="+cursor, "")
		s.wantProblem(resp, text, http.StatusBadRequest, "cursor")
	}
}

func TestWalk(t *testing.T) {
	s := newSeveral(t)
	lists := [cellsOfTest][]string{}
	var want []string
	for cell, n := range []int{5, 0, 9} {
		for i := n; i > 0; i-- {
			raw := fmt.Sprintf(`"number":%d,"producer":"gw-%d-%d"}`, i, cell, i)
			lists[cell], want = append(lists[cell], "{"+raw), append(want, fmt.Sprintf(`{"cell":%d,%s`, cell, raw))
		}
	}
	s.entries("/v1/webhooks/h/dead-letters", "dead_letters", false, func(cell int) []string { return lists[cell] })
	for _, limit := range []int{1, 2, 5, 14, 100} {
		if got := s.walkPages("/v1/webhooks/h/dead-letters", "dead_letters", limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: got %q", limit, got)
		}
	}
}

// A gateway of all accounts is one entry, whichever cells know it; one of an account is another one of the same name.
func TestProducersOfAllCells(t *testing.T) {
	s := newSeveral(t)
	gateway := func(name, account string, last, oldest any, at string, devices int) string {
		m := map[string]any{
			"producer": name, "last_sequence": last, "oldest_remembered": oldest, "last_seen_at": at, "devices": devices,
			"name": strings.TrimSuffix(name+" "+account, " "), // What entries orders by.
		}
		if account != "" {
			m["account"] = account
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	const early, late = "2026-11-28T00:00:00Z", "2026-11-28T01:00:00Z"
	lists := [cellsOfTest][]string{
		{gateway("gw", "", 9, 5, early, 1), gateway("gw", "a", 1, 1, early, 2), gateway("gw-2", "", nil, nil, early, 0)},
		{gateway("gw", "", 7, 2, late, 4), gateway("gw", "b", nil, nil, early, 8)},
		{gateway("gw", "", nil, nil, early, 16), gateway("gw-2", "", 3, 3, late, 32)},
	}
	s.entries("/v1/producers", "producers", true, func(cell int) []string { return lists[cell] })
	want := []string{
		`{"producer":"gw","last_sequence":9,"oldest_remembered":2,"last_seen_at":"` + late + `","devices":21}`,
		lists[0][1], lists[1][1],
		`{"producer":"gw-2","last_sequence":3,"oldest_remembered":3,"last_seen_at":"` + late + `","devices":32}`,
	}
	for _, limit := range []int{1, 2, 3, 4, 100} {
		if got := s.walkPages("/v1/producers", "producers", limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: got %q", limit, got)
		}
	}
}

func TestOneHook(t *testing.T) {
	s := newSeveral(t)
	s.handler = func(cell int, w http.ResponseWriter, _ *http.Request) bool {
		if cell == 1 {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		fmt.Fprintf(
			w,
			`{"name":"h","url":"u","events":["all"],"account":null,"licenses_low_percent":20,"packs_low_percent":20,
			"created_at":"2026-11-27T10:00:00Z","changed_at":"2026-11-27T10:00:00Z","state":%q,"queued":%d,
			"oldest_queued_at":"2026-11-27T1%d:00:00Z","dead_letters":1,"delivered":3,"failed_tries":0,"dropped":0,
			"last_delivered_at":null,"last_tried_at":"2026-11-27T1%d:00:00Z","last_error":"e%d","next_try_at":null}`,
			[]string{"ok", "", "failing"}[cell],
			cell+1,
			cell,
			cell,
			cell,
		)
		return true
	}
	_, text := s.as("admin", "GET", "/v1/webhooks/h", "")
	const want = `{"name":"h","url":"u","events":["all"],"account":null,"licenses_low_percent":20,` +
		`"packs_low_percent":20,` +
		`"created_at":"2026-11-27T10:00:00Z","changed_at":"2026-11-27T10:00:00Z","state":"failing","queued":4,` +
		`"oldest_queued_at":"2026-11-27T10:00:00Z","dead_letters":2,"delivered":6,"failed_tries":0,"dropped":0,` +
		`"last_delivered_at":null,"last_tried_at":"2026-11-27T12:00:00Z","last_error":"e2","next_try_at":null}`
	if text != want {
		t.Errorf("got %s", text)
	}
}

func TestDiskOfAll(t *testing.T) {
	s := newSeveral(t)
	s.handler = func(cell int, w http.ResponseWriter, _ *http.Request) bool {
		fmt.Fprintf(w, `{"free_bytes":%d,"stop_bytes":7,"days_left":%d,"kinds":[
			{"kind":"log","bytes":10,"growth_bytes_per_day":%d},{"kind":"archive","bytes":1,"growth_bytes_per_day":null}]}`,
			100-cell, 9-cell, cell)
		return true
	}
	_, text := s.as("admin", "GET", "/v1/disk", "")
	if text != `{"free_bytes":98,"stop_bytes":7,"days_left":7,"kinds":[`+
		`{"kind":"log","bytes":30,"growth_bytes_per_day":3},{"kind":"archive","bytes":3,"growth_bytes_per_day":null}]}` {
		t.Errorf("got %s", text)
	}
}

func TestAllCellsAndFirst(t *testing.T) {
	s := newSeveral(t)
	asked := [cellsOfTest]atomic.Int32{}
	s.handler = func(cell int, w http.ResponseWriter, q *http.Request) bool {
		asked[cell].Add(1)
		switch {
		case q.URL.Path == "/v1/clock/confirm":
			w.WriteHeader(http.StatusNoContent)
		case cell < 1:
			w.WriteHeader(http.StatusNotFound)
		default:
			return false
		}
		return true
	}
	if resp, text := s.as("admin", "POST", "/v1/clock/confirm", ""); resp.StatusCode != http.StatusNoContent {
		t.Errorf("confirm: %d %s", resp.StatusCode, text)
	}
	for cell := range asked {
		if asked[cell].Load() != 1 {
			t.Errorf("cell %d was asked %d times", cell, asked[cell].Load())
		}
	}
	const retry = "/v1/webhooks/h/dead-letters/x/retry"
	if _, text := s.as("admin", "POST", retry, ""); text != "cell 1: POST "+retry {
		t.Errorf("retry: %s", text)
	}
}

func TestTickets(t *testing.T) {
	s := newSeveral(t)
	s.handler = func(_ int, w http.ResponseWriter, q *http.Request) bool {
		if q.Method != http.MethodPost {
			return false
		}
		w.Header().Set("Location", "/v1/downloads/ABC")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, `{"url":"/v1/downloads/ABC"}`)
		return true
	}
	for path, want := range map[string]string{
		"/v1/usage?account=acme1":               "/v1/downloads/1-ABC",
		"/v1/products/p2/licenses":              "/v1/downloads/2-ABC",
		"/v1/accounts/acme0/licenses?limit=2":   "/v1/downloads/0-ABC",
		"/v1/snapshots/1-s00000001/devices.csv": "/v1/downloads/1-ABC",
	} {
		resp, text := s.as("admin", "POST", "/v1/downloads", `{"path":"`+path+`"}`)
		if text != `{"url":"`+want+`"}` || resp.Header.Get("Location") != want || resp.StatusCode != http.StatusCreated {
			t.Errorf("%s: %d %s %s", path, resp.StatusCode, text, resp.Header.Get("Location"))
		}
	}
	if _, text := s.as(
		"bound1",
		"POST",
		"/v1/downloads",
		`{"path":"/v1/products/p2/licenses"}`,
	); text != `{"url":"/v1/downloads/1-ABC"}` {
		t.Errorf("bound: %s", text)
	}
	_, text := s.do("GET", "/v1/downloads/2-ABC", nil)
	if text != "cell 2: GET /v1/downloads/ABC" {
		t.Errorf("download: %s", text)
	}
}

// A name's request is sent once, under its reservation, which clients cannot send.
func TestForwardOfNames(t *testing.T) {
	s := newSeveral(t)
	s.handler = func(_ int, w http.ResponseWriter, q *http.Request) bool {
		fmt.Fprintf(w, "%q", q.Header.Values("Meterd-Reservation"))
		return true
	}
	if _, text := s.do("GET", "/v1/nothing", nil, "Meterd-Reservation", "1"); text != "[]" {
		t.Errorf("a client sent %s", text)
	}
}
