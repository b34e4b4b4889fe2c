package webhook

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/webhook/send"
)

// marks applies a group that says that device n of product 1 has used its day.
func marks(t testing.TB, w *world, seq uint64, n int, to ...*Service) {
	t.Helper()
	g := group(
		t,
		seq,
		w.Catalogue(),
		nil,
		record.Quota{Ordinal: uint64(10 + n), Day: 2522, Percent: 80, Limit: uint32(seq)},
	)
	for _, s := range to {
		if err := s.Apply([]*views.Group{g}, named{}); err != nil {
			t.Fatal(err)
		}
	}
}

// ids returns the ids of a hook's messages that wait.
func (s *Service) ids(t testing.TB, hook string, w *world) (ids []string) {
	for _, m := range s.waiting(t, w.cat.Hook(hook)) {
		ids = append(ids, strings.Fields(m)[0])
	}
	return ids
}

// A standby queues what its owner queues, takes from its queues what was delivered, and goes on there when it is the
// owner: each receiver gets everything, and again only what was delivered last.
func TestReplicaGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, b := newWorld(t), newInbox()
		w.product("p1", "acme", "UTC")
		good, bad := w.hook("good", "", "device.quota_80", "ingest.stopped"), w.hook("bad", "", "device.quota_80")
		b.set("https://bad", send.Outcome{Err: errRefused})
		owner, standby := open(t, newMemStore(), b.receive), open(t, newMemStore(), b.receive)
		if err := owner.Start(w, w); err != nil {
			t.Fatal(err)
		}
		pass(tick)
		for seq := range uint64(5) {
			marks(t, w, seq+1, int(seq), owner, standby)
			synctest.Wait()
		}
		if got := owner.Delivered(); got.Through != 5 || !maps.Equal(got.Behind, map[uint64]uint64{bad.ID: 0}) {
			t.Fatalf("the owner has delivered %+v", got)
		}
		if err := standby.Prune(owner.Delivered()); err != nil {
			t.Fatal(err)
		}
		if g, b := standby.ids(t, "good", w), standby.ids(t, "bad", w); len(g) != 0 || len(b) != 5 {
			t.Fatalf("the standby keeps %q and %q", g, b)
		}
		b.set("https://bad", send.Outcome{})
		pass(retryFirst)
		for seq := range uint64(3) {
			marks(t, w, seq+6, int(seq), owner, standby)
			synctest.Wait()
		}
		say(t, owner, good, "what the log does not say")
		synctest.Wait()
		told := owner.Delivered()
		b.set("https://good", send.Outcome{Err: errRefused})
		marks(t, w, 9, 8, owner, standby) // Not told any more, and not delivered to one.
		synctest.Wait()
		last := standby.ids(t, "good", w)
		if got := owner.Delivered(); told.Through != 8 || len(told.Behind) != 0 || got.Through != 9 ||
			!maps.Equal(got.Behind, map[uint64]uint64{good.ID: 8}) {
			t.Fatalf("the owner has delivered %+v, then %+v", told, got)
		}
		owner.Stop()
		b.take()
		b.set("https://good", send.Outcome{})
		if err := standby.Prune(told); err != nil {
			t.Fatal(err)
		}
		run(t, standby, w)
		pass(tick)
		id := last[len(last)-1]
		got := b.take()
		slices.Sort(got)
		if !slices.Equal(got, []string{"https://bad " + id, "https://good " + id}) {
			t.Errorf("the new owner sends %q, want %s to both", got, id)
		}
		if err := standby.Prune(Delivered{Through: 100}); err != nil {
			t.Fatal(err)
		}
		b.set("https://good", send.Outcome{Err: errRefused})
		marks(t, w, 10, 1, standby)
		synctest.Wait()
		if err := standby.Prune(Delivered{Through: 100}); err != nil || len(standby.ids(t, "good", w)) != 1 {
			t.Errorf("an owner lets itself be told what it has delivered: %v", err)
		}
	})
}

// However many hooks are behind, a few are told of, and for the others nothing is said to be delivered that is not.
func TestDeliveredIsBounded(t *testing.T) {
	w, s, standby := newWorld(t), open(t, newMemStore(), nil), open(t, newMemStore(), nil)
	w.product("p1", "acme", "UTC")
	for n := range uint64(behindMax + 3) {
		w.hook(fmt.Sprintf("h%02d", n), "", "device.quota_80") // Each is told of one group less.
		marks(t, w, n+1, 1, s, standby)
	}
	d := s.Delivered()
	if len(d.Behind) != behindMax || d.Through != behindMax {
		t.Errorf("delivered %+v", d)
	}
	if err := standby.Prune(d); err != nil {
		t.Fatal(err)
	}
	for n := range behindMax + 3 {
		h := w.cat.Hook(fmt.Sprintf("h%02d", n))
		if got, want := len(standby.waiting(t, h)), len(s.waiting(t, h)); got != want {
			t.Errorf("%d of %d messages of hook %d are left", got, want, n)
		}
	}
	// Through another open, and in pieces.
	big, h := newMemStore(), w.cat.Hook("h00")
	s = open(t, big, nil)
	for seq := range uint64(2*pruneMax + 10) {
		marks(t, w, seq+1, 1, s)
	}
	s = open(t, big, nil)
	if err := s.Prune(Delivered{Through: 2*pruneMax + 3}); err != nil {
		t.Fatal(err)
	}
	if got := s.Delivered(); len(s.waiting(t, h)) != 7 || s.Status(h).Queued != 7 || got.Behind[h.ID] != 2*pruneMax+3 {
		t.Errorf("%d messages are left, delivered %+v", len(s.waiting(t, h)), got)
	}
}

// What lies in a queue of a version that noted no groups counts as owed until it is gone.
func TestDeliveredOfOldRows(t *testing.T) {
	w, store := newWorld(t), newMemStore()
	h := w.hook("h", "", "device.quota_80")
	store.rows[string(messageKey(keyQueue, h.ID, 1))] = []byte(`{"id":"msg_1","event":"e","body":{},"queued_ms":7}`)
	store.at.Seq = 9
	s := open(t, store, nil)
	if d := s.Delivered(); d.of(h.ID) != 0 || d.Through != 9 {
		t.Errorf("delivered %+v", d)
	}
	if err := s.Prune(Delivered{Behind: map[uint64]uint64{h.ID: 0}, Through: 9}); err != nil || s.Status(h).Queued != 1 {
		t.Errorf("it is gone: %v", err)
	}
	if err := s.Prune(Delivered{Through: 9}); err != nil || s.Status(h).Queued != 0 {
		t.Errorf("it is left: %v", err)
	}
}
