package history

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// past is how a product stood around a quarter of an hour, every ten seconds.
func past() (list []Past) {
	p := Product{ID: 1, Account: "a", Name: "p", Usage: Usage{OTAPacks: 3, Licenses: 2}, DevicesActive: 2}
	for n := int64(-1); n <= 31; n++ {
		if n <= 1 {
			p.Usage.Up += 5
		}
		if n == 30 {
			p.Usage.Denied = denied(4)
			p.DevicesActive = 1
		}
		list = append(list, Past{AtMs: epochMs + n*sampleEvery.Milliseconds(), Products: []Product{p}})
	}
	return list
}

// TestPast: messages are written when they change and every five minutes, but for the quarter of an hour, which the
// ledger fills in; of what else was used nothing is.
func TestPast(t *testing.T) {
	fine, thin := &fakeStore{}, &fakeStore{}
	h := &History{tiers: []*tier{newTier(fine), newTier(thin)}}
	h.tiers[1].answers = 90 * 24 * time.Hour
	must(t, h.AddPast(t.Context(), past()))
	expect(t, fine, map[string]string{
		up: "-0.2:5 0.2:15 5.0:15", down: "-0.2:0 5.0:0", refused: "5.0:4", active: "-0.2:2 0.0:2 5.0:1",
		`meterd_ota_units_total{account="a",product="p",source="topup"}`: "",
		`meterd_licenses_consumed_total{account="a",product="p"}`:        "",
	})
	expect(t, thin, map[string]string{up: "5.0:15", refused: "5.0:4", active: "0.0:2 5.0:1"})
}

// TestPastWaits: a store that is not open yet gets all of it when it is; what ends before says so.
func TestPastWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeStore{fails: true}
		h := &History{tiers: []*tier{newTier(s)}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.AddPast(ctx, past()); !errors.Is(err, errStore) {
			t.Errorf("it ended with %v", err)
		}
		time.AfterFunc(time.Second, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.fails = false
		})
		must(t, h.AddPast(t.Context(), past()))
		expect(t, s, map[string]string{up: "-0.2:5 0.2:15 5.0:15"})
	})
}
