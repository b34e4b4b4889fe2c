package license

import (
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/meterd/meterd/access"
)

// Records are what FORMAT.md draws, key by key. A change here is a change of the format.
func TestRecordsAreAsDrawn(t *testing.T) {
	b := newBook(t)
	b.atMs = 1_795_427_999_000
	b.account("acme", Personal)
	b.product("p1", "acme", `{"validity":"P1Y"}`)
	b.setPlan("p1", `{"validity":"P2W","messages_per_day":null}`)
	plan := patch(t, `{"validity":"P14D"}`)
	b.credit("p1", Credit{Order: "PO-1", Quantity: 1000, Plan: &plan})
	b.credit("p1", Credit{Order: "PO-2", Quantity: 7, Units: true})
	next, ch, _, err := b.cat.TakeBack(b.by(), "p1", "PO-1", false, Void{Order: "RV-1", Quantity: 200})
	b.keep(next, ch, err)
	next, ch, _, err = b.cat.SetRenewal(b.by(), "p1", false, []string{"d9", "d7"})
	b.keep(next, ch, err)
	next, ch, _, err = b.cat.SuspendProduct(b.by(), "p1", true)
	b.keep(next, ch, err)
	next, ch, _, err = b.cat.SetLogPayload(b.by(), "p1", PayloadNone)
	b.keep(next, ch, err)
	next, ch, _, err = b.cat.SetEnforcement(b.by(), "p1", ModeObserve)
	b.keep(next, ch, err)
	next, ch, err = b.cat.SuspendDevice(b.by(), "p1", "d1", true)
	b.keep(next, ch, err)
	next, ch, err = b.cat.CreateToken(
		b.by(),
		access.Token{
			Name:        "gw-1",
			Role:        access.RoleGateway,
			Account:     "acme",
			Hash:        sha256.Sum256(nil),
			ExpiresAtMs: 1_803_204_000_000,
		},
	)
	b.keep(next, ch, err)
	next, ch, err = b.cat.CreateToken(
		b.by(),
		access.Token{Name: "gw-2", Role: access.RoleViewer, Hash: sha256.Sum256([]byte("2"))},
	)
	b.keep(next, ch, err)
	next, ch, err = b.cat.DeleteToken(b.by(), "gw-2")
	b.keep(next, ch, err)
	b.erase("p1", "d1", true, 7)
	b.erase("p1", "d2", false, 0)

	const planText = `{"validity":"P14D","messages_per_day":null,"message_unit_bytes":0,"ota_per_month":1,` +
		`"ota_unit_bytes":5242880,"log_days":7}`
	want := map[string]string{
		"H": `{"seq":16,"pool_last":3,"region":"default"}`,
		"A\x00\x00\x00\x01": `{"account":"acme","kind":"personal","region":"default","created_at_ms":1795428000000,` +
			`"gift_pool":1,"gifts":5}`,
		"P\x00\x00\x00\x01": `{"product":"p1","name":"","account_id":1,"time_zone":"UTC","plan":` + planText +
			`,"plan_since_ms":1795428002000,` +
			`"validities":[{"from":1795428001,"validity":"P1Y"},{"from":1795428002,"validity":"P14D"}],` +
			`"suspended":true,"renewal_off":true,"payload_off":true,"observe":true,` +
			`"enforcement_since_ms":1795428009000,"created_at_ms":1795428001000}`,
		"R\x00\x00\x00\x01": `{"except":["d7","d9"]}`,
		"O\x00\x00\x00\x01\x00\x00\x00\x02": `{"order":"PO-1","credited":1000,` +
			`"credited_at_ms":1795428003000,"plan":` + planText + `}`,
		"V\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00": `{"order":"RV-1","quantity":200}`,
		"O\x00\x00\x00\x01\x00\x00\x00\x03": `{"order":"PO-2","units":true,"credited":7,` +
			`"credited_at_ms":1795428004000}`,
		"Tgw-1": `{"role":"gateway","account":"acme","account_id":1,` +
			`"sha256":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",` +
			`"created_at_ms":1795428011000,"expires_at_ms":1803204000000}`,
		"Tgw-2": `{"deleted":true}`,
		"E\x00\x00\x00\x01d1": `{"seq":15,"since_ms":1795428014000,"until_ms":1795428014000,` +
			`"known":true,"ordinal":7}`,
		"E\x00\x00\x00\x01d2":               `{"seq":16,"since_ms":1795428015000,"until_ms":1795428015000}`,
		"S\x00\x00\x00\x00\x00\x00\x00\x08": `{"product_id":1}`,
		"U\x00\x00\x00\x00\x00\x00\x00\x04": `{"at_ms":1795428003000,"token":"admin","action":"lot.credit","target":"p1",` +
			`"detail":{"order":"PO-1","quantity":1000},"refresh":1}`,
	}
	for key, value := range want {
		if got := string(b.ledger[key]); got != value {
			t.Errorf("%q is\n%s, want\n%s", key, got, value)
		}
	}
	for seq := 1; seq <= 16; seq++ {
		if b.ledger[fmt.Sprintf("U\x00\x00\x00\x00\x00\x00\x00%c", seq)] == nil {
			t.Errorf("change %d is not audited", seq)
		}
	}
	if n := len(want) - 1 + 16; len(b.ledger) != n {
		t.Errorf("%d rows, want %d: %q", len(b.ledger), n, sortedKeys(b.ledger))
	}
}

// A change is what FORMAT.md draws, byte by byte.
func TestChangeIsAsDrawn(t *testing.T) {
	for _, tt := range []struct {
		ch   Change
		want string
	}{
		{Change{Seq: 1}, "\x01" + "\x01" + "\x00" + "\x00" + "\x00" + "\x00" + "\x00"},
		{
			Change{
				Seq: 300, AtMs: 64, Refresh: 7, Device: &DeviceSuspension{Product: 2, Device: "d1", Suspended: true},
				Audit: AuditEntry{Seq: 300, AtMs: 64, Token: "t", Action: "a.b", Target: "p/d", Detail: []byte("{}"), Refresh: 7},
				Puts:  []Put{{[]byte("T1"), []byte("{}")}, {[]byte("H"), []byte("[]")}},
			},
			"\x01" + "\xac\x02" + "\x80\x01" + "\x07" + "\x02\x02d1\x01" + "\x03a.b\x01t\x03p/d\x02{}" +
				"\x02\x02T1\x02{}\x01H\x02[]",
		},
	} {
		if got := string(tt.ch.Append(nil)); got != tt.want {
			t.Errorf("%+v is %q, want %q", tt.ch, got, tt.want)
		}
	}
}
