package api

import (
	"encoding/json"
	"testing"
)

// A serial is a number as long as there is one cell, and names its cell among several.
func TestSerial(t *testing.T) {
	for want, s := range map[string]serial{
		"12077": {Cell{}, 12077}, "7": {Cell{Of: 1}, 7}, `"0-7"`: {Cell{Of: 4}, 7}, `"3-12077"`: {Cell{3, 4}, 12077},
	} {
		if got, err := json.Marshal(s); string(got) != want || err != nil {
			t.Errorf("%+v is %s, %v; want %s", s, got, err, want)
		}
	}
}
