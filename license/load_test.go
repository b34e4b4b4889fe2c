package license

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/access"
)

// What all changes put into the ledger is the catalogue.
func TestLoadGivesBackWhatWasPut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook(t)
		for range rapid.IntRange(0, 40).Draw(rt, "changes") {
			b.change(rt)
		}
		got, err := b.load()
		if err != nil {
			rt.Fatal(err)
		}
		want := b.cat.dump() + b.cat.stock()
		if got.dump()+got.stock() != want {
			rt.Fatalf("loaded\n%s%s\nwant\n%s", got.dump(), got.stock(), want)
		}
		if b.replica.dump()+b.replica.stock() != want {
			rt.Fatalf("replayed\n%s%s\nwant\n%s", b.replica.dump(), b.replica.stock(), want)
		}
		if read := b.reload(rt); read.dump()+read.stock() != want {
			rt.Fatalf("read back\n%s%s\nwant\n%s", read.dump(), read.stock(), want)
		}
		// What is changed next is changed in the same way.
		now := b.by()
		live, liveChange, _, liveErr := b.cat.CreateAccount(now, "new", Personal, "")
		loaded, loadedChange, _, loadedErr := got.CreateAccount(now, "new", Personal, "")
		if liveErr != nil || loadedErr != nil || live.dump() != loaded.dump() ||
			len(liveChange.Puts) != len(loadedChange.Puts) {
			rt.Fatalf("a change after loading differs:\n%s%v\n%s%v", live.dump(), liveErr, loaded.dump(), loadedErr)
		}
		for i := range liveChange.Puts {
			if a, b := liveChange.Puts[i], loadedChange.Puts[i]; string(a.Key) != string(b.Key) ||
				string(a.Value) != string(b.Value) {
				rt.Fatalf("after loading %q = %s, before %q = %s", b.Key, b.Value, a.Key, a.Value)
			}
		}
	})
}

// reload builds the catalogue from what it says of itself.
func (b *book) reload(t fataler) *Catalogue {
	l := NewLoader(b.cat.Region, b.cat.Retention)
	if err := b.cat.Records(l.Put); err != nil {
		t.Fatalf("%v", err)
	}
	c, err := l.Catalogue()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return c
}

// Versions of one account's products share its lock and its gifts, after loading too.
func TestLoadSharesTheAccount(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	b.product("p2", "ada", "")
	c, err := b.load()
	if err != nil {
		t.Fatal(err)
	}
	a, p1, p2 := c.Account("ada"), c.Product([]byte("p1")), c.Product([]byte("p2"))
	if p1.State.Account != a.State || p2.State.Account != a.State || p1.Gifts != a.Gifts || p2.Gifts != a.Gifts ||
		p1.State == p2.State {
		t.Error("locks and gifts are not the account's")
	}
}

func TestLoadOfNothing(t *testing.T) {
	c, err := load(nil, "eu-1", time.Hour)
	if err != nil || c.dump() != New("eu-1", time.Hour).dump() {
		t.Errorf("%s, %v", c.dump(), err)
	}
}

func TestRecordsHandsOnErrors(t *testing.T) {
	c, err := load(sample(t), "default", week)
	if err != nil {
		t.Fatal(err)
	}
	disk := errors.New("the disk is gone")
	for _, kind := range "HAPOTWENFM" {
		err := c.Records(func(key, _ []byte) error {
			if rune(key[0]) == kind {
				return disk
			}
			return nil
		})
		if !errors.Is(err, disk) {
			t.Errorf("%c: %v", kind, err)
		}
	}
}

// sample is a ledger with one of everything.
func sample(t testing.TB) map[string][]byte {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	b.credit("p1", Credit{Order: "PO-1", Quantity: 1})
	b.credit("p1", Credit{Order: "PACK", Quantity: 1, Units: true})
	b.token(access.Token{Name: "gw-1", Role: access.RoleGateway}, "secret")
	b.hook(HookSpec{Name: "h1", URL: "https://h", Events: []string{"device.quota_80"}, Account: "ada"})
	next, ch, _, err := b.cat.EraseLog(b.by(), "p1", "d1", true, 7)
	b.keep(next, ch, err)
	next, ch, _, err = b.cat.ReserveName(b.by(), NameProduct, "p2", 3)
	b.keep(next, ch, err)
	next, ch = b.cat.RefuseNames(b.by(), 5)
	b.keep(next, ch, nil)
	truth := New("default", week)
	truth.Seq = 9
	truth.putToken(b.cat.Token("gw-1"))
	truth.putToken(&access.Token{Name: "all", Role: access.RoleAdmin, Hash: [32]byte{1}})
	next, ch, _ = b.cat.Mirror(b.by(), truth)
	b.keep(next, ch, nil)
	return b.ledger
}

