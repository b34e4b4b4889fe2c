package api

import (
	"crypto/sha256"
	"encoding/json"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
)

type tokenAnswer struct {
	Token     string      `json:"token,omitempty"` // the secret: in the answer to its creation, never again
	Name      string      `json:"name"`
	Role      access.Role `json:"role"`
	Account   *string     `json:"account"` // null: all
	CreatedAt instant     `json:"created_at"`
	ExpiresAt *instant    `json:"expires_at"` // null: never
}

func showToken(t *access.Token) tokenAnswer {
	return tokenAnswer{
		Name:      t.Name,
		Role:      t.Role,
		Account:   maybe(t.Account),
		CreatedAt: instant(t.CreatedAtMs),
		ExpiresAt: maybe(instant(t.ExpiresAtMs)),
	}
}

// createToken answers POST /v1/tokens.
func (c *call) createToken() error {
	var t access.Token
	var role string
	var expiresIn calendar.Period
	err := c.read(fields{
		"name": text(&t.Name), "role": text(&role), "account": boundTo(&t.Account), "expires_in": period(&expiresIn),
	})
	if err != nil {
		return err
	}
	if c.isCellZeros(t.Account) {
		return errOfCellZero("token", t.Name)
	}
	secret := access.NewSecret()
	t.Role, t.Hash = access.Role(role), sha256.Sum256([]byte(secret))
	var answer tokenAnswer
	create := func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		if expiresIn != (calendar.Period{}) {
			t.ExpiresAtMs = by.After(expiresIn)
		}
		next, ch, err := cat.CreateToken(by, t)
		if err == nil {
			answer = showToken(next.Token(t.Name))
		}
		return next, ch, err
	}
	if err := c.give(license.NameToken, t.Name, create); err != nil {
		return err
	}
	answer.Token = secret
	c.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	return c.answer(fasthttp.StatusCreated, answer)
}

// boundTo reads the account that a token is bound to. A name that is there and empty is a mistake: it would make a
// token that sees all.
func boundTo(to *string) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		if err := text(to)(raw); err != nil {
			return err
		}
		if !event.ValidName([]byte(*to)) {
			return invalid("account", "must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -")
		}
		return nil
	}
}

// period reads an ISO 8601 period.
func period(to *calendar.Period) func(json.RawMessage) error {
	return func(raw json.RawMessage) (err error) {
		var value string
		if err = text(&value)(raw); err == nil {
			*to, err = calendar.ParsePeriod(value)
		}
		return err
	}
}

// listTokens answers GET /v1/tokens, in the order of names. Neither secrets nor their hashes are shown.
func (c *call) listTokens() error {
	limit, err := c.limit(pageDefault)
	if err != nil {
		return err
	}
	cursor, err := c.cursorName()
	if err != nil {
		return err
	}
	page, next := pageAfter(c.catalogue.Tokens(), cursor, limit, func(t *access.Token) string { return t.Name })
	list := make([]tokenAnswer, len(page))
	for i, t := range page {
		list[i] = showToken(t)
	}
	return c.answerPage("tokens", list, next)
}

// deleteToken answers DELETE /v1/tokens/{name}: requests with the token are answered 401 from then on.
func (c *call) deleteToken() error {
	name := c.path("name")
	err := c.take(license.NameToken, name,
		func(cat *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			if t := cat.Token(name); t != nil && c.isCellZeros(t.Account) {
				return nil, nil, errOfCellZero("token", name)
			}
			return cat.DeleteToken(by, name)
		})
	if err != nil {
		return err
	}
	c.ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}
