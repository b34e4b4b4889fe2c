package license

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// R5: a product's own lots, oldest first, then its account's gifts.
func TestTakeLicense(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	b.product("p2", "ada", "")
	b.credit("p1", Credit{Order: "PO-1", Quantity: 2})
	b.credit("p1", Credit{Order: "PACK", Quantity: 9, Units: true}) // gives no licence
	b.credit("p1", Credit{Order: "PO-2", Quantity: 1})
	b.credit("p2", Credit{Order: "PO-3", Quantity: 1})

	take := func(product string, want ...string) {
		t.Helper()
		for i, source := range want {
			if left := b.get(product).LicensesLeft(); left != (source != "") {
				t.Errorf("draw %d of %s: left %t", i, product, left)
			}
			if got := b.take(product); got != source {
				t.Errorf("draw %d of %s came from %q, want %q", i, product, got, source)
			}
		}
	}
	take("p1", "PO-1", "PO-1", "PO-2", "gift")
	take("p2", "PO-3", "gift", "gift")
	b.credit("p1", Credit{Order: "PO-4", Quantity: 1}) // a new lot comes before the gifts that are left
	take("p1", "PO-4", "gift", "gift", "", "")
	take("p2", "")
	b.credit("p2", Credit{Order: "PO-5", Quantity: 1})
	take("p1", "")
	take("p2", "PO-5", "")

	if got := b.get("p1").Licenses(); got != (Counts{Total: 7, Used: 7}) { // 4 of lots, 3 gifts
		t.Errorf("p1: %+v", got)
	}
	if got := b.get("p2").Licenses(); got != (Counts{Total: 4, Used: 4}) { // 2 of lots, 2 gifts
		t.Errorf("p2: %+v", got)
	}
	if got := b.cat.Account("ada").GiftCounts(); got != (Counts{Total: 5, Used: 5}) {
		t.Errorf("gifts: %+v", got)
	}
}

// Accounts do not draw on each other's gifts.
func TestTakeLicenseOfTwoAccounts(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.account("bob", Enterprise)
	b.product("p1", "ada", "")
	b.product("p2", "bob", "")
	for i := range 6 {
		if got := b.take("p1"); (got == "gift") != (i < 5) {
			t.Errorf("draw %d: %q", i, got)
		}
	}
	if got := b.cat.Account("bob").GiftCounts(); got != (Counts{Total: 10, Available: 10}) {
		t.Errorf("bob's gifts: %+v", got)
	}
}

// What was drawn belongs to the pool, not to a version of the catalogue: an old one sees it, and asking it is safe.
func TestTakeLicenseThroughAnOldCatalogue(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	b.credit("p1", Credit{Order: "PO-1", Quantity: 1})
	old := b.get("p1")
	b.credit("p1", Credit{Order: "PO-2", Quantity: 1})
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("asking an old catalogue: %v", r)
		}
	}()
	for i, want := range []string{"PO-1", "PO-2", "gift", "gift", "gift", "gift", "gift", ""} {
		if left := old.LicensesLeft(); left != old.lotOrGiftLeft() {
			t.Errorf("draw %d: the old catalogue says left %t", i, left)
		}
		if got := b.take("p1"); got != want {
			t.Errorf("draw %d came from %q, want %q", i, got, want)
		}
	}
	if pool := old.TakeLicense(); pool != nil {
		t.Errorf("the old catalogue found another licence in pool %d", pool.ID)
	}
}

// lotOrGiftLeft is LicensesLeft in its slowest form.
func (p *Product) lotOrGiftLeft() bool {
	return p.Gifts.Available() > 0 || slices.ContainsFunc(p.Lots, func(l *Lot) bool { return l.Pool.Available() > 0 })
}

