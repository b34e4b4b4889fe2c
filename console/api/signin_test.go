package api

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/shard"
)

// newCode asks for a code to sign in with, in the name of a token.
func (d *daemon) newCode(token string) string {
	d.t.Helper()
	ctx, _ := d.ask(request{token: token, method: "POST", uri: "/v1/sign-in/codes"})
	if ctx.Response.StatusCode() != 201 {
		d.t.Fatalf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
	}
	var answer signInCodeAnswer
	unmarshal(d.t, ctx.Response.Body(), &answer)
	return answer.Code
}

// signIn signs in with a code. The secret of the token is kept as "console", if there is one.
func (d *daemon) signIn(code string) (status int, body string) {
	d.t.Helper()
	ctx, _ := d.ask(request{method: "POST", uri: "/v1/sign-in", body: fmt.Sprintf(`{"code":%q}`, code)})
	if ctx.Response.StatusCode() == 200 {
		var answer signInAnswer
		unmarshal(d.t, ctx.Response.Body(), &answer)
		d.tokens["console"] = answer.Token
	}
	return ctx.Response.StatusCode(), string(ctx.Response.Body())
}

// whoami returns what a token is.
func (d *daemon) whoami(token string) (answer struct{ Token, Role, Account string }) {
	d.t.Helper()
	ctx, _ := d.ask(request{token: token, method: "GET", uri: "/v1/whoami"})
	unmarshal(d.t, ctx.Response.Body(), &answer)
	return answer
}

// A code makes one token, of an administrator, for half a day; the audit log names who asked for the code.
func TestSignIn(t *testing.T) {
	d := newDaemon(t, nil)
	code := d.newCode("admin")
	if status, body := d.signIn(code); status != 200 || !strings.Contains(body, `"expires_in":"PT12H"`) {
		t.Fatalf("%d %s", status, body)
	}
	me := d.whoami("console")
	if !strings.HasPrefix(me.Token, "console-") || me.Role != "admin" || me.Account != "" {
		t.Errorf("signed in as %+v", me)
	}
	audit := string(d.expect(200, "GET", "/v1/audit?limit=1", ""))
	if !strings.Contains(audit, `"token":"admin","action":"token.create","target":"`+me.Token+`"`) {
		t.Error(audit)
	}
	if status, body := d.signIn(code); status != 401 || len(d.held.take()) != 1 {
		t.Errorf("the second time: %d %s", status, body)
	}
	d.clock.pass(12*time.Hour-time.Millisecond, false)
	d.whoami("console")
	d.clock.pass(time.Millisecond, false)
	ctx, _ := d.ask(request{token: "console", method: "GET", uri: "/v1/whoami"})
	if ctx.Response.StatusCode() != 401 {
		t.Errorf("after half a day: %d", ctx.Response.StatusCode())
	}
	d.held.take()
	// The next one takes what has expired away.
	d.signIn(d.newCode("admin"))
	list := string(d.expect(200, "GET", "/v1/tokens", ""))
	if strings.Contains(list, me.Token) || strings.Count(list, `"console-`) != 1 {
		t.Error(list)
	}
}

// What is no code, or no longer one, opens nothing.
func TestSignInIsRefused(t *testing.T) {
	d := newDaemon(t, nil)
	old := d.newCode("admin")
	d.clock.pass(15*time.Minute, false)
	d.addToken("boss", access.RoleAdmin, "")
	orphan := d.newCode("boss")
	d.expect(204, "DELETE", "/v1/tokens/boss", "")
	for _, code := range []string{"", "x", old, orphan} {
		if status, body := d.signIn(code); status != 401 {
			t.Errorf("%q: %d %s", code, status, body)
		}
	}
	for body, want := range map[string]string{
		`{"code":7}`: "400 invalid_argument", `{}`: "401 unauthorized", ``: "400 bad_request",
		`{"code":"x","more":1}`: "400 unknown_field", `{"code":"` + strings.Repeat("x", 2000) + `"}`: "413 body_too_large",
	} {
		ctx, _ := d.ask(request{method: "POST", uri: "/v1/sign-in", body: body})
		var p struct{ Code string }
		unmarshal(t, ctx.Response.Body(), &p)
		if got := fmt.Sprint(ctx.Response.StatusCode(), " ", p.Code); got != want {
			t.Errorf("%.40s: %s, want %s", body, got, want)
		}
	}
}

