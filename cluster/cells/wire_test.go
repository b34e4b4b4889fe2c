package cells

import (
	"slices"
	"testing"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// plain is a batch with its texts, to be compared.
func plain(b *event.Batch) (list []string) {
	for i := range b.Events {
		e := &b.Events[i]
		var w writer
		w.byte(byte(e.Type))
		w.byte(byte(e.Fault))
		w.int(e.Size)
		w.int(e.TimeMs)
		for _, r := range []event.Ref{e.Product, e.Device, e.ID, e.Topic, e.Payload} {
			w.bytes(b.Bytes(r))
		}
		if len(b.Origins) > 0 && b.Origins[i].ID.Len > 0 {
			w.bytes(b.Bytes(b.Origins[i].Source))
			w.bytes(b.Bytes(b.Origins[i].ID))
		}
		list = append(list, string(w.b))
	}
	return list
}

// FuzzBatchOfAnyFormat has what a decoder of gateways' batches makes travel between nodes, whole and in two parts.
func FuzzBatchOfAnyFormat(f *testing.F) {
	f.Add(line2("up", "p", "d")+line2("up", "p", "e")+
		`{"type":"ota","product":"q","device":"d","size":7,"id":"fw"}`, false)
	f.Add(`[{"specversion":"1.0","type":"io.meterd.up","source":"/a","id":"1","subject":"p/d","data":{}}]`, true)
	f.Add(protobuf([]map[string]any{up("p", "d"), up("q", "e")}), false)
	f.Fuzz(func(t *testing.T, body string, isCloud bool) {
		var b event.Batch
		p := wire.DecodeNDJSON(&b, []byte(body))
		if isCloud {
			p = wire.DecodeCloudEvents(&b, []byte(body))
		}
		if p != nil && wire.DecodeProtobuf(&b, []byte(body)) != nil {
			return
		}
		want := plain(&b)
		var even, odd []int32
		for i := range b.Events {
			if i%2 == 0 {
				even = append(even, int32(i))
			} else {
				odd = append(odd, int32(i))
			}
		}
		for _, indexes := range [][]int32{nil, even, odd} {
			var w writer
			if w.batch(&b, indexes); indexes == nil && len(odd) == 0 && len(b.Events) > 1 {
				t.Fatal("no odd events")
			}
			var got event.Batch
			r := reader{b: w.b}
			if r.batch(&got); r.end() != nil {
				t.Fatalf("%q is refused", body)
			}
			list := plain(&got)
			for i := range list {
				at := i
				if indexes != nil {
					at = int(indexes[i])
				}
				if list[i] != want[at] {
					t.Fatalf("event %d of %q becomes %q, was %q", at, body, list[i], want[at])
				}
			}
			if indexes == nil && len(list) != len(want) {
				t.Fatalf("%d events of %d", len(list), len(want))
			}
		}
	})
}

// FuzzCalls reads anything as every call and answer, and what is one is written as it was read.
func FuzzCalls(f *testing.F) {
	var w writer
	w.who(&who{token: "gw", producer: []byte("gw-1")})
	w.uint(1)
	var b event.Batch
	if p := wire.DecodeNDJSON(&b, []byte(line2("up", "p", "d"))); p != nil {
		f.Fatal(p)
	}
	inner := writer{}
	inner.batch(&b, nil)
	w.part(&part{hasClaim: true, isSingle: true, batch: inner.b})
	f.Add(w.b)
	w = writer{b: []byte{version}}
	w.outcome(&outcome{isReplayed: true, result: event.Result{Accepted: 2}})
	w.outcome(&outcome{problem: noOwner()})
	f.Add(w.b)
	f.Add(encodeNote([]int16{0, 0, noCell, refused, 2}, true))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := begin(body)
		r.who()
		for range r.count(streamCallRequests) {
			p := r.part()
			var batch event.Batch
			inner := reader{b: p.batch}
			if inner.batch(&batch); inner.end() == nil {
				plain(&batch)
			}
		}
		_ = r.end()
		r = begin(body)
		for range 3 {
			var o outcome
			r.outcome(&o)
		}
		_ = r.end()
		r = begin(body)
		r.bool()
		if list := r.names(); len(list) > len(body) {
			t.Fatal("more names than bytes")
		}
		r = begin(body)
		if list, _ := r.commands(); len(list) > len(body) {
			t.Fatal("more commands than bytes")
		}
		r = begin(body)
		r.who()
		r.commandsAsked()
		r.claim()
		_, _, _ = refusal(body)
		for _, n := range []int{1, 5, 300} {
			at, again := make([]int16, n), make([]int16, n)
			if isSingle, ok := decodeNote(body, at, rigCells); ok {
				s, ok := decodeNote(encodeNote(at, isSingle), again, rigCells)
				if !ok || s != isSingle || !slices.Equal(at, again) {
					t.Fatalf("note %x", body)
				}
			}
		}
	})
}
