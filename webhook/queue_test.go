package webhook

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/webhook/send"
)

func newQueue(t testing.TB, store Store) *queue {
	t.Helper()
	q, err := openQueue(store, func() bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func messages(hook uint64, from, to int) (list []addressed) {
	for i := from; i < to; i++ {
		list = append(list, addressed{hook, &message{
			ID: fmt.Sprintf("msg_%d", i), Event: "device.quota_80", Body: []byte(`{}`), QueuedMs: int64(1000 + i),
		}})
	}
	return list
}

// ids returns those of the messages that wait, and of the dead letters.
func (q *queue) ids(t testing.TB, hook uint64) (waiting, dead []string) {
	t.Helper()
	list, err := q.first(hook, queueMax+1)
	letters, err2 := q.deadLetters(hook, 0, queueMax+1)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		waiting = append(waiting, m.ID)
	}
	for _, m := range letters {
		dead = append(dead, m.ID)
	}
	if l := q.look(hook); l.waiting != len(waiting) || l.dead != len(dead) {
		t.Errorf("it counts %d and %d, and has %d and %d", l.waiting, l.dead, len(waiting), len(dead))
	}
	return waiting, dead
}

// deliverFirst takes the first message that waits.
func (q *queue) deliverFirst(hook uint64) error {
	list, err := q.first(hook, 1)
	if err == nil {
		err = q.delivered(hook, list[0])
	}
	return err
}

// checkBytes compares the bytes that the queue counts with those of the rows.
func (q *queue) checkBytes(t testing.TB) {
	t.Helper()
	all := 0
	for hook, l := range q.lines {
		list, err := q.first(hook, queueMax+1)
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, m := range list {
			bytes += len(messageKey(keyQueue, hook, m.number)) + len(m.row())
		}
		if l.bytes != bytes {
			t.Errorf("%d bytes wait for hook %d, and it counts %d", bytes, hook, l.bytes)
		}
		all += bytes
	}
	if q.bytes != all {
		t.Errorf("%d bytes wait, and it counts %d", all, q.bytes)
	}
}

// The bytes of all queues together are bounded, and while the disk runs short hardly anything is queued: a hook that
// has little waiting has room, others drop what comes.
func TestQueuesAreBoundedTogether(t *testing.T) {
	low := false
	store := newMemStore()
	q, err := openQueue(store, func() bool { return low })
	if err != nil {
		t.Fatal(err)
	}
	q.bytesMax = 4 * hookBytes
	add := func(hook uint64, n int) (queued int) {
		t.Helper()
		before := q.look(hook).waiting
		if err := q.add(messages(hook, 0, n), nil, nil); err != nil {
			t.Fatal(err)
		}
		q.checkBytes(t)
		return q.look(hook).waiting - before
	}
	if n := add(1, 9000); n == 9000 || q.bytes < q.bytesMax || q.bytes > q.bytesMax+hookBytes {
		t.Errorf("%d messages of %d bytes are queued, and all have room", n, q.bytes)
	}
	for hook := range uint64(3) {
		if n := add(hook+2, 9000); n == 0 || n > hookBytes/50 {
			t.Errorf("for another hook %d messages are queued", n)
		}
		if n := add(hook+2, 1); n != 0 {
			t.Error("a hook has more than its part")
		}
	}
	if dropped := q.look(1).state.Dropped; dropped == 0 {
		t.Error("what was dropped is not counted")
	}
	list, err := q.first(1, queueMax)
	if err == nil {
		err = q.giveUp(1, list, func(int) (uint64, string) { return 7, "no" })
	}
	if err != nil {
		t.Fatal(err)
	}
	q.checkBytes(t)
	if n := add(1, 600); n != 600 {
		t.Errorf("with room again %d messages are queued", n)
	}
	low = true
	if n := add(2, 10); n != 0 {
		t.Errorf("while the disk runs short %d messages are queued for a hook that has its part", n)
	}
	if n := add(9, 10); n != 10 {
		t.Errorf("while the disk runs short %d messages are queued for a hook without any", n)
	}
	again, err := openQueue(store.crash(), q.low)
	if err != nil || again.bytes != q.bytes || again.look(1).bytes != q.look(1).bytes {
		t.Errorf("after a start %d bytes wait, and there were %d: %v", again.bytes, q.bytes, err)
	}
	for done := false; !done; {
		if done, err = q.purge(1); err != nil {
			t.Fatal(err)
		}
	}
	q.checkBytes(t)
}

// A queue is bounded: what comes when it is full is dropped and counted, and others have room.
func TestQueueIsBounded(t *testing.T) {
	store := newMemStore()
	q := newQueue(t, store)
	if err := q.add(messages(1, 0, queueMax-1), nil, nil); err != nil {
		t.Fatal(err)
	}
	list := append(messages(1, queueMax-1, queueMax+5), messages(2, 0, 1)...)
	if err := q.add(list, nil, &ledger.Position{Seq: 1}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // Also after a start.
		if l := q.look(1); l.waiting != queueMax || l.state.Dropped != 5 || l.oldestMs != 1000 {
			t.Errorf("%d wait since %d, %d were dropped", l.waiting, l.oldestMs, l.state.Dropped)
		}
		if l := q.look(2); l.waiting != 1 || l.state.Dropped != 0 {
			t.Errorf("%d wait, %d were dropped", l.waiting, l.state.Dropped)
		}
		q = newQueue(t, store.crash())
	}
	if store.at.Seq != 1 {
		t.Error("the position has not moved")
	}
}

// Dead letters are bounded: the oldest go.
func TestDeadLettersAreBounded(t *testing.T) {
	q := newQueue(t, newMemStore())
	if err := q.add(messages(1, 0, deadMax+250), nil, nil); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		list, err := q.first(1, 250)
		if err == nil {
			err = q.giveUp(1, list, func(int) (uint64, string) { return 7, "no" })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	waiting, dead := q.ids(t, 1)
	if len(waiting) != 0 || len(dead) != deadMax || dead[0] != "msg_250" || dead[deadMax-1] != "msg_1249" {
		t.Errorf("%d wait, %d are dead from %s to %s", len(waiting), len(dead), dead[0], dead[len(dead)-1])
	}
	if err := q.again(1, "msg_300"); err != nil {
		t.Error(err)
	}
	if err := q.again(1, "msg_300"); !errors.Is(err, errNoLetter) {
		t.Error(err)
	}
	if waiting, dead = q.ids(t, 1); !slices.Equal(waiting, []string{"msg_300"}) || len(dead) != deadMax-1 {
		t.Errorf("%q wait, %d are dead", waiting, len(dead))
	}
}

// Whatever was written is there after a crash, and what was not is not: the store's transactions are the queue's.
func TestQueueSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "webhooks")
	openStore := func() *ledger.Store {
		store, err := ledger.Open(ledger.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := openStore()
	q := newQueue(t, store)
	if err := errors.Join(
		q.add(messages(1, 0, 6), nil, &ledger.Position{Seq: 7}),
		q.add(messages(2, 0, 1), nil, nil),
		q.deliverFirst(1), q.deliverFirst(1),
		q.setState(1, func(s *state) { s.Failed, s.Error = 3, "no" }),
	); err != nil {
		t.Fatal(err)
	}
	list, err := q.first(1, 1)
	if err == nil {
		err = q.giveUp(1, list, func(int) (uint64, string) { return 3, "no" })
	}
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	store = openStore()
	defer store.Close()
	q = newQueue(t, store)
	waiting, dead := q.ids(t, 1)
	l := q.look(1)
	if !slices.Equal(waiting, []string{"msg_3", "msg_4", "msg_5"}) || !slices.Equal(dead, []string{"msg_2"}) ||
		l.state.Delivered != 2 || l.state.Error != "no" || l.oldestMs != 1003 || store.Position().Seq != 7 {
		t.Errorf("%q wait, %q are dead, %+v, position %d", waiting, dead, l, store.Position().Seq)
	}
	if err := q.add(messages(1, 6, 7), nil, nil); err != nil {
		t.Fatal(err)
	}
	if waiting, _ = q.ids(t, 1); !slices.Equal(waiting, []string{"msg_3", "msg_4", "msg_5", "msg_6"}) {
		t.Errorf("%q wait: the order was lost", waiting)
	}
	for done := false; !done; {
		if done, err = q.purge(1); err != nil {
			t.Fatal(err)
		}
	}
	if waiting, dead = q.ids(t, 2); len(waiting) != 1 || len(dead) != 0 {
		t.Errorf("another hook has %q and %q", waiting, dead)
	}
	if got := q.hooks(); !slices.Equal(got, []uint64{2}) {
		t.Errorf("there are queues of %d", got)
	}
}

// tornStore is a store that takes some writes and fails then.
type tornStore struct {
	*memStore
	left int
}

func (s *tornStore) WritePart(entries []ledger.Entry) error {
	if s.left--; s.left < 0 {
		return errRefused
	}
	return s.memStore.WritePart(entries)
}

// What a crash leaves of many rows never says that something was told whose message is not queued.
func TestToldComesBehindMessages(t *testing.T) {
	store := &tornStore{memStore: newMemStore(), left: 1}
	q := newQueue(t, store)
	told := []ledger.Entry{put(toldKey(1, toldLicenses, 7), told{})}
	if err := q.add(messages(1, 0, queueMax), told, nil); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if m, n := store.count(keyQueue), store.count(keyTold); m == 0 || n != 0 {
		t.Errorf("%d messages are queued, %d are noted as told", m, n)
	}
	store.left = queueMax
	if err := q.add(messages(1, 0, queueMax), told, nil); err != nil {
		t.Fatal(err)
	}
	if m, n := store.count(keyQueue), store.count(keyTold); m != queueMax || n != 1 {
		t.Errorf("%d messages are queued, %d are noted as told", m, n)
	}
}

// A hook that is made while the couriers follow a catalogue that has it not keeps its messages.
func TestFollowKeepsWhatIsNewer(t *testing.T) {
	w := newWorld(t)
	s := open(t, newMemStore(), newInbox().receive)
	old := w.hook("old", "", "device.quota_80")
	w.unhook("old")
	before := w.Catalogue()
	young := w.hook("young", "", "device.quota_80")
	say(t, s, old, "a")
	say(t, s, young, "b")
	s.follow(t.Context(), before)
	if o, y := s.waiting(t, old), s.waiting(t, young); len(o) != 0 || len(y) != 1 {
		t.Errorf("for the one that was deleted wait %q, for the new one %q", o, y)
	}
}

// A write that fails queues nothing.
func TestQueueThatCannotWrite(t *testing.T) {
	store := newMemStore()
	q := newQueue(t, store)
	store.err = errors.New("the disk is on fire")
	if err := q.add(messages(1, 0, 3), nil, &ledger.Position{Seq: 1}); !errors.Is(err, store.err) {
		t.Fatal(err)
	}
	store.err = nil
	if waiting, _ := q.ids(t, 1); len(waiting) != 0 {
		t.Errorf("%q wait", waiting)
	}
}

// A new store begins at the end of the log, and goes on where it was from then on.
func TestStoreBegins(t *testing.T) {
	store := newMemStore()
	nobody := func(context.Context, *send.Call) send.Outcome { return send.Outcome{} }
	open(t, store, nobody)
	if store.at.Seq != 0 {
		t.Errorf("with an empty log it begins at %d", store.at.Seq)
	}
	lost := newMemStore()
	for _, end := range []uint64{9, 12} {
		s, err := Open(Options{Store: lost, End: position(end)})
		if err != nil || s.Position() != position(9) {
			t.Errorf("it is at %v, %v", s.Position(), err)
		}
	}
	if _, err := Open(Options{}); err == nil {
		t.Error("no store is refused by nobody")
	}
}
