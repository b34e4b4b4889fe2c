package shard

import (
	"errors"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
)

// fakeEraser is an archive that says what a test has it say.
type fakeEraser struct {
	due, through uint64
	reach        uint64 // what it was told
	erased       uint64
	erasedMs     int64
	err          error
}

func (f *fakeEraser) LogEraseDue(int64) uint64 { return f.due }
func (f *fakeEraser) MustReach(group uint64)   { f.reach = group }
func (f *fakeEraser) ErasedThrough() uint64    { return f.through }
func (f *fakeEraser) LogErased(change uint64, beganMs int64) error {
	if f.err == nil {
		f.erased, f.erasedMs, f.due = change, beganMs, 0
	}
	return f.err
}

// TestEraseLog: an erasure names the device's ordinal if it has one, is audited, and survives a crash and a checkpoint.
func TestEraseLog(t *testing.T) {
	m := newMachine(t)
	m.product("p", `{}`, 5)
	m.submit(line("connect", "p", "d1"))
	for _, device := range []string{"d1", "never"} {
		m.clock.pass(time.Second)
		untilMs, err := m.EraseLog("admin", nil, "p", []byte(device))
		if err != nil || untilMs != m.NowMs() {
			t.Fatalf("erased until %d at %d: %v", untilMs, m.NowMs(), err)
		}
	}
	check := func(when string) {
		t.Helper()
		list := m.Catalogue().Erasures()
		if len(list) != 2 || !list[0].Known || list[1].Known || list[1].Device != "never" {
			t.Fatalf("%s: %+v", when, list)
		}
		slot := m.table.Find(m.table.KeyOf(list[0].Product, []byte("d1")))
		if slot == nil || uint64(slot.Ordinal()) != list[0].Ordinal {
			t.Errorf("%s: %+v has not the ordinal of the device", when, list[0])
		}
	}
	check("at first")
	m.crash()
	check("from the log")
	if err := m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	m.crash()
	check("from a checkpoint")
	_, err := m.EraseLog("admin", nil, "p", []byte("no name"))
	var problem *event.Problem
	if !errors.As(err, &problem) || problem.Code != event.InvalidArgument {
		t.Error(err)
	}
}

// TestEraseFromLog: the log is erased once when it is due, the archive and a checkpoint are hurried on, and what is
// done is noted once.
func TestEraseFromLog(t *testing.T) {
	f := &fakeEraser{}
	m := newMachine(t)
	m.kill()
	m.eraser = f
	m.start()
	m.product("p", `{}`, 5)
	step := func() {
		t.Helper()
		if err := m.eraseFromLog(); err != nil {
			t.Fatal(err)
		}
		m.erasedFromLog()
	}
	step()
	if m.log.erases != 0 || m.checkpointDue(0, time.Hour) {
		t.Fatal("nothing is due")
	}
	last, _, _ := m.log.Last()
	f.due, m.log.holdsErased = 7, true
	beganMs := m.Engine.clock.view()
	step()
	m.clock.pass(time.Minute)
	step()
	if m.log.erases != 1 || f.reach != last || !m.checkpointDue(0, time.Hour) || f.erased != 0 {
		t.Errorf("%d erasures of the log, %+v, a checkpoint due: %t", m.log.erases, f, m.checkpointDue(0, time.Hour))
	}
	if err := m.Checkpoint(); err != nil || m.checkpointDue(0, time.Hour) {
		t.Errorf("a checkpoint was made, and one is due: %v", err)
	}
	m.log.holdsErased, f.err = false, errors.New("the archive cannot write")
	step()
	if f.erased != 0 {
		t.Error("it was not noted")
	}
	f.err = nil
	step()
	step()
	if f.erasedMs != beganMs || m.Engine.clock.view() == beganMs {
		t.Errorf("what is erased meanwhile counts from %d, want from %d", f.erasedMs, beganMs)
	}
	if f.erased != 7 || m.log.erases != 1 || m.erasing.change != 0 {
		t.Errorf("%+v, %+v", f, m.erasing)
	}
	f.due = 9
	m.log.err = errors.New("the disk is gone")
	if err := m.eraseFromLog(); err == nil {
		t.Error("the log cannot be erased, and the engine goes on")
	}
	m.log.err = nil
}

// TestErasuresEnd: an erasure is dropped when none of its entries can be read and none is on the disk.
func TestErasuresEnd(t *testing.T) {
	f := &fakeEraser{}
	m := newMachine(t)
	m.kill()
	m.eraser = f
	m.start()
	m.product("p", `{}`, 5)
	for _, device := range []string{"d1", "d2"} {
		if _, err := m.EraseLog("admin", nil, "p", []byte(device)); err != nil {
			t.Fatal(err)
		}
	}
	list := m.Catalogue().Erasures()
	left := func() int {
		m.endErasures()
		return len(m.Catalogue().Erasures())
	}
	f.through = list[0].Seq
	m.clock.pass(168 * time.Hour)
	if n := left(); n != 2 {
		t.Errorf("%d are left, and their entries can be read", n)
	}
	m.clock.pass(time.Second)
	if n := left(); n != 1 || m.Catalogue().Erasures()[0].Device != "d2" {
		t.Errorf("%d are left, one of them is on the disk", n)
	}
	f.through = list[1].Seq
	if n := left(); n != 0 {
		t.Errorf("%d are left", n)
	}
	m.crash()
	if n := len(m.Catalogue().Erasures()); n != 0 {
		t.Errorf("%d are left after a crash", n)
	}
}
