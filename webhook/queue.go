package webhook

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/meterd/meterd/retention/ledger"
)

// queue keeps the messages of all hooks in the store. Its methods are safe for concurrent use; mu orders the
// transactions, so that numbers rise in the order in which messages were queued.
type queue struct {
	store    Store
	low      func() bool // the disk runs short of space
	bytesMax int

	mu    sync.Mutex
	next  uint64 // number of the next message
	lines map[uint64]*line
	bytes int // of the rows of all messages that wait
}

// line is the queue of one hook. mu of the queue guards it.
type line struct {
	waiting, dead int
	bytes         int // of the rows of those that wait
	// No message with a lower number waits, or is a dead letter. A scan begins there: over rows that were deleted, of
	// which a queue leaves many, it would be slow.
	waitingFrom, deadFrom uint64
	oldestMs              int64  // when the first that waits was queued; 0: none waits
	oldestGroup           uint64 // its Group
	state                 state
	kick                  chan struct{} // gets a value when something was queued
}

// addressed is a message on its way to a hook's queue.
type addressed struct {
	hook    uint64
	message *message
}

// openQueue counts what waits.
func openQueue(store Store, low func() bool) (*queue, error) {
	q := &queue{store: store, low: low, bytesMax: queueBytesMax, next: 1, lines: map[uint64]*line{}}
	count := func(space string, n func(*line) *int) error {
		return store.Scan([]byte(space), nil, false, func(k, v []byte) (bool, error) {
			hook, number, err := numbersOf(k)
			if err != nil {
				return false, err
			}
			m, err := decodeMessage(v)
			if err != nil {
				return false, err
			}
			l := q.line(hook)
			*n(l)++
			if space == keyQueue {
				q.grow(l, len(k)+len(v))
				if l.waiting == 1 {
					l.begins(m)
				}
			}
			q.next = max(q.next, number+1)
			return true, nil
		})
	}
	err := errors.Join(
		count(keyQueue, func(l *line) *int { return &l.waiting }),
		count(keyDead, func(l *line) *int { return &l.dead }),
		store.Scan([]byte(keyState), nil, false, func(k, v []byte) (_ bool, err error) {
			if len(k) != 9 {
				return false, errDamagedKey
			}
			q.line(binary.BigEndian.Uint64(k[1:])).state, err = decodeState(v)
			return err == nil, err
		}),
	)
	return q, err
}

// line returns the queue of a hook, which is made if it is not there. mu is held, or nobody else has q yet.
func (q *queue) line(hook uint64) *line {
	l := q.lines[hook]
	if l == nil {
		l = &line{kick: make(chan struct{}, 1)}
		q.lines[hook] = l
	}
	return l
}

// begins notes which message is the first that waits. mu is held, or nobody else has q yet.
func (l *line) begins(m *message) { l.oldestMs, l.oldestGroup = m.QueuedMs, m.Group }

// grow notes that the rows that wait for a hook have so many bytes more. mu is held, or nobody else has q yet.
func (q *queue) grow(l *line, bytes int) {
	l.bytes += bytes
	q.bytes += bytes
}

// full reports whether a hook must not be told more: so many messages wait for it, with so many bytes, and so many
// bytes for all hooks.
func (q *queue) full(waiting, bytes, all int) bool {
	return waiting >= queueMax || bytes >= hookBytes && (all >= q.bytesMax || q.low())
}

