package license

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

// Changes are replayed one after the other, each once.
func TestApplyTakesTheNextChangeOnly(t *testing.T) {
	b := newBook(t)
	for seq := range uint64(4) {
		if _, err := b.cat.Apply(&Change{Seq: seq}); (err == nil) != (seq == 1) {
			t.Errorf("change %d of an empty catalogue: %v", seq, err)
		}
	}
	b.account("ada", Personal)
	for _, seq := range []uint64{0, 1, 3, 1 << 63} {
		if _, err := b.cat.Apply(&Change{Seq: seq}); err == nil || !strings.Contains(err.Error(), "follows change 1") {
			t.Errorf("change %d after change 1: %v", seq, err)
		}
	}
}

// R4: a replayed change keeps the pools that there are and what was drawn from them, whatever was replayed before it.
func TestApplyKeepsPools(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	b.credit("p1", Credit{Order: "PO-1", Quantity: 9})
	old, pool, gifts := b.replica, b.replica.Pool(2), b.replica.Pool(1)
	pool.Drawn, gifts.Drawn = 4, 2
	next, ch, _, err := b.cat.TakeBack(b.by(), "p1", "PO-1", false, Void{Order: "RV-1", Quantity: 3})
	b.keep(next, ch, err)
	next, ch, _, err = b.cat.Certify(b.by(), "ada")
	b.keep(next, ch, err)
	if *pool != (Pool{ID: 2, Credited: 9, TakenBack: 3, Drawn: 4}) || *gifts != (Pool{ID: 1, Credited: 10, Drawn: 2}) {
		t.Errorf("pools are %+v and %+v", *pool, *gifts)
	}
	p := b.replica.Product([]byte("p1"))
	if p.Lots[0].Pool != pool || p.Gifts != gifts || p.State != old.Product([]byte("p1")).State ||
		b.replica.Pool(2) != pool ||
		b.replica.Account("ada").State != old.Account("ada").State {
		t.Error("replay made pools or states anew")
	}
}

// Replay refuses what does not fit to what there is.
func TestApplyRefuses(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.account("bob", Personal)
	b.product("p1", "ada", "")
	b.credit("p1", Credit{Order: "PO-1", Quantity: 9})
	next, ch, _, err := b.cat.TakeBack(b.by(), "p1", "PO-1", false, Void{Order: "RV-1", Quantity: 3})
	b.keep(next, ch, err)
	product := b.get("p1").record()
	for why, p := range map[string]Put{
		"a head":         b.cat.head(),
		"an audit entry": {AuditKey(9), []byte(`{}`)},
		"no key":         {nil, []byte(`{}`)},
		"a product of another": {
			product.Key, bytes.Replace(product.Value, []byte(`"account_id":1`), []byte(`"account_id":2`), 1),
		},
		"another name of a product":  {product.Key, bytes.Replace(product.Value, []byte(`"p1"`), []byte(`"p2"`), 1)},
		"a product after the next":   {key32('P', 3), bytes.Replace(product.Value, []byte(`"p1"`), []byte(`"p2"`), 1)},
		"another name of an account": {key32('A', 1), []byte(`{"account":"eve","gift_pool":1,"gifts":5}`)},
		"another pool of gifts":      {key32('A', 1), []byte(`{"account":"ada","gift_pool":2,"gifts":5}`)},
		"an account after the next":  {key32('A', 4), []byte(`{"account":"eve","gift_pool":4,"gifts":5}`)},
		"a pool after the next":      {key32('O', 1, 5), []byte(`{"order":"PO-2","credited":1}`)},
		"an order again":             {key32('O', 1, 4), []byte(`{"order":"PO-1","credited":1}`)},
		"a pool again":               {key32('O', 1, 3), []byte(`{"order":"PO-2","credited":1}`)},
		"a taking-back of nothing":   {key32('V', 1, 2, 0), []byte(`{"order":"RV-2","quantity":1}`)},
		"a taking-back again":        {key32('V', 1, 3, 0), []byte(`{"order":"RV-2","quantity":1}`)},
		"a taking-back left out":     {key32('V', 1, 3, 2), []byte(`{"order":"RV-2","quantity":1}`)},
		"a taking-back's order":      {key32('V', 1, 3, 1), []byte(`{"order":"RV-1","quantity":1}`)},
		"too much taken back":        {key32('V', 1, 3, 1), []byte(`{"order":"RV-2","quantity":7}`)},
		"a sweep of nobody":          {sweepKey(9), []byte(`{"account_id":9}`)},
		"a sweep of nothing":         {sweepKey(9), []byte(`{}`)},
		"a sweep of both":            {sweepKey(9), []byte(`{"account_id":1,"product_id":1}`)},
		"exceptions of nobody":       {key32('R', 9), []byte(`{"except":["d1"]}`)},
	} {
		if next, err := b.cat.Apply(&Change{Seq: b.cat.Seq + 1, Puts: []Put{p}}); err == nil || next != nil {
			t.Errorf("%s was taken: %s", why, p.Value)
		}
	}
}