// fullDisk is an engine that refuses every change while it is full.
type fullDisk struct {
	Engine
	isFull bool
}

func (f *fullDisk) Administer(name string, token *access.Token, fn shard.ChangeFunc) error {
	if f.isFull {
		return shard.ErrDiskFull
	}
	return f.Engine.Administer(name, token, fn)
}

// A code that the daemon could not make a token for is as good as before, and for as long.
func TestSignInIsTriedAgain(t *testing.T) {
	full := &fullDisk{}
	d := newDaemon(t, func(o *Options) {
		full.Engine = o.Engine
		o.Engine = full
	})
	code, late := d.newCode("admin"), d.newCode("admin")
	full.isFull = true
	for _, c := range []string{code, late} {
		if status, body := d.signIn(c); status != 503 {
			t.Errorf("while the disk is full: %d %s", status, body)
		}
	}
	full.isFull = false
	if status, body := d.signIn(code); status != 200 {
		t.Errorf("afterwards: %d %s", status, body)
	}
	d.clock.pass(signInCodeFor, false)
	for _, c := range []string{code, late} {
		if status, body := d.signIn(c); status != 401 {
			t.Errorf("used, or too late: %d %s", status, body)
		}
	}
}

// A sign-in takes away what former ones have made, and no token that a person named like them.
func TestSignInKeepsTokensOfPeople(t *testing.T) {
	d := newDaemon(t, nil)
	d.signIn(d.newCode("admin"))
	former := d.whoami("console").Token
	for _, body := range []string{
		`{"name":"console-wall","role":"admin","expires_in":"PT1M"}`,
		`{"name":"console-abcdefghijklmnopqrstuvwxyz","role":"viewer","expires_in":"PT1M"}`,
	} {
		d.expect(201, "POST", "/v1/tokens", body)
	}
	d.clock.pass(12*time.Hour, false)
	d.signIn(d.newCode("admin"))
	list := string(d.expect(200, "GET", "/v1/tokens", ""))
	if strings.Contains(list, former) || strings.Count(list, `"console-`) != 3 {
		t.Error(list)
	}
}

// Codes that nobody uses take a bounded place, and give it back when their time is over.
func TestSignInCodesAreBounded(t *testing.T) {
	d := newDaemon(t, nil)
	for range signInCodesATokenMax {
		d.newCode("admin")
	}
	ctx, _ := d.ask(request{token: "admin", method: "POST", uri: "/v1/sign-in/codes"})
	if ctx.Response.StatusCode() != 503 {
		t.Errorf("one more code: %d", ctx.Response.StatusCode())
	}
	d.addToken("boss", access.RoleAdmin, "")
	d.newCode("boss")
	d.clock.pass(signInCodeFor, false)
	d.newCode("admin")
	if n := len(d.handler.signIns.issued); n != 1 {
		t.Errorf("%d codes wait", n)
	}
}

// A daemon invites by itself, and keeps no code as it was given out.
func TestInviteAdmin(t *testing.T) {
	d := newDaemon(t, nil)
	code, err := d.handler.InviteAdmin("demo")
	must(t, err)
	if d.handler.signIns.issued[0].hash != sha256.Sum256([]byte(code)) {
		t.Error("the code is not kept as its hash")
	}
	if status, body := d.signIn(code); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	if audit := string(d.expect(200, "GET", "/v1/audit?limit=1", "")); !strings.Contains(audit, `"token":"demo"`) {
		t.Error(audit)
	}
}
