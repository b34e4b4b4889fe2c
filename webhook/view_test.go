package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

func position(seq uint64) views.Position { return views.Position{Seq: seq, Chain: [16]byte{byte(seq)}} }

// named says which device an ordinal names: device n of product n/10.
type named struct{}

func (named) Name(o counters.Ordinal) (uint32, []byte) {
	return uint32(o / 10), fmt.Appendf(nil, "d%d", o%10)
}

// group builds a group with marks and changes.
func group(
	t testing.TB,
	seq uint64,
	cat *license.Catalogue,
	changes []*license.Change,
	marks ...record.Quota,
) *views.Group {
	t.Helper()
	var b record.Builder
	b.Session(10, 1)
	for _, m := range marks {
		b.Quota(m)
	}
	c, err := record.Open(b.Finish(nil))
	if err != nil {
		t.Fatal(err)
	}
	g := &views.Group{
		Position: position(seq), LastMs: 1_795_781_814_123, Effects: [][]byte{c.EffectsColumn()}, Catalogue: cat,
	}
	for _, ch := range changes {
		g.Head.Changes = append(g.Head.Changes, ch.Append(nil))
	}
	return g
}

// waiting returns what waits for a hook, a message a line: id and body.
func (s *Service) waiting(t testing.TB, h *license.Hook) (list []string) {
	t.Helper()
	queued, err := s.queue.first(h.ID, queueMax)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range queued {
		list = append(list, m.ID+" "+string(m.Body))
	}
	return list
}

// Each mark goes to the hooks that want it and may know of it, with the position; the same group again gives the same
// ids.
func TestApply(t *testing.T) {
	w, store := newWorld(t), newMemStore()
	w.product("p1", "acme", "UTC")
	w.product("p2", "eve", "UTC")
	all := w.hook("all", "", "device.quota_80", "device.quota_100")
	acme := w.hook("acme", "acme", "device.quota_100")
	eve := w.hook("eve", "eve", "device.quota_80", "device.quota_100")
	other := w.hook("other", "", "product.packs_low")
	s := open(t, store, newInbox().receive)
	g := group(t, 1, w.cat, nil,
		record.Quota{Ordinal: 11, Day: 2522, Percent: 80, Used: 1200, Limit: 1500},
		record.Quota{Ordinal: 11, Day: 2522, Percent: 100, Used: 1500, Limit: 1500},
		record.Quota{Ordinal: 21, Day: 2522, Percent: 80, Used: 8, Limit: 10})
	if err := s.Apply([]*views.Group{g}, named{}); err != nil {
		t.Fatal(err)
	}
	const first = `{"type":"device.quota_80","timestamp":"2026-11-27T12:16:54.123Z","data":{"account":"acme",` +
		`"product":"p1","device":"d1","day":"2026-11-27","percent":80,"used":1200,"limit":1500}}`
	got := s.waiting(t, all)
	if len(got) != 3 || !strings.HasSuffix(got[0], " "+first) || got[0][:4] != "msg_" ||
		len(strings.Fields(got[0])[0]) != 36 {
		t.Errorf("all are told %q", got)
	}
	if a, e := s.waiting(t, acme), s.waiting(t, eve); !slices.Equal(a, got[1:2]) || !slices.Equal(e, got[2:]) {
		t.Errorf("acme is told %q, eve %q", a, e)
	}
	if o := s.waiting(t, other); len(o) != 0 || s.Position() != position(1) {
		t.Errorf("others are told %q; position %v", o, s.Position())
	}
	again := open(t, newMemStore(), newInbox().receive)
	if err := again.Apply([]*views.Group{g}, named{}); err != nil || !slices.Equal(again.waiting(t, all), got) {
		t.Errorf("again: %q, %v", again.waiting(t, all), err)
	}
	// What happens on another day, or under another limit, is something else.
	next := group(t, 2, w.cat, nil,
		record.Quota{Ordinal: 11, Day: 2523, Percent: 80, Used: 1200, Limit: 1500},
		record.Quota{Ordinal: 11, Day: 2522, Percent: 80, Used: 2400, Limit: 3000},
		record.Quota{Ordinal: 12, Day: 2522, Percent: 80, Used: 1200, Limit: 1500})
	if err := s.Apply([]*views.Group{next}, named{}); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, m := range s.waiting(t, all) {
		ids[strings.Fields(m)[0]] = true
	}
	if len(ids) != 6 {
		t.Errorf("6 messages have %d ids", len(ids))
	}
	if err := s.Apply([]*views.Group{group(t, 3, w.cat, nil, record.Quota{Ordinal: 91})}, named{}); err == nil {
		t.Error("a mark of a product that is not there was taken")
	}
}

