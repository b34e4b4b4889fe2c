package event

import (
	"slices"
	"testing"
)

// Clients that were refused together are told different times.
func TestRetryAfterIsJittered(t *testing.T) {
	said := map[string]bool{}
	for range 1000 {
		said[RetryAfter()] = true
	}
	for s := range said {
		if !slices.Contains([]string{"1", "2", "3", "4"}, s) {
			t.Error(s)
		}
	}
	if len(said) < 2 {
		t.Error(said)
	}
}
