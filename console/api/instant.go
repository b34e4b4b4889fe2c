package api

import "github.com/meterd/meterd/event"

// instant is a time in an answer, Unix milliseconds: RFC 3339, UTC.
type instant int64

// MarshalJSON writes the time.
func (t instant) MarshalJSON() ([]byte, error) { return event.AppendTime(nil, int64(t)), nil }

// instantS is a time in Unix seconds.
func instantS(s int64) instant { return instant(s * 1000) }

// maybe is nil, which is null in JSON, for a zero value: there is none.
func maybe[T comparable](v T) *T {
	var none T
	if v == none {
		return nil
	}
	return &v
}
