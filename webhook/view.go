package webhook

import (
	"encoding/json"
	"fmt"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// Name implements views.View.
func (s *Service) Name() string { return "webhooks" }

// Position implements views.View.
func (s *Service) Position() views.Position { return views.Position(s.store.Position()) }

// Slight implements views.Slight: a position a second, and now and then a message. While the disk runs short the queues
// hardly grow.
func (s *Service) Slight() {}

// Skip implements views.View: who was to be told what the groups say is not told.
func (s *Service) Skip(to views.Position, _ int64) error {
	return s.store.Write(nil, ledger.Position(to))
}

// Apply implements views.View: what groups say that somebody must be told goes to queues, with the position.
func (s *Service) Apply(groups []*views.Group, devices views.Devices) error {
	g := gatherer{service: s, devices: devices}
	at := s.Position().Seq
	for i, group := range groups {
		if group.Seq <= at {
			continue // A call that failed wrote it.
		}
		if err := g.group(group); err != nil {
			return fmt.Errorf("group %d: %w", group.Seq, err)
		}
		if i == len(groups)-1 {
			to := ledger.Position(group.Position)
			return s.queue.add(g.list, nil, &to)
		}
		g.whole = (*ledger.Position)(&group.Position)
	}
	return nil
}

// gatherer reads groups for what hooks are told.
type gatherer struct {
	service *Service
	devices views.Devices
	cat     *license.Catalogue
	hooks   []*license.Hook
	quota   bool // somebody is told of quotas
	seals   bool // somebody is told of snapshots
	atMs    int64
	seq     uint64 // of the group
	list    []addressed
	whole   *ledger.Position // of the last group that list has all of; nil: none
}

func (g *gatherer) group(group *views.Group) error {
	if g.cat != group.Catalogue {
		g.cat = group.Catalogue
		g.hooks, _ = g.cat.Hooks()
		g.quota = anyWants(g.hooks, license.HookQuota80, license.HookQuota100)
		g.seals = anyWants(g.hooks, license.HookSnapshotSealed, license.HookSnapshotRefused)
	}
	g.atMs, g.seq = group.LastMs, group.Seq
	if g.quota {
		for _, column := range group.Effects {
			if err := record.ReadEffects(column, g); err != nil {
				return err
			}
		}
	}
	if !g.seals {
		return nil
	}
	for _, encoded := range group.Head.Changes {
		ch, err := license.DecodeChange(encoded)
		if err != nil {
			return err
		}
		if err := g.audit(&ch.Audit); err != nil {
			return err
		}
	}
	return nil
}

// tell queues a message for every hook that wants it. It is built once, and only if there is one.
func (g *gatherer) tell(e license.HookEvent, accountID uint32, build func() *message) error {
	var m *message
	for _, h := range g.hooks {
		if !h.Wants(e, accountID) {
			continue
		}
		if m == nil {
			m = build()
			m.Group = g.seq
		}
		g.list = append(g.list, addressed{h.ID, m})
	}
	if len(g.list) < gatherMax {
		return nil
	}
	// If the call fails later it comes again: then what is told twice is of one group.
	err := g.service.queue.add(g.list, nil, g.whole)
	g.list = nil
	return err
}

// Quota implements record.Effects.
func (g *gatherer) Quota(q record.Quota) error {
	product, name := g.devices.Name(counters.Ordinal(q.Ordinal))
	p := g.cat.ProductByID(product)
	if p == nil {
		return fmt.Errorf("a record names device %d, which no record has bound", q.Ordinal)
	}
	e := license.HookQuota80
	if q.Percent == 100 {
		e = license.HookQuota100
	}
	return g.tell(e, p.AccountID, func() *message {
		day := calendar.DayName(q.Day)
		data := quotaData{
			Account: p.Account, Product: p.Name, Device: string(name), Day: day, Percent: q.Percent,
			Used: q.Used, Limit: q.Limit,
		}
		return newMessage(e, g.atMs, data, p.Name, string(name), day, q.Limit)
	})
}

// audit tells of snapshots: each leaves an entry in the audit log, whoever or whatever made it.
func (g *gatherer) audit(a *license.AuditEntry) error {
	e := license.HookSnapshotSealed
	switch a.Action {
	case license.ActionSnapshotCreate:
	case license.ActionSnapshotRefuse:
		e = license.HookSnapshotRefused
	default:
		return nil
	}
	var detail map[string]json.RawMessage
	if err := json.Unmarshal(a.Detail, &detail); err != nil {
		return fmt.Errorf("the audit entry of change %d: %w", a.Seq, err)
	}
	var account string
	if named := detail["account"]; len(named) > 0 && string(named) != "null" {
		if err := json.Unmarshal(named, &account); err != nil {
			return fmt.Errorf("the audit entry of change %d: %w", a.Seq, err)
		}
	}
	var accountID uint32
	if owner := g.cat.Account(account); owner != nil {
		accountID = owner.ID
	}
	what := a.Target // Of a snapshot its id, which an entry that is written again has too.
	if e == license.HookSnapshotRefused {
		what = fmt.Sprint(a.Seq)
	} else {
		detail["id"] = mustJSON(a.Target)
	}
	return g.tell(e, accountID, func() *message { return newMessage(e, a.AtMs, detail, what) })
}

// The rest implements record.Effects: nobody is told.
func (g *gatherer) Word(int, uint64, uint64) error   { return nil }
func (g *gatherer) OTA(record.OTA) error             { return nil }
func (g *gatherer) Closed(int, uint64, uint64) error { return nil }
func (g *gatherer) DayEnd(record.DayEnd) error       { return nil }
func (g *gatherer) Grant(record.Grant) error         { return nil }
func (g *gatherer) Pool(record.Pool) error           { return nil }
func (g *gatherer) End(record.End) error             { return nil }
func (g *gatherer) Command(record.Command) error     { return nil }
func (g *gatherer) Upgrade(record.Upgrade) error     { return nil }
func (g *gatherer) Claim(record.Claim) error         { return nil }
func (g *gatherer) Run(record.Run) error             { return nil }
func (g *gatherer) Decided(record.Decided) error     { return nil }
