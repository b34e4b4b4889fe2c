package sealed

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ids returns the snapshots that are there, oldest first.
func (b *bed) ids() (list []string) {
	b.store.List(0, func(m *Manifest) bool { list = append(list, m.ID); return true })
	slices.Reverse(list)
	return list
}

// twoMonths has the schedule make 28 to 30 November, the final November, and two days of December, and somebody a
// snapshot of November and a correction of the 29th: s1 … s8.
func (b *bed) twoMonths() {
	b.t.Helper()
	both := Schedule{Daily: true, Monthly: true}
	since := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	for day := range 3 {
		b.catchUp(both, since, time.Date(2026, 11, 29+day, 8, 0, 0, 0, time.UTC)) // s1, s2, and s3, which is final
	}
	b.sealed(Request{Period: "2026-11"})     // s4
	b.sealed(Request{Corrects: "s00000002"}) // s5
	for day := range 2 {
		b.catchUp(both, since, time.Date(2026, 12, 2+day, 8, 0, 0, 0, time.UTC)) // s6, s7
	}
}

// removeAll removes what is kept no longer.
func (b *bed) removeAll() {
	b.t.Helper()
	for more := true; more; {
		var err error
		more, err = b.removeOld()
		must(b.t, err)
	}
}

// TestRemoveOld: daily snapshots go when their time is over and the final one of their month is there, each with an
// entry in the audit log before. What somebody asked for, what is final, and what is corrected stays.
func TestRemoveOld(t *testing.T) {
	b := newBed(t)
	b.keep = 10 * 24 * time.Hour
	b.open()
	b.twoMonths()
	all := b.ids()
	if len(all) != 7 {
		t.Fatalf("there are %q", all)
	}
	first := b.store.Get("s00000001")
	b.now = time.Date(2026, 12, 9, 7, 0, 0, 0, time.UTC)
	b.removeAll()
	if got := b.ids(); !slices.Equal(got, all) {
		t.Errorf("before their time is over there are %q", got)
	}
	notes := len(b.notes)
	b.now = time.Date(2026, 12, 20, 9, 0, 0, 0, time.UTC)
	b.removeAll()
	want := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return id == first.ID })
	if got := b.ids(); !slices.Equal(got, want) || b.stats.removed.Load() != 1 {
		t.Errorf("there are %q, want %q", got, want)
	}
	if len(b.notes) != notes+1 || !strings.HasPrefix(b.notes[notes], "snapshot.remove s00000001 ") ||
		!strings.Contains(b.notes[notes], first.SHA256) {
		t.Errorf("the audit log has %q", b.notes[notes:])
	}
	for _, name := range b.files() {
		if strings.Contains(name, first.ID) {
			t.Errorf("%s is left", name)
		}
	}
	b.open() // Its number is not given again, and December has no final one yet.
	if got := b.ids(); !slices.Equal(got, want) {
		t.Errorf("after a start there are %q, want %q", got, want)
	}
	if m := b.sealed(Request{}); m.Sequence != 8 {
		t.Errorf("the next is %+v", m)
	}
	b.catchUp(Schedule{Monthly: true}, now, time.Date(2027, 1, 1, 8, 0, 0, 0, time.UTC))
	b.removeAll()
	if got := b.ids(); slices.Contains(got, "s00000006") || slices.Contains(got, "s00000007") || len(got) != 6 {
		t.Errorf("when December is final there are %q", got)
	}
	b.keep = 0
	b.open()
	b.now = b.now.AddDate(9, 0, 0)
	b.removeAll()
	if got := b.ids(); len(got) != 6 {
		t.Errorf("for ever there are %q", got)
	}
}

// TestRemoveWaits: nothing goes that the place of export does not have, that the audit log cannot be told of, or while
// a snapshot is made.
func TestRemoveWaits(t *testing.T) {
	b := newBed(t)
	b.keep, b.exportTo = time.Hour, "/mnt/billing"
	b.open()
	b.twoMonths()
	b.now = b.now.AddDate(0, 0, 1)
	all := len(b.ids())
	b.removeAll()
	must(t, b.store.Exported("/mnt/other", 9))
	b.removeAll()
	if n := len(b.ids()); n != all {
		t.Errorf("%d of %d are left that were not exported", n, all)
	}
	must(t, b.store.Exported(b.exportTo, 1))
	b.place <- struct{}{}
	b.removeAll()
	<-b.place
	b.noteErr = errUnwritten
	if removed, err := b.removeOld(); removed || !errors.Is(err, errUnwritten) {
		t.Errorf("it is removed: %t, %v", removed, err)
	}
	if n := len(b.ids()); n != all {
		t.Errorf("%d of %d are left", n, all)
	}
	b.noteErr = nil
	b.removeAll()
	if got := b.ids(); len(got) != all-1 || slices.Contains(got, "s00000001") {
		t.Errorf("there are %q", got)
	}
}

// TestRemoveIsCut: a start removes what is left of a snapshot whose removal was interrupted.
func TestRemoveIsCut(t *testing.T) {
	b := newBed(t)
	b.keep = time.Hour
	b.open()
	b.twoMonths()
	left, err := b.store.take(b.store.Get("s00000001"))
	must(t, err)
	must(t, os.Remove(filepath.Join(left, devicesCSV)))
	b.open()
	for _, name := range b.files() {
		if strings.Contains(name, "s00000001") {
			t.Errorf("%s is left", name)
		}
	}
	if got := b.ids(); slices.Contains(got, "s00000001") || b.store.damaged != 0 {
		t.Errorf("there are %q, %d of them damaged", got, b.store.damaged)
	}
}