func TestLoadRefusesDamage(t *testing.T) {
	whole := sample(t)
	if _, err := load(whole, "default", week); err != nil {
		t.Fatal(err)
	}
	account, product, order := string(key32('A', 1)), string(key32('P', 1)), string(key32('O', 1, 2))
	if whole[account] == nil || whole[product] == nil || whole[order] == nil || whole["Tgw-1"] == nil ||
		whole["H"] == nil {
		t.Fatalf("the sample holds %q", sortedKeys(whole))
	}
	tests := []struct {
		why    string
		damage func(l map[string][]byte)
	}{
		{"no account of a product", func(l map[string][]byte) { delete(l, account) }},
		{"no product of an order", func(l map[string][]byte) { delete(l, product) }},
		{"a short key of an account", func(l map[string][]byte) { l["A\x00\x00\x01"] = l[account] }},
		{"a long key of an account", func(l map[string][]byte) { l[account+"x"] = l[account] }},
		{"a short key of a product", func(l map[string][]byte) { l["P"] = l[product] }},
		{"a long key of a product", func(l map[string][]byte) { l[product+"x"] = l[product] }},
		{"a short key of an order", func(l map[string][]byte) { l[order[:8]] = l[order] }},
		{"a long key of an order", func(l map[string][]byte) { l[order+"x"] = l[order] }},
		{"an order of another product", func(l map[string][]byte) { l[string(key32('O', 2, 9))] = l[order] }},
		{
			"a product beyond the device table's bits",
			func(l map[string][]byte) { l[string(key32('P', productIDMax+1))] = l[product] },
		},
		{"a product without an ordinal", func(l map[string][]byte) { l[string(key32('P', 0))] = l[product] }},
		{"no such zone", edit(product, "time_zone", "Mars")},
		{"no zone", edit(product, "time_zone", "")},
		{"no validity", edit(product, "validities", []int{})},
		{"a validity that is none", edit(product, "validities", []any{map[string]any{"from": 1, "validity": "P0D"}})},
		{"a plan that is none", edit(product, "plan", 7)},
		{"a plan without values", edit(product, "plan", map[string]any{})}, // its OTA unit of 0 bytes would be divided by
		{"a validity without a period", edit(product, "validities", []any{map[string]any{"from": 1}})},
		{"a period of a plan that is none", edit(product, "plan", map[string]any{"validity": "5Y"})},
		{"an account that is none", edit(product, "account_id", "ada")},
		{"gifts below zero", edit(account, "gifts", -1)},
		{"a quantity below zero", edit(order, "credited", -1)},
		{"a role that is a number", edit("Tgw-1", "role", 1)},
		{"half a hash", edit("Tgw-1", "sha256", []byte("0123456789abcdef"))},
		{"no hash", edit("Tgw-1", "sha256", nil)},
		{"a hash that is no base64", edit("Tgw-1", "sha256", "%%%")},
		{"an account of a webhook that is none", edit("Wh1", "account", "eve")},
		{"another account of a webhook", edit("Wh1", "account_id", 2)},
		{"an event that is none", edit("Wh1", "events", []string{"device.quota_81"})},
		{"a webhook without a secret", edit("Wh1", "secret", nil)},
		{"a webhook without a number", edit("Wh1", "id", 0)},
		{"a head that is none", func(l map[string][]byte) { l["H"] = []byte(`[1]`) }},
	}
	for _, key := range []string{"H", account, product, order, "Tgw-1", "Wh1", "Npp2", "F", "M"} {
		for _, value := range []string{
			"", "{", "1", `"x"`, "[]", "\x00\xff", string(whole[key][:len(whole[key])-1]),
			string(whole[key]) + "}",
		} {
			tests = append(tests, struct {
				why    string
				damage func(l map[string][]byte)
			}{key[:1] + " = " + value, func(l map[string][]byte) { l[key] = []byte(value) }})
		}
	}
	for _, tt := range tests {
		t.Run(tt.why, func(t *testing.T) {
			ledger := maps.Clone(whole)
			tt.damage(ledger)
			if c, err := load(ledger, "default", week); err == nil {
				t.Errorf("loaded as\n%s", c.dump())
			}
		})
	}
}

// edit replaces one value of a record.
func edit(key, name string, value any) func(map[string][]byte) {
	return func(l map[string][]byte) {
		record := map[string]any{}
		if err := json.Unmarshal(l[key], &record); err != nil {
			panic(err)
		}
		record[name] = value
		l[key] = mustJSON(record)
	}
}

// Records of a newer version may have more fields.
func TestLoadIgnoresFieldsThatItDoesNotKnow(t *testing.T) {
	ledger := sample(t)
	want, err := load(ledger, "default", week)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range sortedKeys(ledger) {
		edit(key, "colour", "red")(ledger)
	}
	got, err := load(ledger, "default", week)
	if err != nil || got.dump() != want.dump() {
		t.Errorf("%v", err)
	}
}

