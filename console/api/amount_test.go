package api

import (
	"errors"
	"math"
	"testing"

	"github.com/meterd/meterd/event"
)

// A number of an administrative body is what it is worth, however it is written.
func TestAmount(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "-0": 0, "1000": 1000, "1000.0": 1000, "1e3": 1000, "12E+1": 120, "1200e-1": 120,
		"18446744073709551615": math.MaxUint64,
	} {
		got := uint64(7)
		if err := decodeObject([]byte(`{"quantity":`+text+`}`), fields{"quantity": amount(&got)}); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"-1", "1.5", "1e-1", "1e400", "18446744073709551616", `"5"`, "null", "true", "[]", "{}",
	} {
		var got uint64
		err := decodeObject([]byte(`{"quantity":`+text+`}`), fields{"quantity": amount(&got)})
		var p *event.Problem
		if !errors.As(err, &p) || p.Code != event.InvalidArgument || p.Field != "quantity" || got != 0 {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}
