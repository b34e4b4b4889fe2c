package commands

import (
	"container/heap"

	"github.com/meterd/meterd/shard/record"
)

// kept is the disconnects that are kept, at most one a device. The caller locks.
type kept struct {
	max      int
	devices  map[uint64]*entry // by ordinal
	all      list
	accounts map[uint32]*account
	largest  accountHeap
}

// account is one account's share of kept. It goes with its last entry.
type account struct {
	id    uint32
	list  list
	place int // in the heap
}

func newKept(most int) kept {
	return kept{max: most, devices: map[uint64]*entry{}, accounts: map[uint32]*account{}}
}

// of returns the entries that a listener of an account hears, of all for 0; nil if there are none.
func (k *kept) of(id uint32) *list {
	if id == 0 {
		return &k.all
	}
	if a := k.accounts[id]; a != nil {
		return &a.list
	}
	return nil
}

// put keeps m in the place of what is kept for its device, unless that is about a later change of the session: the
// change numbers say which of two was decided last, whoever comes first. When that is too much, the account that has
// the most gives up its oldest: so none is pushed out by another that keeps more.
func (k *kept) put(m record.Command) {
	if old := k.devices[m.Ordinal]; old != nil {
		if m.Change <= old.Change {
			return
		}
		k.remove(old)
	}
	a := k.accounts[m.Account]
	if a == nil {
		a = &account{id: m.Account}
		k.accounts[m.Account] = a
		heap.Push(&k.largest, a)
	}
	e := &entry{Command: m, account: a}
	k.devices[m.Ordinal] = e
	k.all.insert(e)
	a.list.insert(e)
	heap.Fix(&k.largest, a.place)
	if k.all.n > k.max {
		k.remove(k.largest[0].list.first())
	}
}

// remove forgets an entry that is kept.
func (k *kept) remove(e *entry) {
	delete(k.devices, e.Ordinal)
	k.all.remove(e)
	a := e.account
	a.list.remove(e)
	if a.list.n > 0 {
		heap.Fix(&k.largest, a.place)
		return
	}
	heap.Remove(&k.largest, a.place)
	delete(k.accounts, a.id)
}

// accountHeap has the account that keeps the most first.
type accountHeap []*account

func (h accountHeap) Len() int           { return len(h) }
func (h accountHeap) Less(i, j int) bool { return h[i].list.n > h[j].list.n }

func (h accountHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *accountHeap) Push(x any) {
	a := x.(*account)
	a.place = len(*h)
	*h = append(*h, a)
}

// Pop implements heap.Interface.
func (h *accountHeap) Pop() any {
	old := *h
	a := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return a
}