// add queues messages and writes other rows behind them, and moves the position if to is given. Many rows take several
// transactions, as write says: after a crash between them beside is missing, never a message that it says is queued. A
// message that finds its queue full is dropped and counted.
func (q *queue) add(list []addressed, beside []ledger.Entry, to *ledger.Position) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	var entries []ledger.Entry
	added, bytes, dropped := map[uint64]int{}, map[uint64]int{}, map[uint64]int{}
	next, all, group := q.next, q.bytes, q.store.Position().Seq+1
	for _, a := range list {
		if a.message.Group == 0 {
			a.message.Group = group
		}
		l := q.line(a.hook)
		if q.full(l.waiting+added[a.hook], l.bytes+bytes[a.hook], all) {
			dropped[a.hook]++
			continue
		}
		e := ledger.Entry{Key: messageKey(keyQueue, a.hook, next), Value: a.message.row()}
		n := len(e.Key) + len(e.Value)
		added[a.hook]++
		bytes[a.hook] += n
		all += n
		entries = append(entries, e)
		next++
	}
	for hook, n := range dropped {
		s := q.line(hook).state
		s.Dropped += uint64(n)
		entries = append(entries, put(hookKey(keyState, hook), s))
	}
	entries = append(entries, beside...)
	if len(entries) > 0 || to != nil {
		if err := write(q.store, entries, to); err != nil {
			return err
		}
	}
	q.next = next
	for hook, n := range dropped {
		q.lines[hook].state.Dropped += uint64(n)
	}
	for hook, n := range added {
		l := q.lines[hook]
		if l.waiting == 0 {
			l.begins(list[slices.IndexFunc(list, func(a addressed) bool { return a.hook == hook })].message)
		}
		l.waiting += n
		q.grow(l, bytes[hook])
		signal(l.kick)
	}
	return nil
}

// signal makes sure that who waits on c runs once more; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// numbered is a message with its number, and the bytes of its row.
type numbered struct {
	*message
	number uint64
	bytes  int
}

// first returns the first messages that wait for a hook, at most n.
func (q *queue) first(hook uint64, n int) ([]numbered, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.firstOf(hook, q.line(hook), n)
}

// firstOf is first with mu held.
func (q *queue) firstOf(hook uint64, l *line, n int) ([]numbered, error) {
	return q.list(hookKey(keyQueue, hook), messageKey(keyQueue, hook, l.waitingFrom), n)
}

// list returns messages of a space of a hook from start on, at most n.
func (q *queue) list(prefix, start []byte, n int) (list []numbered, err error) {
	err = q.store.Scan(prefix, start, false, func(k, v []byte) (bool, error) {
		if len(list) == n {
			return false, nil
		}
		_, number, err := numbersOf(k)
		if err != nil {
			return false, err
		}
		m, err := decodeMessage(v)
		if err != nil {
			return false, err
		}
		list = append(list, numbered{m, number, len(k) + len(v)})
		return true, nil
	})
	return list, err
}

// delivered takes the first message from a hook's queue.
func (q *queue) delivered(hook uint64, m numbered) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.line(hook)
	s := l.state
	now := time.Now().UnixMilli()
	s = state{Delivered: s.Delivered + 1, Failed: s.Failed, Dropped: s.Dropped, DeliveredMs: now, TriedMs: now}
	gone := remove(messageKey(keyQueue, hook, m.number))
	if err := write(q.store, []ledger.Entry{gone, put(hookKey(keyState, hook), s)}, nil); err != nil {
		return err
	}
	l.state = s
	return q.taken(hook, l, []numbered{m})
}

// taken notes that the first messages, which are in list, are no longer in the queue. mu is held.
func (q *queue) taken(hook uint64, l *line, list []numbered) error {
	l.waiting -= len(list)
	for _, m := range list {
		q.grow(l, -m.bytes)
	}
	l.oldestMs, l.waitingFrom = 0, list[len(list)-1].number+1
	if l.waiting == 0 {
		return nil
	}
	first, err := q.firstOf(hook, l, 1)
	if err == nil && len(first) > 0 {
		l.begins(first[0].message)
	}
	return err
}

// setState keeps the state of a hook.
func (q *queue) setState(hook uint64, change func(*state)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.line(hook)
	s := l.state
	change(&s)
	if s == l.state {
		return nil
	}
	if err := write(q.store, []ledger.Entry{put(hookKey(keyState, hook), s)}, nil); err != nil {
		return err
	}
	l.state = s
	return nil
}

