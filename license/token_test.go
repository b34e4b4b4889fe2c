package license

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

func (b *book) token(t Token, secret string) {
	b.Helper()
	t.Hash = sha256.Sum256([]byte(secret))
	next, ch, err := b.cat.CreateToken(b.by(), t)
	b.keep(next, ch, err)
}

func TestAuthenticate(t *testing.T) {
	b := newBook(t)
	secret, other := NewSecret(), NewSecret()
	b.token(Token{Name: "gw-1", Role: RoleGateway}, secret)
	b.token(Token{Name: "gw-2", Role: RoleGateway, ExpiresAtMs: 2_000_000_000_000}, other)
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
		{"another", NewSecret(), 0, ""},
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

func TestNewSecret(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		s := NewSecret()
		if !strings.HasPrefix(s, "mtd_") || len(s) != len("mtd_")+43 || strings.ContainsAny(s, " +/=\n") {
			t.Fatalf("%q is no secret", s)
		}
		if seen[s] {
			t.Fatalf("%q was made twice", s)
		}
		seen[s] = true
	}
}

func TestAllows(t *testing.T) {
	rights := []Right{RightEvents, RightRead, RightUsage, RightSnapshot, RightOperate, RightAdminister}
	tests := []struct {
		role    Role
		account string
		want    string // a letter a right, in the order above; a point where it lacks
	}{
		{RoleAdmin, "", "erumoa"},
		{RoleAdmin, "acme", "erumo."},
		{RoleGateway, "", "e....."},
		{RoleGateway, "acme", "e....."},
		{RoleBilling, "", "..um.."},
		{RoleBilling, "acme", "..um.."},
		{RoleViewer, "", ".ru..."},
		{RoleViewer, "acme", ".ru..."},
		{"", "", "......"},
		{"root", "", "......"},
		{"Admin", "", "......"},
	}
	for _, tt := range tests {
		token := Token{Role: tt.role, Account: tt.account}
		got := ""
		for i, r := range rights {
			if token.Allows(r) {
				got += string("erumoa"[i])
			} else {
				got += "."
			}
		}
		if got != tt.want {
			t.Errorf("%q of account %q: got %s, want %s", tt.role, tt.account, got, tt.want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	b := newBook(t)
	b.token(Token{Name: "gw-1", Role: RoleGateway, ExpiresAtMs: 2_000_000_000_000}, "mtd_secret")
	tests := []struct {
		header string
		right  Right
		nowMs  int64
		want   event.Code
	}{
		{"Bearer mtd_secret", RightEvents, 0, event.Accepted},
		{"bearer mtd_secret", RightEvents, 0, event.Accepted}, // the scheme has no case (RFC 9110)
		{"BEARER mtd_secret", RightEvents, 0, event.Accepted},
		{"Bearer mtd_secret", RightRead, 0, event.Forbidden},
		{"Bearer mtd_secret", RightAdminister, 0, event.Forbidden},
		{"Bearer mtd_secret", RightEvents, 2_000_000_000_000, event.Unauthorized},
		{"Bearer mtd_secret", RightRead, 2_000_000_000_000, event.Unauthorized}, // not 403: it is no token any more
		{"", RightEvents, 0, event.Unauthorized},
		{"Bearer", RightEvents, 0, event.Unauthorized},
		{"Bearer ", RightEvents, 0, event.Unauthorized},
		{"Bearer  mtd_secret", RightEvents, 0, event.Unauthorized},
		{" Bearer mtd_secret", RightEvents, 0, event.Unauthorized},
		{"Bearer mtd_secret ", RightEvents, 0, event.Unauthorized},
		{"Bearer\tmtd_secret", RightEvents, 0, event.Unauthorized},
		{"Basic mtd_secret", RightEvents, 0, event.Unauthorized},
		{"mtd_secret", RightEvents, 0, event.Unauthorized},
		{"Bearer mtd_secreT", RightEvents, 0, event.Unauthorized},
	}
	for _, tt := range tests {
		token, p := Authorize(b.cat, []byte(tt.header), tt.right, tt.nowMs)
		switch {
		case tt.want == event.Accepted && (p != nil || token == nil || token.Name != "gw-1"):
			t.Errorf("%q: got %v, %v", tt.header, token, p)
		case tt.want != event.Accepted && (p == nil || p.Code != tt.want || token != nil):
			t.Errorf("%q: got %v, %v; want %s", tt.header, token, p, tt.want)
		case p != nil && strings.Contains(p.Detail, "mtd_"):
			t.Errorf("%q: the answer shows a secret: %s", tt.header, p.Detail)
		}
	}
}

func TestCreateTokenRefuses(t *testing.T) {
	b := newBook(t)
	b.token(Token{Name: "gw-1", Role: RoleGateway}, "one")
	before := b.cat.dump()
	tests := []struct {
		token Token
		code  event.Code
		field string
	}{
		{Token{Name: "gw-1", Role: RoleAdmin}, event.AlreadyExists, ""},
		{Token{Name: "gw-2", Role: "root"}, event.InvalidArgument, "role"},
		{Token{Name: "gw-2"}, event.InvalidArgument, "role"},
		{Token{Name: "gw-2", Role: RoleAdmin, Account: "nobody"}, event.NotFound, "account"},
	}
	for _, name := range badNames {
		tests = append(tests, struct {
			token Token
			code  event.Code
			field string
		}{Token{Name: name, Role: RoleAdmin}, event.InvalidArgument, "name"})
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
