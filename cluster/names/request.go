package names

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
)

// Route returns what answers a call that gives or takes names, nil for any other call. The request's body must be in
// memory, so that it can be sent twice.
func (d *Directory) Route(method, path []byte) func(*fasthttp.RequestCtx) {
	tokens, isToken := strings.CutPrefix(string(path), "/v1/tokens/")
	hooks, isHook := strings.CutPrefix(string(path), "/v1/webhooks/")
	isOne := (isToken && !strings.Contains(tokens, "/")) || (isHook && !strings.Contains(hooks, "/"))
	var answer func(context.Context, *fasthttp.RequestCtx) error
	switch verb := string(method); {
	case verb == fasthttp.MethodPost && string(path) == "/v1/accounts":
		answer = d.createAccount
	case verb == fasthttp.MethodPost && string(path) == "/v1/products":
		answer = d.createProduct
	case verb == fasthttp.MethodPost && string(path) == "/v1/tokens":
		answer = d.createToken
	case verb == fasthttp.MethodPost && string(path) == "/v1/sign-in":
		answer = d.atCellZero
	case isOne && isToken && verb == fasthttp.MethodDelete:
		answer = func(ctx context.Context, c *fasthttp.RequestCtx) error {
			return d.named(ctx, c, license.NameToken, tokens)
		}
	case isOne && isHook && (verb == fasthttp.MethodPut || verb == fasthttp.MethodDelete):
		answer = func(ctx context.Context, c *fasthttp.RequestCtx) error {
			return d.named(ctx, c, license.NameHook, hooks)
		}
	default:
		return nil
	}
	return func(ctx *fasthttp.RequestCtx) { d.handle(ctx, answer) }
}

// handle answers a request. When nobody knows what has become of it, its connection is closed without an answer.
func (d *Directory) handle(ctx *fasthttp.RequestCtx, answer func(context.Context, *fasthttp.RequestCtx) error) {
	limited, cancel := context.WithTimeout(context.Background(), d.within)
	defer cancel()
	err := d.answer(limited, ctx, answer)
	var p *event.Problem
	switch {
	case err == nil:
		return
	case errors.As(err, &p):
	case errors.Is(err, ErrUnsent):
		p = &event.Problem{Code: event.Overloaded, Detail: "the cell that this concerns has no owner just now; send it again"}
	default:
		d.o.Logger.Warn("a request that concerns several cells is not answered", "method", string(ctx.Method()),
			"path", string(ctx.Path()), "error", err)
		ctx.Response.Reset()
		ctx.SetConnectionClose()
		_ = ctx.Conn().Close() // No answer may leave; what it fails with says nothing.
		return
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(p.Code.Status())
	ctx.SetContentType("application/problem+json")
	if p.Code.Status() == fasthttp.StatusServiceUnavailable {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, event.RetryAfter())
	}
	ctx.SetBody(wire.AppendProblem(nil, p))
}

// answer answers a request, again if its token was made so shortly before that no copy here had it.
func (d *Directory) answer(
	limited context.Context, ctx *fasthttp.RequestCtx, fn func(context.Context, *fasthttp.RequestCtx) error,
) error {
	before, _ := d.caller(ctx)
	if err := fn(limited, ctx); err != nil || ctx.Response.StatusCode() != fasthttp.StatusUnauthorized {
		return err
	}
	if now, _ := d.caller(ctx); now == before {
		return nil
	}
	ctx.Response.Reset()
	return fn(limited, ctx)
}

// accountOf returns the account that a body names, "" for none, and for a body that the cell will refuse.
func accountOf(ctx *fasthttp.RequestCtx) string {
	var body struct {
		Account string `json:"account"`
	}
	if json.Unmarshal(ctx.Request.Body(), &body) != nil || !event.ValidName([]byte(body.Account)) {
		return ""
	}
	return body.Account
}

