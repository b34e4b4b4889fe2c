package client

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
)

// FuzzDecodeBatch: whatever is in a spool is read without a panic, and what was read is written so that it is read as
// the same events.
func FuzzDecodeBatch(f *testing.F) {
	f.Add(appendBatch(nil, []Event{
		up("d1", 12),
		{Type: event.Connect, Product: "p2", Device: "d1", Time: time.UnixMilli(1_700_000_000_123)},
		{Type: event.OTA, Product: "p1", Device: "d2", Size: 6 << 20, ID: "v7"},
		{Type: event.Down, Product: "p1", Device: "d2", Topic: "t", Payload: []byte("x")},
	}))
	f.Add(appendBatch(nil, []Event{up("d1", event.MessageBytesMax+1)}))
	f.Add([]byte{8, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := decodeBatch(b)
		if err != nil {
			return
		}
		events = slices.DeleteFunc(events, func(e Event) bool { return e.Type == 0 })
		if len(events) == 0 {
			return
		}
		again, err := decodeBatch(appendBatch(nil, events))
		if err != nil || !reflect.DeepEqual(again, events) {
			t.Fatalf("%+v, %v, first %+v", again, err, events)
		}
	})
}
