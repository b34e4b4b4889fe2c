package board

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func sample() Status {
	return Status{
		Node: "n1", Boot: "b", Told: 3, WallMs: 1000, State: Ready, Version: "1", Address: "127.0.0.1:8480",
		Cells: []CellStatus{
			{Cell: 0, Role: Owner, Stream: Bytes16{1}, Copy: "c", Epoch: 4, Group: 9, Chain: Bytes16{2}, Address: "a:1"},
			{Cell: 7, Role: Standby, Fit: true},
		},
	}
}

func TestStatusIsWhatWasTold(t *testing.T) {
	s := sample()
	b, err := s.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeStatus(b)
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("%+v, not %+v: %v", got, s, err)
	}
	if c, ok := got.Cell(7); !ok || !c.Fit {
		t.Fatal(c, ok)
	}
	if _, ok := got.Cell(3); ok {
		t.Fatal("it has a cell that nobody told")
	}
}

func TestStatusRefused(t *testing.T) {
	for want, spoil := range map[string]func(*Status){
		"no name of a node":       func(s *Status) { s.Node = "a b" },
		"comes after":             func(s *Status) { s.Cells[1].Cell = 0 },
		"no role":                 func(s *Status) { s.Cells[0].Role = "king" },
		"a word of it":            func(s *Status) { s.Version = strings.Repeat("v", 65) },
		"cell 0: a word":          func(s *Status) { s.Cells[0].Why = strings.Repeat("v", 1000) },
		"cell 64 comes":           func(s *Status) { s.Cells[1].Cell = cellsMax },
		`"" is no name of a node`: func(s *Status) { s.Node = "" },
	} {
		s := sample()
		spoil(&s)
		if _, err := s.encode(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %q", err, want)
		}
		b, err := json.Marshal(told{formatVersion, s})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeStatus(b); err == nil {
			t.Errorf("%q is read all the same", want)
		}
	}
	for _, b := range []string{"", "{}", `{"v":2,"node":"n1"}`, `{"v":1,"node":"n1","cells":[{"stream":"00"}]}`, "null"} {
		if _, err := decodeStatus([]byte(b)); err == nil {
			t.Errorf("%q is read", b)
		}
	}
}

// Nobody is told of more webhooks than the bound says.
func TestStatusOfTooManyWebhooks(t *testing.T) {
	s := sample()
	s.Cells[0].Owed = map[uint64]uint64{}
	for i := range uint64(owedMax + 1) {
		if _, err := s.encode(); err != nil {
			t.Fatal(i, err)
		}
		s.Cells[0].Owed[i] = 1
	}
	if _, err := s.encode(); err == nil {
		t.Error("it is told")
	}
}

// A whole cluster's most fits into a message.
func TestStatusOfMostCellsFits(t *testing.T) {
	s := sample()
	s.Cells = nil
	owed := map[uint64]uint64{}
	for i := range uint64(owedMax) {
		owed[1<<60+i] = 1 << 60
	}
	for i := range cellsMax {
		s.Cells = append(s.Cells, CellStatus{
			Cell: i, Role: Reseeding, Stream: Bytes16{1}, Copy: strings.Repeat("c", 16), Epoch: 1 << 60, Group: 1 << 60,
			Message: 1 << 60, First: 1 << 60, LastMs: 1 << 50, Devices: 1 << 40, Delivered: 1 << 60, Fit: true,
			Owed:    owed,
			Address: strings.Repeat("a", 40), Why: strings.Repeat("w", textBytesMax),
		})
	}
	if _, err := s.encode(); err != nil {
		t.Fatal(err)
	}
}

// A sentence is cut at the border of a character, and is read where it is heard.
func TestSentence(t *testing.T) {
	for text, want := range map[string]string{
		"short":                           "short",
		strings.Repeat("w", 600):          strings.Repeat("w", 512),
		strings.Repeat("\u20ac", 200):     strings.Repeat("\u20ac", 170),
		"w" + strings.Repeat("\xff", 600): "w?",
	} {
		if got := Sentence(text); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

func FuzzStatus(f *testing.F) {
	s := sample()
	b, err := s.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"v":1,"node":"n","cells":[{"cell":1,"role":"owner"},{"cell":0,"role":"owner"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeStatus(b)
		if err != nil {
			return
		}
		again, err := s.encode()
		if err != nil {
			t.Skip(err) // Escapes may make it longer than what is taken.
		}
		got, err := decodeStatus(again)
		if err != nil {
			t.Fatal(err)
		}
		// Compared as text: an empty list and none are written alike.
		if twice, err := got.encode(); err != nil || !bytes.Equal(twice, again) {
			t.Fatalf("%s, not %s: %v", twice, again, err)
		}
	})
}
