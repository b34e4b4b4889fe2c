package license

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
)

func (b *book) token(t access.Token, secret string) {
	b.Helper()
	t.Hash = sha256.Sum256([]byte(secret))
	next, ch, err := b.cat.CreateToken(b.by(), t)
	b.keep(next, ch, err)
}

func TestAuthenticate(t *testing.T) {
	b := newBook(t)
	secret, other := access.NewSecret(), access.NewSecret()
	b.token(access.Token{Name: "gw-1", Role: access.RoleGateway}, secret)
	b.token(access.Token{Name: "gw-2", Role: access.RoleGateway, ExpiresAtMs: 2_000_000_000_000}, other)
	tests := []struct {
		why, secret string
		nowMs       int64
		want        string
	}{
		{"the right one", secret, 1_900_000_000_000, "gw-1"},
		{"it never expires", secret, 1 << 60, "gw-1"},
		{"before its end", other, 1_999_999_999_999, "gw-2"},
		{"at its end", other, 2_000_000_000_000, ""},
		{"after its end", other, 2_000_000_000_001, ""},
		{"none", "", 0, ""},
		{"another", access.NewSecret(), 0, ""},
		{"cut short", secret[:len(secret)-1], 0, ""},
		{"with a tail", secret + " ", 0, ""},
		{"in capitals", strings.ToUpper(secret), 0, ""},
		{"the name", "gw-1", 0, ""},
		{"the hash", string(b.cat.Token("gw-1").Hash[:]), 0, ""},
	}
	for _, tt := range tests {
		got := ""
		if tok := b.cat.Authenticate([]byte(tt.secret), tt.nowMs); tok != nil {
			got = tok.Name
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.why, got, tt.want)
		}
	}
}

func TestCreateTokenRefuses(t *testing.T) {
	b := newBook(t)
	b.token(access.Token{Name: "gw-1", Role: access.RoleGateway}, "one")
	before := b.cat.dump()
	tests := []struct {
		token access.Token
		code  event.Code
		field string
	}{
		{access.Token{Name: "gw-1", Role: access.RoleAdmin}, event.AlreadyExists, ""},
		{access.Token{Name: "gw-2", Role: "root"}, event.InvalidArgument, "role"},
		{access.Token{Name: "gw-2"}, event.InvalidArgument, "role"},
		{access.Token{Name: "gw-2", Role: access.RoleAdmin, Account: "nobody"}, event.NotFound, "account"},
	}
	for _, name := range badNames {
		tests = append(tests, struct {
			token access.Token
			code  event.Code
			field string
		}{access.Token{Name: name, Role: access.RoleAdmin}, event.InvalidArgument, "name"})
	}
	for _, tt := range tests {
		tt.token.Hash = sha256.Sum256([]byte("two"))
		next, ch, err := b.cat.CreateToken(b.by(), tt.token)
		wantProblem(t, err, tt.code, tt.field)
		if next != nil || ch != nil {
			t.Errorf("%+v was refused and made all the same", tt.token)
		}
	}
	if b.cat.Authenticate([]byte("two"), 0) != nil || b.cat.dump() != before {
		t.Error("a refused token changed something")
	}
}
