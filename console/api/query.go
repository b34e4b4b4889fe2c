package api

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/meterd/meterd/license/calendar"
)

// query returns a parameter behind the question mark, "" without.
func (c *call) query(name string) string { return string(c.ctx.QueryArgs().Peek(name)) }

// noParameters refuses parameters behind the question mark, by the first one's name: whoever sends one expects that
// less is deleted.
func (c *call) noParameters() error {
	for name := range c.ctx.QueryArgs().All() {
		return invalid(string(name), "a DELETE takes no parameters")
	}
	return nil
}

// limit returns how many elements the answer may have; without says what holds if the request does not.
func (c *call) limit(without int) (int, error) {
	text := c.query("limit")
	if text == "" {
		return without, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n < 1 || n > pageMax {
		return 0, invalid("limit", fmt.Sprintf("must be a whole number from 1 to %d", pageMax))
	}
	return int(n), nil
}

// instant returns the first whole millisecond, Unix, that is not before the time of a parameter; given is false without
// one.
func (c *call) instant(name string) (ms int64, given bool, err error) {
	text := c.query(name)
	if text == "" {
		return 0, false, nil
	}
	// A plus sign that was not escaped has become a space.
	t, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		return 0, false, invalid(name, "must be a time as in RFC 3339, such as 2026-11-23T00:00:00Z")
	}
	ms = t.UnixMilli()
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		ms++
	}
	return ms, true, nil
}

// zone returns the time zone of a parameter, UTC without one.
func (c *call) zone(name string) (*time.Location, error) {
	text := c.query(name)
	if text == "" {
		return time.UTC, nil
	}
	zone, err := calendar.ParseZone(strings.ReplaceAll(text, " ", "+")) // A plus sign that was not escaped.
	if err != nil {
		return nil, invalid(name, err.Error())
	}
	return zone, nil
}

// choice returns the parameter, which must be one of several words; "" without.
func (c *call) choice(name string, words ...string) (string, error) {
	text := c.query(name)
	if text == "" {
		return "", nil
	}
	for _, w := range words {
		if text == w {
			return w, nil
		}
	}
	return "", invalid(name, "must be one of "+strings.Join(words, ", "))
}
