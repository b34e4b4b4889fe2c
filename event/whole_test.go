package event

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestParseWhole(t *testing.T) {
	for _, c := range []struct {
		in   string
		most uint64
		want uint64
		ok   bool
	}{
		{"0", 0, 0, true},
		{"-0", 0, 0, true},
		{"-0.0e5", 9, 0, true},
		{"0e999999999999999999999", 9, 0, true},
		{"0.000", 9, 0, true},
		{"120", 120, 120, true},
		{"121", 120, 0, false},
		{"120.0", 120, 120, true},
		{"12e1", 120, 120, true},
		{"12E+1", 120, 120, true},
		{"1.2e2", 120, 120, true},
		{"1200e-1", 120, 120, true},
		{"1.20e2", 120, 120, true},
		{"0.012e4", 120, 120, true},
		{"0.00000000000000000000001e23", 1, 1, true},
		{"1" + strings.Repeat("0", 400) + "e-400", 1, 1, true},
		{"0." + strings.Repeat("0", 399) + "1e400", 1, 1, true},
		{"1e3", 1000, 1000, true},
		{"1e3", 999, 0, false},
		{"1.5", 9, 0, false},
		{"1e-1", 9, 0, false},
		{"0.1e0", 9, 0, false},
		{"-1", 9, 0, false},
		{"-0.1e1", 9, 0, false},
		{"1e400", math.MaxUint64, 0, false},
		{"1e99999999999999999999", math.MaxUint64, 0, false},
		{"1e-99999999999999999999", math.MaxUint64, 0, false},
		{"18446744073709551615", math.MaxUint64, math.MaxUint64, true},
		{"1844674407370955161.5e1", math.MaxUint64, math.MaxUint64, true},
		{"18446744073709551616", math.MaxUint64, 0, false},
		{"99999999999999999999", math.MaxUint64, 0, false},
		{"", 9, 0, false},
		{"-", 9, 0, false},
		{"+1", 9, 0, false},
		{"01", 9, 0, false},
		{"-01", 9, 0, false},
		{".5e1", 9, 0, false},
		{"5.", 9, 0, false},
		{"5.e1", 9, 0, false},
		{"5e", 9, 0, false},
		{"5e+", 9, 0, false},
		{"5e1.0", 99, 0, false},
		{"0x5", 9, 0, false},
		{" 5", 9, 0, false},
		{"5 ", 9, 0, false},
		{`"5"`, 9, 0, false},
		{"null", 9, 0, false},
		{"5\x00", 9, 0, false},
	} {
		if n, ok := ParseWhole([]byte(c.in), c.most); n != c.want || ok != c.ok {
			t.Errorf("%.30q up to %d: %d, %v; want %d, %v", c.in, c.most, n, ok, c.want, c.ok)
		}
	}
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// FuzzParseWhole holds it to encoding/json, which says what a number is, and to exact arithmetic, which says its value.
func FuzzParseWhole(f *testing.F) {
	for _, s := range []string{
		"0", "-0", "120.0", "12e1", "1e-1", "1e400", "18446744073709551616", "1.5", "01", "5.", "-",
		"1E+2",
	} {
		f.Add([]byte(s), uint64(1<<40))
	}
	f.Fuzz(func(t *testing.T, text []byte, most uint64) {
		n, ok := ParseWhole(text, most)
		if ok && n > most {
			t.Fatalf("%q up to %d: %d", text, most, n)
		}
		isNumber := jsonNumber.Match(text)
		if isNumber != (json.Valid(text) && len(text) > 0 && (text[0] == '-' || text[0]-'0' < 10) &&
			text[len(text)-1]-'0' < 10) {
			t.Fatalf("the expression and encoding/json disagree on %q", text)
		}
		if !isNumber {
			if ok {
				t.Fatalf("%q is no number, and is %d", text, n)
			}
			return
		}
		if at := strings.IndexAny(string(text), "eE"); at >= 0 {
			if e, err := strconv.Atoi(string(text[at+1:])); err != nil || e > 1000 || e < -1000 {
				return // Exact arithmetic would take too much memory.
			}
		}
		exact, _ := new(big.Rat).SetString(string(text))
		isWhole := exact.IsInt() && exact.Sign() >= 0 && exact.Num().Cmp(new(big.Int).SetUint64(most)) <= 0
		if ok != isWhole || ok && exact.Num().Uint64() != n {
			t.Fatalf("%q up to %d: %d, %v", text, most, n, ok)
		}
	})
}
