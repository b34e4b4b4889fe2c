package webhook

import (
	"cmp"
	"maps"
	"slices"

	"github.com/meterd/meterd/retention/ledger"
)

// In a cluster each node of a cell has a Service, whose queues have what the cell's log says. The owner alone delivers:
// the others were not started. It tells them how far it is, and they take what was delivered from their queues. So
// whoever owns the cell next goes on there, and sends again what was delivered last and not told yet, with the same
// ids.
//
//	owner:    Apply ─► queues ─► couriers          Delivered ──┐ once a second
//	standby:  Apply ─► queues ◄── Prune ◄──────────────────────┘
//
// What the log does not say (lookout) only the owner queues; the next one looks for itself, and tells it again with the
// id that it had on that day. Dead letters stay where they were given up.

// Delivered says how far the deliveries are.
type Delivered struct {
	// Through is the group of the log up to which nothing is owed to any hook but those in Behind.
	Through uint64
	// Behind are hooks by their numbers, at most behindMax, and the group up to which nothing is owed to each.
	Behind map[uint64]uint64
}

// of returns the group up to which nothing is owed to a hook.
func (d *Delivered) of(hook uint64) uint64 {
	if group, is := d.Behind[hook]; is {
		return group
	}
	return d.Through
}

// Delivered returns how far the deliveries are. What was given up is not owed.
func (s *Service) Delivered() Delivered {
	d := Delivered{Through: s.Position().Seq} // First: what is queued meanwhile lies behind it.
	owed := s.queue.owed()
	hooks := slices.SortedFunc(maps.Keys(owed), func(a, b uint64) int {
		return cmp.Or(cmp.Compare(owed[a], owed[b]), cmp.Compare(a, b))
	})
	for _, hook := range hooks {
		if len(d.Behind) == behindMax {
			d.Through = min(d.Through, owed[hook])
			break
		}
		if d.Behind == nil {
			d.Behind = map[uint64]uint64{}
		}
		d.Behind[hook] = owed[hook]
	}
	return d
}

// Prune takes from the queues what another node has delivered. Once Start was called it does nothing.
func (s *Service) Prune(d Delivered) error {
	for _, hook := range s.queue.hooks() {
		through := d.of(hook)
		for done := false; !done; {
			if s.delivers.Load() {
				return nil
			}
			var err error
			if done, err = s.queue.prune(hook, through); err != nil {
				return err
			}
		}
	}
	return nil
}

// owed returns, for each hook that something waits for, the group up to which nothing does.
func (q *queue) owed() map[uint64]uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	owed := map[uint64]uint64{}
	for hook, l := range q.lines {
		if l.waiting > 0 {
			owed[hook] = max(l.oldestGroup, 1) - 1
		}
	}
	return owed
}

// prune takes some of the first messages of a hook from its queue, of groups up to one, and reports whether that was
// all.
func (q *queue) prune(hook, through uint64) (done bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.line(hook)
	if through == 0 || l.waiting == 0 || l.oldestGroup > through {
		return true, nil
	}
	list, err := q.firstOf(hook, l, pruneMax)
	if err != nil {
		return false, err
	}
	n := 0
	for n < len(list) && list[n].Group <= through {
		n++
	}
	if n == 0 {
		return true, nil
	}
	entries := make([]ledger.Entry, n)
	for i, m := range list[:n] {
		entries[i] = remove(messageKey(keyQueue, hook, m.number))
	}
	if err := write(q.store, entries, nil); err != nil {
		return false, err
	}
	return n < pruneMax, q.taken(hook, l, list[:n])
}
