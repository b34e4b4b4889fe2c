package commands

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
)

// Listener says who listens.
type Listener struct {
	Account   uint32 // hears this account alone, 0 for all
	Holder    uint32 // with HasHolder: hears what this producer holds and what nobody holds; 0 holds nothing
	HasHolder bool
}

// Item is one thing that a gateway is told: to forget what it remembers of a product, or to disconnect a device.
type Item struct {
	Place   Place
	Product uint32           // of a refresh, 0 for a disconnect
	Device  counters.Ordinal // of a disconnect
	Reason  event.Code       // of a disconnect
}

// Page is what a listener has not heard yet.
type Page struct {
	Items []Item          // at most pageMax, in the order of their places
	Next  Place           // where to go on
	More  <-chan struct{} // closed when there may be more, or when the listener must look whether it still may listen
}

// Page returns what a listener has not heard yet. The gate and the lock are held for a few entries at a time. What it
// returns may follow from decisions that are not durable: a disconnect is passed over because its device has connected.
// Who hands out the items must wait until these are durable, else a crash could undo the connect when a later item was
// heard already.
func (c *Commands) Page(after Place, who Listener) (Page, error) {
	p := pager{c: c, who: who, nowMs: c.o.NowMs(), Page: Page{Next: after}}
	for p.More == nil {
		if err := p.oldRefreshes(); err != nil {
			return Page{}, err
		}
		if p.More == nil {
			p.hold()
		}
	}
	return p.Page, nil
}

// pager fills one page.
type pager struct {
	c     *Commands
	who   Listener
	nowMs int64
	Page
}

// add adds an item, and ends the page when it is full.
func (p *pager) add(it Item) (more bool) {
	it.Place = p.Next
	p.Items = append(p.Items, it)
	if len(p.Items) == pageMax {
		p.More = p.c.ready
	}
	return p.More == nil
}

// refresh moves on to a refresh and adds it if it is the listener's.
func (p *pager) refresh(r Refresh) (more bool) {
	p.Next.Refresh = r.Seq
	if r.Product == 0 || (p.who.Account != 0 && r.Account != p.who.Account) {
		return true
	}
	return p.add(Item{Product: r.Product})
}

// oldRefreshes adds refreshes that are no longer in memory. One of each product is enough on a page.
func (p *pager) oldRefreshes() error {
	p.c.mu.Lock()
	floor := p.c.refreshes.floor
	p.c.mu.Unlock()
	if p.Next.Refresh >= floor {
		return nil
	}
	seen, steps := map[uint32]bool{}, auditStepsMax
	err := p.c.o.OldRefreshes(p.Next.Refresh, floor, func(r Refresh) bool {
		if steps--; steps < 0 {
			p.More = p.c.ready
			return false
		}
		if seen[r.Product] {
			r.Product = 0
		}
		seen[r.Product] = true
		return p.refresh(r)
	})
	if p.More == nil {
		p.Next.Refresh = floor
	}
	return err
}

// hold looks at a few more refreshes and disconnects.
func (p *pager) hold() {
	c := p.c
	c.o.Gate.Lock()
	defer c.o.Gate.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Next.Tag = c.tag()
	if p.Next.Refresh < c.refreshes.floor {
		return // They came faster than they were read.
	}
	steps := holdSteps
	for _, r := range c.refreshes.after(p.Next.Refresh) {
		if steps--; steps < 0 || !p.refresh(r) {
			return
		}
	}
	p.Next.Refresh = max(p.Next.Refresh, c.refreshes.last)
	if p.disconnects(steps) {
		p.Next.Command = max(p.Next.Command, c.durable)
		p.More = c.wait(p.who.Account)
	}
}

// disconnects looks at up to steps disconnects and reports whether it came to the end of what is durable.
func (p *pager) disconnects(steps int) (end bool) {
	list := p.c.kept.of(p.who.Account)
	if list == nil {
		return true
	}
	list.each(p.Next.Command, func(e *entry) bool {
		if end = e.Seq > p.c.durable; end {
			return false
		}
		if steps--; steps < 0 {
			return false
		}
		p.Next.Command = e.Seq
		if p.isOthers(e) || p.c.isOver(e, p.nowMs) {
			return true
		}
		return p.add(Item{Device: counters.Ordinal(e.Ordinal), Reason: e.Reason})
	})
	return end || steps >= 0 && p.More == nil
}

// isOthers reports whether another producer than the listener's holds the device.
func (p *pager) isOthers(e *entry) bool {
	if !p.who.HasHolder || e.Holder == 0 || e.Holder == p.who.Holder {
		return false
	}
	return p.c.o.IsHolder == nil || p.c.o.IsHolder(e.Holder)
}

// wait returns a channel that is closed when there may be something new for an account, for any account for 0.
func (c *Commands) wait(account uint32) <-chan struct{} {
	ch := c.waiters[account]
	if ch == nil {
		ch = make(chan struct{})
		c.waiters[account] = ch
	}
	return ch
}