func TestAudit(t *testing.T) {
	b := newBook(t)
	next, ch := b.cat.Note(b.by(), "clock.confirm", "clock", map[string]any{"leap_seconds": 7200})
	b.keep(next, ch, nil)
	if len(b.ledger) != 2 {
		t.Errorf("a note put %q", sortedKeys(b.ledger))
	}
	key := AuditKey(1)
	got, err := DecodeAudit(key, b.ledger[string(key)])
	if err != nil {
		t.Fatal(err)
	}
	if got.Seq != 1 || got.AtMs != b.atMs || got.Token != "admin" || got.Action != "clock.confirm" ||
		got.Target != "clock" ||
		string(got.Detail) != `{"leap_seconds":7200}` {
		t.Errorf("%+v", got)
	}
	for _, bad := range []struct{ key, value string }{
		{"U", "{}"},
		{string(key[:8]), "{}"},
		{string(key) + "x", "{}"},
		{string(key), ""},
		{string(key), "[]"},
		{string(key), `{"at_ms":"now"}`},
	} {
		if a, err := DecodeAudit([]byte(bad.key), []byte(bad.value)); err == nil || a.Action != "" || a.Seq != 0 {
			t.Errorf("%x = %s: %+v, %v", bad.key, bad.value, a, err)
		}
	}
}

// Audit entries lie in the order of their making.
func TestAuditKeysSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Uint64().Draw(t, "a"), rapid.Uint64().Draw(t, "b")
		if (string(AuditKey(a)) < string(AuditKey(b))) != (a < b) {
			t.Fatalf("%d and %d", a, b)
		}
	})
}

// Arbitrary records are refused, or are a catalogue that can be asked everything: no panic, no division by nothing.
func FuzzLoad(f *testing.F) {
	head := []byte(`{"seq":5,"pool_last":3,"account_last":1,"region":"default"}`)
	account := []byte(`{"account":"ada","kind":"personal","region":"default","created_at_ms":1,"gift_pool":1,"gifts":5}`)
	plan := `{"validity":"P5Y","messages_per_day":1500,"message_unit_bytes":0,"ota_per_month":1,` +
		`"ota_unit_bytes":5242880,"log_days":7}`
	product := []byte(
		`{"product":"p1","name":"","account_id":1,"time_zone":"UTC","plan":` + plan +
			`,"plan_since_ms":1,"validities":[{"from":0,"validity":"P5Y"}],"created_at_ms":1}`,
	)
	order := []byte(`{"order":"PO-1","credited":1,"credited_at_ms":1}`)
	token := []byte(`{"role":"gateway","sha256":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","created_at_ms":1}`)
	f.Add(head, account, product, order, token, uint32(1), uint32(2), "gw-1")
	f.Add(head, account, product, order, token, uint32(0), uint32(1), "")
	f.Add([]byte(`null`), []byte(`null`), []byte(`null`), []byte(`null`), []byte(`null`), uint32(1), uint32(1), "x")
	f.Add(
		[]byte(`{}`),
		[]byte(`{}`),
		[]byte(`{"account_id":1,"time_zone":"UTC"}`),
		[]byte(`{"units":true}`),
		[]byte(`{"sha256":""}`),
		uint32(7),
		uint32(1),
		"x",
	)
	f.Add(
		head,
		account,
		product,
		[]byte(`{"order":"PACK","units":true,"credited":18446744073709551615,"plan":null}`),
		token,
		uint32(1<<24),
		uint32(1),
		"y",
	)
	f.Fuzz(func(t *testing.T, head, account, product, order, token []byte, id, pool uint32, name string) {
		ledger := map[string][]byte{
			"H":                          head,
			string(key32('A', 1)):        account,
			string(key32('P', id)):       product,
			string(key32('O', id, pool)): order,
			"T" + name:                   token,
		}
		c, err := load(ledger, "default", week)
		if err != nil {
			return
		}
		ask(t, c)
	})
}

