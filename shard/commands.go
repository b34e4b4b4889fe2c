package shard

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/shard/record"
)

// Command is what a gateway is told: to disconnect a device, or, with an empty Device, to forget what it remembers of a
// product.
type Command struct {
	Place   commands.Place
	Product string
	Device  string
	Reason  event.Code
}

// Listener says whose commands are asked for.
type Listener struct {
	Account     uint32 // the account that the token is bound to, 0 for all
	Producer    []byte // only devices that this producer holds, or no producer
	HasProducer bool
}

func (e *Engine) newCommands() *commands.Commands {
	return commands.New(commands.Options{
		Change: func(o counters.Ordinal) (uint64, bool) {
			slot := e.table.SlotOf(o)
			if slot == nil {
				return 0, false
			}
			return slot.Session().Change(), true
		},
		IsHolder: func(n uint32) bool { return e.producers.ByOrdinal(n) != nil },
		Gate:     e.gate.mu.RLocker(), NowMs: e.NowMs, OldRefreshes: e.oldRefreshes,
	})
}

// putOffline takes the device in hand offline, whatever its holder, and tells the holder, or every gateway of its
// account.
func (t *turn) putOffline(reason event.Code) {
	if !t.slot.Session().Online() {
		return
	}
	t.disown()
	t.tell(reason, func() counters.SessionOutcome { return t.slot.SetOffline(0, true) })
}

// tell changes the session of the device in hand. If that takes it offline, its holder is told why when the group is
// durable.
func (t *turn) tell(reason event.Code, change func() counters.SessionOutcome) counters.SessionOutcome {
	var out counters.SessionOutcome
	m, offline := t.commands.Add(func() (record.Command, bool) {
		out = change()
		return record.Command{
			Ordinal: uint64(t.slot.Ordinal()), Account: t.product.AccountID, Holder: out.After.Holder(),
			Change: out.After.Change(), AtMs: t.nowMs, Reason: reason,
		}, out.WentOffline()
	})
	t.session(out)
	if offline {
		t.l.beginRun(t.e.commands)
		t.l.records.Command(m)
	}
	return out
}

// beginRun records that the daemon was started, in the group of the first number that it gives out.
func (l *lane) beginRun(c *commands.Commands) {
	if run, first := c.Run(); first {
		l.records.Run(run)
	}
}

// CommandsFrom returns the place behind the event with an id, for a listener to go on from; "" is what there is now:
// the disconnects that are kept, and whatever comes.
func (e *Engine) CommandsFrom(id string) commands.Place { return e.commands.Resume(id) }

// Commands returns what a listener has not been sent yet, at most a page, where to go on, and a channel that is closed
// when there may be more.
func (e *Engine) Commands(
	after commands.Place,
	who Listener,
) (list []Command, next commands.Place, more <-chan struct{}, err error) {
	l := commands.Listener{Account: who.Account, HasHolder: who.HasProducer}
	if who.HasProducer {
		if p := e.producers.Find(who.Account, who.Producer); p != nil {
			l.Holder = p.Ordinal
		}
	}
	page, err := e.commands.Page(after, l)
	if err != nil {
		return nil, after, nil, err
	}
	cat := e.catalogue.Load()
	for _, it := range page.Items {
		product, name := it.Product, []byte(nil)
		if product == 0 {
			product, name = e.table.Name(it.Device)
		}
		if p := cat.ProductByID(product); p != nil {
			list = append(list, Command{Place: it.Place, Product: p.Name, Device: string(name), Reason: it.Reason})
		}
	}
	if len(list) > 0 { // What was passed over because its device has connected must not come back with a crash.
		err = e.Durable()
	}
	return list, page.Next, page.More, err
}

// refreshOf is what a change means to gateways; product 0 is nothing.
func refreshOf(cat *license.Catalogue, seq uint64, product uint32) commands.Refresh {
	r := commands.Refresh{Seq: seq}
	if p := cat.ProductByID(product); p != nil {
		r.Product, r.Account = p.ID, p.AccountID
	}
	return r
}

// oldRefreshes hands on the changes behind number after and up to number to, oldest first, from the audit log.
func (e *Engine) oldRefreshes(after, to uint64, fn func(commands.Refresh) bool) error {
	if err := e.DurableInLedger(); err != nil {
		return err
	}
	cat := e.catalogue.Load()
	return e.ledgerErr(e.o.Ledger.AuditFrom(after, func(entry license.AuditEntry) bool {
		return entry.Seq <= to && fn(refreshOf(cat, entry.Seq, entry.Refresh))
	}))
}
