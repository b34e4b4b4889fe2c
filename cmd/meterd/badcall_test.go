package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestBadToken: without a valid token nothing is told and nothing counted.
func TestBadToken(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	before := d.state("p1")
	calls := []string{
		"POST /v1/events",
		"POST /v1/producers/gw/offline",
		"GET /v1/accounts",
		"GET /v1/products/p1",
		"POST /v1/products/p1/lots",
		"GET /v1/products/p1/devices/d1",
		"GET /v1/products/p1/devices/d1/logs",
		"GET /v1/audit",
		"POST /v1/clock/confirm",
	}
	// All at once: the daemon may take its time to answer those who guess.
	var all sync.WaitGroup
	for i, header := range []string{
		"", "Bearer", "Bearer ", "Bearer nonsense", "Basic " + d.token, d.token, "Bearer " + d.token + "x",
		"Bearer " + d.token[1:],
		"Bearer " + strings.Repeat("x", 8000),
	} {
		for j, call := range calls {
			if i > 0 && j > 1 && (i+j)%4 > 0 {
				continue // Each call without a token, each kind of token at the gateways' door and at some of the others.
			}
			method, path, _ := strings.Cut(call, " ")
			body := ""
			if method == "POST" {
				body = line("up", "p1", "d1")
			}
			all.Go(func() {
				a, err := d.try(method, path, []byte(body), "Authorization", header)
				if err != nil {
					t.Errorf("%s: %v", call, err)
					return
				}
				p := a.problem(t)
				if a.status != 401 || p.Code != "unauthorized" || a.header.Get("WWW-Authenticate") != "Bearer" {
					t.Errorf("%s with %.20q: %d %s", call, header, a.status, a.body)
				}
			})
		}
	}
	all.Wait()
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if a := d.ask("GET", path, "", "Authorization", ""); a.status != 200 {
			t.Errorf("%s without a token: %d", path, a.status)
		}
	}
	if d.state("p1") != before {
		t.Error("a call without a valid token changed something")
	}
}

// TestWrongPathsAndMethods: 404 and 405 are problems too, and name what would be right.
func TestWrongPathsAndMethods(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	for _, path := range []string{
		"/nothing", "/products/p1/lots", "/v1", "/v1/event", "/v1/events/", "/v1/products/p1/", "/v2/events",
		"/v1/producers//offline", "/v1/products/p1/devices/d1/log",
	} {
		d.ask("GET", path, "").refuse(t, 404, "not_found")
	}
	for call, allow := range map[string]string{
		"GET /v1/events": "POST", "PUT /v1/events": "POST", "DELETE /v1/events": "POST",
		"GET /v1/producers/gw/offline": "POST",
		"DELETE /v1/accounts":          "GET", "PATCH /v1/products/p1": "GET", "POST /v1/products/p1/devices": "GET",
		"POST /v1/products/p1/plan":   "PUT",
		"DELETE /v1/products/p1/lots": "POST", "POST /livez": "GET",
	} {
		method, path, _ := strings.Cut(call, " ")
		a := d.ask(method, path, "")
		a.refuse(t, 405, "method_not_allowed")
		if !strings.Contains(a.header.Get("Allow"), allow) {
			t.Errorf("%s: Allow is %q, want %s in it", call, a.header.Get("Allow"), allow)
		}
	}
	for _, path := range []string{
		"/v1/accounts/nobody", "/v1/products/nothing", "/v1/products/nothing/devices", "/v1/products/nothing/devices/d1",
		"/v1/products/p1/devices/never", "/v1/products/nothing/devices/d1/logs", "/v1/accounts/nobody/licenses",
		"/v1/products/nothing/lots",
	} {
		d.ask("GET", path, "").refuse(t, 404, "not_found")
	}
}