func TestSweeps(t *testing.T) {
	b := newBook(t)
	a := b.account("acme", Personal)
	p := b.product("p1", "acme", "")
	account := func(on bool) *Change {
		t.Helper()
		next, ch, _, err := b.cat.SuspendAccount(b.by(), "acme", on)
		b.keep(next, ch, err)
		return ch
	}
	product := func(on bool) {
		t.Helper()
		next, ch, _, err := b.cat.SuspendProduct(b.by(), "p1", on)
		b.keep(next, ch, err)
	}
	want := func(scope event.Scope, sweeps ...Sweep) {
		t.Helper()
		for _, c := range []*Catalogue{b.cat, b.replica, b.reload(t)} {
			if fmt.Sprint(c.Sweeps()) != fmt.Sprint(sweeps) || c.Scope(c.ProductByID(p.ID)) != scope {
				t.Errorf("sweeps %v, scope %s; want %v, %s", c.Sweeps(), c.Scope(p), sweeps, scope)
			}
		}
	}
	want(event.ScopeNone)
	account(true) // change 3
	want(event.ScopeAccount, Sweep{Seq: 3, AccountID: a.ID})
	product(true) // change 4
	ofProduct := Sweep{Seq: 4, ProductID: p.ID}
	want(event.ScopeAccount, Sweep{Seq: 3, AccountID: a.ID}, ofProduct)
	if ch := account(true); len(ch.Puts) != 1 { // It goes on already.
		t.Errorf("suspended again: %q", ch.Puts)
	}
	want(event.ScopeAccount, Sweep{Seq: 3, AccountID: a.ID}, ofProduct)
	account(false)
	want(event.ScopeProduct, ofProduct)
	if next, ch := b.cat.EndSweep(3); next != nil || ch != nil {
		t.Errorf("a sweep ended twice: %+v", ch)
	}
	next, ch := b.cat.EndSweep(4)
	if ch.Audit.Action != "" || ch.AtMs != 0 || ch.Seq != next.Seq {
		t.Errorf("the end of a sweep is told: %+v", ch)
	}
	b.keep(next, ch, nil)
	want(event.ScopeProduct) // It stays suspended.
	product(false)
	want(event.ScopeNone)
	product(true)
	want(event.ScopeProduct, Sweep{Seq: b.cat.Seq, ProductID: p.ID})
}

// What a device may be, the device table knows; the change says what it becomes.
func TestSuspendDevice(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.product("p1", "acme", "")
	next, ch, err := b.cat.SuspendDevice(b.by(), "p1", "d1", true)
	b.keep(next, ch, err)
	if *ch.Device != (DeviceSuspension{Product: 1, Device: "d1", Suspended: true}) || len(ch.Puts) != 0 ||
		ch.Audit.Action != "device.suspend" || ch.Audit.Target != "p1/d1" {
		t.Errorf("%+v", ch)
	}
}