// caller returns the account that the request's token is bound to and its cell, "" if it is bound to none or unknown
// here: the cell that is asked decides what it may.
func (d *Directory) caller(ctx *fasthttp.RequestCtx) (account string, cell int) {
	secret := access.Secret(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if secret == nil {
		return "", 0
	}
	nowMs := time.Now().UnixMilli()
	for cell := range d.o.Cells {
		c := d.o.Catalogue(cell)
		if c == nil {
			continue
		}
		if t := c.Authenticate(secret, nowMs); t != nil && t.Account != "" {
			return t.Account, cell
		}
	}
	return "", 0
}

func (d *Directory) createAccount(ctx context.Context, c *fasthttp.RequestCtx) error {
	if account, own := d.caller(c); account != "" {
		return d.change(ctx, c, own) // It may create none, which its own cell says.
	}
	return d.change(ctx, c, d.emptiest(ctx))
}

func (d *Directory) createProduct(ctx context.Context, c *fasthttp.RequestCtx) error {
	cell, err := d.cellOfBody(ctx, c)
	if err != nil {
		return err
	}
	return d.change(ctx, c, cell)
}

// cellOfBody returns the cell of the account that a body names, or of the one that the token is bound to.
func (d *Directory) cellOfBody(ctx context.Context, c *fasthttp.RequestCtx) (int, error) {
	if account, cell := d.caller(c); account != "" {
		return cell, nil
	}
	if account := accountOf(c); account != "" {
		return d.cellOf(ctx, account)
	}
	return 0, nil
}

func (d *Directory) createToken(ctx context.Context, c *fasthttp.RequestCtx) error {
	cell, err := d.cellOfBody(ctx, c)
	if err != nil {
		return err
	}
	if cell == 0 {
		return d.atCellZero(ctx, c)
	}
	return d.change(ctx, c, cell)
}

// named answers a call whose path names a token or a webhook.
func (d *Directory) named(ctx context.Context, c *fasthttp.RequestCtx, kind license.NameKind, name string) error {
	cell, found, err := d.Find(ctx, kind, name)
	if err != nil {
		return err
	}
	if !found || d.isForeign(c, cell) {
		if cell, err = d.cellOfBody(ctx, c); err != nil {
			return err
		}
	}
	if cell == 0 {
		return d.atCellZero(ctx, c)
	}
	return d.change(ctx, c, cell)
}

// isForeign reports whether a request's token is known in another cell alone, which answers it as if the name were
// nobody's.
func (d *Directory) isForeign(c *fasthttp.RequestCtx, cell int) bool {
	account, own := d.caller(c)
	return account != "" && own != cell
}

// atCellZero has cell 0 answer, and waits until all cells know what that has changed for them.
func (d *Directory) atCellZero(ctx context.Context, c *fasthttp.RequestCtx) error {
	if err := d.change(ctx, c, 0); err != nil {
		return err
	}
	switch c.Response.StatusCode() {
	case fasthttp.StatusBadRequest, fasthttp.StatusUnauthorized, fasthttp.StatusForbidden:
		return nil // Whoever sent it again has changed nothing either.
	}
	err := d.awaitMirrors(ctx)
	if err != nil && c.Response.StatusCode()/100 == 2 {
		return errors.New("cell 0 has done it, and not all cells know: " + err.Error()) // No problem: those deny it.
	}
	return err
}

// asked is what a cell asks to be reserved.
type asked struct {
	nameMessage
	deletes bool
}

// askedFor reads what a cell asks to be reserved, if it does.
func askedFor(r *fasthttp.Response) (a asked, is bool, err error) {
	if r.StatusCode() != fasthttp.StatusPreconditionRequired {
		return a, false, nil
	}
	text := string(r.Header.Peek(access.HeaderName))
	fields := strings.Split(text, " ")
	if len(fields) == 3 {
		var known bool
		a.Kind, known = license.NameKindOf(fields[1])
		a.Name, a.deletes = fields[2], fields[0] == verbDelete
		if known && (a.deletes || fields[0] == verbCreate) && event.ValidName([]byte(a.Name)) {
			return a, true, nil
		}
	}
	return a, false, fmt.Errorf("a cell asks to reserve %q, which this program does not know", text)
}

const (
	verbCreate = "create"
	verbDelete = "delete"
)