// TestBadAdministration: what an administrator gets wrong is refused with the field, and changes nothing.
func TestBadAdministration(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	whole := func() string {
		return d.state(
			"p1",
		) + string(
			d.must("GET", "/v1/accounts", "", nil).body,
		) + string(
			d.must("GET", "/v1/audit", "", nil).body,
		)
	}
	before := whole()
	for _, c := range []struct {
		call, body  string
		status      int
		code, field string
	}{
		{"POST /v1/accounts", ``, 400, "bad_request", ""},
		{"POST /v1/accounts", `{"account":"a"`, 400, "bad_request", ""},
		{"POST /v1/accounts", `["a"]`, 400, "bad_request", ""},
		{"POST /v1/accounts", "{\"account\":\"\xff\"}", 400, "bad_request", ""},
		{"POST /v1/accounts", `{"account":"a b","kind":"personal"}`, 400, "invalid_argument", "account"},
		{"POST /v1/accounts", `{"account":"a","kind":"rich"}`, 400, "invalid_argument", "kind"},
		{"POST /v1/accounts", `{"account":"a","kind":"personal","vip":1}`, 400, "unknown_field", "vip"},
		{"POST /v1/accounts", `{"account":"a","kind":"personal","region":"mars"}`, 422, "other_region", "region"},
		{"POST /v1/accounts", `{"account":"p1","kind":"personal"}`, 409, "already_exists", ""},
		{"POST /v1/products", `{"product":"p1","account":"p1"}`, 409, "already_exists", ""},
		{"POST /v1/products", `{"product":"p/2","account":"p1"}`, 400, "invalid_argument", "product"},
		{
			"POST /v1/products", `{"product":"p2","account":"p1","time_zone":"Mars/Olympus"}`, 400, "invalid_argument",
			"time_zone",
		},
		{
			"POST /v1/products", `{"product":"p2","account":"p1","plan":{"messages_per_day":0}}`, 400, "invalid_argument",
			"plan.messages_per_day",
		},
		{
			"POST /v1/products", `{"product":"p2","account":"p1","plan":{"validity":"5 years"}}`, 400, "invalid_argument",
			"plan.validity",
		},
		{
			"POST /v1/products", `{"product":"p2","account":"p1","plan":{"log_days":8}}`, 400, "invalid_argument",
			"plan.log_days",
		},
		{"POST /v1/products", `{"product":"p2","account":"p1","plan":{"speed":1}}`, 400, "unknown_field", "plan.speed"},
		{"POST /v1/products/p1/lots", `{"order":"PO-9","quantity":0}`, 400, "invalid_argument", "quantity"},
		{"POST /v1/products/p1/lots", `{"order":"PO-9","quantity":-1}`, 400, "invalid_argument", "quantity"},
		{"POST /v1/products/p1/lots", `{"order":"PO-9","quantity":1e10}`, 400, "invalid_argument", "quantity"},
		{"POST /v1/products/p1/lots", `{"order":"PO-9","quantity":1000000001}`, 400, "invalid_argument", "quantity"},
		{"POST /v1/products/p1/lots", `{"order":"PO 9","quantity":1}`, 400, "invalid_argument", "order"},
		{"POST /v1/products/p1/lots", `{"order":"PO-1","quantity":6}`, 409, "order_reused", "order"},
		{"POST /v1/products/p1/lots", `{"order":"PACK","quantity":5}`, 409, "order_reused", "order"},
		{
			"POST /v1/products/p1/lots", `{"order":"PO-9","quantity":1,"plan":{"messages_per_day":7}}`, 409, "plan_mismatch",
			"plan",
		},
		{"POST /v1/products/p1/topups", `{"order":"T","kind":"sms","units":1}`, 400, "invalid_argument", "kind"},
		{"POST /v1/products/p1/topups", `{"order":"PO-1","kind":"ota","units":5}`, 409, "order_reused", "order"},
		{"PUT /v1/products/p1/plan", `{"messages_per_day":99}`, 409, "plan_downgrade", "plan.messages_per_day"},
		{"GET /v1/products/p1/devices?limit=1001", "", 400, "invalid_argument", "limit"},
		{"GET /v1/products/p1/devices?cursor=!", "", 400, "invalid_argument", "cursor"},
		{"GET /v1/products/p1/devices/d1/logs?from=yesterday", "", 400, "invalid_argument", "from"},
	} {
		method, path, _ := strings.Cut(c.call, " ")
		a := d.ask(method, path, c.body)
		p := a.problem(t)
		if a.status != c.status || p.Code != c.code || p.Field != c.field {
			t.Errorf("%s %q: %d %s, want %d %s of field %q", c.call, c.body, a.status, a.body, c.status, c.code, c.field)
		}
	}
	if after := whole(); after != before {
		t.Errorf("a refused call changed something:\n%s\n%s", before, after)
	}
	d.ask("POST", "/v1/events", line("up", "p1", "d1"), "Meterd-Producer", "a b").refuse(t, 400, "invalid_argument")
	d.ask("POST", "/v1/producers/a%20b/offline", "").refuse(t, 400, "invalid_argument")
	if whole() != before {
		t.Error("a bad producer changed something")
	}
}

// speak sends raw bytes and returns the first line that comes back, "" if the connection is closed instead.
func (d *daemon) speak(raw string) string {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.run.address)
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		d.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		return ""
	}
	status, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(status)
}

// TestNotHTTP: what is no request is refused or closed, and counts nothing; a body that ends early is no batch.
func TestNotHTTP(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	before := d.state("p1")
	head := fmt.Sprintf(
		"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/x-ndjson\r\n",
		d.token,
	)
	body := line("up", "p1", "d1") + "\n"
	for name, c := range map[string]struct{ raw, status string }{
		"nonsense": {"hello\r\n\r\n", "HTTP/1.1 400"},
		"TLS":      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 400"},
		"a header of 20 KiB": {
			"GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 20<<10) + "\r\n\r\n", "HTTP/1.1 400",
		},
		"a negative length":   {head + "Content-Length: -5\r\n\r\n" + body, "HTTP/1.1 400"},
		"two lengths":         {head + "Content-Length: 5\r\nContent-Length: 7\r\n\r\n" + body, "HTTP/1.1 400"},
		"a chunk of nonsense": {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body + "\r\n0\r\n\r\n", "HTTP/1.1 400"},
	} {
		if got := d.speak(c.raw); !strings.HasPrefix(got, c.status) {
			t.Errorf("%s: %q, want %s", name, got, c.status)
		}
	}
	// The body is announced longer than it is, and the connection half closed.
	conn, err := net.Dial("tcp", d.run.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%sContent-Length: %d\r\n\r\n%s", head, 2*len(body), body)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	reply, _ := io.ReadAll(conn) // A reset is an answer too.
	if strings.HasPrefix(string(reply), "HTTP/1.1 200") {
		t.Errorf("half a body was taken: %s", reply)
	}
	if d.state("p1") != before {
		t.Error("something that is no request changed something")
	}
}
