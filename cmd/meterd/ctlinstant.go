package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// instantHelp is what flags that take an instant say of it.
const instantHelp = "RFC 3339, a date (UTC), or from now on as -2h or +30d"

// parseInstant reads an instant as people give one: absolute, or from now on.
func parseInstant(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	bad := fmt.Errorf(
		"%q: must be a time as in RFC 3339, such as 2026-11-23T00:00:00Z, a date, or from now on, such as -2h or +30d",
		text,
	)
	if !strings.HasPrefix(text, "-") && !strings.HasPrefix(text, "+") {
		return time.Time{}, bad
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < -daysMax || n > daysMax {
			return time.Time{}, bad
		}
		return now.UTC().Add(time.Duration(n) * 24 * time.Hour), nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return time.Time{}, bad
	}
	return now.UTC().Add(d), nil
}
