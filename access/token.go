package access

import (
	"crypto/rand"
	"encoding/base64"
)

// Token is the right to call meterd. The secret itself is shown once and never stored; Hash is its SHA-256, which is
// enough for a secret of 256 random bits. It never changes once it stands in a catalogue.
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

// Expired reports whether the token's time is over at nowMs, Unix milliseconds.
func (t *Token) Expired(nowMs int64) bool { return t.ExpiresAtMs != 0 && nowMs >= t.ExpiresAtMs }
