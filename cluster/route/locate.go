package route

import (
	"context"
	"crypto/sha256"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// atOwn has the cell of the request's token answer, if the token is bound to an account. It returns false, and has done
// nothing, for a token that sees all cells.
func (r *Router) atOwn(ctx *fasthttp.RequestCtx) bool {
	cell, ok, problem := r.boundTo(ctx)
	switch {
	case problem != nil:
		r.refuse(ctx, problem)
		return true
	case ok:
		r.forward(ctx, cell)
	}
	return ok
}

// boundTo returns the cell of the account that the request's token is bound to; ok is false if it is bound to none, or
// the request has none, which any cell refuses.
//
// A token that no copy here has may have been made a moment ago, through another node. Whoever uses it waits as one
// with a wrong token would; then the owners are asked.
func (r *Router) boundTo(ctx *fasthttp.RequestCtx) (cell int, ok bool, problem *event.Problem) {
	secret := access.Secret(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if secret == nil {
		return 0, false, nil
	}
	hash := sha256.Sum256(secret)
	cell, token := r.tokenOf(hash)
	if token == nil {
		if !r.penalties.Hold(ctx.RemoteIP(), time.Now().UnixMilli(), ctx.Done()) {
			ctx.SetConnectionClose()
			return 0, false, overloaded("too many requests have tokens that this node does not know; send it again")
		}
		if cell, token = r.tokenOf(hash); token == nil {
			return r.askWhose(ctx, hash)
		}
	}
	return cell, token.Account != "", nil
}

// askWhose asks the owners of all cells.
func (r *Router) askWhose(ctx *fasthttp.RequestCtx, hash [sha256.Size]byte) (int, bool, *event.Problem) {
	begun, until := r.until(ctx)
	defer hasWaited(ctx, begun)
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	cell, is, err := r.whose.ask(limited, hash)
	switch {
	case err != nil:
		r.logger.Debug("nobody knows whose a token is", "error", err)
		return 0, false, overloaded("a cell that may have the token has no owner that answers now; send it again")
	case cell < 0:
		return 0, false, nobodys()
	}
	return cell, is.Account != "", nil
}

// nobodys is what a wrong token is answered, and none.
func nobodys() *event.Problem {
	_, problem := access.Authorize(license.New("", 0), nil, access.RightSelf, 0)
	return problem
}

// lacksToken says why a request with a token of all cells cannot be answered by Gateways: they look tokens up in the
// copy of cell 0 alone, which may be behind the copies of other cells and behind the owners.
func (r *Router) lacksToken(ctx *fasthttp.RequestCtx) *event.Problem {
	secret := access.Secret(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if secret == nil {
		return nil // Gateways say so.
	}
	if r.o.Catalogues(0).AuthenticateHash(sha256.Sum256(secret), time.Now().UnixMilli()) != nil {
		return nil
	}
	return r.Unknown(ctx)
}

// Unknown says what a request is to be answered whose token no copy here has, or that of cell 0 has not: it is wrong,
// or was deleted, or the copies are behind the owners. Whoever asks has held the answer back as for a wrong token.
func (r *Router) Unknown(ctx *fasthttp.RequestCtx) *event.Problem {
	secret := access.Secret(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization))
	if secret == nil {
		return nobodys()
	}
	if _, _, problem := r.askWhose(ctx, sha256.Sum256(secret)); problem != nil {
		return problem
	}
	return overloaded("this node's copies of cells do not have this token yet; send it again")
}

// tokenOf looks a token up in this node's copies.
func (r *Router) tokenOf(hash [sha256.Size]byte) (cell int, token *access.Token) {
	nowMs := time.Now().UnixMilli()
	for cell := range r.o.Cells {
		if c := r.o.Catalogues(cell); c != nil {
			if token := c.AuthenticateHash(hash, nowMs); token != nil {
				return cell, token
			}
		}
	}
	return 0, nil
}

// cellOf returns the cell that has an account or a product, 0 if none has. What is in a copy here is true for ever;
// that it is in none is asked of the owner of cell 0.
func (r *Router) cellOf(ctx *fasthttp.RequestCtx, kind license.NameKind, name string) (int, *event.Problem) {
	if !event.ValidName([]byte(name)) {
		return 0, nil
	}
	for cell := range r.o.Cells {
		c := r.o.Catalogues(cell)
		if c == nil {
			continue
		}
		if kind == license.NameAccount && c.Account(name) != nil ||
			kind == license.NameProduct && c.Product([]byte(name)) != nil {
			return cell, nil
		}
	}
	begun, until := r.until(ctx)
	defer hasWaited(ctx, begun)
	limited, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	cell, found, err := r.o.Names.Find(limited, kind, name)
	if err != nil {
		r.logger.Debug("a name was not found out", "kind", kind.String(), "name", name, "error", err)
		return 0, overloaded("the owner of cell 0, which knows all names, cannot be reached; send it again")
	}
	if !found {
		return 0, nil
	}
	return cell, nil
}

// pathName returns a parameter of the path. The table hands it out as it was sent.
func pathName(ctx *fasthttp.RequestCtx, name string) string {
	raw, _ := ctx.UserValue(name).(string)
	text, err := url.PathUnescape(raw)
	if err != nil {
		return "" // The name of nothing.
	}
	return strings.Clone(text)
}