// R16: packs are drawn oldest first, over several if need be, the whole or nothing.
func TestTakePacks(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	if n := b.get("p1").PackUnits(); n != 0 {
		t.Fatalf("%d units without a pack", n)
	}
	b.credit("p1", Credit{Order: "LOT", Quantity: 100})
	for i, n := range []uint64{2, 3, 5} {
		b.credit("p1", Credit{Order: fmt.Sprintf("PACK-%d", i), Quantity: n, Units: true})
	}
	p := b.get("p1")
	taken := func(n uint64) (from []string) {
		p.TakePacks(n, func(pool *Pool, units uint64) {
			for _, pack := range p.Packs {
				if pack.Pool == pool {
					from = append(from, fmt.Sprintf("%s:%d:%d", pack.Order, units, pool.Drawn))
				}
			}
		})
		return from
	}
	for _, tt := range []struct {
		units uint64
		from  []string
		left  uint64
	}{
		{0, nil, 10},
		{1, []string{"PACK-0:1:1"}, 9},
		{5, []string{"PACK-0:1:2", "PACK-1:3:3", "PACK-2:1:1"}, 4},
		{4, []string{"PACK-2:4:5"}, 0},
		{0, nil, 0},
	} {
		if from := taken(tt.units); !slices.Equal(from, tt.from) || p.PackUnits() != tt.left {
			t.Errorf("%d units came from %v, %d left; want %v, %d", tt.units, from, p.PackUnits(), tt.from, tt.left)
		}
	}
	p.Packs[0].Pool.Returned++ // R17: a void gives back to the pack
	if p.PackUnits() != 1 || p.Topups() != (Counts{Total: 10, Used: 9, Available: 1}) {
		t.Errorf("after a void: %d, %+v", p.PackUnits(), p.Topups())
	}
	if from := taken(1); !slices.Equal(from, []string{"PACK-0:1:3"}) {
		t.Errorf("the unit given back was drawn as %v", from)
	}
	if got := p.Licenses(); got.Used != 0 {
		t.Errorf("packs drew licences: %+v", got)
	}
}

func TestTakePacksNeverTakesMoreThanThereIs(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.product("p1", "ada", "")
	b.credit("p1", Credit{Order: "PACK", Quantity: 3, Units: true})
	defer func() {
		if recover() == nil {
			t.Error("four units were taken from a pack of three")
		}
	}()
	b.get("p1").TakePacks(4, func(*Pool, uint64) {})
}

func TestPool(t *testing.T) {
	tests := []struct {
		pool            Pool
		available, used uint64
	}{
		{Pool{}, 0, 0},
		{Pool{Credited: 5}, 5, 0},
		{Pool{Credited: 5, Drawn: 5}, 0, 5},
		{Pool{Credited: 5, Drawn: 7, Returned: 2}, 0, 5},
		{Pool{Credited: 5, Drawn: 7, Returned: 4}, 2, 3},
		{Pool{Credited: 9, TakenBack: 4, Drawn: 7, Returned: 4}, 2, 3},
		{Pool{Credited: 3, Drawn: 5}, 0, 5}, // recovery has not joined everything yet
		{Pool{Credited: 1_000_000_000, Drawn: 1, Returned: 1}, 1_000_000_000, 0},
	}
	for _, tt := range tests {
		if got := tt.pool.Available(); got != tt.available {
			t.Errorf("%+v: available %d, want %d", tt.pool, got, tt.available)
		}
		if got := tt.pool.Used(); got != tt.used {
			t.Errorf("%+v: used %d, want %d", tt.pool, got, tt.used)
		}
	}
}

// R4, R5, R7 under any history, against a model that only knows numbers: nothing is drawn that was not credited, the
// oldest lot goes first, and account.available = Σ product.available + gifts left, at every instant.
func TestPoolsUnderAnyHistory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBook(t)
		b.account("ada", rapid.SampledFrom([]string{Personal, Enterprise}).Draw(rt, "kind"))
		products := []string{"p1", "p2", "p3"}
		for _, name := range products {
			b.product(name, "ada", "")
		}
		m := poolModel{
			gifts:      b.cat.Account("ada").Gifts.Quantity(),
			lots:       map[string][]modelLot{},
			used:       map[string]uint64{},
			giftsDrawn: map[string]uint64{},
		}
		for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			name := rapid.SampledFrom(products).Draw(rt, "product")
			if rapid.IntRange(0, 3).Draw(rt, "step") == 0 {
				order, n := fmt.Sprintf("PO-%d", i), rapid.Uint64Range(1, 5).Draw(rt, "quantity")
				b.credit(name, Credit{Order: order, Quantity: n})
				m.lots[name] = append(m.lots[name], modelLot{order, n})
			} else if got, want := b.take(name), m.take(name); got != want {
				rt.Fatalf("step %d: %s drew from %q, want %q", i, name, got, want)
			}
			m.compare(rt, b, products)
		}
	})
}

type modelLot struct {
	order string
	left  uint64
}

type poolModel struct {
	gifts            uint64
	lots             map[string][]modelLot
	used, giftsDrawn map[string]uint64
}

