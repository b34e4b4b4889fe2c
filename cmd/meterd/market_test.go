package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// market is an account whose licences are bought, taken back, given and consumed by many at once, through kills. It
// remembers what was asked, so that all of it can be asked again, and what must have come of it.
type market struct {
	d        *daemon
	products []string
	ending   atomic.Bool  // a request may stay without an answer now
	asked    atomic.Int64 // requests that were answered

	mu    sync.Mutex
	deals []*deal
}

// deal is one order, and the one that took some of it back, if one did.
type deal struct {
	product, order  string
	quantity, taken int
	void            string
	isRefused       bool // nothing was left of it
}

const certifies = "certify"

// TestMarket: account.available = Σ product.available + gifts left, at every instant at which that can be looked at,
// while devices connect and are renewed, lots are credited and taken back and the account is certified, through kill -9
// (R6, R7, R8).
func TestMarket(t *testing.T) {
	t.Parallel()
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	n := seed(t)
	dice := newDice(n, 0)
	d := newDaemon(t, "--checkpoint-every", "100ms")
	m := &market{d: d, products: []string{"lasting", "passing", "poor"}}
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`, nil)
	for _, p := range m.products {
		plan := map[string]string{"passing": `{"validity":"PT2S"}`}[p]
		if plan == "" {
			plan = "{}"
		}
		d.must("POST", "/v1/products", fmt.Sprintf(`{"product":%q,"account":"acme","plan":%s}`, p, plan), nil)
	}
	compared := 0
	for round := range rounds {
		ctx, stop := context.WithCancel(context.Background())
		var trade sync.WaitGroup
		for i := range 4 {
			own := newDice(n, uint64(round)<<8|uint64(i)+1)
			trade.Go(func() { m.trade(ctx, own, fmt.Sprintf("%d-%d", round, i)) })
		}
		for enough := m.asked.Load() + 40 + dice.Int64N(40); m.asked.Load() < enough && !t.Failed(); {
			compared += m.look()
		}
		m.ending.Store(true)
		d.kill()
		stop()
		trade.Wait()
		m.ending.Store(false)
		d.start()
		compared += m.look()
		m.settle()
	}
	t.Logf("%d deals, %d instants compared, and one a round without traffic", len(m.deals), compared)
}

// trade does one thing after the other until something stays unanswered.
func (m *market) trade(ctx context.Context, dice *rand.Rand, name string) {
	pace := time.NewTicker(15 * time.Millisecond)
	defer pace.Stop()
	var own []*deal
	for i := 0; ctx.Err() == nil; i++ {
		product := m.products[dice.IntN(len(m.products))]
		ok := true
		switch chance := dice.IntN(100); {
		case chance < 60:
			_, ok = m.ask("POST", "/v1/events", line("connect", product, fmt.Sprintf("d%d", dice.IntN(60))), 403)
		case chance < 62:
			_, ok = m.ask("POST", "/v1/accounts/acme/"+certifies, "")
		case chance < 80 || len(own) == 0:
			if product == "poor" {
				continue // It lives on gifts.
			}
			one := &deal{product: product, order: fmt.Sprintf("PO-%s-%d", name, i), quantity: 1 + dice.IntN(9)}
			m.keep(one)
			if ok = m.credit(one); ok {
				own = append(own, one)
			}
		default:
			one := own[dice.IntN(len(own))]
			if one.void == "" {
				one.void, one.taken = "RV-"+one.order, 1+dice.IntN(one.quantity)
				ok = m.takeBack(one)
			}
		}
		if !ok {
			return
		}
		<-pace.C
	}
}

func (m *market) keep(one *deal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deals = append(m.deals, one)
}

func (m *market) credit(one *deal) bool {
	_, ok := m.ask(
		"POST",
		"/v1/products/"+one.product+"/lots",
		fmt.Sprintf(`{"order":%q,"quantity":%d}`, one.order, one.quantity),
	)
	return ok
}

func (m *market) takeBack(one *deal) bool {
	a, ok := m.ask(
		"POST",
		"/v1/products/"+one.product+"/lots/"+one.order+"/void",
		fmt.Sprintf(`{"order":%q,"quantity":%d}`, one.void, one.taken),
		409,
	)
	if ok {
		one.isRefused = a.status == 409
	}
	return ok
}

// ask makes a request that must succeed or be answered with one of some other statuses, or stays unanswered while the
// daemon ends.
func (m *market) ask(method, path, body string, other ...int) (answer, bool) {
	a, err := m.d.try(method, path, []byte(body))
	if err != nil {
		if !m.ending.Load() {
			m.d.t.Errorf("%s: no answer: %v", path, err)
		}
		return a, false
	}
	m.asked.Add(1)
	fine := a.status/100 == 2 || a.status == 503 && m.ending.Load()
	for _, s := range other {
		fine = fine || a.status == s
	}
	if !fine {
		m.d.t.Errorf("%s %s: %d %s", path, body, a.status, a.body)
	}
	return a, fine && a.status != 503
}

// look compares the views if nothing happened between the first and the last of them, and reports whether it did: 1 or
// 0. That nothing happened shows in the audit log, which has every change, and in what the account has used, which only
// grows (R7).
func (m *market) look() int {
	m.d.t.Helper()
	audit, before := m.d.ask("GET", "/v1/audit?limit=1", ""), m.d.account("acme")
	var list struct{ Products []productView }
	m.d.must("GET", "/v1/products?account=acme", "", &list)
	after, again := m.d.account("acme"), m.d.ask("GET", "/v1/audit?limit=1", "")
	l, gift := after.Licenses, after.Licenses.Gift
	if l.Used+l.Available != l.Total || gift.Used+gift.Available != gift.Total || l.Used < before.Licenses.Used ||
		gift.Used < before.Licenses.Gift.Used {
		m.d.t.Errorf("the account does not add up: %+v, before %+v", l, before.Licenses)
	}
	if before != after || string(audit.body) != string(again.body) {
		return 0
	}
	available, used, total := gift.Available, uint64(0), gift.Available
	for _, p := range list.Products {
		available += p.Licenses.Available
		used += p.Licenses.Used
		total += p.Licenses.Total
	}
	if l.Available != available || l.Used != used || l.Total != total {
		m.d.t.Errorf("the account has %+v, its products and gifts %+v of %+v", l, available, list.Products)
	}
	return 1
}

// settle asks for every deal again and compares what there is with what was dealt. Nobody else asks meanwhile; only
// licences end.
func (m *market) settle() {
	m.d.t.Helper()
	credited := map[string]uint64{}
	for _, one := range m.deals {
		m.credit(one)
		credited[one.product] += uint64(one.quantity)
		if one.void != "" && !one.isRefused {
			m.takeBack(one)
		}
		if one.void != "" && !one.isRefused {
			credited[one.product] -= uint64(one.taken)
		}
	}
	rows := uint64(0)
	for _, p := range m.products {
		var sum uint64
		for _, lot := range pages[lotView](m.d, "/v1/products/"+p+"/lots", "lots") {
			sum += lot.Quantity
			if lot.Used+lot.Available != lot.Quantity {
				m.d.t.Errorf("lot %+v of %s does not add up", lot, p)
			}
		}
		if sum != credited[p] {
			m.d.t.Errorf("%s was credited with %d, its lots hold %d", p, credited[p], sum)
		}
		m.d.must("PUT", "/v1/products/"+p+"/renewal", `{"auto_renew":false}`, nil) // So that what was used stands still.
		list := m.d.licenses(p)
		rows += uint64(len(list))
		serials := map[uint64]bool{}
		for _, one := range list {
			serials[one.Serial] = true
		}
		if v := m.d.product(p); v.Licenses.Used != uint64(len(list)) || len(serials) != len(list) {
			m.d.t.Errorf("%s has used %d licences; %d are listed, with %d serials", p, v.Licenses.Used, len(list), len(serials))
		}
	}
	if v := m.d.account("acme"); v.Licenses.Used != rows {
		m.d.t.Errorf("the account has used %d licences, %d are listed", v.Licenses.Used, rows)
	}
	if m.look() == 0 {
		m.d.t.Error("the account changes although nobody asks and nothing is renewed")
	}
	for _, p := range m.products {
		m.d.must("PUT", "/v1/products/"+p+"/renewal", `{"auto_renew":true}`, nil)
	}
}
