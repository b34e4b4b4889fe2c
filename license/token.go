package license

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

// Authenticate returns the token whose secret this is, nil if there is none or it has expired at nowMs. What is
// compared is a hash of a random secret, so that the time it takes tells nothing; the last comparison is constant all
// the same.
func (c *Catalogue) Authenticate(secret []byte, nowMs int64) *access.Token {
	return c.AuthenticateHash(sha256.Sum256(secret), nowMs)
}

// AuthenticateHash is Authenticate for the SHA-256 of a secret, which is looked up in several catalogues.
func (c *Catalogue) AuthenticateHash(hash [sha256.Size]byte, nowMs int64) *access.Token {
	t, _ := c.tokensByHash.Get(hash[:])
	if t == nil || subtle.ConstantTimeCompare(t.Hash[:], hash[:]) != 1 || t.Expired(nowMs) {
		return nil
	}
	return t
}

// Honors reports whether a token that was authenticated before is still good: neither deleted nor expired at nowMs. A
// caller that goes on answering for longer than a moment asks again. So does the engine for every batch. It does not
// allocate.
func (c *Catalogue) Honors(t *access.Token, nowMs int64) bool {
	held, found := c.tokensByHash.Get(t.Hash[:])
	return found && !held.Expired(nowMs)
}

// administers reports whether everything can be administered with a token.
func administers(t *access.Token, nowMs int64) bool {
	return t.Allows(access.RightAdminister) && !t.Expired(nowMs)
}

// Token returns the token called name, nil if there is none.
func (c *Catalogue) Token(name string) *access.Token {
	t, _ := c.tokens.Get([]byte(name))
	return t
}

// Tokens returns all tokens, expired ones too, in the order of their names; the slice is the caller's.
func (c *Catalogue) Tokens() []*access.Token {
	list := make([]*access.Token, 0, c.tokens.Len())
	for _, t := range c.tokens.All() {
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b *access.Token) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// putToken adds t to a catalogue that is still being built.
func (c *Catalogue) putToken(t *access.Token) {
	c.tokens.Set(c.Seq, t.Name, t)
	c.tokensByHash.Set(c.Seq, string(t.Hash[:]), t)
}

// dropToken takes t from a catalogue that is still being built.
func (c *Catalogue) dropToken(t *access.Token) {
	c.tokens.Delete(c.Seq, t.Name)
	c.tokensByHash.Delete(c.Seq, string(t.Hash[:]))
}

// After returns when a period is over that begins as the actor acts, Unix milliseconds, by the calendar of UTC.
func (a Actor) After(p calendar.Period) int64 { return p.End(a.AtMs/1000, time.UTC)*1000 + a.AtMs%1000 }

// CreateToken adds t, whose Hash is that of a secret which only its owner keeps. The account is looked up by its name,
// so that a token which names one is bound or not made at all.
func (c *Catalogue) CreateToken(by Actor, t access.Token) (*Catalogue, *Change, error) {
	switch {
	case !event.ValidName([]byte(t.Name)):
		return nil, nil, badName("name")
	case !t.Role.Known():
		return nil, nil, invalid("role", "must be one of "+access.RoleNames)
	case t.Account != "" && c.Account(t.Account) == nil:
		return nil, nil, &event.Problem{
			Code:   event.NotFound,
			Field:  accountNameText,
			Detail: "account: there is none called " + t.Account,
		}
	case c.Token(t.Name) != nil:
		return nil, nil, alreadyExists(NameToken, t.Name)
	case c.tokens.Len() >= tokensMax:
		return nil, nil, invalid("name", fmt.Sprintf("this daemon holds %d tokens, the most it can; delete some", tokensMax))
	}
	if err := c.mayName(by, NameToken, t.Name); err != nil {
		return nil, nil, err
	}
	t.CreatedAtMs, t.AccountID = by.AtMs, 0
	if t.Account != "" {
		t.AccountID = c.Account(t.Account).ID
	}
	n := c.next()
	n.putToken(&t)
	detail := map[string]any{"role": t.Role, "account": t.Account}
	if t.ExpiresAtMs != 0 {
		detail["expires_at"] = json.RawMessage(event.AppendTime(nil, t.ExpiresAtMs))
	}
	ch := n.change(by, "token.create", t.Name, detail)
	ch.put(tokenRecordOf(&t))
	return n, ch, nil
}

// DeleteToken takes a token away. One that can administer everything stays if none that lasts as long can (last_admin):
// without it the daemon could be helped only while it is stopped. To replace it, create another one first.
func (c *Catalogue) DeleteToken(by Actor, name string) (*Catalogue, *Change, error) {
	t := c.Token(name)
	if t == nil {
		return nil, nil, &event.Problem{Code: event.NotFound, Field: "token", Detail: "token: there is none called " + name}
	}
	if administers(t, by.AtMs) && !c.administeredWithout(t, by.AtMs) {
		return nil, nil, &event.Problem{
			Code: event.LastAdmin, Field: "token",
			Detail: "token: " + name +
				" is the last one that can administer everything for as long as it lasts; create another one first",
		}
	}
	if err := c.mayName(by, NameToken, name); err != nil {
		return nil, nil, err
	}
	n := c.next()
	n.dropToken(t)
	ch := n.change(by, "token.delete", t.Name, map[string]any{"role": t.Role, "account": t.Account})
	ch.put(put(tokenKey(t.Name), tombstone{Deleted: true}))
	return n, ch, nil
}

func (c *Catalogue) administeredWithout(t *access.Token, nowMs int64) bool {
	for _, other := range c.tokens.All() {
		lastsAsLong := other.ExpiresAtMs == 0 || t.ExpiresAtMs != 0 && other.ExpiresAtMs >= t.ExpiresAtMs
		if other != t && lastsAsLong && administers(other, nowMs) {
			return true
		}
	}
	return false
}