// One arbitrary record more is refused, or the catalogue can still be asked everything, while it is loaded and later.
func FuzzPut(f *testing.F) {
	f.Add(key32('R', 1), []byte(`{"except":["d1","d2"]}`), false)
	f.Add(key32('V', 1, 2, 0), []byte(`{"order":"RV-1","quantity":1}`), true)
	f.Add(key32('V', 1, 3, 1), []byte(`{"order":"RV-1","quantity":18446744073709551615}`), false)
	f.Add(sweepKey(4), []byte(`{"product_id":1}`), true)
	f.Add(sweepKey(4), []byte(`{"ended":true}`), true)
	f.Add(key32('A', 1), []byte(`{"account":"ada","kind":"enterprise","gift_pool":1,"gifts":10}`), true)
	f.Add(key32('A', 2), []byte(`{"account":"bob","gift_pool":4,"gifts":18446744073709551615}`), true)
	f.Add(key32('O', 1, 4), []byte(`{"order":"PO-2","credited":18446744073709551615}`), true)
	f.Add([]byte("Tgw-1"), []byte(`{"deleted":true}`), false)
	f.Add([]byte("X"), []byte(`{}`), false)
	f.Add([]byte("Npp2"), []byte(`{"cell":3,"number":8}`), true)
	f.Add([]byte("Npp2"), []byte(`{"deleted":true}`), false)
	f.Add([]byte("Nap2"), []byte(`{"cell":-1,"number":8,"open":true}`), true)
	f.Add([]byte("N"), []byte(`{"cell":1,"number":8}`), true)
	f.Add([]byte("F"), []byte(`{"up_to":4}`), true)
	f.Add([]byte("M"), []byte(`{"seq":10}`), true)
	f.Add([]byte{}, []byte(`null`), true)
	records := sample(f)
	f.Fuzz(func(t *testing.T, key, value []byte, applied bool) {
		l := NewLoader("default", week)
		if err := putAll(l, records); err != nil {
			t.Fatal(err)
		}
		c, err := l.Catalogue()
		if err != nil {
			t.Fatal(err)
		}
		if !applied {
			if l.Put(key, value) == nil {
				ask(t, c)
			}
			return
		}
		before := c.dump()
		if next, err := c.Apply(&Change{Seq: c.Seq + 1, Puts: []Put{{key, value}}}); err == nil {
			ask(t, next)
		}
		if c.dump() != before {
			t.Fatalf("the catalogue before the change is now\n%s\nand was\n%s", c.dump(), before)
		}
	})
}

// ask asks a catalogue what the daemon asks of one.
func ask(t *testing.T, c *Catalogue) {
	if c.dump() == "" {
		t.Fatal("nothing to say")
	}
	for _, p := range c.Products("") {
		if c.ProductByID(p.ID) != p || p.ID == 0 || p.ID > c.ProductIDMax() {
			t.Fatalf("product %d is not found by its ordinal", p.ID)
		}
		p.Plan.OTAUnits(1 << 30)
		p.Plan.MessageUnits(1 << 30)
		p.Plan.LogCutoffMs(1, c.Retention)
		p.Window(1_800_000_000_000)
		if end := p.ExpiryS(1_800_000_000); end <= 1_800_000_000 {
			t.Fatalf("a licence of %+v ends when it begins", p.Validities)
		}
		p.Licenses()
		p.Topups()
		if left := p.LicensesLeft(); left != (p.TakeLicense() != nil) {
			t.Fatalf("left %t, but the draw says otherwise", left)
		}
	}
	c.EachPool(func(p *Pool) {
		p.Available()
		if c.Pool(p.ID) != p {
			t.Fatalf("pool %d is not found", p.ID)
		}
	}, func(uint32, uint64) {})
	if next, ch := c.Note(Actor{}, "ask", "", nil); next.Seq != c.Seq+1 || len(ch.Puts) != 0 {
		t.Fatalf("control sequence %d follows %d", next.Seq, c.Seq)
	}
}

func FuzzDecodeAudit(f *testing.F) {
	f.Add(
		AuditKey(1),
		[]byte(`{"at_ms":1,"token":"admin","action":"account.create","target":"acme","detail":{"kind":"personal"}}`),
	)
	f.Add(AuditKey(1<<64-1), []byte(`{}`))
	f.Add([]byte("U"), []byte(`{}`))
	f.Add([]byte(""), []byte(`null`))
	f.Add(AuditKey(7), []byte(`{"detail":[1,{"a":null}],"seq":9}`))
	f.Add(AuditKey(7), []byte(`{"detail":1e999,"token":"\ud800"}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		a, err := DecodeAudit(key, value)
		if err != nil {
			if a.Seq != 0 || a.Detail != nil {
				t.Fatalf("refused and returned all the same: %+v", a)
			}
			return
		}
		if len(key) != 9 || a.Seq != binary.BigEndian.Uint64(key[1:]) {
			t.Fatalf("key %x has the sequence %d", key, a.Seq)
		}
		stored, err := json.Marshal(a)
		if err != nil {
			t.Fatalf("%+v cannot be stored: %v", a, err)
		}
		again, err := DecodeAudit(key, stored)
		if err != nil {
			t.Fatalf("%s: %v", stored, err)
		}
		twice, err := json.Marshal(again)
		if err != nil || string(twice) != string(stored) {
			t.Fatalf("stored as %s, then as %s, %v", stored, twice, err)
		}
	})
}
