package license

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
)

// newToken creates a token and returns its secret.
func (b *book) newToken(t access.Token) string {
	b.Helper()
	secret := access.NewSecret()
	b.token(t, secret)
	return secret
}

func (b *book) deleteToken(name string) {
	b.Helper()
	b.keep(b.cat.DeleteToken(b.by(), name))
}

// The ledger holds the SHA-256 of a secret, in the token's own record alone, and nothing of the secret.
func TestSecretsAreNotStored(t *testing.T) {
	b := newBook(t)
	secret := b.newToken(access.Token{Name: "gw", Role: access.RoleGateway})
	hash := sha256.Sum256([]byte(secret))
	hashed := base64.StdEncoding.EncodeToString(hash[:])
	for key, value := range b.ledger {
		if bytes.Contains(value, []byte(secret[len("mtd_"):])) {
			t.Errorf("record %q holds the secret: %s", key, value)
		}
		if bytes.Contains(value, []byte(hashed)) != (key == "Tgw") {
			t.Errorf("record %q: %s", key, value)
		}
	}
}

// A token that names an account is bound to it, whatever else it says: events go by the number.
func TestTokenIsBoundByName(t *testing.T) {
	b := newBook(t)
	b.account("other", Personal)
	acme := b.account("acme", Personal)
	b.newToken(access.Token{Name: "bound", Role: access.RoleGateway, Account: "acme"})
	b.newToken(access.Token{Name: "confused", Role: access.RoleGateway, Account: "acme", AccountID: 77})
	b.newToken(access.Token{Name: "unbound", Role: access.RoleGateway, AccountID: 77})
	for name, want := range map[string]uint32{"bound": acme.ID, "confused": acme.ID, "unbound": 0} {
		if got := b.cat.Token(name).AccountID; got != want {
			t.Errorf("%s is bound to account %d, want %d", name, got, want)
		}
	}
}

func TestTokensAreBounded(t *testing.T) {
	b := newBook(t)
	for i := range tokensMax {
		b.cat.putToken(&access.Token{Name: fmt.Sprintf("t%d", i), Hash: sha256.Sum256(fmt.Append(nil, i))})
	}
	_, _, err := b.cat.CreateToken(b.by(), access.Token{Name: "more", Role: access.RoleViewer})
	wantProblem(t, err, event.InvalidArgument, "name")
	b.cat.dropToken(b.cat.Token("t0"))
	b.newToken(access.Token{Name: "more", Role: access.RoleViewer})
}

// A token is good to the last millisecond before its end.
func TestTokenExpiry(t *testing.T) {
	b := newBook(t)
	end := b.atMs + 90_500
	secret := b.newToken(access.Token{Name: "brief", Role: access.RoleViewer, ExpiresAtMs: end})
	always := b.newToken(access.Token{Name: "always", Role: access.RoleViewer})
	brief := b.cat.Token("brief")
	for _, c := range []struct {
		nowMs int64
		good  bool
	}{{b.atMs, true}, {end - 1, true}, {end, false}, {end + 1, false}, {1 << 60, false}} {
		if got := b.cat.Authenticate([]byte(secret), c.nowMs); (got == brief) != c.good || !c.good && got != nil {
			t.Errorf("%d ms before its end it is %+v", end-c.nowMs, got)
		}
		if b.cat.Honors(brief, c.nowMs) != c.good {
			t.Errorf("%d ms before its end, honored: %v", end-c.nowMs, !c.good)
		}
		if b.cat.Authenticate([]byte(always), c.nowMs) == nil {
			t.Errorf("at %d a token without end is not good", c.nowMs)
		}
	}
}

// Asked inside the gate for each batch.
func TestHonorsDoesNotAllocate(t *testing.T) {
	b := newBook(t)
	name := strings.Repeat("x", 64)
	b.newToken(access.Token{Name: name, Role: access.RoleGateway})
	token := *b.cat.Token(name) // Of another version, or of before a restart.
	n := testing.AllocsPerRun(100, func() { _ = b.cat.Honors(&token, b.atMs) })
	if n != 0 || !b.cat.Honors(&token, b.atMs) {
		t.Errorf("%v allocations", n)
	}
}

