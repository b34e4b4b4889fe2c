package webhook

import (
	"bytes"
	"fmt"
	"testing"
)

// Rows are as FORMAT.md draws them. A change here is a change of the format.
func TestRowsAreAsDrawn(t *testing.T) {
	for got, want := range map[string]string{
		string(messageKey(keyQueue, 300, 2)):  "Q\x00\x00\x00\x00\x00\x00\x01\x2c\x00\x00\x00\x00\x00\x00\x00\x02",
		string(messageKey(keyDead, 300, 2)):   "D\x00\x00\x00\x00\x00\x00\x01\x2c\x00\x00\x00\x00\x00\x00\x00\x02",
		string(hookKey(keyState, 300)):        "S\x00\x00\x00\x00\x00\x00\x01\x2c",
		string(toldKey(300, toldDry, 7)):      "T\x00\x00\x00\x00\x00\x00\x01\x2cF\x00\x00\x00\x07",
		string(toldKey(300, toldLicenses, 7)): "T\x00\x00\x00\x00\x00\x00\x01\x2cL\x00\x00\x00\x07",
		string(toldKey(300, toldPacks, 7)):    "T\x00\x00\x00\x00\x00\x00\x01\x2cP\x00\x00\x00\x07",
		string(toldKey(300, toldEnding, 7)):   "T\x00\x00\x00\x00\x00\x00\x01\x2cE\x00\x00\x00\x07",
		string((&message{ID: "msg_1", Event: "e", Body: []byte(`{"a":1}`), QueuedMs: 7}).row()): `{"id":"msg_1",` +
			`"event":"e","body":{"a":1},"queued_ms":7}`,
		string((&message{
			ID: "msg_1", Event: "e", Body: []byte(`{}`), QueuedMs: 7, Group: 9, DiedMs: 8, Tries: 9, Error: "no",
		}).row()): `{"id":"msg_1","event":"e","body":{},"queued_ms":7,"group":9,"died_ms":8,"tries":9,"error":"no"}`,
		string(mustJSON(state{Delivered: 1, Failed: 2, Error: "no", GoneAtChangeMs: 3})): `{"delivered":1,"failed":2,` +
			`"dropped":0,"error":"no","gone_at_change_ms":3}`,
		string(mustJSON(told{Days: 30})):  `{"days":30}`,
		string(mustJSON(told{Day: 2522})): `{"day":2522}`,
		string(mustJSON(told{})):          `{}`,
		string(mustJSON(stopRecord{7})):   `{"since_ms":7}`,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Bytes that are no message are refused; what is one is written again as it was read.
func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(`{"id":"msg_1","event":"e","body":{"a":1},"queued_ms":7}`))
	f.Add([]byte(`{"id":"","body":{}}`))
	f.Add([]byte(`{"id":"m","body":null}`))
	f.Fuzz(func(t *testing.T, row []byte) {
		m, err := decodeMessage(row)
		if err != nil {
			return
		}
		again, err := decodeMessage(m.row())
		if err != nil || again.ID != m.ID || again.QueuedMs != m.QueuedMs || !bytes.Equal(again.row(), m.row()) {
			t.Fatalf("%q is read again as %+v, %v", row, again, err)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	f.Add([]byte(`{"delivered":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, row []byte) {
		s, err := decodeState(row)
		if err != nil {
			return
		}
		if again, err := decodeState(mustJSON(s)); err != nil || fmt.Sprint(again) != fmt.Sprint(s) {
			t.Fatalf("%q is read again as %+v, %v", row, again, err)
		}
	})
}
