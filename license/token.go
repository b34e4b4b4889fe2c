package license

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strings"

	"github.com/meterd/meterd/event"
)

// Role says what a token may do.
type Role string

// The roles of the contract.
const (
	RoleAdmin   Role = "admin"
	RoleGateway Role = "gateway"
	RoleBilling Role = "billing"
	RoleViewer  Role = "viewer"
)

// Token is the right to call meterd. The secret itself is shown once and never stored; Hash is its SHA-256, which is enough
// for a secret of 256 random bits.
type Token struct {
	Name        string
	Role        Role
	Account     string // bound to it; "" sees all
	AccountID   uint32 // 0 when unbound
	Hash        [32]byte
	CreatedAtMs int64
	ExpiresAtMs int64 // 0: never
}

// tokenPrefix lets people and scanners of secrets recognize a token.
const tokenPrefix = "mtd_"

// NewSecret returns a fresh secret for a token.
func NewSecret() string {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("BUG: crypto/rand never fails: " + err.Error())
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// Authenticate returns the token whose secret this is, nil if there is none or it has expired at nowMs. What is compared is a
// hash of a random secret, so that the time it takes tells nothing; the last comparison is constant all the same.
func (c *Catalogue) Authenticate(secret []byte, nowMs int64) *Token {
	hash := sha256.Sum256(secret)
	t := c.tokensByHash[hash]
	if t == nil || subtle.ConstantTimeCompare(t.Hash[:], hash[:]) != 1 {
		return nil
	}
	if t.ExpiresAtMs != 0 && nowMs >= t.ExpiresAtMs {
		return nil
	}
	return t
}

// Token returns the token called name, nil if there is none.
func (c *Catalogue) Token(name string) *Token { return c.tokens[name] }

// CreateToken adds t, whose Hash is that of a secret which only its owner keeps.
func (c *Catalogue) CreateToken(by Actor, t Token) (*Catalogue, *Change, error) {
	if !event.ValidName([]byte(t.Name)) {
		return nil, nil, badName("name")
	}
	if c.tokens[t.Name] != nil {
		return nil, nil, &event.Problem{Code: event.AlreadyExists, Detail: "token " + t.Name + " exists"}
	}
	t.CreatedAtMs = by.AtMs
	n := c.next()
	n.tokens[t.Name], n.tokensByHash[t.Hash] = &t, &t
	ch := n.change(by, "token.create", t.Name, map[string]any{"role": t.Role, "account": t.Account})
	ch.putToken(&t)
	return n, ch, nil
}

// Right is what a call needs its token to allow.
type Right uint8

// The rights that roles are made of.
const (
	RightEvents     Right = iota // send events, hear commands
	RightRead                    // read everything but tokens and the audit log
	RightUsage                   // read usage and licences, make and read snapshots
	RightOperate                 // change things of one account: products, renewal, suspended devices
	RightAdminister              // change anything, read tokens and the audit log
)

// Allows reports whether the token has a right. A token that is bound to an account never administers (403).
func (t *Token) Allows(r Right) bool {
	switch t.Role {
	case RoleAdmin:
		return r != RightAdminister || t.Account == ""
	case RoleGateway:
		return r == RightEvents
	case RoleBilling:
		return r == RightUsage
	case RoleViewer:
		return r == RightRead || r == RightUsage
	}
	return false
}

// Authorize returns the token of an Authorization header, or the problem to answer if there is none or it lacks the right.
func Authorize(c *Catalogue, header []byte, right Right, nowMs int64) (*Token, *event.Problem) {
	const scheme = "Bearer "
	var t *Token
	if len(header) > len(scheme) && strings.EqualFold(string(header[:len(scheme)]), scheme) {
		t = c.Authenticate(header[len(scheme):], nowMs)
	}
	switch {
	case t == nil:
		return nil, &event.Problem{Code: event.Unauthorized, Detail: "send the header Authorization: Bearer TOKEN with a token that is valid"}
	case !t.Allows(right):
		return nil, &event.Problem{Code: event.Forbidden, Detail: "the token " + t.Name + " does not allow this"}
	}
	return t, nil
}
