package query

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
)

// The log of a product has the entries of all its devices, with their names, in the order in which they were decided;
// each entry's place goes on behind it, and no entry of another product's is there (R18).
func TestProductLog(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 2)
	d.product("q", `{}`, 2)
	d.submit(line("connect", "p", "a") + line("connect", "q", "a") + line("up", "p", "a"))
	d.clock.pass(time.Second)
	d.submit(line("up", "p", "never"))
	d.clock.pass(time.Second)
	d.submit(line("connect", "p", "b") + line("up", "q", "never") + line("down", "q", "a"))
	read := func(q ProductLogQuery) (list []string, places []ProductPlace) {
		t.Helper()
		q.Product = d.productOf("p")
		if q.Limit == 0 {
			leave, err := d.AdmitProductLog()
			d.must(err)
			defer leave()
		}
		d.must(d.ProductLog(t.Context(), q, func(e *LogEntry) bool {
			list, places = append(list, fmt.Sprintf("%s %v %v", e.Device, e.Row.Type, e.Row.Code)), append(places, e.Place)
			return true
		}))
		return list, places
	}
	want := []string{"a connect accepted", "a up accepted", "never up not_activated", "b connect accepted"}
	for range 2 {
		for _, oldest := range []bool{true, false} {
			want := slices.Clone(want)
			if !oldest {
				slices.Reverse(want)
			}
			f := LogFilter{Oldest: oldest}
			all, places := read(ProductLogQuery{LogFilter: f})
			if !slices.Equal(all, want) {
				t.Fatalf("oldest first %v: %q", oldest, all)
			}
			for i, at := range places {
				at.Device = at.Device.InProduct() // As a cursor has it.
				if behind, _ := read(ProductLogQuery{LogFilter: f, After: at}); !slices.Equal(behind, want[i+1:]) {
					t.Errorf("oldest first %v, behind entry %d: %q", oldest, i, behind)
				}
			}
			if two, _ := read(ProductLogQuery{LogFilter: f, Limit: 2}); !slices.Equal(two, want[:2]) {
				t.Errorf("oldest first %v, two: %q", oldest, two)
			}
		}
		for want, f := range map[string]LogFilter{
			"[b connect accepted]":                    {FromMs: testStart.Add(2 * time.Second).UnixMilli()},
			"[a up accepted a connect accepted]":      {ToMs: testStart.Add(time.Second).UnixMilli()},
			"[never up not_activated]":                {ByVerdict: true, Verdict: event.NotActivated},
			"[b connect accepted a connect accepted]": {Type: event.Connect},
			"[]": {Topic: []byte("t")},
		} {
			if got, _ := read(ProductLogQuery{LogFilter: f}); fmt.Sprint(got) != want {
				t.Errorf("%q, want %s", got, want)
			}
		}
		d.restart()
	}
}
