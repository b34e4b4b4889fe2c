package access

import (
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

	// RoleNames lists them for people.
	RoleNames = "admin, gateway, billing, viewer"
)

// Known reports whether there is such a role.
func (r Role) Known() bool {
	return r == RoleAdmin || r == RoleGateway || r == RoleBilling || r == RoleViewer
}

// Right is what a call needs its token to allow.
type Right uint8

// The rights that roles are made of.
const (
	RightEvents     Right = iota // send events, hear commands, ask about producers
	RightRead                    // read devices, their logs, switches, and the audit log
	RightUsage                   // read usage, snapshots, and licences with what they were credited with (R7, R8)
	RightSnapshot                // make snapshots
	RightOperate                 // change things of one account: products, renewal, suspended devices, erased logs
	RightAdminister              // change anything; make, list and delete tokens
	RightSelf                    // ask what the token itself is
)

// Allows reports whether the token has a right. A token that is bound to an account never administers (403); everything
// else it does within its account.
func (t *Token) Allows(r Right) bool {
	if r == RightSelf {
		return t.Role.Known()
	}
	switch t.Role {
	case RoleAdmin:
		return r != RightAdminister || t.Account == ""
	case RoleGateway:
		return r == RightEvents
	case RoleBilling:
		return r == RightUsage || r == RightSnapshot
	case RoleViewer:
		return r == RightRead || r == RightUsage
	}
	return false
}

// Authenticator knows the tokens.
type Authenticator interface {
	// Authenticate returns the token whose secret this is, nil if there is none or it has expired at nowMs, Unix
	// milliseconds. It keeps nothing of secret.
	Authenticate(secret []byte, nowMs int64) *Token
}

// Secret returns the secret in an Authorization header, nil for none. It is part of header.
func Secret(header []byte) []byte {
	const scheme = "Bearer "
	if len(header) <= len(scheme) || !strings.EqualFold(string(header[:len(scheme)]), scheme) {
		return nil
	}
	return header[len(scheme):]
}

// Authorize returns the token of an Authorization header, or the problem to answer if there is none or it lacks the
// right. nowMs is Unix milliseconds.
func Authorize(known Authenticator, header []byte, right Right, nowMs int64) (*Token, *event.Problem) {
	var t *Token
	if secret := Secret(header); secret != nil {
		t = known.Authenticate(secret, nowMs)
	}
	switch {
	case t == nil:
		return nil, &event.Problem{
			Code:   event.Unauthorized,
			Detail: "send the header Authorization: Bearer TOKEN with a token that is valid",
		}
	case !t.Allows(right):
		return nil, Forbid(t)
	}
	return t, nil
}

// Forbid returns what is answered when t is good but does not allow what was asked.
func Forbid(t *Token) *event.Problem {
	return &event.Problem{Code: event.Forbidden, Detail: "the token " + t.Name + " does not allow this"}
}