func (m *poolModel) take(product string) string {
	lots := m.lots[product]
	i := slices.IndexFunc(lots, func(l modelLot) bool { return l.left > 0 })
	switch {
	case i >= 0:
		lots[i].left--
		m.used[product]++
		return lots[i].order
	case m.gifts > 0:
		m.gifts--
		m.used[product]++
		m.giftsDrawn[product]++
		return "gift"
	}
	return ""
}

func (m *poolModel) compare(t *rapid.T, b *book, products []string) {
	a := b.cat.Account("ada")
	account := a.GiftCounts() // everything, gifts included: as views add it up
	var sum Counts
	for _, name := range products {
		p := b.get(name)
		var left uint64
		for _, l := range m.lots[name] {
			left += l.left
		}
		want := Counts{Total: left + m.used[name], Used: m.used[name], Available: left}
		if got := p.Licenses(); got != want {
			t.Fatalf("%s: %+v, want %+v", name, got, want)
		}
		if p.State.GiftsDrawn != m.giftsDrawn[name] {
			t.Fatalf("%s drew %d gifts, want %d", name, p.State.GiftsDrawn, m.giftsDrawn[name])
		}
		account.Add(p.LotCounts())
		sum.Add(p.Licenses())
		for _, l := range p.Lots {
			if l.Pool.Drawn > l.Pool.Quantity() {
				t.Fatalf("lot %s of %d licences gave %d (R4)", l.Order, l.Pool.Quantity(), l.Pool.Drawn)
			}
		}
		if p.LicensesLeft() != (left+m.gifts > 0) {
			t.Fatalf("%s: left %t with %d in lots and %d gifts", name, p.LicensesLeft(), left, m.gifts)
		}
	}
	if a.Gifts.Available() != m.gifts || account.Available != sum.Available+m.gifts {
		t.Fatalf("the account has %+v, its products %+v, gifts left %d, want %d", account, sum, a.Gifts.Available(), m.gifts)
	}
	if account.Total != account.Used+account.Available || account.Used != sum.Used || account.Total != sum.Total+m.gifts {
		t.Fatalf("the account has %+v, its products %+v, gifts left %d", account, sum, m.gifts)
	}
}

// Recovery and checkpoints reach every pool by its ordinal, each exactly once.
func TestPoolsByOrdinal(t *testing.T) {
	b := newBook(t)
	b.account("ada", Personal)
	b.account("bob", Enterprise)
	b.product("p1", "ada", "")
	b.product("p2", "bob", "")
	b.credit("p1", Credit{Order: "PO-1", Quantity: 4})
	b.credit("p2", Credit{Order: "PACK", Quantity: 5, Units: true})
	for range 5 {
		b.take("p1")
	}
	want := map[uint32]Pool{
		1: {ID: 1, Credited: 5, Drawn: 1},
		2: {ID: 2, Credited: 10},
		3: {ID: 3, Credited: 4, Drawn: 4},
		4: {ID: 4, Credited: 5},
	}
	seen, gifts := map[uint32]int{}, map[uint32]uint64{}
	b.cat.EachPool(func(p *Pool) {
		seen[p.ID]++
		if *p != want[p.ID] || b.cat.Pool(p.ID) != p {
			t.Errorf("pool %+v, want %+v", *p, want[p.ID])
		}
	}, func(product uint32, drawn uint64) { gifts[product] = drawn })
	if b.cat.Pool(0) != nil || b.cat.Pool(5) != nil || b.cat.Pool(1<<31) != nil || len(seen) != 4 ||
		seen[1]+seen[2]+seen[3]+seen[4] != 4 {
		t.Errorf("seen %v", seen)
	}
	if len(gifts) != 2 || gifts[1] != 1 || gifts[2] != 0 {
		t.Errorf("gifts drawn %v", gifts)
	}
}

func BenchmarkTakeLicense(b *testing.B) {
	p := &Product{State: &ProductState{Account: &AccountState{}}, Gifts: &Pool{}}
	for range 1000 {
		p.Lots = append(p.Lots, &Lot{Pool: &Pool{Credited: 1 << 40}})
	}
	for range 999 { // all but the last are empty
		p.Lots[p.State.lotFirst].Pool.Credited = 0
		p.TakeLicense()
	}
	b.ReportAllocs()
	for b.Loop() {
		if p.TakeLicense() == nil {
			b.Fatal("none left")
		}
	}
}