// Gateways forget denials after what may lift them, and after nothing else.
func TestRefresh(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.product("p1", "acme", "")
	p := b.product("p2", "acme", "")
	check := func(want uint32, next *Catalogue, ch *Change, err error) {
		t.Helper()
		b.keep(next, ch, err)
		if ch.Refresh != want || ch.Audit.Refresh != want {
			t.Errorf("%s refreshes product %d, want %d", ch.Audit.Action, ch.Refresh, want)
		}
		e, err := DecodeAudit(AuditKey(ch.Seq), ch.Audit.Record().Value)
		if err != nil || !reflect.DeepEqual(e, ch.Audit) {
			t.Errorf("audited as %+v, read as %+v, %v", ch.Audit, e, err)
		}
	}
	next, ch, _, err := b.cat.SetPlan(b.by(), "p2", patch(t, `{"log_days":3}`))
	check(p.ID, next, ch, err)
	next, ch, _, err = b.cat.ApplyCredit(b.by(), "p2", Credit{Order: "PO-1", Quantity: 9})
	check(p.ID, next, ch, err)
	next, ch, _, err = b.cat.ApplyCredit(b.by(), "p2", Credit{Order: "PO-2", Quantity: 9, Units: true})
	check(p.ID, next, ch, err)
	next, ch, _, err = b.cat.TakeBack(b.by(), "p2", "PO-1", false, Void{Order: "RV-1", Quantity: 1})
	check(0, next, ch, err)
	next, ch, _, err = b.cat.SuspendProduct(b.by(), "p2", true)
	check(0, next, ch, err)
}

// Arbitrary bytes are refused or are a change that is written back the same; nothing is allocated that is not there.
func FuzzDecodeChange(f *testing.F) {
	b := newBook(f)
	b.account("ada", Personal)
	add := func(next *Catalogue, ch *Change, err error) {
		b.keep(next, ch, err)
		f.Add(ch.Append(nil))
		f.Add(ch.Append(nil)[:len(ch.Append(nil))/2])
	}
	next, ch, _, err := b.cat.CreateProduct(b.by(), ProductSpec{Name: "p1", Account: "ada", Zone: "UTC"})
	add(next, ch, err)
	next, ch, _, err = b.cat.SuspendProduct(b.by(), "p1", true)
	add(next, ch, err)
	next, ch = b.cat.EndSweep(next.Seq)
	add(next, ch, nil)
	add(b.cat.SuspendDevice(b.by(), "p1", "d1", false))
	f.Add([]byte{})
	f.Add([]byte("\x02"))
	f.Add([]byte("\x01\x01\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		given := bytes.Clone(data)
		ch, err := DecodeChange(given)
		if err != nil {
			if !reflect.DeepEqual(ch, Change{}) {
				t.Fatalf("refused and returned all the same: %+v", ch)
			}
			return
		}
		clear(given)
		again, err := DecodeChange(ch.Append(nil))
		if err != nil || !reflect.DeepEqual(again, ch) {
			t.Fatalf("%+v is read again as %+v, %v", ch, again, err)
		}
	})
}

// R19: asked for each device that connects again.
func TestRenewsDoesNotAllocate(t *testing.T) {
	b := newBook(t)
	b.account("acme", Personal)
	b.product("p1", "acme", "")
	long := strings.Repeat("d", 64)
	next, ch, p, err := b.cat.SetRenewal(b.by(), "p1", true, []string{"d3", long, "d1", "d3"})
	b.keep(next, ch, err)
	for name, want := range map[string]bool{"d1": false, "d2": true, "d3": false, long: false, "": true, "x": true} {
		device := []byte(name)
		if n := testing.AllocsPerRun(10, func() { _ = p.Renews(device) }); n != 0 || p.Renews(device) != want {
			t.Errorf("%q is renewed: %t, want %t; %v allocations", name, p.Renews(device), want, n)
		}
	}
	if len(p.NoRenew) != 3 {
		t.Errorf("excepted are %q", p.NoRenew)
	}
}
