package shard

import (
	"sync"

	"github.com/meterd/meterd/counters"
)

// productCount is what the words of a product's devices say about it.
type productCount struct {
	active, online int64
	day            uint32 // the last one that anything was counted on, 0 without
}

// count counts active and online devices anew, and finds the days of each product that are not closed. A million
// devices take some 10 ms.
func (e *Engine) count() {
	cat := e.catalogue.Load()
	var wg sync.WaitGroup
	for lane := range e.o.Lanes {
		wg.Go(func() {
			counts := make([]productCount, cat.ProductIDMax()+1)
			for s := lane; s < shards; s += e.o.Lanes {
				for slot := range e.table.Slots(s) {
					if id := slot.Product(); int(id) < len(counts) {
						counts[id].add(slot)
					}
				}
			}
			for id := range counts {
				c, p := &counts[id], cat.ProductByID(uint32(id))
				if p == nil || *c == (productCount{}) {
					continue
				}
				p.State.Active.Add(c.active)
				p.State.Online.Add(c.online)
				if c.day > 0 {
					p.State.Days.Recover(c.day)
				}
			}
		})
	}
	wg.Wait()
}

func (c *productCount) add(slot *counters.Slot) {
	if slot.License().State() == counters.LicenseActive {
		c.active++
	}
	if slot.Session().Online() {
		c.online++
	}
	if w := slot.Message(); w.Used() > 0 {
		c.day = max(c.day, w.Day())
	}
	if w := slot.Denied(); w.Denied() > 0 {
		c.day = max(c.day, w.Day())
	}
}
