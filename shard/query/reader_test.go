package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

func TestOptionsReportEveryFault(t *testing.T) {
	_, err := New(Options{})
	for _, fault := range []string{"Engine, RawLog and Ledger", "Retention"} {
		if err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%v does not name %s", err, fault)
		}
	}
}

// A licence stands in the list with its source, active while it runs and is the device's, also after a restart.
func TestLicenses(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{"validity":"PT10S"}`, 1)
	d.product("other", `{}`, 1)
	d.submit(visit("p", "a") + visit("p", "b") + visit("other", "a"))
	d.clock.pass(10 * time.Second)
	d.credit("p", "LOT-2", 1)
	d.submit(visit("p", "b"))
	device := ""
	list := func(after uint64, most int) (list []string) {
		t.Helper()
		q := LicenseQuery{Product: d.productOf("p"), After: after, Device: device}
		d.must(d.Licenses(q, func(l *License) bool {
			until := l.ExpiresS - testStart.Unix()
			list = append(list, fmt.Sprint(l.Row.Serial, " ", l.Row.Device, " ", l.Source, " ", until, " ", l.Active))
			return len(list) < most
		}))
		return list
	}
	for range 2 {
		all := []string{"1 a LOT-1 10 false", "2 b gift 10 false", "4 b LOT-2 20 true"}
		if got := list(0, 9); !slices.Equal(got, all) {
			t.Fatalf("%q", got)
		}
		if got := list(1, 1); !slices.Equal(got, all[1:2]) {
			t.Fatalf("one behind the first: %q", got)
		}
		device = "b"
		if got := list(0, 9); !slices.Equal(got, all[1:]) {
			t.Fatalf("of b: %q", got)
		}
		device = ""
		d.restart()
	}
}

// A view's device is what its words say; one that was never active is none.
func TestDevice(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{"validity":"PT10S","messages_per_day":2}`, 1)
	d.submit(line("connect", "p", "a") + strings.Repeat(line("up", "p", "a"), 3) + visit("p", "b"))
	d.clock.pass(5 * time.Second)
	d.submit(line("disconnect", "p", "a"))
	d.must(d.View(func(v *View) {
		p := v.Catalogue.Product([]byte("p"))
		a, ok := v.Device(p, []byte("a"))
		if start := testStart.Unix(); !ok || !a.Active || a.Online || a.ActivatedS != start || a.ExpiresS != start+10 ||
			a.LastSeenS != start+5 || a.Up != 2 || a.Denied != 1 || a.MessagesMax != 2 || a.Name != "a" {
			t.Errorf("%+v, %v", a, ok)
		}
		if _, ok := v.Device(p, []byte("never")); ok {
			t.Error("a device that was never active is there")
		}
		var names []string
		next, end := v.Devices(p, 0, 1, func(d *Device) bool { names = append(names, d.Name); return true })
		if end {
			t.Error("one of two devices was the end")
		}
		if _, end = v.Devices(p, next, 9, func(d *Device) bool { names = append(names, d.Name); return true }); !end {
			t.Error("there are more than two devices")
		}
		if slices.Sort(names); fmt.Sprint(names) != "[a b]" {
			t.Errorf("devices %v", names)
		}
		used, quantity := v.Used(p, p.Lots[0])
		if licenses, _ := v.Licenses(p); used != 1 || quantity != 1 || licenses.Used != 2 || licenses.Available != 0 {
			t.Errorf("%d of %d, %+v", used, quantity, licenses)
		}
	}))
}

// The log of a device that was never active stands under its name; each entry's place goes on behind it (R18).
func TestDeviceLog(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 1)
	d.submit(line("connect", "p", "a") + line("up", "p", "a") + line("up", "p", "never"))
	d.clock.pass(time.Second)
	d.submit(line("down", "p", "a") + line("up", "p", "b"))
	read := func(q LogQuery) (list []string, places []LogPlace) {
		t.Helper()
		q.Product = d.productOf("p")
		d.must(d.DeviceLog(t.Context(), q, func(e *LogEntry) bool {
			list, places = append(list, fmt.Sprint(e.Row.Type, " ", e.Row.Code)), append(places, e.Place.Place)
			return true
		}))
		return list, places
	}
	for range 2 {
		a := LogQuery{Device: []byte("a")}
		all, places := read(a)
		if fmt.Sprint(all) != "[down accepted up accepted connect accepted]" {
			t.Fatalf("%q", all)
		}
		for i, at := range places {
			if behind, _ := read(LogQuery{Device: a.Device, After: at}); !slices.Equal(behind, all[i+1:]) {
				t.Errorf("behind entry %d: %q", i, behind)
			}
		}
		second := testStart.Add(time.Second).UnixMilli()
		for want, q := range map[string]LogQuery{
			"[down accepted]":                              {Device: a.Device, LogFilter: LogFilter{FromMs: second}},
			"[up accepted connect accepted]":               {Device: a.Device, LogFilter: LogFilter{ToMs: second}},
			"[up accepted]":                                {Device: a.Device, LogFilter: LogFilter{Type: event.Up}},
			"[connect accepted up accepted down accepted]": {Device: a.Device, LogFilter: LogFilter{Oldest: true}},
			"[up not_activated]":                           {Device: []byte("never")},
			"[]":                                           {Device: []byte("stranger")},
		} {
			if got, _ := read(q); fmt.Sprint(got) != want {
				t.Errorf("%q, want %s", got, want)
			}
		}
		d.restart()
	}
}

// The audit log is read newest first; a ledger that cannot be read fails the request and nothing else.
func TestAudit(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 1)
	read := func(before uint64) (list []string, err error) {
		err = d.Audit(before, func(e license.AuditEntry) bool {
			list = append(list, e.Action)
			return true
		})
		return list, err
	}
	all, err := read(0)
	if err != nil || fmt.Sprint(all) != "[lot.credit product.create account.create]" {
		t.Fatalf("%q, %v", all, err)
	}
	if before, err := read(3); err != nil || !slices.Equal(before, all[1:]) {
		t.Errorf("before change 3: %q, %v", before, err)
	}
	d.ledger.err = errors.New("its disk is gone")
	if _, err := read(0); !errors.Is(err, shard.ErrLedgerLags) {
		t.Errorf("a ledger that cannot be read: %v", err)
	}
	d.submit(line("connect", "p", "a"))
	d.ledger.err = nil
	if again, err := read(0); err != nil || !slices.Equal(again, all) {
		t.Errorf("a ledger that can be read again: %q, %v", again, err)
	}
}
