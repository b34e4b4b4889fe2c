package access

import (
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

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
	rights := []Right{RightEvents, RightRead, RightUsage, RightSnapshot, RightOperate, RightAdminister, RightSelf}
	tests := []struct {
		role    Role
		account string
		want    string // a letter a right, in the order above; a point where it lacks
	}{
		{RoleAdmin, "", "erumoas"},
		{RoleAdmin, "acme", "erumo.s"},
		{RoleGateway, "", "e.....s"},
		{RoleGateway, "acme", "e.....s"},
		{RoleBilling, "", "..um..s"},
		{RoleBilling, "acme", "..um..s"},
		{RoleViewer, "", ".ru...s"},
		{RoleViewer, "acme", ".ru...s"},
		{"", "", "......."},
		{"root", "", "......."},
		{"Admin", "", "......."},
	}
	for _, tt := range tests {
		token := Token{Role: tt.role, Account: tt.account}
		got := ""
		for i, r := range rights {
			if token.Allows(r) {
				got += string("erumoas"[i])
			} else {
				got += "."
			}
		}
		if got != tt.want {
			t.Errorf("%q of account %q: got %s, want %s", tt.role, tt.account, got, tt.want)
		}
	}
}

// one is an authenticator that knows one token.
type one struct {
	secret string
	token  Token
}

func (o *one) Authenticate(secret []byte, nowMs int64) *Token {
	if string(secret) != o.secret || o.token.Expired(nowMs) {
		return nil
	}
	return &o.token
}

func TestAuthorize(t *testing.T) {
	known := one{secret: "mtd_secret", token: Token{Name: "gw-1", Role: RoleGateway, ExpiresAtMs: 2_000_000_000_000}}
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
		token, p := Authorize(&known, []byte(tt.header), tt.right, tt.nowMs)
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