func TestPeriodsOfTokens(t *testing.T) {
	for _, c := range []struct{ from, period, want string }{
		{"2026-11-23T10:00:00.25Z", "P90D", "2027-02-21T10:00:00.25Z"},
		{"2027-01-31T23:59:59.999Z", "P1M", "2027-03-03T23:59:59.999Z"},
		{"2028-02-29T10:00:00Z", "P1Y", "2029-03-01T10:00:00Z"},
		{"2027-03-28T00:30:00Z", "P1D", "2027-03-29T00:30:00Z"}, // No daylight saving in UTC.
		{"2026-11-23T10:00:00.001Z", "PT1S", "2026-11-23T10:00:01.001Z"},
		{"2026-11-23T10:00:00Z", "P100Y", "2126-11-23T10:00:00Z"},
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		p, err := calendar.ParsePeriod(c.period)
		if err != nil {
			t.Fatal(err)
		}
		if got := time.UnixMilli(Actor{AtMs: from.UnixMilli()}.After(p)).UTC().Format(time.RFC3339Nano); got != c.want {
			t.Errorf("%s from %s on ends %s, want %s", c.period, c.from, got, c.want)
		}
	}
}

// What was deleted stays deleted through a restart, its name is free, and its secret never comes back. Who did it is on
// record, in the same transaction.
func TestTombstones(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.newToken(access.Token{Name: "admin", Role: access.RoleAdmin})
	first := b.newToken(access.Token{Name: "gw", Role: access.RoleGateway, Account: "acme", ExpiresAtMs: 1 << 50})
	old := b.cat.Token("gw")
	next, ch, err := b.cat.DeleteToken(b.by(), "gw")
	b.keep(next, ch, err)
	if len(ch.Puts) != 1 || ch.Audit.Action != "token.delete" || ch.Audit.Target != "gw" || ch.Audit.Token != "admin" {
		t.Errorf("the change: %+v", ch)
	}
	if got := string(b.ledger["Tgw"]); got != `{"deleted":true}` {
		t.Errorf("the record: %s", got)
	}
	reopen := func() {
		t.Helper()
		cat, err := b.load()
		if err != nil {
			t.Fatal(err)
		}
		if cat.dump() != b.cat.dump() {
			t.Errorf("loaded:\n%swant:\n%s", cat.dump(), b.cat.dump())
		}
		b.cat = cat
	}
	reopen()
	if b.cat.Token("gw") != nil || b.cat.Authenticate([]byte(first), b.atMs) != nil || b.cat.Honors(old, b.atMs) {
		t.Error("a deleted token is there after a restart")
	}
	_, _, err = b.cat.DeleteToken(b.by(), "gw")
	wantProblem(t, err, event.NotFound, "token")

	second := b.newToken(access.Token{Name: "gw", Role: access.RoleViewer})
	reopen()
	if b.cat.Authenticate([]byte(first), b.atMs) != nil || b.cat.Honors(old, b.atMs) {
		t.Error("the secret of a deleted token opens a new one of its name")
	}
	if got := b.cat.Authenticate(
		[]byte(second),
		b.atMs,
	); got == nil || got.Role != access.RoleViewer || got.Account != "" ||
		got.ExpiresAtMs != 0 {
		t.Errorf("the new token of its name is %+v", got)
	}
	var actions []string
	for seq := range b.cat.Seq {
		e, err := DecodeAudit(AuditKey(seq+1), b.ledger[string(AuditKey(seq+1))])
		if err != nil {
			t.Fatal(err)
		}
		actions = append(actions, e.Action+" "+e.Target)
	}
	want := []string{"account.create acme", "token.create admin", "token.create gw", "token.delete gw", "token.create gw"}
	if !slices.Equal(actions, want) {
		t.Errorf("audit log: %q", actions)
	}
	var names []string
	for _, token := range b.cat.Tokens() {
		names = append(names, token.Name)
	}
	if !slices.Equal(names, []string{"admin", "gw"}) {
		t.Errorf("tokens: %q", names)
	}
}