// giveUp makes dead letters of the first messages of a queue. The oldest letters make room.
func (q *queue) giveUp(hook uint64, list []numbered, why func(i int) (tries uint64, text string)) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.line(hook)
	var entries []ledger.Entry
	for i, m := range list {
		letter := *m.message
		letter.DiedMs = time.Now().UnixMilli()
		letter.Tries, letter.Error = why(i)
		entries = append(entries, remove(messageKey(keyQueue, hook, m.number)),
			ledger.Entry{Key: messageKey(keyDead, hook, m.number), Value: letter.row()})
	}
	old, err := q.letters(hook, l, 0, max(0, l.dead+len(list)-deadMax))
	if err != nil {
		return err
	}
	for _, m := range old {
		entries = append(entries, remove(messageKey(keyDead, hook, m.number)))
		l.deadFrom = m.number + 1
	}
	if err := write(q.store, entries, nil); err != nil {
		return err
	}
	l.dead += len(list) - len(old)
	return q.taken(hook, l, list)
}

// letters returns dead letters from a number on, at most n. mu is held.
func (q *queue) letters(hook uint64, l *line, from uint64, n int) ([]numbered, error) {
	return q.list(hookKey(keyDead, hook), messageKey(keyDead, hook, max(from, l.deadFrom)), n)
}

// deadLetters returns dead letters of a hook behind the one with a number, oldest first, at most n.
func (q *queue) deadLetters(hook, after uint64, n int) ([]numbered, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.letters(hook, q.line(hook), after+1, n)
}

// letter returns a dead letter that can be queued anew.
func (q *queue) letter(hook uint64, id string) (numbered, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.letterOf(hook, q.line(hook), id)
}

// letterOf is letter with mu held.
func (q *queue) letterOf(hook uint64, l *line, id string) (numbered, error) {
	letters, err := q.letters(hook, l, 0, deadMax)
	if err != nil {
		return numbered{}, err
	}
	i := slices.IndexFunc(letters, func(m numbered) bool { return m.ID == id })
	switch {
	case i < 0:
		return numbered{}, errNoLetter
	case q.full(l.waiting, l.bytes, q.bytes):
		return numbered{}, errQueueFull
	}
	return letters[i], nil
}

// again queues a dead letter anew, behind what waits.
func (q *queue) again(hook uint64, id string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.line(hook)
	letter, err := q.letterOf(hook, l, id)
	if err != nil {
		return err
	}
	m := message{
		ID: letter.ID, Event: letter.Event, Body: letter.Body, QueuedMs: time.Now().UnixMilli(),
		Group: q.store.Position().Seq + 1,
	}
	queued := ledger.Entry{Key: messageKey(keyQueue, hook, q.next), Value: m.row()}
	err = write(q.store, []ledger.Entry{remove(messageKey(keyDead, hook, letter.number)), queued}, nil)
	if err != nil {
		return err
	}
	q.grow(l, len(queued.Key)+len(queued.Value))
	q.next++
	l.dead--
	if l.waiting++; l.waiting == 1 {
		l.begins(&m)
	}
	signal(l.kick)
	return nil
}

var (
	errQueueFull = errors.New("too many messages wait for this webhook")
	errNoLetter  = errors.New("there is no such dead letter")
)

// purge removes some rows of a hook that was deleted, and reports whether that was all.
func (q *queue) purge(hook uint64) (done bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var entries []ledger.Entry
	for _, space := range []string{keyQueue, keyDead, keyTold, keyState} {
		err := q.store.Scan(hookKey(space, hook), nil, false, func(k, _ []byte) (bool, error) {
			entries = append(entries, remove(bytes.Clone(k)))
			return len(entries) < purgeMax, nil
		})
		if err != nil {
			return false, err
		}
		if len(entries) >= purgeMax {
			return false, write(q.store, entries[:purgeMax], nil)
		}
	}
	if err := write(q.store, entries, nil); err != nil {
		return false, err
	}
	q.bytes -= q.line(hook).bytes
	delete(q.lines, hook)
	return true, nil
}

// hooks returns the numbers of the hooks that anything is kept of, in their order.
func (q *queue) hooks() []uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []uint64
	for hook := range q.lines {
		list = append(list, hook)
	}
	slices.SortFunc(list, cmp.Compare)
	return list
}

// look returns how a hook's queue stands.
func (q *queue) look(hook uint64) line {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lines[hook]; l != nil {
		return *l
	}
	return line{}
}

// kickOf returns what gets a value when something was queued for a hook.
func (q *queue) kickOf(hook uint64) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.line(hook).kick
}
