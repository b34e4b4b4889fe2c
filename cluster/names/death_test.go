package names

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/cluster/call"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// resumed has cell 0's owner settle everything that is open, as it does after a while.
func (c *cluster) resumed() {
	c.Helper()
	h := newInHand()
	c.cells[0].owner.settleOpen(c.Context(), h, math.MaxInt64)
	h.work.Wait()
	if open := c.cells[0].engine.Load().Catalogue().OpenNames(); len(open) != 0 {
		c.Fatalf("%+v are open after all was settled", open)
	}
}

// A cell without an owner holds up no other: what is left open in others is settled meanwhile.
func TestResumeBesideADeadCell(t *testing.T) {
	c := newCluster(t)
	zero, dead := c.cells[0], c.cells[1]
	must(t, dead.owner.Close())
	open := func(cell, n int) {
		t.Helper()
		for i := range n {
			_, err := zero.owner.reserve(reservation{nameMessage{license.NameProduct, fmt.Sprintf("p-%d-%d", cell, i)}, cell})
			must(t, err)
		}
	}
	isOpen := func(cell int) bool {
		list := zero.engine.Load().Catalogue().OpenNames()
		return slices.ContainsFunc(list, func(g *license.Given) bool { return g.Cell == cell })
	}
	ctx, cancel := context.WithCancel(t.Context())
	h := newInHand()
	open(1, resumedAtOnce)
	zero.owner.settleOpen(ctx, h, math.MaxInt64)
	open(2, 1)
	zero.owner.settleOpen(ctx, h, math.MaxInt64)
	for isOpen(2) && ctx.Err() == nil {
		runtime.Gosched()
	}
	if !isOpen(1) {
		t.Error("names of a cell that did not say whether it has them are settled")
	}
	cancel()
	h.work.Wait()
	dead.own()
	c.resumed()
}

// act is one call that gives or takes a name of cell 1's account a-1.
type act struct {
	kind               license.NameKind
	method, path, body string
	deletes            bool
}

func acts(name string) []act {
	const hook = `{"url":"https://h","events":["device.quota_80"],"account":"a-1"}`
	return []act{
		{license.NameProduct, "POST", "/v1/products", fmt.Sprintf(`{"product":%q,"account":"a-1"}`, name), false},
		{license.NameToken, "POST", "/v1/tokens", fmt.Sprintf(`{"name":%q,"role":"viewer","account":"a-1"}`, name), false},
		{license.NameToken, "DELETE", "/v1/tokens/" + name, "", true},
		{license.NameHook, "PUT", "/v1/webhooks/" + name, hook, false},
		{license.NameHook, "DELETE", "/v1/webhooks/" + name, "", true},
	}
}

// The node that gives a name dies at each step, before or behind it; then cell 0 or the other cell is recovered, and
// cell 0's owner resumes. The name is neither lost nor given twice: the object is there and its name is taken, or it is
// not and its name is free, and what is still on its way changes nothing.
func TestDeathBetweenRecords(t *testing.T) {
	c := newCluster(t)
	c.account("a-0")
	c.account("a-1")
	c.account("a-2")
	n, died := 0, 0
	for which := range acts("") {
		for step := 0; ; step++ {
			lived := true
			for _, after := range []bool{false, true} {
				n++
				a := acts(fmt.Sprintf("x-%d", n))[which]
				if a.deletes { // What the act before it has made.
					made := acts(fmt.Sprintf("x-%d", n))[which-1]
					c.want(c.admin(made.method, made.path, made.body), 201, "")
				}
				c.bus.arm(step, after)
				c.within = 100 * time.Millisecond // What is dead asks in vain.
				got := c.admin(a.method, a.path, a.body)
				isDead := c.bus.isDead
				c.bus.heal()
				c.within = within
				lived = lived && !isDead
				c.cells[n%2].restart()
				c.resumed()
				c.isWhole(a, fmt.Sprintf("x-%d", n), got, step, after)
				died++
			}
			if lived {
				break
			}
		}
	}
	if died < 40 {
		t.Fatalf("only %d deaths", died)
	}
}

