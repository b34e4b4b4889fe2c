package shard

import (
	"container/heap"
	"sync"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

const (
	// expiryTick is how often the ends that are due are looked at: an online device is renewed or put offline within a
	// second (R3).
	expiryTick = 200 * time.Millisecond
	// expiryScanEvery is how often the device table is searched for ends; expiryHorizon is how far ahead it looks.
	expiryScanEvery = time.Minute
	expiryHorizon   = 90 * time.Second
	// expiryRefresh is how many ends are computed anew at one hold of the gate: at most 0.2 ms.
	expiryRefresh = 64
	// expiryBatch is how many ends are decided inside the gate at once: about two milliseconds.
	expiryBatch = 1000
)

// expiry knows the licences that end soon. What it holds may be out of date or twice there: every end is checked when
// it is due.
type expiry struct {
	running sync.Mutex // one at a time decides ends
	mu      sync.Mutex
	due     dueHeap
	horizon uint64 // ends up to here are in due, seconds of the device table
	scanned time.Duration
	rescan  bool // a plan's validity changed
}

type due struct {
	atS     uint64
	ordinal counters.Ordinal
}

type dueHeap []due

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].atS < h[j].atS }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(due)) }
func (h *dueHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// add notes the end of a licence that was just consumed, if it comes before the next search would find it.
func (x *expiry) add(atS uint64, o counters.Ordinal) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if atS <= x.horizon {
		heap.Push(&x.due, due{atS, o})
	}
}

func (x *expiry) addAll(found []due) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.due = append(x.due, found...)
	heap.Init(&x.due)
}

// take returns up to n ends that are due at nowS.
func (x *expiry) take(nowS uint64, n int) (list []due) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.due) > 0 && x.due[0].atS <= nowS && len(list) < n {
		list = append(list, heap.Pop(&x.due).(due))
	}
	return list
}

// nextMs returns when the next end is due that is known, Unix milliseconds, 0 without one.
func (x *expiry) nextMs() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.due) == 0 {
		return 0
	}
	return (int64(x.due[0].atS) + epochS) * 1000
}

// searchNow makes the next tick search the whole table: ends have moved.
func (x *expiry) searchNow() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.rescan = true
}

// runExpiry ends licences by itself: online devices are renewed or put offline, offline ones only move counts.
func (e *Engine) runExpiry() {
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	for {
		if err := e.expire(); err != nil && e.Err() != nil {
			return
		}
		if e.shortage.refused.Load() > 0 {
			signal(e.gate.kick) // So that a shortage ends although no request comes.
		}
		e.commands.Tidy()
		select {
		case <-tick.C:
		case <-e.stop:
			return
		case <-e.failed:
			return
		}
	}
}

// expire searches when it is time and decides every end that is due. While ingest is stopped nothing ends: no decision
// may be made then.
func (e *Engine) expire() error {
	if err := e.refuse(); err != nil {
		return err
	}
	x := &e.expiry
	x.running.Lock()
	defer x.running.Unlock()
	nowS := uint64(e.clock.view()/1000 - epochS)
	_, running := e.o.Clock.Now()
	x.mu.Lock()
	search, from := x.rescan || x.horizon == 0 || running-x.scanned >= expiryScanEvery || x.horizon < nowS, x.horizon
	if search {
		if x.rescan {
			from = 0
		}
		x.rescan, x.scanned = false, running
		x.horizon = max(x.horizon, nowS+uint64(expiryHorizon/time.Second))
	}
	to := x.horizon
	x.mu.Unlock()
	if search {
		var found []due
		for s := range shards {
			found = e.searchShard(found, s, from, to)
		}
		x.addAll(found)
	}
	for {
		list := x.take(nowS, expiryBatch)
		if len(list) == 0 {
			return nil
		}
		if err := e.expireBatch(list); err != nil {
			x.addAll(list) // They are still due.
			return err
		}
	}
}

// searchShard appends the ends of one shard after from and up to to, and brings ends up to date that were computed
// before a plan changed: computing one takes up to a few microseconds of calendar, so that is done a few at a time and
// the gate let go between.
func (e *Engine) searchShard(found []due, shard int, from, to uint64) []due {
	var stale []counters.Ordinal
	e.gate.mu.RLock()
	cat := e.catalogue.Load()
	for slot := range e.table.Slots(shard) {
		w := slot.License()
		if w.State() != counters.LicenseActive {
			continue
		}
		if p := cat.ProductByID(slot.Product()); p != nil && w.ValidityVersion() != p.ValidityVersion() {
			stale = append(stale, slot.Ordinal())
		} else if w.Expiry() > from && w.Expiry() <= to { // Earlier ones were found before.
			found = append(found, due{w.Expiry(), slot.Ordinal()})
		}
	}
	e.gate.mu.RUnlock()
	for len(stale) > 0 {
		n := min(len(stale), expiryRefresh)
		found = e.refreshEnds(found, stale[:n], to)
		stale = stale[n:]
	}
	return found
}

// refreshEnds brings ends up to date and appends those up to to.
func (e *Engine) refreshEnds(found []due, stale []counters.Ordinal, to uint64) []due {
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	cat := e.catalogue.Load()
	for _, o := range stale {
		slot := e.table.SlotOf(o)
		if slot == nil {
			continue
		}
		p := cat.ProductByID(slot.Product())
		if p == nil {
			continue
		}
		p.State.Account.Lock()
		w := currentEnd(e.table, slot, p)
		p.State.Account.Unlock()
		if w.State() == counters.LicenseActive && w.Expiry() <= to {
			found = append(found, due{w.Expiry(), o})
		}
	}
	return found
}

// expireBatch decides ends inside the gate, and has them stored: no request waits for them.
func (e *Engine) expireBatch(list []due) error {
	_, err := e.withTurn(room{bytes: rowBytes * len(list)}, func(t *turn) error {
		t.r, t.ev = &Request{}, &event.Event{}
		t.begin(0)
		for _, d := range list {
			t.expire(d.ordinal)
		}
		return nil
	})
	signal(e.gate.kick)
	return err
}

// expire decides the end of one licence, if it is one.
func (t *turn) expire(o counters.Ordinal) {
	t.slot = t.e.table.SlotOf(o)
	if t.slot == nil {
		return
	}
	if t.product = t.cat.ProductByID(t.slot.Product()); t.product == nil {
		return
	}
	t.window = t.product.Window(t.nowMs)
	t.product.State.Account.Lock()
	defer t.product.State.Account.Unlock()
	w := t.slot.License()
	if w.State() != counters.LicenseActive || t.activeNow() {
		if w = t.slot.License(); w.State() == counters.LicenseActive && w.Expiry() > t.nowS {
			t.expiry.add(w.Expiry(), o) // It moved: look again then.
		}
		return
	}
	if !t.slot.Session().Online() {
		t.end(record.EndOffline)
		return
	}
	if !t.consume() {
		t.putOffline(t.verdict.Code)
	}
}