// Groups that concern nobody move the position, and nothing else.
func TestApplyWithoutHooks(t *testing.T) {
	w, store := newWorld(t), newMemStore()
	w.product("p1", "acme", "UTC")
	s := open(t, store, newInbox().receive)
	g := group(t, 1, w.cat, nil, record.Quota{Ordinal: 11, Percent: 80})
	if err := s.Apply([]*views.Group{g, group(t, 2, w.cat, nil)}, named{}); err != nil {
		t.Fatal(err)
	}
	if len(store.rows) != 1 || s.Position() != position(2) || s.Name() != "webhooks" {
		t.Errorf("%d rows, position %v", len(store.rows), s.Position())
	}
	if err := s.Skip(position(9), 1); err != nil || s.Position() != position(9) {
		t.Errorf("position %v, %v", s.Position(), err)
	}
}

// Very many marks in one call are written in parts; those that find a queue full are dropped.
func TestApplyIsBounded(t *testing.T) {
	w, store := newWorld(t), newMemStore()
	w.product("p1", "acme", "UTC")
	h := w.hook("h", "", "device.quota_80")
	s := open(t, store, newInbox().receive)
	var marks []record.Quota
	for i := range queueMax + 100 {
		marks = append(marks, record.Quota{Ordinal: 11, Day: uint32(i), Percent: 80, Limit: 10})
	}
	if err := s.Apply([]*views.Group{group(t, 1, w.cat, nil, marks...)}, named{}); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(h); st.Queued != queueMax || st.Dropped != 100 || store.writes < 3 {
		t.Errorf("%+v, %d writes", st, store.writes)
	}
}

// haltingStore refuses to move the position to a group.
type haltingStore struct {
	*memStore
	halt uint64
}

func (s *haltingStore) Write(entries []ledger.Entry, to ledger.Position) error {
	if to.Seq == s.halt {
		return errRefused
	}
	return s.memStore.Write(entries, to)
}

// A call that comes again queues no group twice that the first one has written whole.
func TestApplyComesAgain(t *testing.T) {
	w := newWorld(t)
	w.product("p1", "acme", "UTC")
	h := w.hook("h", "", "device.quota_80")
	store := &haltingStore{newMemStore(), 2}
	s := open(t, store, newInbox().receive)
	var groups []*views.Group
	for seq := range uint64(2) {
		var marks []record.Quota
		for i := range gatherMax - 1000 {
			marks = append(marks, record.Quota{Ordinal: 11, Day: uint32(i), Percent: 80, Limit: 10})
		}
		groups = append(groups, group(t, seq+1, w.cat, nil, marks...))
	}
	if err := s.Apply(groups, named{}); !errors.Is(err, errRefused) || s.Position() != position(1) {
		t.Fatalf("position %v, %v", s.Position(), err)
	}
	store.halt = 0
	if err := s.Apply(groups, named{}); err != nil || s.Position() != position(2) {
		t.Fatalf("position %v, %v", s.Position(), err)
	}
	if n := s.Status(h).Queued; n != gatherMax+gatherMax-1000 {
		t.Errorf("%d messages are queued", n)
	}
}

// A snapshot is told by its entry in the audit log, to its account's hooks and the daemon's.
func TestApplyTellsSnapshots(t *testing.T) {
	w := newWorld(t)
	w.product("p1", "acme", "UTC")
	w.product("p2", "eve", "UTC")
	all := w.hook("all", "", "snapshot.sealed", "snapshot.refused")
	acme, eve := w.hook("acme", "acme", "snapshot.sealed"), w.hook("eve", "eve", "snapshot.sealed")
	s := open(t, newMemStore(), newInbox().receive)
	note := func(action, target string, detail map[string]any) *license.Change {
		_, ch := w.cat.Note(license.Actor{Token: "books", AtMs: 1_795_781_814_000}, action, target, detail)
		return ch
	}
	g := group(t, 1, w.cat, []*license.Change{
		note("snapshot.create", "s-1", map[string]any{"account": "acme", "period": "2026-11", "sequence": 1}),
		note("lot.credit", "p1", map[string]any{}),
		note("snapshot.create", "s-2", map[string]any{"account": nil, "sequence": 2}),
		note("snapshot.refuse", "2026-11", map[string]any{"account": nil, "product": "p1"}),
	})
	if err := s.Apply([]*views.Group{g}, named{}); err != nil {
		t.Fatal(err)
	}
	got := s.waiting(t, all)
	if len(got) != 3 || len(s.waiting(t, eve)) != 0 || !slices.Equal(s.waiting(t, acme), got[:1]) {
		t.Fatalf("all are told %q, acme %q, eve %q", got, s.waiting(t, acme), s.waiting(t, eve))
	}
	var first struct {
		Type, Timestamp string
		Data            map[string]any
	}
	_, text, _ := strings.Cut(got[0], " ")
	if err := json.Unmarshal([]byte(text), &first); err != nil || first.Type != "snapshot.sealed" ||
		first.Timestamp != "2026-11-27T12:16:54Z" || first.Data["id"] != "s-1" || first.Data["period"] != "2026-11" {
		t.Errorf("told %+v, %v", first, err)
	}
	if !strings.Contains(got[2], `"type":"snapshot.refused"`) {
		t.Errorf("told %s", got[2])
	}
}
