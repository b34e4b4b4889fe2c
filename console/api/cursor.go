package api

import (
	"strconv"
	"strings"

	"github.com/meterd/meterd/event"
)

// A cursor says behind what a list goes on: a name, or numbers joined by dots. To clients it is opaque.

// cursorBits bounds the numbers of a cursor, so that one more never wraps.
const cursorBits = 62

// cursorNumbers reads a cursor of numbers into to; given is false without one.
func (c *call) cursorNumbers(to ...*uint64) (given bool, err error) {
	text := c.query("cursor")
	if text == "" {
		return false, nil
	}
	if !readCursor(text, to...) {
		return false, badCursor()
	}
	return true, nil
}

// readCursor reads numbers that cursorOf has joined.
func readCursor(text string, to ...*uint64) bool {
	parts := strings.Split(text, ".")
	if len(parts) != len(to) {
		return false
	}
	for i, part := range parts {
		var err error
		if *to[i], err = strconv.ParseUint(part, 10, cursorBits); err != nil {
			return false
		}
	}
	return true
}

// cursorName reads a cursor that is a name, "" without.
func (c *call) cursorName() (string, error) {
	text := c.query("cursor")
	if text != "" && !event.ValidName([]byte(text)) {
		return "", badCursor()
	}
	return text, nil
}

func badCursor() error { return invalid("cursor", "must be the next of an answer of this list") }

// cursorOf is the cursor that cursorNumbers reads.
func cursorOf(numbers ...uint64) *string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = strconv.FormatUint(n, 10)
	}
	text := strings.Join(parts, ".")
	return &text
}

// pageAfter returns the elements of list, which is sorted by name, behind the cursor, at most limit, and the cursor to
// go on at, nil at the end.
func pageAfter[T any](list []T, cursor string, limit int, name func(T) string) (page []T, next *string) {
	first := 0
	for first < len(list) && cursor != "" && name(list[first]) <= cursor {
		first++
	}
	page = list[first:]
	if len(page) > limit {
		page = page[:limit]
		last := name(page[limit-1])
		next = &last
	}
	return page, next
}
