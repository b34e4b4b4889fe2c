package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// call is one request whose token was found and allows it.
type call struct {
	*Handler
	ctx   *fasthttp.RequestCtx
	token *access.Token
	// catalogue is what held when the request came; names are looked up in it.
	catalogue *license.Catalogue
}

// guard has answer called for those whose token has the right, and answers the error it returns.
func (h *Handler) guard(right access.Right, answer func(*call) error) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		catalogue := h.engine.Catalogue()
		token := h.authorize(ctx, catalogue, right)
		if token == nil {
			return
		}
		c := &call{Handler: h, ctx: ctx, token: token, catalogue: catalogue}
		// What was read from a catalogue leaves when the catalogue is durable, a refusal too.
		if err := errors.Join(answer(c), h.engine.Durable()); err != nil {
			h.fail(ctx, err)
		}
	}
}

// sees reports whether the token may know of what belongs to account.
func (c *call) sees(account string) bool { return c.token.Account == "" || c.token.Account == account }

// path returns a parameter of the path. The router hands it out as it was sent, within memory of the request.
func (c *call) path(name string) string {
	raw, _ := c.ctx.UserValue(name).(string)
	text, err := url.PathUnescape(raw)
	if err != nil {
		return "" // The name of nothing.
	}
	return strings.Clone(text)
}

// account returns the account of the path.
func (c *call) account() (*license.Account, error) {
	name := c.path("account")
	a := c.catalogue.Account(name)
	if a == nil || !c.sees(name) {
		return nil, notFound("account", name)
	}
	return a, nil
}

// product returns the product of the path.
func (c *call) product() (*license.Product, error) {
	name := c.path("product")
	p := c.catalogue.Product([]byte(name))
	if p == nil || !c.sees(p.Account) {
		return nil, notFound("product", name)
	}
	return p, nil
}

// device returns the device's name of the path; nobody need have heard of it.
func (c *call) device() ([]byte, error) {
	name := []byte(c.path("device"))
	if !event.ValidName(name) {
		return nil, invalid("device", "must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -")
	}
	return name, nil
}

// answer sends v as JSON.
func (c *call) answer(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	c.ctx.SetStatusCode(status)
	c.ctx.SetContentType("application/json")
	c.ctx.SetBody(body)
	return nil
}

// answerList sends a list that is whole.
func (c *call) answerList(name string, list any) error {
	return c.answerMembers(name, list, nil)
}

// answerPage sends a page of a list; next is the cursor to go on at, nil at the end.
func (c *call) answerPage(name string, list any, next *string) error {
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("encode a cursor: %w", err)
	}
	return c.answerMembers(name, list, text)
}

func (c *call) answerMembers(name string, list any, next []byte) error {
	body, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	body = append([]byte(`{"`+name+`":`), body...)
	if next != nil {
		body = append(append(body, `,"next":`...), next...)
	}
	c.ctx.SetContentType("application/json")
	c.ctx.SetBody(append(body, '}'))
	return nil
}

// administer makes one change in the token's name. What is looked up afterwards is looked up in a catalogue that has
// it.
func (c *call) administer(change shard.ChangeFunc) error {
	if err := c.engine.Administer(c.token.Name, c.token, change); err != nil {
		return err
	}
	c.catalogue = c.engine.Catalogue()
	return nil
}
