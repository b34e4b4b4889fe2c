package api

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// signInAnswer is a fresh token of an administrator.
type signInAnswer struct {
	Token     string `json:"token"`
	ExpiresIn string `json:"expires_in"`
}

type signInCodeAnswer struct {
	Code      string `json:"code"`
	ExpiresIn string `json:"expires_in"`
}

// invitation is what a code for signing in stands for: in whose name the token is made.
type invitation struct {
	name  string
	token *access.Token // nil: of the daemon itself
}

// InviteAdmin returns a code that POST /v1/sign-in takes once, within 15 minutes. name is whom the audit log names.
func (h *Handler) InviteAdmin(name string) (code string, err error) {
	return h.invite(invitation{name: name})
}

func (h *Handler) invite(i invitation) (string, error) {
	code, ok := h.signIns.issue(i.name, i, h.engine.NowMs())
	if !ok {
		return "", &event.Problem{
			Code: event.Overloaded, Detail: "too many codes for signing in wait to be used; use one, or ask later",
		}
	}
	return code, nil
}

// createSignInCode answers POST /v1/sign-in/codes: a code that somebody else's browser can sign in with.
func (c *call) createSignInCode() error {
	if err := c.readNothing(); err != nil {
		return err
	}
	code, err := c.invite(invitation{name: c.token.Name, token: c.token})
	if err != nil {
		return err
	}
	c.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	return c.answer(fasthttp.StatusCreated, signInCodeAnswer{Code: code, ExpiresIn: signInCodeExpiresIn})
}

// signIn answers POST /v1/sign-in, which needs no token but a code.
func (h *Handler) signIn(ctx *fasthttp.RequestCtx) {
	if err := errors.Join(h.redeemCode(ctx), h.engine.Durable()); err != nil {
		h.fail(ctx, err)
	}
}

func (h *Handler) redeemCode(ctx *fasthttp.RequestCtx) error {
	body, err := readBody(ctx, signInBytesMax)
	if err != nil {
		return err
	}
	var code string
	if err := decodeObject(body, fields{"code": text(&code)}); err != nil {
		return err
	}
	nowMs := h.engine.NowMs()
	inviter, giveBack, ok := h.signIns.redeem(code, nowMs)
	if !ok {
		return h.refuseCode(ctx, nowMs)
	}
	h.dropExpired(inviter, nowMs) // First, so that there is room for another one.
	secret := access.NewSecret()
	t := access.Token{
		Name: consolePrefix + strings.ToLower(rand.Text()), Role: access.RoleAdmin, Hash: sha256.Sum256([]byte(secret)),
	}
	err = h.engine.Administer(inviter.name, inviter.token,
		func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			t.ExpiresAtMs = by.AtMs + consoleTokenFor.Milliseconds()
			return cat.CreateToken(by, t)
		})
	if err != nil {
		if p := shard.ProblemOf(err); p != nil && p.Code.Status() == fasthttp.StatusServiceUnavailable {
			giveBack() // Nothing was made, and the client is told to send it again.
		}
		return fmt.Errorf("make a token for the console: %w", err)
	}
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	c := &call{Handler: h, ctx: ctx}
	return c.answer(fasthttp.StatusOK, signInAnswer{Token: secret, ExpiresIn: consoleTokenExpiresIn})
}

// refuseCode refuses what is no good code, late as a wrong token is.
func (h *Handler) refuseCode(ctx *fasthttp.RequestCtx, nowMs int64) error {
	if !h.penalties.Hold(h.origin(ctx), nowMs, ctx.Done()) {
		ctx.SetConnectionClose()
	}
	return &event.Problem{
		Code:  event.Unauthorized,
		Field: "code",
		Detail: "code: it was used, is older than 15 minutes, was made before meterd restarted or cell 0 changed its " +
			"owner, or never was one; `meterd ctl sign-in` makes another",
	}
}

// isOfSignIn reports whether a sign-in has made t: people may begin names with console-, too.
func isOfSignIn(t *access.Token) bool {
	return strings.HasPrefix(t.Name, consolePrefix) && len(t.Name) == consoleNameBytes && t.Role == access.RoleAdmin &&
		t.Account == ""
}

// dropExpired deletes tokens of former sign-ins that have expired, some at a time: nobody else would. When it cannot,
// the next sign-in tries it again.
func (h *Handler) dropExpired(inviter invitation, nowMs int64) {
	left := expiredTokensAtOnce
	for _, t := range h.engine.Catalogue().Tokens() {
		if left == 0 || !t.Expired(nowMs) || !isOfSignIn(t) {
			continue
		}
		left--
		err := h.engine.Administer(inviter.name, inviter.token,
			func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
				if cat.Token(t.Name) != t {
					return nil, nil, nil // Another sign-in was faster.
				}
				return cat.DeleteToken(by, t.Name)
			})
		if err != nil {
			h.logger.Warn("an expired token of a sign-in could not be deleted", "token", t.Name, "error", err)
			return
		}
	}
}
