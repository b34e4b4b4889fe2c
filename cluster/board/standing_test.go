package board

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const noon = int64(1_795_780_800_000)

// facts of a node n2 that has all groups up to 10, beside n1 that owned and n3 that stands by.
func facts() *Facts {
	f := &Facts{
		Node: "n2", Own: *at(10), Positions: newPositions(), NowMs: noon, LastMs: noon - 1000,
		Clocks: map[string]int64{"n1": noon - 10, "n3": noon + 10},
		ChainOf: func(group uint64) (Bytes16, bool) {
			return Bytes16{byte(group)}, group > 3
		},
		Nodes: []Status{{Node: "n3", State: Ready, Cells: []CellStatus{
			{Cell: 1, Role: Standby, Fit: true, Stream: Bytes16{7}},
		}}},
	}
	for node, group := range map[string]uint64{"n1": 10, "n2": 10, "n3": 9} {
		f.Positions.take(node, at(group))
	}
	return f
}

func TestWhoMayOwn(t *testing.T) {
	hour := time.Hour.Milliseconds()
	others := func(f *Facts, ms int64) { f.Clocks["n1"], f.Clocks["n3"] = noon+ms, noon+ms }
	for name, c := range map[string]struct {
		spoil func(*Facts)
		want  error
		says  string
	}{
		"all is well":                      {spoil: func(*Facts) {}},
		"its clock is 1.9 s off":           {spoil: func(f *Facts) { others(f, 1900) }},
		"3 s ahead, n3 is better":          {func(f *Facts) { others(f, -3000) }, ErrOthers, `"n3"`},
		"the reason has no milliseconds":   {func(f *Facts) { others(f, -3012) }, ErrOthers, "by 3s"},
		"3 s behind, n3 is better":         {func(f *Facts) { others(f, 3000) }, ErrOthers, `"n3"`},
		"only the dead owner's is off":     {spoil: func(f *Facts) { f.Clocks["n1"] = noon + 5*hour }},
		"only another standby's is off":    {spoil: func(f *Facts) { f.Clocks["n3"] = noon + 5*hour }},
		"5 h ahead":                        {func(f *Facts) { others(f, -5*hour) }, ErrClock, "5h0m0s"},
		"5 h behind":                       {func(f *Facts) { others(f, 5*hour) }, ErrClock, "-5h0m0s"},
		"5 h behind the log":               {func(f *Facts) { f.LastMs = noon + 5*hour }, ErrClock, "confirm"},
		"3 s behind the log, n3 is better": {func(f *Facts) { f.LastMs = noon + 3000 }, ErrOthers, ""},
		"one other clock, and it differs": {func(f *Facts) {
			f.Clocks = map[string]int64{"n1": noon + 2*hour}
		}, ErrClock, ""},
		"the log is old, nobody was heard": {spoil: func(f *Facts) { f.Clocks, f.LastMs = nil, noon-1000*hour }},
		"confirmed":                        {spoil: func(f *Facts) { others(f, -5*hour); f.Confirmed = true }},
		"3 s ahead, n3 is silent":          {spoil: func(f *Facts) { others(f, -3000); f.Nodes[0].State = Silent }},
		"3 s ahead, n3 is not fit":         {spoil: func(f *Facts) { others(f, -3000); f.Nodes[0].Cells[0].Fit = false }},
		"3 s ahead, n3 has another stream": {spoil: func(f *Facts) {
			others(f, -3000)
			f.Nodes[0].Cells[0].Stream = Bytes16{8}
		}},
		"n1 had more": {func(f *Facts) { f.Positions.take("n1", at(11)) }, ErrDamaged, `node "n1" had group 11`},
		"an emptied copy had more": {func(f *Facts) {
			f.Positions.take("n1", at(11))
			emptied := at(1)
			emptied.Copy = "c2"
			f.Positions.take("n1", emptied)
		}, ErrDamaged, `node "n1" once had group 11`},
		"another history at the end": {func(f *Facts) { f.Own.Chain = Bytes16{99} }, ErrDamaged, "another history"},
		"another history before": {func(f *Facts) {
			f.ChainOf = func(uint64) (Bytes16, bool) { return Bytes16{99}, true }
		}, ErrDamaged, "group 9 of cell 1"},
		"older than the segments": {spoil: func(f *Facts) {
			f.ChainOf = func(uint64) (Bytes16, bool) { return Bytes16{}, false }
		}},
		"positions of another stream": {spoil: func(f *Facts) {
			p := at(99)
			p.Stream = Bytes16{8}
			f.Positions.put(Position{Cell: 1, Node: "n9", Stream: Bytes16{8}, Group: 99})
		}},
		"positions of another cell": {spoil: func(f *Facts) {
			p := at(99)
			p.Cell = 2
			f.Positions.take("n1", p)
		}},
	} {
		f := facts()
		c.spoil(f)
		err := f.MayOwn()
		if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
		if f.Fit() && err != nil {
			t.Errorf("%s: it is fit, and may not own", name)
		}
	}
}

// A node that has heard no clock yet does not take its own for right, unless it is the only one.
func TestClockThatNobodyWasHeardBeside(t *testing.T) {
	f := facts()
	if !f.Near() || !f.Fit() {
		t.Error("it is not near")
	}
	f.Clocks = nil
	if f.Near() || f.Fit() {
		t.Error("it is near although nobody was heard")
	}
	f.Confirmed = true
	if !f.Near() {
		t.Error("it was confirmed")
	}
	f.Confirmed, f.Positions = false, newPositions()
	f.Positions.take("n2", at(10))
	if !f.Near() {
		t.Error("there is nobody else")
	}
}