// isWhole fails unless a name and what has it agree.
func (c *cluster) isWhole(a act, name string, got answer, step int, after bool) {
	c.Helper()
	holders, given := c.holders(a.kind, name), c.cells[0].engine.Load().Catalogue().Given(a.kind, name)
	fail := func(why string) {
		c.Helper()
		c.Fatalf("%s %s, dead at step %d, behind it %t: %s: answered %d, in cells %v, given %+v",
			a.method, a.path, step, after, why, got.status, holders, given)
	}
	isThere := len(holders) == 1 && holders[0] == 1
	switch {
	case len(holders) > 0 && !isThere:
		fail("it is where it does not belong")
	case isThere != (given != nil):
		fail("its cell and cell 0 do not agree")
	case given != nil && given.Cell != 1:
		fail("it is given to another cell")
	case got.status/100 == 2 && isThere == a.deletes:
		fail("the answer was not true")
	case got.status == 503 && isThere != a.deletes:
		fail("the refusal was not true")
	}
	made := act{}
	for _, one := range acts(name) {
		if one.kind == a.kind && !one.deletes {
			made = one
		}
	}
	again := c.admin(made.method, made.path, made.body)
	want := 201
	switch {
	case isThere && a.kind == license.NameHook:
		want = 200 // It is changed.
	case isThere:
		want = 409
	}
	if again.status != want {
		fail(fmt.Sprintf("another one is answered %d %s", again.status, again.body))
	}
	if a.kind == license.NameHook {
		c.want(c.admin("DELETE", "/v1/webhooks/"+name, ""), 204, "")
	}
	if a.kind == license.NameProduct && isThere {
		c.want(c.admin("POST", "/v1/products", fmt.Sprintf(`{"product":%q,"account":"a-2"}`, name)), 409, "already_exists")
	}
}

// A request that comes after its reservation was settled changes nothing, although its name is free or somebody else's.
func TestLateRequests(t *testing.T) {
	for _, taken := range []bool{false, true} {
		c := newCluster(t)
		c.account("a-0")
		c.account("a-1")
		c.account("a-2")
		c.bus.lose = true
		c.want(c.admin("POST", "/v1/products", `{"product":"p","account":"a-1"}`), 503, "overloaded")
		c.bus.lose = false
		if c.cells[0].engine.Load().Catalogue().Given(license.NameProduct, "p") != nil {
			t.Fatal("the name is not free")
		}
		want := []int(nil)
		if taken {
			c.want(c.admin("POST", "/v1/products", `{"product":"p","account":"a-2"}`), 201, "")
			want = []int{2}
		}
		c.cells[1].restart()
		if status := c.bus.held(); status != fasthttp.StatusServiceUnavailable {
			t.Fatalf("what came late was answered %d", status)
		}
		if got := c.holders(license.NameProduct, "p"); !slices.Equal(got, want) {
			t.Fatalf("it is in cells %v", got)
		}
	}
}

// What cell 0 has done, and another cell cannot take over now, is not answered: a refusal would deny it.
func TestDoneBesideABusyCell(t *testing.T) {
	c := newCluster(t)
	one := c.cells[1]
	must(t, one.owner.Close())
	busy, err := call.Serve(c.client, 1, map[string]call.Method{methodMirrored: func(json.RawMessage) (any, error) {
		return nil, &event.Problem{Code: event.Overloaded, Detail: "too many calls at once; send it again"}
	}}, slog.New(slog.DiscardHandler))
	must(t, err)
	c.want(c.admin("POST", "/v1/tokens", `{"name":"all","role":"viewer"}`), 0, "")
	c.want(c.admin("DELETE", "/v1/tokens/all", ""), 0, "")
	c.want(c.admin("DELETE", "/v1/tokens/all", ""), 503, "overloaded") // It is not there, and a cell may still know it.
	must(t, busy.Close())
	one.own()
	c.want(c.admin("DELETE", "/v1/tokens/all", ""), 404, "not_found")
}

// A cell whose new owner's copy of cell 0 is old does not take back what was deleted since.
func TestOldTruth(t *testing.T) {
	c := newCluster(t)
	secret := c.token(`{"name":"all","role":"gateway"}`)
	old := c.cells[0].engine.Load().Catalogue()
	c.want(c.admin("DELETE", "/v1/tokens/all", ""), 204, "")
	one := c.cells[1]
	must(t, one.owner.Close())
	var err error
	one.owner, err = Own(OwnerOptions{
		Cell: 1, Engine: one.engine.Load(), Client: c.client, Logger: slog.New(slog.DiscardHandler),
		Truth: func() (*license.Catalogue, func() error) { return old, func() error { return nil } },
	})
	must(t, err)
	must(t, one.owner.takeOver())
	if one.engine.Load().Catalogue().Authenticate([]byte(secret), 0) != nil {
		t.Fatal("the token is back")
	}
	if done, err := one.owner.mirrored(c.cells[0].engine.Load().Catalogue().Seq); err != nil || done != false {
		t.Fatal(done, err)
	}
}

// A cell of a cluster gives no names to clients that come past the nodes.
func TestPastTheNodes(t *testing.T) {
	c := newCluster(t)
	for _, one := range c.cells {
		ctx, conn := &fasthttp.RequestCtx{}, &clientConn{}
		ctx.Init2(conn, nil, true)
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetRequestURI("/v1/accounts")
		ctx.Request.Header.Set("Authorization", "Bearer "+c.secret)
		ctx.Request.Header.Set("Meterd-Reservation", "1000000")
		ctx.Request.SetBodyString(`{"account":"x","kind":"personal"}`)
		one.handler.Handle(ctx)
		if ctx.Response.StatusCode() != 403 {
			t.Fatalf("cell %d: %d %s", one.number, ctx.Response.StatusCode(), ctx.Response.Body())
		}
	}
}
