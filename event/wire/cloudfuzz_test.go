package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/meterd/meterd/event"
)

// oracleCloud returns what a valid JSON text is as a CloudEvent: the plain event that its members make, unless it lacks
// what only CloudEvents have.
func oracleCloud(raw []byte) plainEvent {
	var m, data oracleMembers
	if raw = bytes.TrimLeft(raw, " \t\r\n"); raw[0] != '{' || json.Unmarshal(raw, &m) != nil {
		return plainEvent{Fault: event.FaultNotObject}
	}
	present(m)
	name, _ := m.text("type")
	short, ours := strings.CutPrefix(name, "io.meterd.")
	e := plainEvent{}
	if ours {
		e.Type = event.ParseType([]byte(short))
	}
	version, _ := m.text("specversion")
	subject, _ := m.text("subject")
	product, device, _ := strings.Cut(subject, "/")
	_, hasType := m["type"]
	_, hasSubject := m["subject"]
	_, hasBase64 := m["data_base64"]
	switch {
	case version != "1.0":
		e.Fault = event.FaultSpecVersion
	case !hasType:
		e.Fault = event.FaultTypeMissing
	case e.Type == 0:
		e.Fault = event.FaultCloudType
	case !hasSubject:
		e.Fault = event.FaultSubjectMissing
	case !event.ValidName([]byte(product)) || !event.ValidName([]byte(device)):
		e.Fault = event.FaultSubject
	case hasBase64:
		e.Fault = event.FaultDataBase64
	case m["data"] != nil && m["data"][0] != '{':
		e.Fault = event.FaultData
	}
	if e.Fault != event.FaultNone {
		return e
	}
	if m["data"] != nil {
		_ = json.Unmarshal(m["data"], &data) // It is valid.
		present(data)
	}
	flat := oracleMembers{}
	for _, key := range []string{"size", "topic", "payload", "payload_base64"} {
		if v, there := data[key]; there {
			flat[key] = v
		}
	}
	maps.DeleteFunc(m, func(key string, _ json.RawMessage) bool { return key != "id" && key != "time" })
	maps.Copy(flat, m)
	flat["product"], _ = json.Marshal(product) // Of a name it cannot fail.
	flat["device"], _ = json.Marshal(device)
	if fault := flat.fill(&e); fault != event.FaultNone {
		return plainEvent{Type: e.Type, Fault: fault}
	}
	return e
}

// checkOrigin fails unless the origin of the only event of b is what the members say.
func checkOrigin(t *testing.T, b *event.Batch, raw []byte) {
	t.Helper()
	var m oracleMembers
	var source, id string
	if len(b.Origins) != 1 {
		t.Fatalf("%d origins of one event", len(b.Origins))
	}
	if e := b.Events[0]; e.Fault == event.FaultNone && e.Type != event.OTA && e.Type != event.OTAVoid {
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		source, _ = m.text("source")
		if id, _ = m.text("id"); source == "" || id == "" {
			source, id = "", ""
		}
	} else if e.Fault != event.FaultNone {
		return // Nobody looks at it.
	}
	o := b.Origins[0]
	if got := string(b.Bytes(o.Source)); got != source || string(b.Bytes(o.ID)) != id {
		t.Fatalf("%q comes from %q %q, want %q %q", raw, got, b.Bytes(o.ID), source, id)
	}
}

// present leaves the members that are there, null being none.
func present(m oracleMembers) {
	maps.DeleteFunc(m, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
}

func FuzzDecodeCloudEvents(f *testing.F) {
	f.Add([]byte(cloudHead + `,"time":"2026-11-23T18:12:43Z","data":{"size":1,"topic":"t","payload":"\u00e9"}}`))
	f.Add(
		[]byte(`{"specversion":"1.0","type":"io.meterd.ota","id":"o","subject":"p\/d","data":{"size":6291456},"data":null}`),
	)
	f.Add([]byte(cloudHead + `,"data_base64":"","data":{"payload_base64":"AP+/","payload":null}}`))
	f.Add(
		[]byte(`{"specversion":"1.0","type":"io.meterd.ota_void","\u0069d":"o","subject":"p/d/","x":{"a":[1,2.5e3,null]}}`),
	)
	f.Add([]byte(cloudHead + `,"source":"\u0061","id":"\n"}`))
	f.Add([]byte(`{"specversion":"1.0","type":"io.meterd.up","source":null,"id":"1","source":"s","subject":"p/d"}`))
	var one, array event.Batch
	f.Fuzz(func(t *testing.T, body []byte) {
		// What is nested deeper than skip follows has its own test; levels count otherwise within data.
		if bytes.Count(body, []byte{'{'})+bytes.Count(body, []byte{'['}) > jsonDepthMax {
			return
		}
		lent := slices.Clone(body)
		p := DecodeCloudEvent(&one, lent)
		if !bytes.Equal(lent, body) {
			t.Fatalf("%q was changed to %q", body, lent)
		}
		inArray := slices.Concat([]byte{'['}, body, []byte{']'})
		pa := DecodeCloudEvents(&array, inArray)
		if !oracleValid(body) {
			if p == nil {
				t.Fatalf("%q is taken", body)
			}
			return // In an array it may be two events, or none.
		}
		if p != nil || pa != nil {
			t.Fatalf("%q is refused: %v, %v", body, p, pa)
		}
		want := []plainEvent{oracleCloud(body)}
		checkOrigin(t, &one, body)
		checkOrigin(t, &array, body)
		for _, b := range []*event.Batch{&one, &array} {
			got := resolve(t, b)
			if got[0].Fault == event.FaultPayloadTooLarge {
				got[0] = plainEvent{
					Type:  got[0].Type,
					Fault: event.FaultPayloadTooLarge,
				} // What the log keeps of it is FuzzDecodeNDJSON's.
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%q:\ngot  %+v\nwant %+v", body, got, want)
			}
		}
	})
}