// A token that is bound to an account of which the ledger knows nothing would see all, or another one: it is not taken.
func TestLoadRefusesTokensOfNobody(t *testing.T) {
	for name, record := range map[string]string{
		"no such account": `{"role":"viewer","account":"nobody","account_id":1,"sha256":"%s"}`,
		"another number":  `{"role":"viewer","account":"acme","account_id":2,"sha256":"%s"}`,
		"no number":       `{"role":"viewer","account":"acme","sha256":"%s"}`,
	} {
		b := newBook(t)
		b.account("acme", Personal)
		b.ledger["Tx"] = fmt.Appendf(nil, record, strings.Repeat("A", 43)+"=")
		if _, err := b.load(); err == nil || !strings.Contains(err.Error(), `token "x" is bound to account`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The last token that can administer everything stays. One that is bound, has another role, expires earlier or has
// expired does not replace it.
func TestLastAdminStays(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.newToken(access.Token{Name: "admin", Role: access.RoleAdmin})
	b.newToken(access.Token{Name: "boss", Role: access.RoleAdmin, Account: "acme"})
	b.newToken(access.Token{Name: "eyes", Role: access.RoleViewer})
	end := b.atMs + 60_000
	b.newToken(access.Token{Name: "brief", Role: access.RoleAdmin, ExpiresAtMs: end})
	_, _, err := b.cat.DeleteToken(b.by(), "admin")
	wantProblem(t, err, event.LastAdmin, "token")
	b.atMs = end - 1000 // The next change is at the end of brief.
	_, _, err = b.cat.DeleteToken(b.by(), "admin")
	wantProblem(t, err, event.LastAdmin, "token")
	b.deleteToken("brief")
	b.deleteToken("boss")
	b.deleteToken("eyes")
	_, _, err = b.cat.DeleteToken(b.by(), "admin")
	wantProblem(t, err, event.LastAdmin, "token")
	b.newToken(access.Token{Name: "admin-2", Role: access.RoleAdmin})
	b.deleteToken("admin")
}

// Every action of the audit log is some account's business, or the daemon's.
func TestAuditOfAnAccount(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.account("p", Personal) // A name that a product has as well.
	b.product("p", "acme", "")
	b.newToken(access.Token{Name: "acme", Role: access.RoleAdmin})
	b.newToken(access.Token{Name: "bound", Role: access.RoleViewer, Account: "acme"})
	b.deleteToken("bound")
	b.setPlan("p", `{"log_days":3}`)
	b.credit("p", Credit{Order: "acme", Quantity: 1})
	b.credit("p", Credit{Order: "u", Quantity: 1, Units: true})
	next, ch, _, err := b.cat.TakeBack(b.by(), "p", "acme", false, Void{Order: "v", Quantity: 1})
	b.keep(next, ch, err)
	next, ch, err = b.cat.SuspendDevice(b.by(), "p", "d", true)
	b.keep(next, ch, err)
	next, ch, _, err = b.cat.SetRenewal(b.by(), "p", false, nil)
	b.keep(next, ch, err)
	next, ch = b.cat.Note(b.by(), "clock.confirm", "acme", nil)
	b.keep(next, ch, nil)
	next, ch = b.cat.Note(b.by(), "product.plan", "gone", nil)
	b.keep(next, ch, nil)
	want := []string{
		"account.create acme: acme",
		"account.create p: p",
		"product.create p: acme",
		"token.create acme: ",
		"token.create bound: acme",
		"token.delete bound: acme",
		"product.plan p: acme",
		"lot.credit p: acme",
		"topup.credit p: acme",
		"lot.void p: acme",
		"device.suspend p/d: acme",
		"product.renewal p: acme",
		"clock.confirm acme: ",
		"product.plan gone: ",
	}
	var got []string
	for key, value := range b.ledger {
		if strings.HasPrefix(key, KeyAudit) {
			e, err := DecodeAudit([]byte(key), value)
			if err != nil {
				t.Fatal(err)
			}
			got = append(
				got,
				fmt.Sprintf("%03d%s %s: %s", binary.BigEndian.Uint64([]byte(key)[1:]), e.Action, e.Target, b.cat.AccountOf(&e)),
			)
		}
	}
	slices.Sort(got)
	for i := range got {
		got[i] = got[i][3:]
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
