package commands

import (
	"fmt"
	"slices"
	"testing"

	"github.com/meterd/meterd/shard/record"
	"pgregory.net/rapid"
)

// model says what Commands must keep: the disconnects whose device has not connected since, in order.
type model struct {
	*rapid.T
	e       *engine
	c       *Commands
	kept    []record.Command // in the order of their sequences, one a device
	records []any            // all that was recorded
	durable uint64
	changes uint64
	ears    []*modelEar
}

// modelEar is a listener, where it goes on, and the id of the last event that it heard.
type modelEar struct {
	who   Listener
	place Place
	id    string
}

const modelDevices = 12

func (m *model) drop(o uint64) {
	m.kept = slices.DeleteFunc(m.kept, func(k record.Command) bool { return k.Ordinal == o })
}

func (m *model) device() uint64 { return uint64(rapid.IntRange(1, modelDevices).Draw(m.T, "device")) }

func (m *model) begin() {
	if r, first := m.c.Run(); first {
		m.records = append(m.records, r)
	}
}

func (m *model) putOffline(o uint64) {
	m.begin()
	k := m.e.putOffline(m.c, o)
	m.drop(o)
	m.kept = append(m.kept, k)
	m.records = append(m.records, k)
}

func (m *model) connect(o uint64) {
	m.e.sessions[o].Add(1)
	m.drop(o)
}

// suspend changes a session that is offline.
func (m *model) suspend(o uint64) {
	k, ok := m.e.renew(m.c, o)
	i := slices.IndexFunc(m.kept, func(k record.Command) bool { return k.Ordinal == o })
	if ok != (i >= 0) {
		m.Fatalf("renewed device %d: %v, kept %v", o, ok, i >= 0)
	}
	if ok {
		if m.kept[i].Change++; k != m.kept[i] {
			m.Fatalf("renewed as %+v, want %+v", k, m.kept[i])
		}
		m.records = append(m.records, k)
	}
}

func (m *model) change() {
	m.changes++
	m.begin()
	r := Refresh{Seq: m.changes}
	if product := uint32(rapid.IntRange(0, 4).Draw(m.T, "product")); product > 0 {
		r.Product, r.Account = product, product%3+1
	}
	m.e.audit = append(m.e.audit, r)
	m.c.Changed(r)
}

func (m *model) publish() {
	m.durable = m.c.Last()
	m.c.Publish(m.durable)
}

// want returns what a listener must hear behind a place: refreshes, then disconnects.
func (m *model) want(who Listener, after Place) (list []string) {
	for _, r := range m.e.audit {
		if r.Seq > after.Refresh && r.Product != 0 && (who.Account == 0 || r.Account == who.Account) {
			list = append(list, fmt.Sprintf("refresh %d", r.Product))
		}
	}
	for _, k := range m.kept {
		if k.Seq > after.Command && k.Seq <= m.durable && (who.Account == 0 || k.Account == who.Account) &&
			(!who.HasHolder || k.Holder == 0 || k.Holder == who.Holder) {
			list = append(list, fmt.Sprintf("device %d %s", k.Ordinal, k.Reason))
		}
	}
	return list
}

// hear lets a listener hear all there is.
func (m *model) hear(ear *modelEar) {
	old := ear.place.Refresh < m.c.refreshes.floor
	want := m.want(ear.who, ear.place)
	got, next, id := all(m, m.c, ear.place, ear.who)
	if old { // Of old refreshes one of each product is enough.
		want, got = unique(want), unique(got)
	}
	if !slices.Equal(got, want) {
		m.Fatalf("%+v at %+v heard %v, want %v", ear.who, ear.place, got, want)
	}
	if next.Command < ear.place.Command || next.Refresh < ear.place.Refresh {
		m.Fatalf("%+v went back from %+v to %+v", ear.who, ear.place, next)
	}
	if got, _, _ := all(m, m.c, next, ear.who); len(got) > 0 {
		m.Fatalf("%+v heard again at %+v: %v", ear.who, next, got)
	}
	ear.place = next
	if id != "" {
		ear.id = id
	}
}

func unique(list []string) []string {
	list = slices.Sorted(slices.Values(list))
	return slices.Compact(list)
}

// restart goes on from a checkpoint, from the records, or from both, the records shuffled: nothing is lost or comes
// back. What was not published is durable then, too.
func (m *model) restart() {
	next := m.e.commands()
	kind := rapid.IntRange(0, 2).Draw(m.T, "restart")
	if kind != 0 {
		records := slices.Clone(m.records)
		for i := range records {
			at := rapid.IntRange(0, i).Draw(m.T, "at")
			records[i], records[at] = records[at], records[i]
		}
		for _, r := range records {
			switch r := r.(type) {
			case record.Run:
				next.JoinRun(r)
			case record.Command:
				if err := next.Join(r); err != nil {
					m.Fatal(err)
				}
			}
		}
	}
	if kind != 1 {
		if err := m.c.WriteKept(next.ReadKept); err != nil {
			m.Fatal(err)
		}
		if err := next.ReadRuns(m.c.AppendRuns(nil)); err != nil {
			m.Fatal(err)
		}
	}
	next.JoinLast(m.c.Last())
	next.Start(m.changes)
	m.c, m.durable = next, next.Last()
	for _, ear := range m.ears {
		ear.place = next.Resume(ear.id)
		if was, ok := parsePlace(ear.id); ok && (ear.place.Refresh != was.Refresh || ear.place.Command != was.Command) {
			m.Fatalf("heard %s, resumed at %+v", ear.id, ear.place)
		}
	}
}

// Whatever happens in whatever order, a listener hears the disconnects that are durable and whose device has not
// connected since, and every refresh, in order, once, through restarts.
func TestHearsWhatIsKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{T: t, e: newEngine(modelDevices)}
		m.c = m.e.started()
		for _, who := range []Listener{
			{},
			{Account: 1},
			{Account: 2},
			{Account: 3},
			{HasHolder: true, Holder: 1},
			{Account: 2, HasHolder: true, Holder: 2},
			{Account: 1, HasHolder: true},
		} {
			m.ears = append(m.ears, &modelEar{who: who, place: m.c.Resume("")})
		}
		t.Repeat(map[string]func(*rapid.T){
			"":        func(*rapid.T) {},
			"offline": func(t *rapid.T) { m.T = t; m.putOffline(m.device()) },
			"connect": func(t *rapid.T) { m.T = t; m.connect(m.device()) },
			"suspend": func(t *rapid.T) { m.T = t; m.suspend(m.device()) },
			"change":  func(t *rapid.T) { m.T = t; m.change() },
			"publish": func(t *rapid.T) { m.T = t; m.publish() },
			"tidy":    func(*rapid.T) { m.c.Tidy() },
			"hear":    func(t *rapid.T) { m.T = t; m.hear(m.ears[rapid.IntRange(0, len(m.ears)-1).Draw(t, "ear")]) },
			"resume": func(t *rapid.T) {
				ear := m.ears[rapid.IntRange(0, len(m.ears)-1).Draw(t, "ear")]
				ear.place = m.c.Resume(rapid.SampledFrom([]string{"", "x", ear.id}).Draw(t, "id"))
			},
			"restart": func(t *rapid.T) { m.T = t; m.restart() },
		})
		m.publish()
		for _, ear := range m.ears {
			m.hear(ear)
		}
	})
}
