package main

import (
	"fmt"
	"log/slog"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/usage/history"
)

// openHistory starts what keeps the usage history, unless it is switched off.
func openHistory(o *serveOptions, s *state, dir *disk.Dir, logger *slog.Logger) (*history.History, error) {
	if !o.usageHistory {
		return nil, nil
	}
	guard := dir.Guard()
	h, err := history.Open(history.Options{
		Source: historySource{s}, NowMs: s.engine.NowMs, Retention: o.usageRetention, URL: o.usageURL,
		Directory: dir.HistoryPath(), Logger: logger,
		Starter: historyStarter{logger: logger, freeBytes: max(historyFreeBytes, 2*o.diskStopBytes)},
		Room:    history.Room{Short: guard.Low, Full: guard.Stopped},
	})
	if err != nil {
		return nil, fmt.Errorf("open the usage history: %w", err)
	}
	return h, nil
}

// historySource takes samples of the ledger and, of what it does not keep, of the engine.
type historySource struct{ s *state }

// Now implements history.Source. What it returns is durable: totals are in the ledger, the rest is waited for.
func (h historySource) Now() ([]history.Product, int64, error) {
	atMs := h.s.engine.NowMs()
	if err := h.Settle(); err != nil {
		return nil, 0, err
	}
	products := h.stock()
	if err := h.s.engine.Durable(); err != nil {
		return nil, 0, err
	}
	rows := h.s.ledger
	for i := range products {
		t, err := rows.Totals(products[i].ID)
		if err != nil {
			return nil, 0, err
		}
		products[i].Usage = usageOf(&t.Totals)
	}
	return products, atMs, nil
}

// stock returns all products without what they have used. It may not be durable.
func (h historySource) stock() []history.Product {
	list := h.s.engine.Catalogue().Products("")
	products := make([]history.Product, len(list))
	for i, p := range list {
		p.State.Account.Lock()
		licenses := p.Licenses()
		p.State.Account.Unlock()
		products[i] = history.Product{
			ID: p.ID, Account: p.Account, Name: p.Name,
			LicensesTotal: licenses.Total, LicensesUsed: licenses.Used, LicensesAvailable: licenses.Available,
			DevicesActive: uint64(max(0, p.State.Active.Load())), DevicesOnline: uint64(max(0, p.State.Online.Load())),
		}
	}
	return products
}

// Settle implements history.Source.
func (h historySource) Settle() error { return h.s.engine.DurableInLedger() }

// Before implements history.Source.
func (h historySource) Before(product, quarter uint32) (history.Usage, error) {
	t, _, err := h.s.ledger.TotalsBefore(product, quarter)
	return usageOf(&t), err
}

// Quarters implements history.Source.
func (h historySource) Quarters(product, from uint32, fn func(uint32, *history.Usage) bool) error {
	return h.s.ledger.Quarters(product, from, func(quarter uint32, t *record.Totals) bool {
		u := usageOf(t)
		return fn(quarter, &u)
	})
}

func usageOf(t *record.Totals) history.Usage {
	u := history.Usage{
		Up: t.MessagesUp, Down: t.MessagesDown, OTAAllowance: t.OTAAllowance, OTAPacks: t.OTAPacks,
		VoidAllowance: t.VoidAllowance, VoidPacks: t.VoidPacks, Licenses: t.Licenses,
	}
	for _, d := range t.Denied {
		u.Denied = append(u.Denied, history.Denied(d))
	}
	for _, d := range t.WouldDeny {
		u.WouldDeny = append(u.WouldDeny, history.Denied(d))
	}
	return u
}
